"""Reads the text header at the start of a MetaImage or NRRD, within the importer's limits."""

import re
from collections.abc import Iterator
from typing import BinaryIO

MAX_LINES = 10_000
MAX_LINE_BYTES = 10_000
"""The platform's importer reads no header with more lines, nor longer ones (panimg 0.18.2)."""

_MAX_BYTES = 4 * 1024 * 1024
"""A longer header is not kept in memory."""

NRRD_PLACES = frozenset({"domain", "space", "time", "???", "none"})
"""Kinds of axes along which voxels lie; the others hold the numbers of one voxel."""

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


def _iterate_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines within the limits; a longer line comes in pieces."""
    size = 0
    for _ in range(MAX_LINES):
        line = stream.readline(MAX_LINE_BYTES)
        size += len(line)
        if not line or size > _MAX_BYTES:
            return
        yield line
