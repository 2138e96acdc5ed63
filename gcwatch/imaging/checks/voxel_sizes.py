"""Compares the bytes of voxels that a file holds with what its header says.

The platform's importer fills missing voxels with zeros or with uninitialised memory, without a
message (panimg 0.18.2). Uncompressed voxels are not read: the file's size is enough. Compressed
ones are decompressed in pieces, up to the declared size, and only counted.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.checks.text_header import (
    MAX_LINE_BYTES,
    MAX_LINES,
    NRRD_VOXEL_BYTES,
    nrrd_fields,
    read_nrrd_header,
)

_GZIP = b"\x1f\x8b"
_AUTODETECT = 32 + zlib.MAX_WBITS
"""Makes zlib accept both zlib and gzip streams, and check their checksums."""

_DEFLATE_RATIO = 1032
"""Deflate can't make more bytes out of one (zlib.net, "Maximum Compression Factor")."""

_INPUT_BYTES = 16 * 1024
"""Compressed bytes read at a time; small, since zlib copies the rest for each gzip member."""

_DAMAGED = "its compressed data is damaged"
_CUT_OFF = "its compressed data is cut off"
_HEADER_CUT_OFF = "its header is cut off"

_NIFTI_VOXEL_BYTES: Mapping[int, int] = {
    2: 1,
    4: 2,
    8: 4,
    16: 4,
    32: 8,
    64: 8,
    128: 3,
    256: 1,
    512: 2,
    768: 4,
    1024: 8,
    1280: 8,
    1536: 16,
    1792: 16,
    2048: 32,
    2304: 4,
}
"""Bytes of one voxel, by the datatype of a NIfTI header (nifti1.h)."""

_NIFTI_HEADER_BYTES = 348
_NIFTI_2_HEADER_BYTES = 540
_NIFTI_2 = "it is NIfTI-2, which the platform can't read: convert it to NIfTI-1"
"""panimg 0.18.2 reads no NIfTI-2, not even as nibabel writes it."""


def compare_sizes(held: int, expected: int) -> str:
    """Given bytes of voxels that are held and expected, return a clause if some are missing."""
    return f"the file holds {max(held, 0)} of {expected} bytes of voxels" if held < expected else ""


def find_compressed_damage(
    stream: BinaryIO, size: int, expected: int, offset: int = 0, *, one_member: bool = False
) -> str:
    """Given a zlib or gzip stream of `size` bytes, return what is wrong with it, "" if nothing.

    It must hold `expected` bytes of voxels after `offset` other bytes. More bytes are not read.
    With `one_member`, further gzip members are not counted.
    """
    wanted = offset + expected
    if wanted > _DEFLATE_RATIO * size:
        return f"{size} bytes of compressed data can't hold {expected} bytes of voxels"
    held = 0
    try:
        for count in _count_decompressed(stream, size, one_member=one_member):
            held += count
            if held > wanted:
                return ""
    except EOFError:
        return _CUT_OFF
    except zlib.error:
        return _DAMAGED
    return compare_sizes(held - offset, expected)


def _count_decompressed(stream: BinaryIO, size: int, *, one_member: bool) -> Iterator[int]:
    """Yield the lengths of decompressed pieces; raise EOFError if the compressed data is cut."""
    engine = zlib.decompressobj(_AUTODETECT)
    while data := stream.read(min(size, _INPUT_BYTES)):
        size -= len(data)
        while data:
            if engine.eof:
                if one_member or not data.startswith(_GZIP[:1]):
                    return  # what follows the last gzip member; readers ignore it
                engine = zlib.decompressobj(_AUTODETECT)
            yield len(engine.decompress(data, BUFFER_BYTES))
            data = engine.unused_data if engine.eof else engine.unconsumed_tail
    if not engine.eof:
        yield from _count_rest(engine)


def _count_rest(engine: "zlib._Decompress") -> Iterator[int]:
    # zlib may hold back decompressed bytes although it consumed all input.
    while not engine.eof and (piece := engine.decompress(b"", BUFFER_BYTES)):
        yield len(piece)
    if not engine.eof:
        raise EOFError


# --- NIfTI -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nifti:
    """Where the voxels of a NIfTI begin, and how many bytes they have."""

    offset: int
    expected: int


def find_nifti_damage(stream: BinaryIO, size: int) -> str:
    """Given a NIfTI file of `size` bytes, plain or in gzip, return what is wrong with it."""
    start = stream.read(_INPUT_BYTES)
    packed = start.startswith(_GZIP)
    try:
        header = (
            zlib.decompressobj(_AUTODETECT).decompress(start, _NIFTI_HEADER_BYTES)
            if packed
            else start
        )
    except zlib.error:
        return _DAMAGED
    nifti = read_nifti(header)
    if isinstance(nifti, str):
        return nifti
    if not packed:
        return compare_sizes(size - nifti.offset, nifti.expected)
    stream.seek(0)
    return find_compressed_damage(stream, size, nifti.expected, nifti.offset)


