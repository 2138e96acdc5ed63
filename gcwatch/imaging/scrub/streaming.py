"""What the modules of all formats share: copying with a limit."""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.codestreams.errors import CantScrub, HoldsTooMuch

Write = Callable[[BinaryIO], None]
"""Writes a clean copy to a target; may raise `CantScrub` when a part of it is written."""

AUTODETECT = 32 + zlib.MAX_WBITS
"""Makes zlib accept zlib and gzip streams."""

_NUMBERS = re.compile(rb"(?i:[-+0-9a-fx.,\s]|nan|inf)*")

_RAW_DEFLATE = -zlib.MAX_WBITS
_INPUT_BYTES = 64 * 1024
_LEVEL = 4
"""Of compression: twice as fast as the usual 6, and some percent larger."""

GZIP_START = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
"""A gzip header without a name and a time."""


class DifferentError(Exception):
    """What is written differs from the file that it is compared with."""


class Comparison:
    """A target that compares what is written with the file that is copied; it writes nothing.

    `same` is another opening of the file that is open as `original`.
    """

    def __init__(self, original: BinaryIO, same: BinaryIO) -> None:
        self._original, self._same = original, same

    def write(self, data: bytes) -> int:
        """Raise DifferentError if the file has other bytes here."""
        if self._same.read(len(data)) != data:
            raise DifferentError
        return len(data)

    def skip_copy(self, stream: BinaryIO, count: int) -> bool:
        """Go behind a copy to the place from which it is; return whether it is one."""
        place = self._same.tell()
        is_same = stream is self._original and stream.tell() == place
        if not is_same or place + count > count_bytes(self._same):
            self._same.seek(place)
            return False
        for each in (stream, self._same):
            each.seek(place + count)
        return True


def copy_exactly(stream: BinaryIO, target: BinaryIO, count: int) -> None:
    """Copy `count` bytes from where the stream is; raise CantScrub if it ends before."""
    if isinstance(target, Comparison) and target.skip_copy(stream, count):
        return
    while count:
        data = stream.read(min(count, BUFFER_BYTES))
        if not data:
            raise CantScrub("its end is missing")
        target.write(data)
        count -= len(data)


def seek_within(stream: BinaryIO, place: int) -> None:
    """Go to a place of a file; raise CantScrub if it has no such place."""
    if not 0 <= place <= count_bytes(stream):
        raise CantScrub("its end is missing")
    stream.seek(place)


def copy_numbers(stream: BinaryIO, target: BinaryIO) -> None:
    """Copy voxels that are text from where the stream is to its end; it must hold no words."""
    while data := stream.read(BUFFER_BYTES):
        if not _NUMBERS.fullmatch(data):
            raise CantScrub("its voxels hold other text than numbers")
        target.write(data)


def decompress(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what a zlib or gzip stream holds, with further gzip members, in pieces."""
    engine = zlib.decompressobj(AUTODETECT)
    try:
        while data := stream.read(_INPUT_BYTES):
            while data:
                if engine.eof:
                    if not data.startswith(b"\x1f"):
                        return
                    engine = zlib.decompressobj(AUTODETECT)
                yield engine.decompress(data, BUFFER_BYTES)
                data = engine.unused_data if engine.eof else engine.unconsumed_tail
        while not engine.eof and (piece := engine.decompress(b"", BUFFER_BYTES)):
            yield piece
    except zlib.error as error:
        raise CantScrub("its compressed data is damaged") from error


def compress(start: bytes, pieces: Iterator[bytes], count: int, target: BinaryIO) -> None:
    """Write a new gzip stream of `start` and the first `count` bytes of the pieces."""
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    checksum, size = zlib.crc32(start), len(start) + count
    target.write(GZIP_START + engine.compress(start))
    for piece in pieces:
        kept = piece[:count]
        count -= len(kept)
        checksum = zlib.crc32(kept, checksum)
        target.write(engine.compress(kept))
        if not count:
            break
    if count:
        raise CantScrub("its end is missing")
    target.write(engine.flush() + checksum.to_bytes(4, "little"))
    target.write((size % (1 << 32)).to_bytes(4, "little"))


def skip_pieces(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Return the pieces without their first `count` bytes."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))


def find_zlib_end(stream: BinaryIO, size: int, expected: int) -> int:
    """Return how many of `size` bytes a zlib stream has; it must hold `expected` bytes."""
    engine, held, used = zlib.decompressobj(), 0, 0
    try:
        while not engine.eof and (data := stream.read(min(size - used, _INPUT_BYTES))):
            used += len(data)
            while data and not engine.eof:
                held += len(engine.decompress(data, BUFFER_BYTES))
                data = engine.unconsumed_tail
                if held > expected:
                    raise HoldsTooMuch
        while not engine.eof and (piece := engine.decompress(b"", BUFFER_BYTES)):
            held += len(piece)
    except zlib.error as error:
        raise CantScrub("its compressed voxels are no zlib data") from error
    if not engine.eof:
        raise CantScrub("its end is missing")
    if held > expected:
        raise HoldsTooMuch
    return used - len(engine.unused_data)
