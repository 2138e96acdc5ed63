"""Compares the pixels that a whole PNG or TIFF holds with what its header says."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.checks.tiff import count_strip_bytes, iterate_pieces, read_tiff_values
from gcwatch.imaging.checks.voxel_sizes import find_compressed_damage
from gcwatch.threads.heartbeats import heartbeat

_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Numbers for each pixel, by colour type."""

_DAMAGED = "its compressed pixels are damaged"


def find_png_damage(stream: BinaryIO) -> str:
    """Given a PNG whose parts are whole, return what is wrong with its pixels, "" if nothing."""
    stream.seek(16)
    width, height, bits, colour, *_, interlaced = struct.unpack(">LL5B", stream.read(13))
    expected = height * (1 + -(-width * bits * _PNG_SAMPLES.get(colour, 1) // 8))
    engine, held = zlib.decompressobj(), 0
    try:
        for data in _png_pixels(stream):
            while data and not engine.eof:
                held += len(engine.decompress(data, BUFFER_BYTES))
                data = engine.unconsumed_tail  # noqa: PLW2901 - the rest of the piece
    except zlib.error:
        return _DAMAGED
    # An interlaced picture has other lines; its end is enough.
    is_short = not engine.eof or (not interlaced and held < expected)
    return f"it holds {held} of {expected} bytes of pixels" if is_short else ""


def _png_pixels(stream: BinaryIO) -> Iterator[bytes]:
    """Yield pieces of the compressed pixels."""
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">L4s", head)
        end = stream.tell() + length + 4
        while kind == b"IDAT" and length and (data := stream.read(min(length, BUFFER_BYTES))):
            length -= len(data)
            yield data
        stream.seek(end)


_DEFLATE = (8, 32946)
"""How a TIFF says that its pixels are compressed by zlib."""


def find_tiff_damage(stream: BinaryIO) -> str:
    """Given a TIFF whose parts are whole, return if a page has too few pixels.

    Judged are the plain pixels of the first page, and pixels in zlib; of other compressions only
    a decoder could tell.
    """
    for piece in iterate_pieces(stream, _DEFLATE):
        heartbeat()
        stream.seek(piece.begin)
        if find_compressed_damage(stream, piece.length, piece.unpacked):
            return _DAMAGED
    return _find_short_strips(stream)


def _find_short_strips(stream: BinaryIO) -> str:
    tags = {tag: values[0] for tag, values in read_tiff_values(stream).items() if values}
    if tags.get(259, 1) != 1 or 324 in tags or tags.get(262) == 6:
        return ""
    bits = tags.get(277, 1) * tags.get(258, 1)
    expected = tags.get(257, 0) * -(-tags.get(256, 0) * bits // 8)
    held = count_strip_bytes(stream)
    is_short = held is not None and held < expected
    return f"its strips hold {held} of {expected} bytes of pixels" if is_short else ""