def read_nifti(header: bytes) -> Nifti | str:
    """Given the first bytes of a NIfTI, return its sizes, or what is wrong with it."""
    order = next((code for code in "<>" if header[:4] in _header_lengths(code)), "")
    if not order:
        return "it has no NIfTI header"
    if header[:4] == _header_lengths(order)[1]:
        return _NIFTI_2
    if len(header) < _NIFTI_HEADER_BYTES:
        return _HEADER_CUT_OFF
    rank, *dims = struct.unpack_from(order + "8h", header, 40)
    (kind,) = struct.unpack_from(order + "h", header, 70)
    (offset,) = struct.unpack_from(order + "f", header, 108)
    if not 1 <= rank <= 7 or kind not in _NIFTI_VOXEL_BYTES or not math.isfinite(offset):
        return "its NIfTI header is damaged"
    voxels = math.prod(max(1, number) for number in dims[:rank])
    return Nifti(max(int(offset), _NIFTI_HEADER_BYTES), voxels * _NIFTI_VOXEL_BYTES[kind])


def _header_lengths(order: str) -> tuple[bytes, bytes]:
    """Return how a NIfTI-1 and a NIfTI-2 begin."""
    pack = struct.Struct(order + "i").pack
    return pack(_NIFTI_HEADER_BYTES), pack(_NIFTI_2_HEADER_BYTES)


# --- NRRD --------------------------------------------------------------------------------------


def find_nrrd_damage(stream: BinaryIO, size: int) -> str:
    """Given an NRRD file of `size` bytes, return what is wrong with it."""
    header = read_nrrd_header(stream)
    if not re.search(rb"\n\r?\n\Z", header):
        return f"its header is cut off, or has more than {MAX_LINES} lines"
    fields = nrrd_fields(header)
    expected, skipped = count_nrrd_bytes(fields), fields.get("byte skip", "0")
    if expected is None or not re.fullmatch(r"\d+|-1", skipped):
        return ""
    stream.seek(len(header))
    lines = fields.get("line skip", "0")
    for _ in range(min(int(lines), MAX_LINES) if lines.isdecimal() else 0):
        stream.readline(MAX_LINE_BYTES)
    begin = stream.tell()
    offset, held = max(int(skipped), 0), size - begin
    if fields.get("encoding") == "raw":
        return compare_sizes(held - offset, expected)
    if fields.get("encoding") in {"gzip", "gz"}:
        return find_compressed_damage(stream, held, expected, offset)
    return _find_text_damage(stream, fields.get("encoding", ""), fields, expected)


def _find_text_damage(
    stream: BinaryIO, encoding: str, fields: Mapping[str, str], expected: int
) -> str:
    """Count numbers or hexadecimal digits, where an NRRD has its voxels as text."""
    if encoding in {"ascii", "text", "txt"}:
        return find_text_damage(stream, NRRD_VOXEL_BYTES[fields["type"]], expected)
    if encoding == "hex":
        digits = sum(len(data.translate(None, b" \t\r\n")) for data in _read_pieces(stream))
        return compare_sizes(digits // 2, expected)
    return ""


_OF_NUMBERS = b"+-.0123456789eEnNaAiIfF, \t\r\n\v\f"


def find_text_damage(stream: BinaryIO, voxel: int, expected: int) -> str:
    """Given a stream at voxels that are text, return what is wrong with them, "" if nothing.

    Args:
        stream: The file, where its numbers begin.
        voxel: Bytes of one number, once it is read.
        expected: Bytes of all numbers.
    """
    try:
        return compare_sizes(_count_words(stream) * voxel, expected)
    except ValueError:
        return "its voxels are not written as numbers, as its header says"


def _count_words(stream: BinaryIO) -> int:
    """Count words; raise ValueError at what can't be in a number."""
    count, is_within = 0, False
    for data in _read_pieces(stream):
        if data.translate(None, _OF_NUMBERS):
            raise ValueError
        count += len(data.split()) - (is_within and not data[:1].isspace())
        is_within = not data[-1:].isspace()
    return count


def _read_pieces(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(BUFFER_BYTES), b"")


def count_nrrd_bytes(fields: Mapping[str, str]) -> int | None:
    """Given an NRRD's fields, return the bytes of its voxels, None if they don't tell."""
    voxel, sizes = NRRD_VOXEL_BYTES.get(fields.get("type", "")), fields.get("sizes", "").split()
    if voxel is None or not sizes or not all(number.isdecimal() for number in sizes):
        return None
    return voxel * math.prod(map(int, sizes))
