"""Divides a file into parts for an upload, and reads and hashes them."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gcwatch.core.errors import SourceChanged, Stopped
from gcwatch.files.safe_open import Readable, open_readable
from gcwatch.platform.http import CHUNK_BYTES
from gcwatch.threads.heartbeats import heartbeat

MIB: Final = 1 << 20
_SMALLEST_PART_BYTES: Final = 16 * MIB
_MOST_PARTS: Final = 10_000
"""The storage accepts no more parts of one upload (platform 4.11)."""


@dataclass(frozen=True)
class FilePart:
    """One part of a file: its number from 1 on, its offset and its length in bytes."""

    number: int
    offset: int
    length: int


def part_size(size: int) -> int:
    """Given a file's size, return the size of its parts so that 10,000 suffice, in whole MiB."""
    needed = -(-size // _MOST_PARTS)
    return max(_SMALLEST_PART_BYTES, -(-needed // MIB) * MIB)


def split_into_parts(size: int, part: int) -> list[FilePart]:
    """Given a file's size and its part size, return its parts; an empty file has one."""
    starts = range(0, max(size, 1), part)
    return [FilePart(n, at, min(part, size - at)) for n, at in enumerate(starts, 1)]


def read_part(file: Readable, part: FilePart, stop: threading.Event) -> Iterator[memoryview]:
    """Yield a part's bytes through one reused buffer.

    Raises:
        SourceChanged: when the file is shorter than it was, or was removed; a file that was listed
            (`SourceFile`) also when it is another one, or changed, before or after it was read.
        Stopped: when the daemon is stopping.
    """
    buffer = memoryview(bytearray(min(CHUNK_BYTES, part.length)))
    try:
        with open_readable(file) as stream:
            at, end = part.offset, part.offset + part.length
            while at < end:
                if stop.is_set():
                    raise Stopped
                count = os.preadv(stream.fileno(), [buffer[: end - at]], at)
                if not count:
                    raise SourceChanged
                yield buffer[:count]
                at += count
                heartbeat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceChanged from error  # urllib3 would take an OSError for a broken connection


def md5_of_part(file: Readable, part: FilePart, stop: threading.Event) -> str:
    """Return a part's MD5, in hex; raise as `read_part`."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in read_part(file, part, stop):
        digest.update(chunk)
    return digest.hexdigest()


def sha256_state(file: Readable, stop: threading.Event, size: int) -> "hashlib._Hash":
    """Return the SHA-256 object of a file's first *size* bytes, which accepts more bytes.

    Raise as `read_part` does.
    """
    digest = hashlib.sha256()
    for chunk in read_part(file, FilePart(1, 0, size), stop) if size else ():
        digest.update(chunk)
    return digest
