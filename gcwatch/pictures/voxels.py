"""Where MetaImage, NIfTI and NRRD hold their voxels: read from the header, without the voxels."""

import math
import re
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

from gcwatch.imaging.checks.text_header import (
    NRRD_PLACES,
    nrrd_fields,
    read_meta_header,
    read_nrrd_header,
)
from gcwatch.imaging.checks.voxel_sizes import read_nifti
from gcwatch.imaging.meta_image import meta_fields
from gcwatch.imaging.scrub.streaming import decompress, skip_pieces
from gcwatch.pictures.plane import CantDrawError, Direction, Plane, find_mirroring

_LARGEST_PLANE_BYTES: Final = 64 * 1024 * 1024
_MOST_CHANNELS: Final = 64

_NO_MIRROR: Final = (False, False)
_TRUE: Final = {"t", "1"}


@dataclass(frozen=True)
class Voxels:
    """How a file holds voxels: `code` is a number's code in `struct`, `order` "<" or ">".

    The voxels begin at byte `begin`; `is_packed`: in a zlib or gzip stream that begins there, after
    `skipped` other bytes. `size` is columns, rows and slices. `data_file` is the file that has
    them, "" for the same.
    """

    code: str
    order: str
    size: tuple[int, int, int]
    begin: int = 0
    channels: int = 1
    is_packed: bool = False
    skipped: int = 0
    mirrored: tuple[bool, bool] = _NO_MIRROR
    data_file: str = ""

    def __post_init__(self) -> None:
        """Raise CantDrawError at sizes that no image has."""
        if not 1 <= self.channels <= _MOST_CHANNELS:
            raise CantDrawError("its voxels are of a rare kind")
        if self.plane_bytes > _LARGEST_PLANE_BYTES:
            raise CantDrawError("it is too large to draw")

    @property
    def plane_bytes(self) -> int:
        """Bytes of one slice."""
        return self.size[0] * self.size[1] * self.channels * struct.calcsize(self.code)


_META_CODES: Final[Mapping[str, str]] = {
    "MET_CHAR": "b",
    "MET_UCHAR": "B",
    "MET_SHORT": "h",
    "MET_USHORT": "H",
    "MET_INT": "i",
    "MET_UINT": "I",
    "MET_LONG": "i",
    "MET_ULONG": "I",
    "MET_LONG_LONG": "q",
    "MET_ULONG_LONG": "Q",
    "MET_FLOAT": "f",
    "MET_DOUBLE": "d",
}


def read_meta_image(stream: BinaryIO) -> Voxels:
    """Given a MetaImage at its start, return where its voxels are."""
    header = read_meta_header(stream)
    fields = meta_fields(header)
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    if fields.get("BinaryData", "True")[:1].lower() not in _TRUE:
        raise CantDrawError("its voxels are written as text")
    data = fields.get("ElementDataFile", "")
    is_own = data == "LOCAL"
    if not is_own and not re.fullmatch(r"[^/\\%]+", data):
        raise CantDrawError("its voxels are in several files")
    return Voxels(
        _code_of(_META_CODES, fields.get("ElementType", "")),
        ">" if big[:1].lower() in _TRUE else "<",
        _size_of(_whole_numbers(fields.get("DimSize", ""))),
        (len(header) if is_own else 0) + max(int(fields.get("HeaderSize", "0") or 0), 0),
        int(fields.get("ElementNumberOfChannels", "1")),
        fields.get("CompressedData", "False")[:1].lower() in _TRUE,
        mirrored=_mirroring_of(_matrix(fields.get("TransformMatrix", ""))),
        data_file="" if is_own else data,
    )


def _matrix(text: str) -> Sequence[Direction]:
    numbers = [float(each) for each in text.split()]
    return [_direction(numbers[at : at + 3]) for at in (0, 3)] if len(numbers) == 9 else []


_NIFTI_CODES: Final[Mapping[int, str]] = {
    2: "B",
    4: "h",
    8: "i",
    16: "f",
    64: "d",
    128: "B",
    256: "b",
    512: "H",
    768: "I",
    1024: "q",
    1280: "Q",
    2304: "B",
}
_NIFTI_CHANNELS: Final[Mapping[int, int]] = {128: 3, 2304: 4}
_NIFTI_BYTES: Final = 348


