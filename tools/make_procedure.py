"""Writes the local de-identification procedure for image sockets: `python tools/make_procedure.py`.

The file has the format of the platform's own procedure (package
`grand-challenge-dicom-de-id-procedure`). For each image class it lists what is kept (K), replaced
by a constant (D, Z) or by a new UID (U), and why; everything else is removed (X). Sources:

- the platform's procedure, for the classes that it knows;
- DICOM PS3.15 table E.1-1, Basic Profile, edition 2026c, as the package `dicom-anonymizer`
  (BSD-3-Clause) has it: nothing that this table names is kept;
- panimg 0.18.2, `image_builders/dicom.py`: what the platform's importer reads.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c
from grand_challenge_dicom_de_id_procedure import procedure as platform
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID_dictionary

TARGET: Final = Path(__file__).parents[1] / "gcwatch/imaging/dicom/procedure.json"
VERSION: Final = "gcwatch-2026.11"
"""At most 18 characters: it becomes a part of DeidentificationMethod, which has 64."""
Row = dict[str, str]

_FREE: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT", "OB", "OW", "AE"})
"""VRs of values that may hold any text or any bytes."""
_DATES: Final = frozenset({"AS", "DA", "DT", "TM"})
_NEEDED: Final = {"StackID", "PixelData", "FloatPixelData", "DoubleFloatPixelData"}
"""Elements that are kept although any text or bytes fit into them: the image is made of them.

Of StackID, gcwatch keeps numbers only (`gcwatch/imaging/deidentification/forms.py`).
"""

_HIDDEN: Final = {
    "EncryptedAttributesSequence": "holds the original values, encrypted",
    "EncryptedContent": "holds the original values, encrypted",
    "EncryptedContentTransferSyntaxUID": "belongs to EncryptedContent",
    "DeidentificationMethod": "free text of other programs; written anew",
    "DeidentificationMethodCodeSequence": "free text of other programs; written anew",
    "ExtendedOffsetTable": "written anew, as a table of offsets before the fragments",
    "ExtendedOffsetTableLengths": "belongs to ExtendedOffsetTable",
}
"""What the platform's procedure keeps and this one removes, and why."""

