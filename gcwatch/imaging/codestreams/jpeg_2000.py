"""JPEG 2000: comments, and what is behind the end (ISO/IEC 15444-1, Annex A)."""

import struct
from typing import Final

from gcwatch.imaging.codestreams.errors import CantScrub

_START: Final = b"\xff\x4f\xff\x51"
_COMMENT, _TILE, _DATA, _END = 0xFF64, 0xFF90, 0xFF93, 0xFFD9
_END_BYTES: Final = b"\xff\xd9"
_HEADER: Final = frozenset(
    {
        *range(0xFF50, 0xFF54),
        *(0xFF55, 0xFF56, 0xFF57, 0xFF58, 0xFF59),
        *range(0xFF5C, 0xFF62),
        *(0xFF63, _COMMENT),
    }
)
"""Markers of segments of the main header and of the headers of tiles."""

_DAMAGED: Final = "its JPEG 2000 pixels are damaged, or in another form than a plain codestream"


def blank_jpeg_2000(frame: bytearray) -> None:
    """Set the comments of a codestream, and all bytes behind its end, to 0; its length stays.

    Raise CantScrub if it is damaged, or if it is a file with boxes (JP2) and no codestream.
    """
    if not frame.startswith(_START):
        raise CantScrub(_DAMAGED)
    try:
        end = _blank_comments(frame)
    except struct.error:
        raise CantScrub(_DAMAGED) from None
    frame[end:] = bytes(len(frame) - end)


def _blank_comments(frame: bytearray) -> int:
    """Return where the codestream ends."""
    at = 2
    while True:
        (marker,) = struct.unpack_from(">H", frame, at)
        if marker == _END:
            return at + 2
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if at + 2 + length > len(frame) or length < 2:
            raise CantScrub(_DAMAGED)
        if marker == _TILE:
            at = _blank_tile(frame, at)
        else:
            at = _blank_segment(frame, marker, at, length)


def _blank_segment(frame: bytearray, marker: int, at: int, length: int) -> int:
    """Return where the next segment is."""
    if marker not in _HEADER:
        raise CantScrub(_DAMAGED)
    end = at + 2 + length
    if marker == _COMMENT:
        start = min(at + 6, end)
        frame[start:end] = bytes(end - start)
    return end


def _blank_tile(frame: bytearray, tile: int) -> int:
    """Return where the next tile, or the end, is."""
    length, _, size = struct.unpack_from(">HHL", frame, tile + 2)
    at = tile + 2 + length
    while (marker := struct.unpack_from(">H", frame, at)[0]) != _DATA:
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if length < 2 or at + 2 + length > len(frame):
            raise CantScrub(_DAMAGED)
        at = _blank_segment(frame, marker, at, length)
    # The last tile may have no length. Compressed data never holds the mark of the end.
    following = tile + size if size else frame.find(_END_BYTES, at + 2)
    if following < at + 2:
        raise CantScrub(_DAMAGED)
    return following
