"""Finds in a DICOM header what the platform's importer can't read, or takes otherwise than meant.

It takes stored numbers, RescaleSlope and RescaleIntercept, and nothing else that gives them a
meaning (panimg 0.18.2, `image_builders/dicom.py`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

from gcwatch.imaging.dicom.elements import meta_value, parse_numbers, raw_value, tag_of, type_of
from gcwatch.imaging.unreadable import Unreadable

Trait = Literal[
    "big_endian",
    "bare",
    "colour",
    "untimed",
    "spacing",
    "position",
    "frames",
    "scale",
    "table",
    "palette",
    "dose",
    "frame_scale",
    "aspect",
    "syntax",
    "type",
]
"""A property of a file that matters to the importer; `UNREADABLE` and `UNMEASURED` explain it.

A file that is "bare" has no preamble; it gets one before it is sent (`elements.missing_preamble`).
"""


_READABLE_SYNTAX: Final = re.compile(
    r"1\.2\.840\.10008\.1\.2"
    r"(\.[125]|\.1\.99|\.4\.(50|51|57|70|80|81|90|91|201|202|203))?"
)
"""Transfer syntaxes that the importer decodes (PS3.6 table A-1)."""

UNREADABLE: dict[Trait, Unreadable] = {
    "big_endian": Unreadable("DICOM with big-endian numbers", "DICOM with little-endian numbers"),
    "colour": Unreadable(
        "a DICOM picture in colour with a single frame", "PNG, TIFF or a multi-frame file"
    ),
    "untimed": Unreadable(
        "a DICOM series over time without ContentTime and Exposure",
        "NIfTI (.nii.gz) or MetaImage (.mha), or to one series for each time",
    ),
    "spacing": Unreadable(
        "DICOM whose PixelSpacing is no pair of positive numbers", "DICOM with a sound PixelSpacing"
    ),
    "position": Unreadable(
        "DICOM whose position is not three numbers, or whose orientation is not six",
        "DICOM with three numbers for the position and six for the orientation",
    ),
    "frames": Unreadable("DICOM with less than one frame", "DICOM with a sound NumberOfFrames"),
    "syntax": Unreadable(
        "DICOM whose transfer syntax is missing or unknown", "DICOM without compression"
    ),
    "type": Unreadable(
        "DICOM in which a number, text or UID is marked as of another type", "sound DICOM"
    ),
    "scale": Unreadable(
        "DICOM whose RescaleSlope is 0, or whose scale is no number", "DICOM with a sound scale"
    ),
}
"""What the importer refuses."""

UNMEASURED: dict[Trait, str] = {
    "table": "a table gives its values (ModalityLUTSequence)",
    "palette": "a palette gives its colours",
    "dose": "its doses have a scale (DoseGridScaling)",
    "frame_scale": "its frames have a scale (PixelValueTransformationSequence)",
    "aspect": "its pixels are not square (PixelAspectRatio)",
}
"""What the importer ignores, so that other values arrive."""

TRAIT_ELEMENTS = (
    "ModalityLUTSequence",
    "DoseGridScaling",
    "ContentTime",
    "Exposure",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelAspectRatio",
)


def find_traits(dataset: Any) -> tuple[Trait, ...]:
    """Given a dataset that was read with `TRAIT_ELEMENTS`, return its traits, in order."""
    return tuple(_iterate_traits(dataset))


def _iterate_traits(dataset: Any) -> Iterator[Trait]:
    samples = raw_value(dataset, "SamplesPerPixel") not in {b"", b"\1\0", b"\0\1"}
    if dataset.preamble is None:
        yield "bare"
    if not dataset.original_encoding[1] and int(dataset.get("BitsAllocated") or 8) > 8:
        yield "big_endian"
    if samples and int(dataset.get("NumberOfFrames") or 1) == 1:
        yield "colour"
    if _has(dataset, "TemporalPositionIndex") and not (
        _has(dataset, "ContentTime") and _has(dataset, "Exposure")
    ):
        yield "untimed"
    if _has(dataset, "ModalityLUTSequence"):
        yield "table"
    if raw_value(dataset, "PhotometricInterpretation").startswith(b"PALETTE"):
        yield "palette"
    if _has(dataset, "DoseGridScaling"):
        yield "dose"
    if any(map(_is_scaled, (*shared_groups(dataset), *frame_groups(dataset)))):
        yield "frame_scale"
    yield from _wrong_values(dataset)


_TYPES: Final = {
    **dict.fromkeys(("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"), "UI"),
    **dict.fromkeys(("Rows", "Columns", "SamplesPerPixel", "PlanarConfiguration"), "US"),
    **dict.fromkeys(("BitsAllocated", "BitsStored", "PixelRepresentation"), "US"),
    **dict.fromkeys(("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"), "DS"),
    **dict.fromkeys(("RescaleSlope", "RescaleIntercept"), "DS"),
    "PhotometricInterpretation": "CS",
    "NumberOfFrames": "IS",
}
"""VRs of what makes an image (PS3.6); a file may leave each to its reader."""

_NUMBERS: Sequence[tuple[Trait, str, Callable[[list[float]], bool]]] = (
    ("spacing", "PixelSpacing", lambda told: len(told) == 2 and min(told) > 0),
    ("position", "ImagePositionPatient", lambda told: len(told) == 3),
    ("position", "ImageOrientationPatient", lambda told: len(told) == 6),
    ("frames", "NumberOfFrames", lambda told: len(told) == 1 and told[0] >= 1),
    ("scale", "RescaleSlope", lambda told: len(told) == 1 and told[0] != 0),
    ("scale", "RescaleIntercept", lambda told: len(told) == 1),
)
"""What has to be true of numbers if they are there."""


def _wrong_values(dataset: Any) -> Iterator[Trait]:
    syntax = meta_value(dataset, "TransferSyntaxUID")
    if dataset.preamble is not None and not _READABLE_SYNTAX.fullmatch(syntax):
        yield "syntax"
    if any(type_of(dataset, keyword) not in {told, "UN"} for keyword, told in _TYPES.items()):
        yield "type"
    for trait, keyword, is_sound in _NUMBERS:
        raw = raw_value(dataset, keyword).rstrip(b" \0")
        if raw and not is_sound(parse_numbers(raw)):
            yield trait
    ratio = parse_numbers(raw_value(dataset, "PixelAspectRatio"))
    if len(set(ratio)) > 1 and not raw_value(dataset, "PixelSpacing").strip(b" \0"):
        yield "aspect"


def _has(dataset: Any, keyword: str) -> bool:
    return tag_of(keyword) in dataset


def shared_groups(dataset: Any) -> Sequence[Any]:
    """Return the functional groups that all frames of an enhanced file share; one as a rule."""
    return _sequence(dataset, "SharedFunctionalGroupsSequence")


def frame_groups(dataset: Any) -> Sequence[Any]:
    """Return the functional groups of an enhanced file, one for each frame; () for other files."""
    return _sequence(dataset, "PerFrameFunctionalGroupsSequence")


def shared_items(dataset: Any, keyword: str) -> Iterator[Any]:
    """Yield the first items of a sequence that all frames share."""
    items = (first_item(group, keyword) for group in shared_groups(dataset))
    return (item for item in items if item is not None)


def first_item(group: Any, keyword: str) -> Any:
    """Return the first item of a sequence, None if there is none."""
    return next(iter(_sequence(group, keyword)), None)


def _sequence(dataset: Any, keyword: str) -> Sequence[Any]:
    return dataset[tag_of(keyword)].value or () if _has(dataset, keyword) else ()


def _is_scaled(group: Any) -> bool:
    scale = first_item(group, "PixelValueTransformationSequence")
    if scale is None:
        return False
    slope, intercept = scale.get("RescaleSlope"), scale.get("RescaleIntercept")
    return is_scale(1.0 if slope is None else slope, 0.0 if intercept is None else intercept)


def is_scale(slope: float, intercept: float) -> bool:
    """Whether a slope and an intercept change a value."""
    return abs(float(slope) - 1) > 1e-9 or abs(float(intercept)) > 1e-9