_PIXELS: Final = """
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation SmallestImagePixelValue
    LargestImagePixelValue PixelPaddingValue PixelPaddingRangeLimit PixelAspectRatio
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    BurnedInAnnotation PixelData FloatPixelData DoubleFloatPixelData
    RescaleSlope RescaleIntercept WindowCenter WindowWidth VOILUTFunction PresentationLUTShape
"""
_GENERAL: Final = """
    ImageType SOPClassUID Modality InstanceNumber Laterality ImageLaterality PatientOrientation
    PatientPosition AnatomicalOrientationType BodyPartExamined
"""
_GEOMETRY: Final = """
    ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing
    NominalScannedPixelSpacing PixelSpacingCalibrationType SliceThickness SpacingBetweenSlices
    SliceLocation
"""
_TIMES: Final = """
    StackID InStackPositionNumber TemporalPositionIndex TemporalPositionIdentifier
    NumberOfTemporalPositions TemporalResolution TriggerTime FrameTime FrameTimeVector
    FrameIncrementPointer FrameReferenceTime ActualFrameDuration Exposure
"""
_FRAMES: Final = """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence FrameContentSequence
    PlanePositionSequence PlaneOrientationSequence PlanePositionVolumeSequence
    PlaneOrientationVolumeSequence ImagePositionVolume ImageOrientationVolume
    PixelMeasuresSequence PixelValueTransformationSequence FrameVOILUTSequence
    FrameAnatomySequence FrameLaterality FrameType DimensionOrganizationSequence
    DimensionOrganizationType DimensionIndexSequence DimensionIndexPointer FunctionalGroupPointer
    DimensionIndexValues InConcatenationNumber InConcatenationTotalNumber
    ConcatenationFrameOffsetNumber FrameAcquisitionNumber VolumetricProperties PixelPresentation
    TemporalPositionSequence TemporalPositionTimeOffset
"""
_COMMON: Final = {
    "pixels, as the importer reads them": _PIXELS,
    "general facts of the image; names nobody": _GENERAL,
    "geometry, as the importer reads it": _GEOMETRY,
    "stacks and times, by which the importer sorts": _TIMES,
    "multi-frame geometry, as the importer reads it": _FRAMES,
}
_X_RAY: Final = """
    KVP ExposureTime XRayTubeCurrent DistanceSourceToDetector DistanceSourceToPatient
    EstimatedRadiographicMagnificationFactor ViewPosition PresentationIntentType
    PixelIntensityRelationship PixelIntensityRelationshipSign FieldOfViewShape
    FieldOfViewDimensions
"""
_MAMMOGRAPHY: Final = """
    BreastImplantPresent PartialView BodyPartThickness CompressionForce
    PositionerPrimaryAngle PositionerSecondaryAngle
"""
_ANGIOGRAPHY: Final = """
    PositionerPrimaryAngle PositionerSecondaryAngle PositionerMotion CineRate
    RecommendedDisplayFrameRate DistanceSourceToIsocenter PixelDataAreaOriginRelativeToFOV
"""
_ULTRASOUND: Final = """
    SequenceOfUltrasoundRegions RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0
    RegionLocationMinY0 RegionLocationMaxX1 RegionLocationMaxY1 ReferencePixelX0 ReferencePixelY0
    PhysicalUnitsXDirection PhysicalUnitsYDirection ReferencePixelPhysicalValueX
    ReferencePixelPhysicalValueY PhysicalDeltaX PhysicalDeltaY UltrasoundColorDataPresent CineRate
    RecommendedDisplayFrameRate UltrasoundAcquisitionGeometry ApexPosition
    VolumeToTransducerMappingMatrix
"""
_PET: Final = """
    Units CountsSource SeriesType DecayCorrection DecayFactor DoseCalibrationFactor NumberOfSlices
    NumberOfTimeSlices NumberOfRRIntervals NumberOfTimeSlots ImageIndex
"""
_NUCLEAR: Final = """
    EnergyWindowVector NumberOfEnergyWindows DetectorVector NumberOfDetectors PhaseVector
    NumberOfPhases RotationVector NumberOfRotations RRIntervalVector NumberOfRRIntervals
    TimeSlotVector NumberOfTimeSlots SliceVector NumberOfSlices AngularViewVector
    TimeSliceVector NumberOfTimeSlices DetectorInformationSequence StartAngle ScanArc AngularStep
    RadialPosition RotationDirection NumberOfFramesInRotation CountsAccumulated Units
"""
_TOMOGRAPHY: Final = "KVP GantryDetectorTilt ReconstructionDiameter ExposureTime XRayTubeCurrent"
_MAGNETIC: Final = """
    EchoTime EchoNumbers RepetitionTime InversionTime FlipAngle MagneticFieldStrength
    EffectiveEchoTime MREchoSequence MRDiffusionSequence DiffusionBValue DiffusionDirectionality
    DiffusionGradientDirectionSequence DiffusionGradientOrientation ScanningSequence
    SequenceVariant MRAcquisitionType
"""
_CHARACTER_SET: Final = 0x00080005
_SEGMENTS: Final = """
    SegmentationType SegmentationFractionalType MaximumFractionalValue SegmentsOverlap
    SegmentSequence SegmentNumber SegmentAlgorithmType SegmentIdentificationSequence
    ReferencedSegmentNumber RecommendedDisplayCIELabValue
"""
_MAPS: Final = """
    RealWorldValueMappingSequence RealWorldValueSlope RealWorldValueIntercept
    RealWorldValueFirstValueMapped RealWorldValueLastValueMapped
    DoubleFloatRealWorldValueFirstValueMapped DoubleFloatRealWorldValueLastValueMapped
"""
_DOSE: Final = "DoseUnits DoseType DoseSummationType DoseGridScaling GridFrameOffsetVector"
_EYE: Final = """
    HorizontalFieldOfView AxialLengthOfTheEye DepthSpatialResolution AlongScanSpatialResolution
    AcrossScanSpatialResolution MaximumDepthDistortion
"""
_BY_NAME: Final = (
    ("Mammography", "of mammography", _X_RAY + _MAMMOGRAPHY),
    ("Breast", "of mammography", _X_RAY + _MAMMOGRAPHY),
    ("X-Ray", "of X-ray images", _X_RAY),
    ("Radiography", "of X-ray images", _X_RAY),
    ("XA Image", "of angiography", _X_RAY + _ANGIOGRAPHY),
    ("XRF Image", "of angiography", _X_RAY + _ANGIOGRAPHY),
    ("Angiographic", "of angiography", _ANGIOGRAPHY),
    ("Radiofluoroscopic", "of angiography", _ANGIOGRAPHY),
    ("Ultrasound", "of ultrasound", _ULTRASOUND),
    ("Positron", "of PET", _PET),
    ("PET", "of PET", _PET),
    ("Nuclear", "of nuclear medicine", _NUCLEAR),
    ("CT", "of CT", _TOMOGRAPHY),
    ("MR", "of MR", _MAGNETIC),
    ("Segmentation", "of segments", _SEGMENTS),
    ("Parametric Map", "of values", _MAPS),
    ("RT Dose", "of doses", _DOSE),
    ("Ophthalmic", "of the eye", _EYE),
)
"""What a class's name holds, and what is kept of such classes besides `_COMMON`."""

_MORE_CLASSES: Final = ("Segmentation Storage", "Parametric Map Storage", "RT Dose Storage")
_NO_IMAGES: Final = ("Hardcopy", "DICOS", "Eddy Current")


def make_procedure() -> dict[str, Any]:
    """Return the local procedure."""
    known = platform["sopClass"]
    classes = {
        uid: _add_needs(known[uid]["tag"], name) if uid in known else _rows_of(name)
        for uid, name in _image_classes()
    }
    return {
        "version": VERSION,
        "sources": f"platform's procedure {platform['version']}, PS3.15 2026c, panimg 0.18.2",
        "default": "R",
        "justification": "it is of a class that is no image",
        "sopClass": {
            uid: {"default": "X", "justification": name, "tag": dict(sorted(rows.items()))}
            for (uid, name), rows in zip(_image_classes(), classes.values(), strict=True)
        },
    }