def read_nifti_image(stream: BinaryIO) -> Voxels:
    """Given a NIfTI at its start, plain or in gzip, return where its voxels are."""
    is_packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    header = next(decompress(stream), b"") if is_packed else stream.read(_NIFTI_BYTES)
    nifti = read_nifti(header)
    if isinstance(nifti, str):
        raise CantDrawError(nifti)
    order = "<" if header[:4] == struct.pack("<i", _NIFTI_BYTES) else ">"
    rank, *dims = struct.unpack_from(order + "8h", header, 40)
    (kind,) = struct.unpack_from(order + "h", header, 70)
    return Voxels(
        _code_of(_NIFTI_CODES, kind),
        order,
        _size_of([max(1, number) for number in dims[:rank]]),
        0 if is_packed else nifti.offset,
        _NIFTI_CHANNELS.get(kind, 1),
        is_packed,
        nifti.offset if is_packed else 0,
        _mirroring_of(_nifti_directions(header, order)),
    )


def _nifti_directions(header: bytes, order: str) -> Sequence[Direction]:
    """Return where the first two axes lead; NIfTI counts to the right and to the front."""
    by_quaternion, by_matrix = struct.unpack_from(order + "2h", header, 252)
    if by_matrix > 0:
        rows = [struct.unpack_from(order + "4f", header, at) for at in (280, 296, 312)]
        return [(-rows[0][at], -rows[1][at], rows[2][at]) for at in (0, 1)]
    if by_quaternion <= 0:
        return []
    b, c, d = struct.unpack_from(order + "3f", header, 256)
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    return [
        (-(a * a + b * b - c * c - d * d), -2 * (b * c + a * d), 2 * (b * d - a * c)),
        (-2 * (b * c - a * d), -(a * a + c * c - b * b - d * d), 2 * (c * d + a * b)),
    ]


_NRRD_CODES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "b"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "B"),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t"), "h"),
    **dict.fromkeys(("ushort", "unsigned short", "uint16", "uint16_t"), "H"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "I"),
    "float": "f",
    "double": "d",
    "int64": "q",
    "uint64": "Q",
}


def read_nrrd_image(stream: BinaryIO) -> Voxels:
    """Given an NRRD at its start, return where its voxels are."""
    header = read_nrrd_header(stream)
    fields = nrrd_fields(header)
    packings = {"raw": False, "gzip": True, "gz": True}
    encoding = fields.get("encoding", "")
    is_plain = fields.get("line skip", "0") == "0" and fields.get("byte skip", "0") == "0"
    if encoding not in packings or not is_plain or "data file" in fields:
        raise CantDrawError("its voxels are stored in a rare way")
    sizes = _whole_numbers(fields.get("sizes", ""))
    kinds = fields.get("kinds", "").split()
    directions = re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    channels = 1
    if kinds[:1] and kinds[0] not in NRRD_PLACES:
        channels, sizes, directions = sizes[0], sizes[1:], directions[1:]
    return Voxels(
        _code_of(_NRRD_CODES, fields.get("type", "")),
        ">" if fields.get("endian") == "big" else "<",
        _size_of(sizes),
        len(header),
        channels,
        packings[encoding],
        mirrored=_mirroring_of(_nrrd_directions(fields.get("space", ""), directions)),
    )


def _nrrd_directions(space: str, told: Sequence[str]) -> Sequence[Direction]:
    signs = {
        **dict.fromkeys(("left-posterior-superior", "lps"), 1),
        **dict.fromkeys(("right-anterior-superior", "ras"), -1),
    }
    if space not in signs or len(told) < 2 or "none" in told[:2]:
        return []
    found = [_direction([float(n) for n in each.strip("()").split(",")]) for each in told[:2]]
    return [(x * signs[space], y * signs[space], z) for x, y, z in found]


def _code_of(codes: Mapping[Any, str], kind: object) -> str:
    if kind not in codes:
        raise CantDrawError("its voxels are of a rare kind")
    return codes[kind]


def _whole_numbers(text: str) -> list[int]:
    return [int(number) for number in text.split()]


