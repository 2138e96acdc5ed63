"""The zip of several files: its size before it is written, and how much of it is final."""

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, BinaryIO, NamedTuple

_ZIP64_BYTES = 1024 * 1024 * 1024
"""Larger members are written as zip64, which is required from 2 GiB on."""

_LOCAL_HEAD, _LOCAL_ZIP64, _CENTRAL_HEAD, _END = 30, 20, 46, 22
_CENTRAL_ZIP64, _SIZES_ZIP64, _OFFSET_ZIP64, _END_ZIP64 = 4, 16, 8, 76
"""Bytes of a zip's parts beside names and content (APPNOTE.TXT 6.3, sections 4.3 and 4.5.3)."""


class ZipMember(NamedTuple):
    """A file of a zip: its name, the size of its original, and what writes it."""

    name: str
    original: int
    write: Callable[[BinaryIO], None]


def write_zip(stream: IO[bytes], members: Iterable[ZipMember]) -> Iterator[int]:
    """Write a zip; after each member, yield how many of the first bytes are final.

    The same members give the same bytes. They are stored: compressing 16-bit slices takes longer
    than sending them.
    """
    # Members opened by name have the date 1980-01-01 and mode 0600.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, original, write in members:
            with archive.open(name, "w", force_zip64=original > _ZIP64_BYTES) as target:
                write(target)  # type: ignore[arg-type]
            stream.flush()
            yield stream.tell()
    yield stream.seek(0, os.SEEK_END)


def zip_bytes(sizes: Iterable[tuple[str, int, int]]) -> int:
    """Given each member's name, the size of its original, and its own, return the zip's size."""
    offset = central = count = 0
    for name, original, size in sizes:
        sizes_64, offset_64 = size > zipfile.ZIP64_LIMIT, offset > zipfile.ZIP64_LIMIT
        more = _SIZES_ZIP64 * sizes_64 + _OFFSET_ZIP64 * offset_64
        central += _CENTRAL_HEAD + len(name) + more + _CENTRAL_ZIP64 * bool(more)
        offset += _LOCAL_HEAD + len(name) + size + _LOCAL_ZIP64 * (original > _ZIP64_BYTES)
        count += 1
    is_large = max(offset, central) > zipfile.ZIP64_LIMIT or count > zipfile.ZIP_FILECOUNT_LIMIT
    return offset + central + _END + _END_ZIP64 * is_large
