"""Tells which whole volumes the platform's importer refuses, or reads as another image.

Each rule is one that panimg 0.18.2 was seen to follow (tests/importer). What is not known here
counts as readable.
"""

import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from gcwatch.imaging.checks.text_header import (
    META_VOXEL_BYTES,
    NRRD_PLACES,
    NRRD_VOXEL_BYTES,
    find_repeated_field,
    nrrd_fields,
    read_meta_header,
    read_nrrd_header,
)
from gcwatch.imaging.unreadable import Unreadable

_NIFTI_HEADER_BYTES = 348
_NIFTI_VOXELS_BEGIN = 352
_READ_BYTES = 16 * 1024
_VOLUME = "NIfTI (.nii.gz) or MetaImage (.mha)"
_SMALLER = f"{_VOLUME} of 2 to 4 dimensions"


_COMPLEX = {32: "complex", 1536: "128-bit", 1792: "complex", 2048: "complex"}
"""NIfTI types of voxels that become others (nifti1.h)."""

_COLOURS = {128, 2304}
"""NIfTI types of RGB and RGBA. With a scale, the importer's reader overwrites other memory."""

_NIFTI_REFUSED_INTENTS = range(1004, 1007)
NIFTI_VECTOR_INTENT = 1007
"""Intents (nifti1.h). Of files with a fifth dimension, the importer reads those of vectors."""

_RIGHT_ANGLE = 9.9e-5
"""Largest cosine between two axes that the importer allows."""


def find_unreadable_nifti(stream: BinaryIO) -> Unreadable | None:
    """Given a NIfTI at its start, return why the importer can't read it."""
    start = stream.read(_READ_BYTES)
    if start.startswith(b"\x1f\x8b"):
        start = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(start, _NIFTI_HEADER_BYTES)
    order = "<" if start[:4] == struct.pack("<i", _NIFTI_HEADER_BYTES) else ">"
    rank, *dims = struct.unpack_from(order + "8h", start, 40)
    (kind,) = struct.unpack_from(order + "h", start, 70)
    if wrong := _wrong_nifti_numbers(order, start, dims[:rank]):
        return Unreadable(f"NIfTI {wrong}", f"{_VOLUME} with a sound header")
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


def _wrong_nifti_numbers(order: str, start: bytes, sizes: Sequence[int]) -> str:
    """Return what is wrong with the numbers of a header, "" if nothing."""
    steps, rows = struct.unpack_from(order + "8f", start, 76), range(280, 328, 4)
    (offset,) = struct.unpack_from(order + "f", start, 108)
    qform, sform = struct.unpack_from(order + "2h", start, 252)
    quaternion = struct.unpack_from(order + "6f", start, 256)
    directions = [struct.unpack_from(order + "f", start, at)[0] for at in rows]
    used = [*steps[: len(sizes) + 1], *(quaternion if qform > 0 else ())]
    used += directions if sform > 0 else ()
    if min(sizes) < 1:
        return "with an axis that has no voxels"
    if not all(map(math.isfinite, used)):
        return "with spacings or directions that are no numbers"
    # The importer takes such an offset as it is, and parts of the header as voxels.
    return "whose voxels begin within its header" if offset < _NIFTI_VOXELS_BEGIN else ""


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


_WHOLE = re.compile("[1-9][0-9]{0,9}")
_SMALLEST_PIVOT = 1e-12

_META_LISTS = {
    1: ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"),
    2: ("TransformMatrix", "Rotation", "Orientation"),
}
"""Fields with a number for each dimension, and for each pair of them."""


def find_unreadable_meta_image(stream: BinaryIO) -> Unreadable | None:
    """Given a MetaImage at its start, return why the importer can't read it."""
    lines = (line.partition(b"=") for line in read_meta_header(stream).splitlines())
    fields = {
        key.decode("latin-1").strip(): value.decode("latin-1").strip() for key, _, value in lines
    }
    dims, channels = fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")
    if not 2 <= len(dims) <= 4:
        return Unreadable(f"a MetaImage with {len(dims)} dimensions", _SMALLER)
    if problem := _wrong_meta_geometry(fields, dims):
        return Unreadable(f"a MetaImage {problem}", "a MetaImage with a sound header")
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


def _wrong_meta_geometry(fields: Mapping[str, str], dims: Sequence[str]) -> str:
    """Return what is wrong with what a header tells of the places of voxels, "" if nothing."""
    if fields.get("ObjectType", "Image") != "Image":
        return "that says that it is no Image"
    if not all(map(_WHOLE.fullmatch, dims)):
        return "with a DimSize that is no list of positive whole numbers"
    if fields.get("ElementType") not in META_VOXEL_BYTES:
        return "with an unknown ElementType"
    steps = [_to_number(text) for text in fields.get("ElementSpacing", "1").split()]
    if not all(steps) or not all(map(math.isfinite, steps)):
        return "with an ElementSpacing of zero, or one that is no number"
    turns = [_to_number(text) for text in _first_of(fields, _META_LISTS[2]).split()]
    if len(turns) == len(dims) ** 2 and not _is_invertible(turns, len(dims)):
        return "with directions that are not independent"
    return ""


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _first_of(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _is_invertible(numbers: Sequence[float], rank: int) -> bool:
    """Whether a square matrix, row by row, has a determinant other than 0 (Gauss)."""
    rows = [list(numbers[start : start + rank]) for start in range(0, rank * rank, rank)]
    for column in range(rank):
        pivot = max(rows[column:], key=lambda row: abs(row[column]))
        if not math.isfinite(pivot[column]) or abs(pivot[column]) < _SMALLEST_PIVOT:
            return False
        rows.remove(pivot)
        rows.insert(column, pivot)
        for row in rows[column + 1 :]:
            factor = row[column] / pivot[column]
            row[:] = [a - factor * b for a, b in zip(row, pivot, strict=True)]
    return True


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


def find_unreadable_nrrd(stream: BinaryIO) -> Unreadable | None:
    """Given an NRRD at its start, return why the importer can't read it."""
    header = read_nrrd_header(stream)
    fields = nrrd_fields(header)
    if fields.get("encoding") in {"bzip2", "bz2"}:
        return Unreadable("an NRRD in bzip2", "an NRRD in gzip")
    if fields.get("type") not in NRRD_VOXEL_BYTES:
        return Unreadable("an NRRD of an unknown type of numbers", f"{_VOLUME} of plain numbers")
    if not all(map(_WHOLE.fullmatch, fields.get("sizes", "").split())):
        return Unreadable("an NRRD with an axis that has no voxels", _SMALLER)
    if twice := find_repeated_field(header):
        return Unreadable(f"an NRRD that tells {twice} twice", "an NRRD that tells it once")
    if fields.get("encoding") in {"gzip", "gz"} and not _is_gzip(stream, header, fields):
        return Unreadable("an NRRD whose data is not gzip as it says", "an NRRD in gzip")
    return _nrrd_axes(fields)


def _is_gzip(stream: BinaryIO, header: bytes, fields: Mapping[str, str]) -> bool:
    if fields.get("line skip", "0") != "0":
        return True
    stream.seek(len(header))
    return stream.read(2) == b"\x1f\x8b"


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
