"""Reads DICOM headers: which image a file belongs to, whether it is complete, where it lies."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from gcwatch.imaging.dicom.elements import (
    PIXEL_TAGS,
    DamagedDicom,
    PixelData,
    dicom_errors,
    find_pixel_data,
    holds_pixel_data,
    is_empty,
    measure_deflated_pixels,
    meta_value,
    parse_numbers,
    raise_if_system_error,
    raw_value,
    read_dataset,
)
from gcwatch.imaging.dicom.encapsulated import PixelFacts, find_frame_damage
from gcwatch.imaging.dicom.encoded import UnusualHeader
from gcwatch.imaging.dicom.quick_dataset import QuickDataset, QuickReader
from gcwatch.imaging.dicom.stretches import Element
from gcwatch.imaging.dicom.traits import (
    TRAIT_ELEMENTS,
    Trait,
    find_traits,
    first_item,
    frame_groups,
    shared_items,
)

_MAGIC = b"DICM"
_PREAMBLE_BYTES = 128

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

_READ_ELEMENTS = (
    *SHARED_ELEMENTS,
    "SOPClassUID",
    "SOPInstanceUID",
    "StackID",
    "InstanceNumber",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "PatientName",
    "FrameOfReferenceUID",
    "TemporalPositionIndex",
    "RescaleSlope",
    "RescaleIntercept",
    *PATIENT_ELEMENTS,
    *KIND_ELEMENTS,
    *TRAIT_ELEMENTS,
)


def _abridge(value: bytes) -> bytes:
    """Return a value that stands for all that are there; it can't be converted to anything."""
    return value and b"\\"


def _abridge_position(value: bytes) -> bytes:
    """Return one position for all; what is none counts as it is."""
    return b"0\\0\\0" if len(parse_numbers(value)) == 3 else value


_OWN_ELEMENTS = {
    "SOPInstanceUID": _abridge,
    "InstanceNumber": _abridge,
    "ImagePositionPatient": _abridge_position,
    "ContentTime": _abridge,
    "Exposure": _abridge,
}
"""Elements that differ from file to file, and how they are abridged in what files share."""

_QUICK_READER = QuickReader(_READ_ELEMENTS, _OWN_ELEMENTS)

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

_PIXEL_FORMAT = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "PixelRepresentation",
    "PhotometricInterpretation",
)


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
    label of a slide, or the whole slide with its label.
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

    @property
    def series(self) -> bytes:
        """The raw SeriesInstanceUID, b"" if it is unknown."""
        return self.shared[SHARED_ELEMENTS.index("SeriesInstanceUID")] if self.shared else b""


# --- reading -----------------------------------------------------------------------------------


