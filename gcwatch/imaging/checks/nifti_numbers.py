"""Finds voxels of a NIfTI that the platform's importer makes other numbers."""

import gzip
import math
import struct
from typing import BinaryIO, NamedTuple

from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.threads.heartbeats import heartbeat

_GZIP = b"\x1f\x8b"
_HEADER_BYTES = 348


class _Float(NamedTuple):
    """Bytes of a number, and a table for the exponent's part in the second highest byte."""

    size: int
    part: bytes


def _make_table(ones: int) -> bytes:
    """Make a table that turns a byte into 1 if it has all of these bits, else into 0."""
    return bytes(byte & ones == ones for byte in range(256))


_HIGHEST = _make_table(0x7F)
"""For the highest byte, whose first bit is the sign."""

_FLOATS = {16: _Float(4, _make_table(0x80)), 64: _Float(8, _make_table(0xF0))}
"""By the datatype of a NIfTI header (nifti1.h). Complex numbers are refused elsewhere."""


def find_other_values(stream: BinaryIO) -> str:
    """Given a sound NIfTI at its start, return which values arrive changed, "" if none.

    The file may be in gzip. Voxels that are whole numbers are not read.
    """
    packed = stream.read(2) == _GZIP
    stream.seek(0)
    voxels: BinaryIO = gzip.GzipFile(fileobj=stream) if packed else stream  # type: ignore[assignment]
    header = voxels.read(_HEADER_BYTES)
    order = "<" if header[:4] == struct.pack("<i", _HEADER_BYTES) else ">"
    rank, *dims = struct.unpack_from(order + "8h", header, 40)
    (kind,) = struct.unpack_from(order + "h", header, 70)
    (offset,) = struct.unpack_from(order + "f", header, 108)
    if _is_scaled_otherwise(*struct.unpack_from(order + "2f", header, 112)):
        return "scl_slope and scl_inter count although one of them is not valid"
    if kind not in _FLOATS:
        return ""
    voxels.read(max(int(offset), _HEADER_BYTES) - _HEADER_BYTES)
    left = math.prod(max(1, number) for number in dims[:rank]) * _FLOATS[kind].size
    while piece := voxels.read(min(left, BUFFER_BYTES)):
        heartbeat()
        left -= len(piece)
        if _is_any_full(piece if order == "<" else piece[::-1], _FLOATS[kind]):
            return "voxels that are NaN or infinite become 0"
    return ""


def _is_scaled_otherwise(slope: float, intercept: float) -> bool:
    """Whether the importer uses half of a scale of which the other half is no number, or slope 0.

    The standard says that there is no scale then.
    """
    if slope and math.isfinite(slope):
        return slope != 1.0 and not math.isfinite(intercept)
    return math.isfinite(intercept) and intercept != 0.0


def _is_any_full(piece: bytes, kind: _Float) -> bool:
    """Whether a little-endian number in a piece has an exponent of ones only (IEEE 754)."""
    highest = piece[kind.size - 1 :: kind.size].translate(_HIGHEST)
    # Nearly all data is done with here, at the speed of the memory.
    if 1 not in highest:
        return False
    second = piece[kind.size - 2 :: kind.size].translate(kind.part)
    return int.from_bytes(highest) & int.from_bytes(second) != 0
