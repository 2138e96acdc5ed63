"""Tells which whole pictures the platform's importer refuses, or reads as another image.

Each rule is one that panimg 0.18.2 was seen to follow (tests/importer). What is not known here
counts as readable.
"""

import functools
import os
from collections.abc import Collection, Mapping, Sequence
from typing import BinaryIO

from gcwatch.imaging.checks.streams import read_at
from gcwatch.imaging.checks.tiff import read_tiff_values
from gcwatch.imaging.jpeg import JPEG_LS, read_jpeg_header
from gcwatch.imaging.unreadable import Unreadable

_GRAY_OR_RGB = "PNG with 8 bits of gray or RGB"

_PNG_COLOURS: Mapping[tuple[int, int], str] = {
    (1, 0): "PNG in black and white (1 bit)",
    (16, 2): "PNG with 16 bits of each colour",
    (16, 6): "PNG with 16 bits of each colour",
    **{(bits, 3): "PNG with a palette" for bits in (1, 2, 4, 8)},
    **{(bits, 4): "PNG of gray with transparency" for bits in (8, 16)},
}
"""By bits and colour type."""


_PNG_PARTS_READ = 1000


def find_unreadable_png(stream: BinaryIO) -> Unreadable | None:
    """Given a PNG at its start, return why the importer can't read it."""
    start = stream.read(26)
    found = _PNG_COLOURS.get((start[24], start[25])) if len(start) == 26 else None
    if found is None and _is_animated(stream):
        found = "PNG with several pictures"
    return Unreadable(found, _GRAY_OR_RGB) if found else None


def _is_animated(stream: BinaryIO) -> bool:
    """Whether a PNG says, before its first pixels, that it is a film (PNG 3, acTL)."""
    stream.seek(8)
    for _ in range(_PNG_PARTS_READ):
        head = stream.read(8)
        if head[4:] in {b"acTL", b"IDAT", b"IEND", b""}:
            return head[4:] == b"acTL"
        stream.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    return False


def find_unreadable_jpeg(stream: BinaryIO) -> Unreadable | None:
    """Given a JPEG at its start, return why the importer can't read it."""
    picture, _ = read_jpeg_header(functools.partial(read_at, stream))
    if picture is None:
        return None
    if picture.kind == JPEG_LS:
        return Unreadable("a JPEG-LS picture", "PNG or JPEG")
    if picture.bits != 8:
        return Unreadable(f"a JPEG with {picture.bits} bits", "JPEG with 8 bits, or TIFF")
    return None


_TIFF_COLOURS = {1, 2, 6}
"""Gray from black, RGB and YCbCr."""

_TIFF_UNITS = {2, 3}
"""Inch and centimetre."""


_TILE_SIZES = {322, 323}
"""The columns and rows of a tile."""


def find_unreadable_tiff(stream: BinaryIO) -> Unreadable | None:
    """Given a TIFF, return why the importer can't read it."""
    tags = read_tiff_values(stream)
    if not _have_numbers(tags, (256, 257)):
        return Unreadable("a TIFF without the number of its columns or rows", "TIFF")
    if _TILE_SIZES & tags.keys() and not _have_numbers(tags, _TILE_SIZES):
        return Unreadable("a TIFF without the size of its tiles", "TIFF")
    colour, unit = tags.get(262, (1,))[:1], tags.get(296, ())[:1]
    if colour and colour[0] not in _TIFF_COLOURS:
        return Unreadable("a TIFF in other colours than gray and RGB", "TIFF in gray or RGB")
    sized = all(len(tags.get(tag, ())) == 2 and all(tags[tag]) for tag in (282, 283))
    if (sized and set(unit) <= _TIFF_UNITS and unit) or _is_philips(stream):
        return None
    return Unreadable(
        "a TIFF without the size of a pixel", "TIFF with XResolution, YResolution and their unit"
    )


def _have_numbers(tags: Mapping[int, Sequence[int]], wanted: Collection[int]) -> bool:
    """Whether each of these tags has a number that is not 0."""
    return all(next(iter(tags.get(tag, ())), 0) for tag in wanted)


def _is_philips(stream: BinaryIO) -> bool:
    stream.seek(0)
    return b"PHILIPS" in stream.read(1024 * 1024).upper()  # its sizes are in an XML text
