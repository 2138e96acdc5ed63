"""NIfTI files, read as the platform's importer reads them."""

import struct
import zlib
from array import array
from dataclasses import dataclass
from itertools import combinations
from math import hypot, isfinite, prod
from pathlib import Path

from gcwatch.sandbox.metaimage import Unreadable, Volume

_ELEMENTS = {
    2: ("MET_UCHAR", 1),
    4: ("MET_SHORT", 1),
    8: ("MET_INT", 1),
    16: ("MET_FLOAT", 1),
    32: ("MET_FLOAT", 1),
    64: ("MET_DOUBLE", 1),
    128: ("MET_UCHAR", 3),
    256: ("MET_CHAR", 1),
    512: ("MET_USHORT", 1),
    768: ("MET_UINT", 1),
    1024: ("MET_LONG_LONG", 1),
    1280: ("MET_ULONG_LONG", 1),
    1792: ("MET_DOUBLE", 1),
    2304: ("MET_UCHAR", 4),
}
"""Element type, and numbers per voxel, by the datatype of the header (nifti1.h).

Of complex numbers, the importer tells the real part only.
"""

_HEADER_BYTES = 348
_UNITS_MM = {1: 1000.0, 3: 0.001}
_MOST_AXES = 4
_MOST_COSINE = 9.9e-5
_MOST_CHANNELS = 4
_REFUSED_INTENTS = {1004, 1005}
_DISPLACEMENT_INTENT = 1006
"""Read only if the numbers have fractions."""

_VECTOR_INTENTS = {_DISPLACEMENT_INTENT, 1007}


@dataclass(frozen=True)
class _Header:
    """What a header says; `sizes` are along x, y, z, t and the vectors' axis."""

    order: str
    sizes: tuple[int, ...]
    spacing: tuple[float, ...]
    element: str
    channels: int
    vectors: int
    start: int
    slope: float
    intercept: float


def read_nifti(path: Path, work: Path) -> Volume:
    """Read a .nii or .nii.gz file, recognised by its suffix (platform 13.3).

    Voxels that are missing are zeros (platform 13.9).

    Raises:
        Unreadable: The importer does not read it.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise Unreadable("not a NIfTI file")
    data = path.read_bytes()
    if path.name.endswith(".gz") and data.startswith(b"\x1f\x8b"):
        data = _decompress(data)
    header = _parse_header(data)
    voxels = _read_voxels(header, data[header.start :])
    raw = work / f"{path.name}.raw"
    raw.write_bytes(voxels.tobytes())
    element = "MET_FLOAT" if voxels.typecode == "f" else header.element
    channels = header.vectors if header.vectors > 1 else header.channels
    return Volume(path.name, header.sizes, header.spacing, element, raw, channels)


def _decompress(data: bytes) -> bytes:
    """Return what can be decompressed; a wrong checksum is an error, an early end is none."""
    pieces = []
    while data.startswith(b"\x1f\x8b"):
        inflater = zlib.decompressobj(wbits=31)
        try:
            pieces.append(inflater.decompress(data))
        except zlib.error as error:
            raise Unreadable(str(error)) from error
        data = inflater.unused_data
    return b"".join(pieces)


def _parse_header(data: bytes) -> _Header:
    if len(data) < _HEADER_BYTES or data[344:347] not in {b"n+1", b"ni1"}:
        raise Unreadable("not a NIfTI-1 file")
    order = "<" if data[:4] == struct.pack("<i", _HEADER_BYTES) else ">"
    (length,) = struct.unpack_from(order + "i", data)
    rank, *dims = struct.unpack_from(order + "8h", data, 40)
    intent, kind = struct.unpack_from(order + "2h", data, 68)
    steps = struct.unpack_from(order + "7f", data, 80)
    start, slope, intercept = struct.unpack_from(order + "3f", data, 108)
    if length != _HEADER_BYTES or kind not in _ELEMENTS or not 1 <= rank <= 7:
        raise Unreadable("not a NIfTI file that can be read")
    if min(dims[:rank]) < 0 or not dims[0]:
        raise Unreadable("a size below 1")
    _check_axes(data, order)
    sizes = [max(1, number) for number in dims[:rank]]
    is_vector = intent in _VECTOR_INTENTS
    if intent == _DISPLACEMENT_INTENT and kind not in {16, 64}:
        raise Unreadable("displacements in whole numbers")
    if intent in _REFUSED_INTENTS or (prod(sizes[_MOST_AXES:]) > 1 and not is_vector):
        raise Unreadable("more than four dimensions")
    vectors = sizes[_MOST_AXES] if is_vector and rank > _MOST_AXES else 1
    sizes = sizes[:_MOST_AXES]
    while len(sizes) > (1 if is_vector else 3) and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) < 2 or vectors > _MOST_CHANNELS:
        raise Unreadable("one dimension, or too many numbers for each voxel")
    unit = _UNITS_MM.get(data[123] & 7, 1.0)
    element, channels = _ELEMENTS[kind]
    return _Header(
        order=order,
        sizes=tuple(sizes),
        spacing=tuple(unit * (abs(step) if isfinite(step) and step else 1.0) for step in steps)[
            : len(sizes)
        ],
        element=element,
        channels=channels,
        vectors=vectors,
        start=max(int(start), _HEADER_BYTES),
        slope=slope if isfinite(slope) and slope else 1.0,
        intercept=intercept if isfinite(intercept) else 0.0,
    )


def _check_axes(data: bytes, order: str) -> None:
    """Check that the axes are at right angles, if only their directions are told."""
    quaternion, directions = struct.unpack_from(order + "2h", data, 252)
    if not directions > 0 >= quaternion:
        return
    rows = struct.unpack_from(order + "12f", data, 280)
    if not all(map(isfinite, rows)):
        raise Unreadable("directions that are no numbers")
    for one, two in combinations([rows[number::4] for number in range(3)], 2):
        cosine = sum(a * b for a, b in zip(one, two, strict=True))
        if abs(cosine) > _MOST_COSINE * hypot(*one) * hypot(*two):
            raise Unreadable("axes that are not at right angles")


def _read_voxels(header: _Header, data: bytes) -> array:  # type: ignore[type-arg]
    typecode = Volume("", (), (), header.element, Path()).typecode
    count = prod(header.sizes) * header.channels * header.vectors
    length = count * array(typecode).itemsize
    stored = array(typecode, data[:length].ljust(length, b"\0"))
    if header.order == ">":
        stored.byteswap()
    if typecode in "fd":
        stored = array(typecode, (number if isfinite(number) else 0 for number in stored))
    if header.vectors > 1:
        stored = _interleave(stored, header.vectors)
    scale = (header.slope, header.intercept)
    if scale == (1.0, 0.0) or header.channels > 1:
        return stored
    scaled = (header.slope * number + header.intercept for number in stored)
    return array("d" if typecode == "d" else "f", scaled)


def _interleave(stored: array, vectors: int) -> array:  # type: ignore[type-arg]
    """Return vectors whose numbers stood one component after the other."""
    mixed, length = array(stored.typecode, stored), len(stored) // vectors
    for number in range(vectors):
        part = stored[number * length : (number + 1) * length]
        mixed[number::vectors] = part
    return mixed
