"""Tells which whole files the platform's importer refuses, or reads as another image.

Each rule is one that panimg 0.18.2 was seen to follow (tests/importer). What is not known here
counts as readable.
"""

import math
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, NamedTuple

from gcwatch.imaging.checks.text_header import (
    NRRD_PLACES,
    nrrd_fields,
    read_meta_header,
    read_nrrd_header,
)
from gcwatch.imaging.checks.tiff import read_tiff_values

_NIFTI_HEADER_BYTES = 348
_READ_BYTES = 16 * 1024
_VOLUME = "NIfTI (.nii.gz) or MetaImage (.mha)"
_SMALLER = f"{_VOLUME} of 2 to 4 dimensions"
_GRAY_OR_RGB = "PNG with 8 bits of gray or RGB"


class Unreadable(NamedTuple):
    """In words: what a file is that the importer can't read, and what to convert it to."""

    what: str
    wanted: str


def find_unreadable(kind: str, stream: BinaryIO) -> Unreadable | None:
    """Given a file's kind and its stream at the start, return why the importer can't read it."""
    rule = _RULES.get(kind)
    return rule(stream) if rule else None


# --- volumes -----------------------------------------------------------------------------------

_COMPLEX = {32: "complex", 1536: "128-bit", 1792: "complex", 2048: "complex"}
"""NIfTI types of voxels that become others (nifti1.h)."""

_COLOURS = {128, 2304}
"""NIfTI types of RGB and RGBA. With a scale, the importer's reader overwrites other memory."""

_NIFTI_REFUSED_INTENTS = range(1004, 1007)
NIFTI_VECTOR_INTENT = 1007
"""Intents (nifti1.h). Of files with a fifth dimension, the importer reads those of vectors."""

_RIGHT_ANGLE = 9.9e-5
"""Largest cosine between two axes that the importer allows."""


def _nifti(stream: BinaryIO) -> Unreadable | None:
    start = stream.read(_READ_BYTES)
    if start.startswith(b"\x1f\x8b"):
        start = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(start, _NIFTI_HEADER_BYTES)
    order = "<" if start[:4] == struct.pack("<i", _NIFTI_HEADER_BYTES) else ">"
    rank, *dims = struct.unpack_from(order + "8h", start, 40)
    (kind,) = struct.unpack_from(order + "h", start, 70)
    if kind in _COMPLEX:
        return Unreadable(f"NIfTI with {_COMPLEX[kind]} numbers", f"{_VOLUME} with real numbers")
    (intent,) = struct.unpack_from(order + "h", start, 68)
    if found := _nifti_vectors(intent, [max(1, number) for number in dims[:rank]]):
        return found
    several = kind in _COLOURS or (rank > 4 and dims[4] > 1)
    if several and nifti_has_scale(*struct.unpack_from(order + "2f", start, 112)):
        return Unreadable("NIfTI with a scale for vectors or colours", f"{_VOLUME} without a scale")
    qform, sform = struct.unpack_from(order + "2h", start, 252)
    if sform > 0 >= qform and _is_sheared(struct.unpack_from(order + "12f", start, 280)):
        what = "NIfTI with axes that are not at right angles"
        return Unreadable(what, f"{_VOLUME} with axes at right angles")
    return None


def _nifti_vectors(intent: int, sizes: Sequence[int]) -> Unreadable | None:
    """Given what a NIfTI is for and its sizes, return why its dimensions can't be read."""
    if intent in _NIFTI_REFUSED_INTENTS:
        return Unreadable("NIfTI with displacements or matrices", f"{_VOLUME} with plain vectors")
    count, *more = sizes[4:] or [1]
    is_vector = intent == NIFTI_VECTOR_INTENT
    is_line = len(sizes) < 2 or (is_vector and max(sizes[1:4]) < 2)
    is_more = count > 1 and not (is_vector and count in {3, 4})
    if is_line or is_more or math.prod(more) > 1:
        return Unreadable(f"NIfTI with {len(sizes)} dimensions", _SMALLER)
    return None


def nifti_has_scale(slope: float, intercept: float) -> bool:
    """Whether a scale changes a value; the importer takes each of its numbers by itself."""
    return (math.isfinite(slope) and slope not in {0.0, 1.0}) or (
        math.isfinite(intercept) and intercept != 0.0
    )


def _is_sheared(rows: tuple[float, ...]) -> bool:
    axes = [rows[number::4] for number in range(3)]
    if not all(map(any, axes)):
        return True
    pairs = ((axes[0], axes[1]), (axes[0], axes[2]), (axes[1], axes[2]))
    return any(
        abs(sum(a * b for a, b in zip(one, two, strict=True)))
        > _RIGHT_ANGLE * math.hypot(*one) * math.hypot(*two)
        for one, two in pairs
    )


_NUMBER = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_ONE = re.compile(_NUMBER)
_WINDOW = re.compile(rf"{_NUMBER}|\[(?:{_NUMBER},\s?)*{_NUMBER}\]")
_WINDOW_FIELDS = ("WindowCenter", "WindowWidth")
_META_VALUES = {
    **dict.fromkeys(_WINDOW_FIELDS, _WINDOW),
    **dict.fromkeys(("SliceThickness", "SmallestImagePixelValue", "LargestImagePixelValue"), _ONE),
    **dict.fromkeys(("t0", "t1"), _ONE),
}
"""Fields that the importer checks, and how their values have to look."""


_META_LISTS = {
    1: ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"),
    2: ("TransformMatrix", "Rotation", "Orientation"),
}
"""Fields with a number for each dimension, and for each pair of them."""


