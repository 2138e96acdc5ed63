"""PNG and JPEG: recognised and checked. Pixels are not decoded: all voxels are 0."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

from gcwatch.sandbox.metaimage import Unreadable, Volume

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Numbers per pixel, by colour type."""

_CRASHES = {(0, 1), (4, 8)}
"""Colour types and bits at which the importer crashes: black and white, gray with opacity."""

_FRAMES = {0xC0, 0xC1, 0xC2}
_SCAN = 0xDA
_JPEG_BITS = 8


@dataclass(frozen=True)
class _Picture:
    size: tuple[int, int]
    channels: int
    element: str = "MET_UCHAR"


def read_picture(path: Path, work: Path) -> Volume:
    """Recognise a PNG or JPEG (platform 13.7).

    Raises:
        Unreadable: It is neither, or damaged.
        ValueError: It crashes the importer.
    """
    picture = _parse(path.read_bytes())
    raw = work / f"{path.name}.raw"
    volume = Volume(
        path.name, picture.size, (1.0, 1.0), picture.element, raw, picture.channels, measured=False
    )
    raw.write_bytes(bytes(volume.size_bytes))
    return volume


def read_picture_size(path: Path) -> tuple[int, int]:
    """Read the width and height of a PNG or JPEG, in pixels.

    Raises:
        Unreadable: It is neither.
    """
    return _parse(path.read_bytes()).size


def _parse(data: bytes) -> _Picture:
    try:
        if data.startswith(_PNG_SIGNATURE):
            return _parse_png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _parse_jpeg(data)
    except struct.error as error:
        raise Unreadable(str(error)) from error
    raise Unreadable("neither PNG nor JPEG")


def _parse_png(data: bytes) -> _Picture:
    chunks = list(_iterate_chunks(data))
    header = next((content for kind, content in chunks if kind == b"IHDR"), b"")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    row = ceil(width * bits * _PNG_SAMPLES.get(colour, 0) / 8)
    pixels = b"".join(content for kind, content in chunks if kind == b"IDAT")
    try:
        found = len(zlib.decompressobj().decompress(pixels))
    except zlib.error as error:
        raise Unreadable(str(error)) from error
    if not row or not height or found < (row if interlaced else row + 1) * height:
        raise Unreadable("pixels are missing")
    if (colour, bits) in _CRASHES:
        raise ValueError("the importer crashes at a PNG of these colours")
    # Pillow gives 16 bits of gray only; gray with opacity becomes four numbers of 8 bits.
    element = "MET_USHORT" if (colour, bits) == (0, 16) else "MET_UCHAR"
    channels = 4 if (colour, bits) == (4, 16) else _PNG_SAMPLES[colour]
    return _Picture((width, height), channels, element)


def _iterate_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the chunks; the checksum of pixels is not compared."""
    at = len(_PNG_SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        told = data[at + 8 + length : at + 12 + length]
        if kind == b"IHDR" and told != struct.pack(">I", zlib.crc32(kind + content)):
            raise Unreadable("a wrong checksum")
        yield kind, content
        at += 12 + length


def _parse_jpeg(data: bytes) -> _Picture:
    at, picture = 2, _Picture((0, 0), 0)
    while at + 4 <= len(data):
        _, marker, length = struct.unpack_from(">BBH", data, at)
        if marker in _FRAMES:
            height, width, channels = struct.unpack_from(">HHB", data, at + 5)
            picture = _Picture((width, height), channels)
            if data[at + 4] != _JPEG_BITS:
                raise Unreadable("a JPEG of more than 8 bits")
        if marker == _SCAN:
            break
        at += 2 + length
    if not prod(picture.size) or b"\xff\xd9" not in data[at:]:
        raise Unreadable("pixels are missing")
    return picture
