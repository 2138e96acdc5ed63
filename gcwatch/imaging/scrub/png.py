"""PNG: only the parts that make the picture go out; texts, times, EXIF and the rest do not."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.checks.signatures import MOST_PNG_PARTS, TOO_MANY_PNG_PARTS
from gcwatch.imaging.codestreams.errors import CantScrub, HoldsTooMuch
from gcwatch.imaging.scrub.streaming import Write

_START = b"\x89PNG\r\n\x1a\n"
_MOST_BYTES: Mapping[bytes, int] = {
    b"IHDR": 13,
    b"PLTE": 768,
    b"tRNS": 256,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"sBIT": 4,
    b"pHYs": 9,
    b"bKGD": 6,
}
"""Parts that are kept beside the pixels, and how long they may be."""

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column and line, and steps, of each pass of an interlaced picture."""


def scrub_png(stream: BinaryIO) -> Write:
    """Given a PNG, return what writes its picture without anything else."""

    def write(target: BinaryIO) -> None:
        stream.seek(0)
        if stream.read(8) != _START:
            raise CantScrub("it has no PNG header")
        target.write(_START)
        pixels: _Pixels | None = None
        for kind, length in iterate_chunks(stream):
            if kind == b"IDAT":
                if pixels is None:
                    raise CantScrub("it has no PNG header")
                pixels.copy(stream, length, target)
            elif length <= _MOST_BYTES.get(kind, -1):
                data = stream.read(length)
                target.write(_part(kind, data))
                if kind == b"IHDR":
                    pixels = _Pixels(_count_bytes(data))
        if pixels is None or not pixels.engine.eof:
            raise CantScrub("its end is missing")
        target.write(_part(b"IEND", b""))

    return write


def iterate_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each part, with the stream at its data; bytes between are none."""
    place = 8
    for _ in range(MOST_PNG_PARTS):
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            raise CantScrub("its end is missing")
        length, kind = struct.unpack(">L4s", head)
        if kind == b"IEND":
            return
        yield kind, length
        place += 12 + length
    raise CantScrub(TOO_MANY_PNG_PARTS)


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)


class _Pixels:
    """Copies the compressed pixels, and nothing behind their end."""

    def __init__(self, expected: int) -> None:
        self.engine = zlib.decompressobj()
        self._left = expected

    def copy(self, stream: BinaryIO, length: int, target: BinaryIO) -> None:
        if self.engine.eof:
            return
        # A part's length is before its data, so parts that are short enough stay whole.
        while length and (data := stream.read(min(length, BUFFER_BYTES))):
            length -= len(data)
            self._inflate(data)
            used = data[: len(data) - len(self.engine.unused_data)]
            target.write(_part(b"IDAT", used))
            if self.engine.eof:
                return

    def _inflate(self, data: bytes) -> None:
        try:
            while data and not self.engine.eof:
                self._left -= len(self.engine.decompress(data, BUFFER_BYTES))
                data = self.engine.unconsumed_tail
        except zlib.error as error:
            raise CantScrub("its compressed pixels are damaged") from error
        if self._left < 0:
            raise HoldsTooMuch


def _count_bytes(header: bytes) -> int:
    """Given a PNG's header, return the bytes of its pixels before compression."""
    if len(header) != 13:
        raise CantScrub("it has no PNG header")
    width, height, bits, colour, *_, interlaced = struct.unpack(">LL5B", header)
    depth = bits * _SAMPLES.get(colour, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, lines = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and lines > 0:
            total += lines * (1 + -(-columns * depth // 8))
    return total
