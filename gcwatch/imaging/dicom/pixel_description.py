"""Checks whether a DICOM header describes pixels that a reader can read (PS3.3 C.7.6.3.1)."""

from collections.abc import Callable
from typing import Any, Final

from gcwatch.imaging.dicom.elements import PIXEL_TAGS

_COLOURS: Final = frozenset(
    {
        *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK"),
        *("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422", "YBR_PARTIAL_420"),
    }
)

_SOUND: Final[dict[str, Callable[[Any], bool]]] = {
    "Rows": lambda count: count > 0,
    "Columns": lambda count: count > 0,
    "SamplesPerPixel": lambda count: count in {1, 3},
    "BitsAllocated": lambda bits: bits == 1 or (bits % 8 == 0 and 8 <= bits <= 64),
}
_SOUND_WHOLE: Final[dict[str, Callable[[Any], bool]]] = {
    "BitsStored": lambda bits: bits > 0,
    "PixelRepresentation": lambda kind: kind in {0, 1},
}
"""Of pixels that are whole numbers."""


def wrong_element(dataset: Any, tag: tuple[int, int]) -> str:
    """Given a header and the tag of its pixels, return the keyword of an element that is wrong.

    Return "" if all are right. What the standard asks for has no default here, as with pydicom.
    """
    is_whole = not PIXEL_TAGS[tag]
    for keyword, is_sound in (_SOUND | _SOUND_WHOLE if is_whole else _SOUND).items():
        value = dataset.get(keyword)
        if not isinstance(value, int) or not is_sound(value):
            return keyword
    if is_whole and dataset.BitsStored > dataset.BitsAllocated:
        return "BitsStored"
    if dataset.get("PhotometricInterpretation") not in _COLOURS:
        return "PhotometricInterpretation"
    if dataset.SamplesPerPixel > 1 and dataset.get("PlanarConfiguration") not in {0, 1}:
        return "PlanarConfiguration"
    return ""
