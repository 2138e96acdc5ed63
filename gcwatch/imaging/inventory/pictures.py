"""What PNG and JPEG hold: the picture, and each place for texts beside it."""

import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.codestreams.jpeg import BARE, KEPT
from gcwatch.imaging.inventory.parts import Part, data_part, read_pieces, rest_part, text_part
from gcwatch.imaging.inventory.tiff import exif_parts
from gcwatch.imaging.scrub.jpeg import (
    copy_scan,
    read_marker,
)
from gcwatch.imaging.scrub.png import iterate_chunks

_PNG_CHUNKS = frozenset(
    b"IHDR PLTE tRNS gAMA cHRM sRGB sBIT pHYs bKGD tEXt zTXt iTXt tIME eXIf iCCP hIST sPLT".split()
)
_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
_SEGMENTS = (
    (0xE0, b"JFIF\0", "JPEG JFIF"),
    (0xE1, b"http://ns.adobe.com/", "JPEG XMP"),
    (0xE2, b"ICC_PROFILE\0", "JPEG ICC profile"),
    (0xEE, b"Adobe", "JPEG Adobe colours"),
)
_EXIF, _JFIF_BYTES = b"Exif\0\0", 12


def png_parts(stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of a PNG; its pixels as they are without compression."""
    engine, pixels, beyond = zlib.decompressobj(), hashlib.sha256(), 0
    end = 8
    for kind, length in iterate_chunks(stream):
        end = stream.tell() + length + 4
        if kind != b"IDAT":
            name = kind.decode() if kind in _PNG_CHUNKS else "other chunk"
            yield text_part(f"PNG {name}", stream.read(length))
            continue
        for data in read_pieces(stream, stream.tell(), length):
            if not engine.eof:
                pixels.update(engine.decompress(data))
                beyond += len(engine.unused_data)
            else:
                beyond += len(data)
    yield Part("PNG pixels", pixels.digest(), "the picture")
    yield from rest_part("bytes behind the compressed pixels of the PNG", beyond)
    yield from rest_part("bytes behind the PNG", count_bytes(stream) - end - 12)


class _Digest:
    """A target that keeps a digest of what is written."""

    def __init__(self) -> None:
        self.total = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.total.update(data)
        return len(data)


def jpeg_parts(stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of a JPEG; raise CantScrub if it is damaged."""
    picture = _Digest()
    stream.seek(2)
    while (marker := read_marker(stream)) != _END:
        if marker in BARE:
            continue
        length = int.from_bytes(stream.read(2)) - 2
        data = stream.read(length)
        if length < 0 or len(data) < length:
            raise CantScrub("its segments are damaged")
        if marker in KEPT:
            picture.write(bytes((marker,)) + data)
        else:
            yield from _segment_parts(marker, data)
        if marker == _SCAN:
            copy_scan(stream, cast("BinaryIO", picture))
    end = stream.tell()
    yield Part("JPEG picture", picture.total.digest(), "the picture")
    yield from rest_part("bytes behind the JPEG", count_bytes(stream) - end)


def _segment_parts(marker: int, data: bytes) -> Iterator[Part]:
    if marker == _COMMENT:
        yield text_part("JPEG comment", data)
        return
    if marker == 0xE1 and data.startswith(_EXIF):
        yield from exif_parts("JPEG EXIF", io.BytesIO(data[len(_EXIF) :]))
        return
    for number, start, name in _SEGMENTS:
        if marker == number and data.startswith(start):
            head = _JFIF_BYTES if number in {0xE0, 0xEE} else len(data)
            yield data_part(name, [data[:head]])
            if data[head:].strip(b"\0"):
                yield data_part(f"{name}, thumbnail", [data[head:]])
            return
    yield text_part(f"JPEG APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else "JPEG other", data)
