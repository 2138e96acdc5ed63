"""JPEG and JPEG-LS: which segments make the picture, and how long these must be.

The encoding is that of ISO/IEC 10918-1, Annex B, and of ISO/IEC 14495-1, Annex C.
"""

import re
from collections.abc import Callable
from typing import Final

from gcwatch.imaging.codestreams.errors import CantScrub

START: Final = b"\xff\xd8"
SCAN, END, COMMENT = 0xDA, 0xD9, 0xFE
_FIRST_APP, _LAST_APP = 0xE0, 0xEF
JFIF_APP, ADOBE_APP = 0xE0, 0xEE
BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment."""
MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker behind entropy-coded data of JPEG: no stuffed byte, no restart."""
_LS_MARKER: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""The same of JPEG-LS, which stuffs a bit and not a byte."""

_QUANTISATION, _HUFFMAN, _ARITHMETIC = 0xDB, 0xC4, 0xCC
_RESTARTS, _LINES, _LS_FRAME, _LS_PRESET = 0xDD, 0xDC, 0xF7, 0xF8
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), _LS_FRAME}) - {0xC4, 0xC8, 0xCC}
KEPT: Final = _FRAMES | {_QUANTISATION, _HUFFMAN, _ARITHMETIC, _RESTARTS, _LINES, SCAN, _LS_PRESET}
"""Markers of segments that make the picture."""

_JFIF: Final = re.compile(rb"JFIF\0.{7}", re.DOTALL)
_ADOBE: Final = re.compile(rb"Adobe.{7}", re.DOTALL)


def check_segment(marker: int, content: bytes) -> None:
    """Raise CantScrub if a segment of `KEPT` holds more, or less, than its tables or numbers."""
    if not _is_whole(marker, content):
        raise CantScrub("a table of its JPEG has another length than it needs")


def _is_whole(marker: int, content: bytes) -> bool:
    size = len(content)
    if marker in _FRAMES:
        return size >= 6 and size == 6 + 3 * content[5]
    if marker == SCAN:
        return size >= 4 and size == 4 + 2 * content[0]
    if marker == _QUANTISATION:
        return _ends_with_tables(content, lambda at: 65 + 64 * (content[at] >> 4 > 0))
    if marker == _HUFFMAN:
        return _ends_with_tables(content, lambda at: 17 + sum(content[at + 1 : at + 17]))
    if marker == _ARITHMETIC:
        return size % 2 == 0 and all(each & 0xEF < 4 for each in content[::2])
    if marker == _LS_PRESET:  # mapping tables, the other kinds, hold whatever
        return size == 11 and content[0] == 1
    return size == 2 or (marker == _RESTARTS and size in {3, 4})


def _ends_with_tables(content: bytes, length: Callable[[int], int]) -> bool:
    at = 0
    while at < len(content):
        at += length(at)
    return at == len(content)


def needed_bytes(marker: int, content: bytes) -> int:
    """Return how many first bytes of an application segment a decoder needs for colours."""
    wanted = {JFIF_APP: _JFIF, ADOBE_APP: _ADOBE}.get(marker)
    found = wanted.match(content) if wanted else None
    return found.end() if found else 0


def blank_jpeg(frame: bytearray) -> None:
    """Set all bytes of a JPEG or JPEG-LS to 0 that are comments, metadata, or behind its end.

    Its length stays. Raise CantScrub if it is damaged: then nobody knows what a byte of it is.
    """
    if not frame.startswith(START):
        raise CantScrub("its pixels do not begin as a JPEG does")
    at, scan_end = 2, MARKER
    while at + 2 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == END:
            frame[at + 2 :] = bytes(len(frame) - at - 2)
            return
        if marker == 0xFF or marker in BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _LS_FRAME:
            scan_end = _LS_MARKER
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4])
        _blank_segment(frame, marker, at + 4, end)
        if marker == SCAN:
            found = scan_end.search(frame, end)
            end = found.start() if found else len(frame)
        at = end
    raise CantScrub("a JPEG of it is damaged, or has no end")


def _blank_segment(frame: bytearray, marker: int, start: int, end: int) -> None:
    if not start <= end <= len(frame):
        raise CantScrub("a JPEG of it is damaged, or has no end")
    if marker in KEPT:
        check_segment(marker, bytes(frame[start:end]))
        return
    if not (marker == COMMENT or _FIRST_APP <= marker <= _LAST_APP):
        raise CantScrub("a JPEG of it has a segment of an unknown kind")
    content = bytes(frame[start:end])
    kept = needed_bytes(marker, content)
    frame[start:end] = content[:kept].ljust(len(content), b"\0")