def _image_classes() -> list[tuple[str, str]]:
    """Return the UIDs and names of all classes of images, retired ones included."""
    return sorted(
        (uid, facts[0])
        for uid, facts in UID_dictionary.items()
        if facts[1] == "SOP Class"
        and ("Image Storage" in facts[0] or facts[0].startswith(_MORE_CLASSES))
        and not any(part in facts[0] for part in _NO_IMAGES)
    )


def _tag(keyword: str) -> str:
    number = tag_for_keyword(keyword)
    assert number is not None, keyword
    return f"({number >> 16:04X},{number & 0xFFFF:04X})"


def _number(tag: str) -> int:
    return int(tag[1:5] + tag[6:10], 16)


def _is_in_table(tag: str) -> bool:
    """Whether table E.1-1 removes, empties or replaces an element."""
    pair = _number(tag) >> 16, _number(tag) & 0xFFFF
    return any(
        pair == row[:2]
        or (
            len(row) == 4
            and all(part & m == r & m for part, r, m in zip(pair, row[:2], row[2:], strict=True))
        )
        for row in dicomfields_2026c.ALL_TAGS
    )


def _add_needs(rows: Mapping[str, Row], name: str) -> dict[str, Row]:
    """Return the platform's rows of a class, without what hides names, with what panimg needs."""
    made = {tag: row for tag, row in rows.items() if row["default"] != "X" and "X" not in tag}
    for tag, row in tuple(made.items()):
        if row["default"] == "K" and not _names_nobody(tag):
            del made[tag]
        elif row["default"] == "K" and dictionary_VR(_number(tag)) == "UI" and _is_in_table(tag):
            made[tag] = {"default": "U", "justification": "PS3.15 E.1-1: U"}
    for keyword in _HIDDEN:
        made.pop(_tag(keyword), None)
    for tag, row in made.items():
        made[tag] = {"default": row["default"], "justification": f"platform: {_short(row)}"}
    return made | {tag: row for tag, row in _needs(name) if tag not in made or _is_kept(row)}


def _is_kept(row: Row) -> bool:
    return row["default"] == "K"


def _short(row: Row) -> str:
    return row.get("justification", "").partition("\n")[0][:80]


def _names_nobody(tag: str) -> bool:
    if _number(tag) == _CHARACTER_SET:  # no text is left that it would tell how to read
        return False
    vr = dictionary_VR(_number(tag))
    return _number(tag) in _NUMBERS or not set(vr.split(" or ")) & (_FREE | _DATES)


_NUMBERS: Final = frozenset(tag_for_keyword(keyword) for keyword in _NEEDED)


def _rows_of(name: str) -> dict[str, Row]:
    """Return the rows of a class that the platform's procedure does not know."""
    shared = [each["tag"] for each in platform["sopClass"].values()]
    rows = {
        tag: {"default": row["default"], "justification": "platform: in each of its classes"}
        for tag, row in shared[0].items()
        if row["default"] in "DUZ"
        and all(each.get(tag, {}).get("default") == row["default"] for each in shared)
    }
    return rows | dict(_needs(name))


def _needs(name: str) -> Iterator[tuple[str, Row]]:
    """Yield what the importer needs of a class, and what gives its values their meaning."""
    more = {f"values {what}; names nobody": words for part, what, words in _BY_NAME if part in name}
    for why, words in (_COMMON | more).items():
        for keyword in words.split():
            tag = _tag(keyword)
            assert not _is_in_table(tag), f"{keyword} is in table E.1-1"
            assert _names_nobody(tag), f"{keyword} may hold any text"
            yield tag, {"default": "K", "justification": f"gcwatch: {why}"}
    yield (
        _tag("ContentTime"),
        {
            "default": "D",
            "justification": "panimg reads it of images over time; PS3.15 E.1-1 replaces it",
        },
    )
    for keyword in ("FrameOfReferenceUID", "DimensionOrganizationUID", "ConcatenationUID"):
        yield _tag(keyword), {"default": "U", "justification": "PS3.15 E.1-1: U"}


def encode(procedure: Mapping[str, Any]) -> str:
    """Return a procedure as JSON, with one row a line."""
    head = {key: value for key, value in procedure.items() if key != "sopClass"}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    classes = []
    for uid, each in procedure["sopClass"].items():
        rows = ",\n".join(
            f"   {json.dumps(tag)}: {json.dumps(row)}" for tag, row in each["tag"].items()
        )
        facts = f'"default": "X", "justification": {json.dumps(each["justification"])}'
        classes.append(f'  "{uid}": {{{facts}, "tag": {{\n{rows}\n  }}}}')
    return "\n".join(["{", *lines, ' "sopClass": {', ",\n".join(classes), " }", "}\n"])


if __name__ == "__main__":
    TARGET.write_text(encode(make_procedure()))