def _meta_image(stream: BinaryIO) -> Unreadable | None:
    lines = (line.partition(b"=") for line in read_meta_header(stream).splitlines())
    fields = {
        key.decode("latin-1").strip(): value.decode("latin-1").strip() for key, _, value in lines
    }
    dims, channels = fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")
    if not 2 <= len(dims) <= 4:
        return Unreadable(f"a MetaImage with {len(dims)} dimensions", _SMALLER)
    if channels not in {"1", "3", "4"}:
        return Unreadable("a MetaImage with vectors", f"{_VOLUME} with a dimension for them")
    times = int(dims[3]) if len(dims) == 4 and dims[3].isdecimal() else 1
    told = (
        len(fields[name].split(" ")) for name in ("ContentTimes", "Exposures") if name in fields
    )
    wrong = [
        name for name, rule in _META_VALUES.items() if not rule.fullmatch(fields.get(name, "0"))
    ]
    wrong += ["ContentTimes or Exposures"] * any(number != times for number in told)
    wrong += _wrong_lists(fields, len(dims))
    if wrong:
        return Unreadable(f"a MetaImage with a wrong {wrong[0]}", "a MetaImage without that field")
    return None


def _wrong_lists(fields: Mapping[str, str], rank: int) -> list[str]:
    """Return the names of fields with too few or too many numbers.

    The importer's reader takes as many words as there are dimensions, also those of the next field.
    """
    window = [fields.get(name, "") for name in _WINDOW_FIELDS]
    lists = {value.count(",") if value.startswith("[") else -1 for value in window}
    wrong = ["WindowCenter or WindowWidth"] * (len(lists) > 1 and lists != {-1, 0})
    for power, names in _META_LISTS.items():
        told = ((name, fields[name].split()) for name in names if name in fields)
        wrong += [name for name, numbers in told if len(numbers) != rank**power]
    return wrong


def _nrrd(stream: BinaryIO) -> Unreadable | None:
    fields = nrrd_fields(read_nrrd_header(stream))
    if fields.get("encoding") in {"bzip2", "bz2"}:
        return Unreadable("an NRRD in bzip2", "an NRRD in gzip")
    return _nrrd_axes(fields)


_NRRD_COUNTS = {
    **dict.fromkeys(("rgb-color", "hsv-color", "xyz-color", "3-color", "3-vector"), "3"),
    **dict.fromkeys(("3-gradient", "3-normal", "2d-symmetric-matrix"), "3"),
    **dict.fromkeys(("rgba-color", "4-color", "4-vector", "quaternion", "2d-matrix"), "4"),
    "2d-masked-symmetric-matrix": "4",
}
"""Kinds of axes that need so many numbers (teem.sourceforge.net/nrrd/format.html)."""


def _nrrd_axes(fields: Mapping[str, str]) -> Unreadable | None:
    """Given the fields of an NRRD, return what is wrong with its places and their numbers."""
    sizes = fields.get("sizes", "").split()
    kinds = fields.get("kinds", "").split() or ["domain"] * len(sizes)
    others = [each for each in zip(sizes, kinds, strict=False) if each[1] not in NRRD_PLACES]
    if not 2 <= len(sizes) - len(others) <= 4 or len(others) > 1:
        return Unreadable(f"an NRRD with {len(sizes)} dimensions", _SMALLER)
    if any(
        size not in {"1", "3", "4"} or size != _NRRD_COUNTS.get(kind, size) for size, kind in others
    ):
        return Unreadable("an NRRD with vectors", f"{_VOLUME} with a dimension for them")
    return None


# --- pictures ----------------------------------------------------------------------------------

_PNG_COLOURS: Mapping[tuple[int, int], str] = {
    (1, 0): "PNG in black and white (1 bit)",
    (16, 2): "PNG with 16 bits of each colour",
    (16, 6): "PNG with 16 bits of each colour",
    **{(bits, 3): "PNG with a palette" for bits in (1, 2, 4, 8)},
    **{(bits, 4): "PNG of gray with transparency" for bits in (8, 16)},
}
"""By bits and colour type."""


def _png(stream: BinaryIO) -> Unreadable | None:
    start = stream.read(26)
    found = _PNG_COLOURS.get((start[24], start[25])) if len(start) == 26 else None
    return Unreadable(found, _GRAY_OR_RGB) if found else None


_TIFF_COLOURS = {1, 2, 6}
"""Gray from black, RGB and YCbCr."""

_TIFF_UNITS = {2, 3}
"""Inch and centimetre."""


def _tiff(stream: BinaryIO) -> Unreadable | None:
    tags = read_tiff_values(stream)
    colour, unit = tags.get(262, (1,))[:1], tags.get(296, ())[:1]
    if colour and colour[0] not in _TIFF_COLOURS:
        return Unreadable("a TIFF in other colours than gray and RGB", "TIFF in gray or RGB")
    sized = all(len(tags.get(tag, ())) == 2 and all(tags[tag]) for tag in (282, 283))
    if (sized and set(unit) <= _TIFF_UNITS and unit) or _is_philips(stream):
        return None
    return Unreadable(
        "a TIFF without the size of a pixel", "TIFF with XResolution, YResolution and their unit"
    )


def _is_philips(stream: BinaryIO) -> bool:
    stream.seek(0)
    return b"PHILIPS" in stream.read(1024 * 1024).upper()  # its sizes are in an XML text


_RULES: Mapping[str, Callable[[BinaryIO], Unreadable | None]] = {
    "NIfTI": _nifti,
    "MetaImage": _meta_image,
    "NRRD": _nrrd,
    "PNG": _png,
    "TIFF": _tiff,
}