def could_be_dicom(start: bytes) -> bool:
    """Given a file's first bytes (132 or more), return whether it may be DICOM.

    Without a preamble, the first element must be of group 0002 or 0008.
    """
    if start[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _MAGIC:
        return True
    return len(start) >= 8 and start[:2] in {b"\x02\0", b"\x08\0"} and start[3] == 0


def read_header(stream: BinaryIO) -> Header | None:
    """Given a file open at its start, return its header, or None if it is no DICOM."""
    start = b""
    try:
        if header := _read_quickly(stream):
            return header
        stream.seek(0)
        start = stream.read(_PREAMBLE_BYTES + 4)
        return _read_by_pydicom(stream) if could_be_dicom(start) else None
    except DamagedDicom as damage:
        return Header(None, str(damage))
    except dicom_errors(OSError) as error:
        raise_if_system_error(error)
        return Header(None, "unreadable header") if start[_PREAMBLE_BYTES:] == _MAGIC else None


def _read_quickly(stream: BinaryIO) -> Header | None:
    """Return the header of a file without oddities; None if pydicom has to read it."""
    try:
        quick = _QUICK_READER.read(stream)
        common = _quick_common(quick.common, quick.syntax)
        return _header_of(stream, QuickDataset(quick.own, quick.syntax), common, quick.pixels)
    except dicom_errors(UnusualHeader):
        return None


def _read_by_pydicom(stream: BinaryIO) -> Header | None:
    stream.seek(0)
    dataset = read_dataset(stream, _READ_ELEMENTS)
    common = _Common(dataset, _common_header(stream, dataset), {})
    return _header_of(stream, dataset, common)


@dataclass(frozen=True, slots=True)
class _Common:
    """What most files of one series have in common.

    Their elements, the header that these give, and the lengths of pixel data by its tag.
    """

    dataset: Any
    header: Header | None
    lengths: dict[tuple[int, int], int]


@functools.lru_cache(64)
def _quick_common(elements: tuple[Element, ...], syntax: bytes) -> _Common:
    """Return it for elements that were read without pydicom; computed once for a series."""
    dataset = QuickDataset(elements, syntax)
    if "SOPClassUID" not in dataset:
        raise UnusualHeader
    return _Common(dataset, _common_header(None, dataset), {})


def _common_header(stream: BinaryIO | None, dataset: Any) -> Header | None:
    """Given a dataset, and the stream behind what was read, return what its files have in common.

    Without a stream, pixels surely follow.
    """
    sop_class = str(dataset.get("SOPClassUID", "")) or meta_value(
        dataset, "MediaStorageSOPClassUID"
    )
    if not sop_class:
        return None if dataset.preamble is None else Header(None, "no SOPClassUID")
    if not _is_image(stream, dataset, sop_class):
        return Header(None)
    common = _read_common_facts(dataset)  # before a value is converted: raw ones are compared
    return Header(
        _read_group(dataset),
        stacked=dataset.get("StackID") is not None,
        shared=_raw_values(dataset, SHARED_ELEMENTS),
        common=common,
        frames=int(dataset.get("NumberOfFrames") or 1),
        time=raw_value(dataset, "TemporalPositionIndex"),
        is_localizer=b"LOCALIZER" in raw_value(dataset, "ImageType"),
        frame_positions=_frame_positions(dataset),
        is_label=sop_class == SLIDE_SOP_CLASS and _is_label(dataset),
    )


def _header_of(
    stream: BinaryIO, own: Any, common: _Common, pixels: PixelData | None = None
) -> Header | None:
    """Given a file's own elements, and the stream at its pixels, return its header."""
    told = common.header
    if told is None or told.group is None:
        return told
    return Header(
        told.group,
        _pixel_problem(stream, common, pixels),
        told.stacked,
        _required_text(own, "SOPInstanceUID"),
        _instance_number(own),
        _slice_position(own, common.dataset),
        told.shared,
        told.common,
        told.frames,
        told.time,
        told.is_localizer,
        told.frame_positions,
        is_label=told.is_label,
    )


def _is_label(dataset: Any) -> bool:
    kind = raw_value(dataset, "ImageType").upper()
    return b"LABEL" in kind or b"OVERVIEW" in kind


def _read_common_facts(dataset: Any) -> CommonFacts:
    return _shared_facts(
        _raw_values(dataset, ("PatientID", "PatientName")),
        _raw_values(dataset, PATIENT_ELEMENTS),
        _picture_kind(dataset),
        *_raw_values(dataset, ("FrameOfReferenceUID",)),
        _read_pixel_format(dataset),
        _pixel_spacing(dataset),
        _raw_values(dataset, ("RescaleSlope", "RescaleIntercept")),
        *_raw_values(dataset, ("SpacingBetweenSlices",)),
        find_traits(dataset),
        tuple(keyword for keyword in NEVER_EMPTY if is_empty(dataset, keyword)),
    )


def _picture_kind(dataset: Any) -> tuple[bytes, ...]:
    if str(dataset.get("SOPClassUID", "")) != MR_SOP_CLASS:
        return ()
    names = raw_value(dataset, "ImageType").split(b"\\")
    return *_raw_values(dataset, KIND_ELEMENTS), names[2].strip() if len(names) > 2 else b""


def _read_pixel_format(dataset: Any) -> tuple[bytes, ...]:
    """Return the raw values of `_PIXEL_FORMAT`, little-endian."""
    *numbers, colors = (raw_value(dataset, keyword) for keyword in _PIXEL_FORMAT)
    is_little = dataset.original_encoding[1]
    return *(raw if is_little else raw[::-1] for raw in numbers), colors.rstrip(b" ")


def _is_image(stream: BinaryIO | None, dataset: Any, sop_class: str) -> bool:
    """Whether a file's SOP class is of images; reports, spectra, plans and raw data are none."""
    from pydicom.uid import UID  # noqa: PLC0415 - as in read_dataset

    known = UID(sop_class).name
    if "Image Storage" in known:
        return True
    if "Rows" not in dataset or "Spectroscopy" in known:
        return False
    # Vendors have classes of their own, of images and of others that have Rows without pixels.
    return known != sop_class or stream is None or holds_pixel_data(stream, dataset)


def _read_group(dataset: Any) -> Group:
    stack = dataset.get("StackID")
    return _shared_group(
        _required_text(dataset, "StudyInstanceUID"),
        str(stack) if stack is not None else _required_text(dataset, "SeriesInstanceUID"),
        _required_text(dataset, "SOPClassUID"),
    )


_shared_facts = functools.lru_cache(256)(CommonFacts)
_shared_group = functools.lru_cache(256)(Group)
"""Make groups and facts; equal ones are one object, which saves memory with many files."""


def _required_text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    if not value:
        raise DamagedDicom(f"no {keyword}")
    return str(value)


def _instance_number(dataset: Any) -> int | None:
    number = dataset.get("InstanceNumber")
    return None if number is None else int(number)


def _raw_values(dataset: Any, keywords: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(raw_value(dataset, keyword).strip(b" \0") for keyword in keywords)


def _slice_position(place: Any, directions: Any) -> SlicePosition | None:
    """Given the datasets that hold position and orientation, return where the picture lies."""
    position = parse_numbers(raw_value(place, "ImagePositionPatient"))
    orientation = _parse_directions(raw_value(directions, "ImageOrientationPatient"))
    if len(position) != 3 or orientation is None:
        return None
    return SlicePosition(_as_vector(position), *orientation)


@functools.lru_cache(256)
def _parse_directions(raw: bytes) -> tuple[Vector, Vector] | None:
    """Given a raw ImageOrientationPatient, return the directions of rows and columns."""
    numbers = parse_numbers(raw)
    return (_as_vector(numbers[:3]), _as_vector(numbers[3:])) if len(numbers) == 6 else None


def _frame_positions(dataset: Any) -> tuple[SlicePosition | None, ...]:
    """Return where the frames of an enhanced file lie; () if it does not say so."""
    positions = tuple(_frame_position(dataset, frame) for frame in frame_groups(dataset))
    return positions if any(positions) else ()


def _frame_position(dataset: Any, frame: Any) -> SlicePosition | None:
    place = first_item(frame, "PlanePositionSequence")
    directions = first_item(frame, "PlaneOrientationSequence")
    if directions is None:
        directions = next(shared_items(dataset, "PlaneOrientationSequence"), None)
    return None if place is None or directions is None else _slice_position(place, directions)


def _pixel_spacing(dataset: Any) -> bytes:
    """Return the raw spacing; that of an enhanced file stands among what its frames share."""
    measures = next(shared_items(dataset, "PixelMeasuresSequence"), dataset)
    return raw_value(measures, "PixelSpacing").strip(b" \0")


def _as_vector(numbers: list[float]) -> Vector:
    x, y, z = numbers
    return x, y, z


# --- pixels ------------------------------------------------------------------------------------


def _pixel_problem(stream: BinaryIO, common: _Common, pixels: PixelData | None) -> str:
    """Given a stream at its pixel data, return what is wrong with them, "" if nothing."""
    # A text and no exception: the group of a file with cut pixels is still needed.
    try:
        _check_pixels(stream, common, pixels)
    except DamagedDicom as damage:
        return str(damage)
    except dicom_errors(OSError) as error:
        raise_if_system_error(error)
        return "unreadable pixel data"
    return ""


def _check_pixels(stream: BinaryIO, common: _Common, pixels: PixelData | None) -> None:
    dataset = common.dataset
    frames = int(dataset.get("NumberOfFrames") or 1)
    described = len(frame_groups(dataset))
    if described not in {0, frames}:
        raise DamagedDicom(f"it tells {frames} frames and describes {described}")
    if pixels is None and _is_deflated(dataset):
        held, tag = measure_deflated_pixels(stream)
    else:
        pixels = pixels or find_pixel_data(stream, dataset.original_encoding)
        if pixels.encapsulated:
            _check_frames(stream, pixels, dataset)
            return
        held, tag = pixels.end - pixels.start, pixels.tag
    if tag not in common.lengths:
        common.lengths[tag] = _expected_bytes(dataset, tag)
    expected = common.lengths[tag]
    if held < expected:
        raise DamagedDicom("pixel data is too short")
    # The importer takes more bytes for more frames, once they are enough for one (pydicom 3).
    if held > expected + expected % 2 and held * frames // expected > frames:
        raise DamagedDicom("pixel data is longer than told")


def _check_frames(stream: BinaryIO, pixels: PixelData, dataset: Any) -> None:
    told = PixelFacts(
        int(dataset.get("NumberOfFrames") or 1),
        int(dataset.Rows),
        int(dataset.Columns),
        int(dataset.get("SamplesPerPixel") or 1),
        int(dataset.get("BitsAllocated") or 8),
    )
    syntax = meta_value(dataset, "TransferSyntaxUID")
    if problem := find_frame_damage(stream, pixels, syntax, told):
        raise DamagedDicom(problem)


def _is_deflated(dataset: Any) -> bool:
    from pydicom.uid import DeflatedExplicitVRLittleEndian  # noqa: PLC0415 - as in read_dataset

    return meta_value(dataset, "TransferSyntaxUID") == str(DeflatedExplicitVRLittleEndian)


def _expected_bytes(dataset: Any, tag: tuple[int, int]) -> int:
    samples = int(dataset.get("SamplesPerPixel") or 1)
    pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    bits = pixels * samples * (PIXEL_TAGS[tag] or int(dataset.get("BitsAllocated") or 1))
    if "422" in str(dataset.get("PhotometricInterpretation", "")):
        bits = bits * 2 // 3  # two pixels share their colour values
    return -(-bits // 8)
