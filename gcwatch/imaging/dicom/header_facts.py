"""What is known of a DICOM file from its header, and the elements that tell it."""

from dataclasses import dataclass

from gcwatch.imaging.dicom.traits import Trait

SLIDE_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""The SOP class of whole slide images: one file for each level, of many tiles."""

MR_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.4"
"""The SOP class of MR slices, one picture a file."""

SHARED_ELEMENTS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "StudyID",
    "StudyDate",
    "AccessionNumber",
    "SeriesNumber",
)
"""Elements that must be the same in all files of one DICOM Image Set (platform 3.9)."""

PATIENT_ELEMENTS = ("IssuerOfPatientID", "PatientBirthDate", "PatientSex")
"""Elements that tell patients apart where both are there, beside PatientID and PatientName."""

KIND_ELEMENTS = ("EchoTime", "DiffusionBValue")
"""Elements that tell kinds of MR pictures apart, beside the third value of ImageType."""

NEVER_EMPTY = (
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SpacingBetweenSlices",
)
"""Elements that the importer fails at if they are there without a value."""


@dataclass(frozen=True)
class Group:
    """Files of the same group become one image on the platform.

    As in its importer (panimg 0.15.2, `image_builders/dicom.py`, `get_dicom_headers_by_study`):
    the study, the stack or else the series, and the SOP class, which separates dose reports.
    """

    study: str
    stack: str
    sop_class: str


Vector = tuple[float, float, float]
"""x, y and z in the patient's coordinates; in mm for a position."""


@dataclass(frozen=True, slots=True)
class SlicePosition:
    """Where a slice lies: position of its first pixel, directions of its rows and columns."""

    position: Vector
    row: Vector
    column: Vector


@dataclass(frozen=True, slots=True)
class CommonFacts:
    """Raw values that all files of one image have in common, if it is sound.

    `patient` is PatientID and PatientName, `more_of_patient` the `PATIENT_ELEMENTS`; `kind` tells
    kinds of MR pictures apart (`KIND_ELEMENTS`, ImageType), () for others; `pixel_format` is size
    and type of the pixels; `rescale` is slope and intercept; `slice_spacing` is
    SpacingBetweenSlices; `traits` are what the importer does not take as it is meant; `empty` are
    elements of `NEVER_EMPTY` without a value.
    """

    patient: tuple[bytes, ...] = ()
    more_of_patient: tuple[bytes, ...] = ()
    kind: tuple[bytes, ...] = ()
    frame_of_reference: bytes = b""
    pixel_format: tuple[bytes, ...] = ()
    spacing: bytes = b""
    rescale: tuple[bytes, ...] = ()
    slice_spacing: bytes = b""
    traits: tuple[Trait, ...] = ()
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one DICOM file.

    `group` is None if the file is no image (a report, a DICOMDIR), or if its image is unknown.
    `problem` says how the file is incomplete, without any value of it; "" if it is complete.
    `stacked` tells that a StackID makes the group. `number` is the InstanceNumber, by which the
    platform sorts. `slice_position` is None if the file has no position. `shared` are the raw
    values of the `SHARED_ELEMENTS`. `time` is the raw TemporalPositionIndex, which makes a series
    over time; b"" without one. `is_localizer`: it shows where slices lie and is none of them.
    `frame_positions` are those of an enhanced file, one for each frame; () for others. `is_frame`:
    it stands for one frame of such a file, and `number` is the frame's. `is_label`: it shows the
    label of a slide, or the whole slide with its label. `asked` are the values, as text, of the
    elements that were asked for; None for one that is missing.
    """

    group: Group | None
    problem: str = ""
    stacked: bool = False
    instance: str = ""
    number: int | None = None
    slice_position: SlicePosition | None = None
    shared: tuple[bytes, ...] = ()
    common: CommonFacts = CommonFacts()
    frames: int = 1
    time: bytes = b""
    is_localizer: bool = False
    frame_positions: tuple[SlicePosition | None, ...] = ()
    is_frame: bool = False
    is_label: bool = False
    asked: tuple[str | None, ...] = ()

    @property
    def series(self) -> bytes:
        """The raw SeriesInstanceUID, b"" if it is unknown."""
        return self.shared[SHARED_ELEMENTS.index("SeriesInstanceUID")] if self.shared else b""
