"""Run lengths, as DICOM (PS3.5, Annex G) and TIFF (PackBits) have them: where they end."""

import itertools
import struct
from typing import Final

from gcwatch.imaging.codestreams.errors import CantScrub

_HEADER_BYTES, _MOST_SEGMENTS = 64, 15
_SHORT: Final = "its run-length pixels are damaged, or fewer than its header says"


def find_end(data: bytes | bytearray, at: int, count: int) -> int:
    """Given run lengths from a position, return where those of `count` bytes end."""
    try:
        while count > 0:
            control = data[at]
            if control < 128:
                at += control + 2
                count -= control + 1
            elif control > 128:
                at += 2
                count -= 257 - control
            else:
                at += 1
    except IndexError:
        at = len(data) + 1
    if count < 0 or at > len(data):
        raise CantScrub(_SHORT)
    return at


def blank_run_lengths(frame: bytearray, count: int) -> None:
    """Set all bytes of a frame of DICOM to 0 that are in no segment; its length stays.

    Each segment has run lengths of `count` bytes. Raise CantScrub if the frame is damaged.
    """
    if len(frame) < _HEADER_BYTES:
        raise CantScrub(_SHORT)
    number, *starts = struct.unpack_from(f"<{_MOST_SEGMENTS + 1}L", frame)
    starts = [*starts[:number], len(frame)]
    if not 0 < number <= _MOST_SEGMENTS or starts[0] < _HEADER_BYTES or starts != sorted(starts):
        raise CantScrub(_SHORT)
    used = 4 + 4 * number
    for begin, following in itertools.pairwise(starts):
        frame[used:begin] = bytes(begin - used)
        used = find_end(frame, begin, count)
        if used > following:
            raise CantScrub(_SHORT)
    frame[used:] = bytes(len(frame) - used)
