"""Reads the text header at the start of a MetaImage or NRRD, within the importer's limits."""

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

MAX_LINES = 10_000
MAX_LINE_BYTES = 10_000
"""The platform's importer reads no header with more lines, nor longer ones (panimg 0.18.2)."""

_MAX_BYTES = 4 * 1024 * 1024
"""A longer header is not kept in memory."""

NRRD_PLACES = frozenset({"domain", "space", "time", "???", "none"})
"""Kinds of axes along which voxels lie; the others hold the numbers of one voxel."""

META_VOXEL_BYTES: Mapping[str, int] = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
}
"""Bytes of one voxel, by the ElementType of a MetaImage header."""

NRRD_VOXEL_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char"), 1),
    **dict.fromkeys(("uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int"), 2),
    **dict.fromkeys(("int16", "int16_t", "ushort", "unsigned short", "uint16"), 2),
    **dict.fromkeys(("unsigned short int", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int"), 4),
    **dict.fromkeys(("uint32", "uint32_t", "float"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), 8),
    **dict.fromkeys(("signed long long int", "int64", "int64_t", "ulonglong"), 8),
    **dict.fromkeys(("unsigned long long", "unsigned long long int", "uint64"), 8),
    **dict.fromkeys(("uint64_t", "double"), 8),
}
"""Bytes of one voxel, by the type of an NRRD header (teem.sourceforge.net/nrrd/format.html)."""

_LAST_META_LINE = re.compile(rb"[ \t]*ElementDataFile[ \t]*=")


def read_meta_header(stream: BinaryIO) -> bytes:
    """Given a MetaImage at its start, return its header with its last line, `ElementDataFile`.

    Return b"" if that line is missing, or if the header exceeds the limits.
    """
    lines: list[bytes] = []
    for line in _iterate_lines(stream):
        if len(line) >= MAX_LINE_BYTES:
            break
        lines.append(line)
        if _LAST_META_LINE.match(line):
            return b"".join(lines)
    return b""


def read_nrrd_header(stream: BinaryIO) -> bytes:
    """Given an NRRD at its start, return its header with the empty line that ends it.

    Without that line within the limits, return all lines; the header of detached data may lack it.
    """
    lines: list[bytes] = []
    for line in _iterate_lines(stream):
        lines.append(line)
        if line in {b"\n", b"\r\n"} and (b"\n", *lines)[-2].endswith(b"\n"):
            break
    return b"".join(lines)


def nrrd_fields(header: bytes) -> dict[str, str]:
    """Given an NRRD header, return its fields by name, both in lower case."""
    lines = (line.partition(": ") for line in header.decode("latin-1").splitlines())
    return {key.strip().lower(): value.strip().lower() for key, _, value in lines}


def find_repeated_field(header: bytes) -> str:
    """Given an NRRD header, return the first field that stands there twice, "" if none does."""
    seen = set[str]()
    for line in header.decode("latin-1").splitlines():
        name, found, _ = line.partition(": ")
        if found and not line.startswith("#") and name.lower() in seen:
            return name.lower()
        seen.add(name.lower())
    return ""


def _iterate_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines within the limits; a longer line comes in pieces."""
    size = 0
    for _ in range(MAX_LINES):
        line = stream.readline(MAX_LINE_BYTES)
        size += len(line)
        if not line or size > _MAX_BYTES:
            return
        yield line