def _size_of(numbers: Sequence[int]) -> tuple[int, int, int]:
    """Return columns, rows and slices; of several volumes only the first one counts."""
    columns, rows, slices = (*numbers, 1, 1, 1)[:3]
    if min(columns, rows, slices) < 1:
        raise CantDrawError("it has no voxels")
    return columns, rows, slices


def _direction(numbers: Sequence[float]) -> Direction:
    x, y, z = numbers
    return x, y, z


def _mirroring_of(directions: Sequence[Direction]) -> tuple[bool, bool]:
    return find_mirroring(directions[0], directions[1]) if directions else _NO_MIRROR


# --- planes ---------------------------------------------------------------------------------------

_MOST_READ_BYTES: Final = 4 * 1024**3
"""Of a larger image not all voxels are read."""

_MASK_SHARE: Final = 0.5
"""An image of which fewer bytes are not zero counts as a mask."""


def read_plane(stream: BinaryIO, voxels: Voxels, at: float) -> Plane:
    """Given a file and where its voxels are, return the plane at this part (0 to 1) of it."""
    size, count = voxels.plane_bytes, voxels.size[2]
    number = min(int(at * count), count - 1)
    if not voxels.is_packed:
        stream.seek(voxels.begin + number * size)
        return _plane_of(voxels, _exactly(stream.read(size), size), number)
    if number * size > _MOST_READ_BYTES:
        raise CantDrawError("it is too large to draw")
    for place, data in enumerate(_planes(stream, voxels)):
        if place == number:
            return _plane_of(voxels, data, number)
    raise CantDrawError("its end is missing")


def read_fullest_plane(stream: BinaryIO, voxels: Voxels) -> Plane:
    """Given a file and where its voxels are, return the plane that says most about it.

    Of a mask that is the one with most marked voxels, of other images the middle one. All voxels
    are read, to know whether any is marked; of a very large image only the plane in the middle.
    """
    count = voxels.size[2]
    if count * voxels.plane_bytes > _MOST_READ_BYTES:
        return read_plane(stream, voxels, 0.5)
    marked, best, fullest, middle = 0, -1, (0, b""), b""
    for number, data in enumerate(_planes(stream, voxels)):
        here = len(data) - data.count(0)
        marked += here
        if here > best:
            best, fullest = here, (number, data)
        if number == count // 2:
            middle = data
    if marked > _MASK_SHARE * count * voxels.plane_bytes:
        return _plane_of(voxels, middle, count // 2)
    if not marked:
        return _plane_of(voxels, middle, count // 2, is_empty=True)
    return _plane_of(voxels, fullest[1], fullest[0])


def _planes(stream: BinaryIO, voxels: Voxels) -> Iterator[bytes]:
    """Yield the bytes of each plane; raise CantDrawError if one is missing."""
    size, left = voxels.plane_bytes, voxels.size[2]
    stream.seek(voxels.begin)
    if not voxels.is_packed:
        for _ in range(left):
            yield _exactly(stream.read(size), size)
        return
    held = bytearray()
    for piece in skip_pieces(decompress(stream), voxels.skipped):
        held += piece
        while len(held) >= size and left:
            yield bytes(held[:size])
            del held[:size]
            left -= 1
        if not left:
            return
    raise CantDrawError("its end is missing")


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise CantDrawError("its end is missing")
    return data


def _plane_of(voxels: Voxels, data: bytes, number: int, *, is_empty: bool = False) -> Plane:
    columns, rows, count = voxels.size
    plane = Plane(
        columns,
        rows,
        number=number + 1,
        count=count,
        is_empty=is_empty,
        mirrored=voxels.mirrored,
    )
    if voxels.channels == 3 and voxels.code == "B":
        return replace(plane, colours=data)
    return replace(plane, numbers=numbers_of(data, voxels.code, voxels.order)[:: voxels.channels])


def numbers_of(data: bytes, code: str, order: str) -> "array[Any]":
    """Given bytes, the code of a number and its byte order, return the numbers."""
    numbers = array(code)
    numbers.frombytes(data)
    if order != ("<" if sys.byteorder == "little" else ">"):
        numbers.byteswap()
    return numbers
