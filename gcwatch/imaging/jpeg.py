"""Reads the header of a JPEG or JPEG-LS: what its picture is, and where its data begins.

Sources: ISO 10918-1, annex B, and ISO 14495-1, annex C.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

JPEG_LS: Final = 0xF7
"""The kind of frame that makes a JPEG a JPEG-LS."""

START, END = b"\xff\xd8", b"\xff\xd9"
_SCAN: Final = 0xDA
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {JPEG_LS}
_BARE: Final = {0x01, *range(0xD0, 0xD9)}
_MOST_SEGMENTS: Final = 100_000


class JpegPicture(NamedTuple):
    """What a JPEG says of its picture; `rows` may be 0 if their number follows the data."""

    kind: int
    bits: int
    rows: int
    columns: int
    channels: int


def read_jpeg_header(read: Callable[[int, int], bytes]) -> tuple[JpegPicture | None, int]:
    """Return the picture of a JPEG, None if it tells none, and where its data begins.

    Args:
        read: Given a position and a count, returns as many bytes, or fewer at the end.

    The position is 0 if the header is cut off or damaged.
    """
    at, picture = 2, None
    if read(0, 2) != START:
        return None, 0
    for _ in range(_MOST_SEGMENTS):
        head = read(at, 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        if head[1] == 0xFF:  # any number of FF bytes may precede a marker
            at += 1
        elif head[1] in _BARE:
            at += 2
        else:
            if head[1] in _FRAMES and len(told := read(at + 4, 6)) == 6:
                picture = JpegPicture(head[1], *struct.unpack(">BHHB", told))
            at += 2 + int.from_bytes(head[2:])
            if head[1] == _SCAN:
                return picture, at
    return picture, 0
