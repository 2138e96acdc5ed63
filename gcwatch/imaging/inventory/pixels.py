"""How the pixels of two DICOM files differ."""

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from gcwatch.core.rules.region import Region
from gcwatch.core.text import count_noun
from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.dicom.elements import ITEM_TAG, PixelData
from gcwatch.imaging.inventory.parts import Change

_File = tuple[BinaryIO, PixelData]


def compare_rows(
    place: str,
    old: _File,
    new: _File,
    shape: tuple[int, int, int],
    blank: Sequence[Region],
) -> list[Change]:
    """Compare pixels without compression; `shape`: columns, rows, and bytes of a pixel in a row.

    Regions in `blank` must be black in the new pixels, all others equal; what is not is told.
    """
    columns, rows, pixel = shape
    boxes = [region.box(columns, rows) for region in blank]
    wrong = [False] * len(boxes)
    others = 0
    length = columns * pixel if boxes and columns * pixel else BUFFER_BYTES
    for number, (before, after) in enumerate(_pairs(old, new, length)):
        masked = bytearray(before)
        for each, (left, top, right, bottom) in enumerate(boxes):
            if top <= number % rows < bottom and left < right:
                black = bytes((right - left) * pixel)
                masked[left * pixel : right * pixel] = black
                wrong[each] |= after[left * pixel : right * pixel] != black
        others += masked != after
    changes = [
        Change(f"pixels in {_told(region)}", "kept" if is_wrong else "replaced", by="black")
        for region, is_wrong in zip(blank, wrong, strict=True)
    ]
    by = "other pixels" if others else ""
    return [*changes, Change(place, "replaced" if others else "kept", by=by)]


def _told(region: Region) -> str:
    sizes = (f"{number:g}{'%' if percent else ''}" for number, percent in region.extents)
    return ",".join(sizes)


def _pairs(old: _File, new: _File, length: int) -> Iterator[tuple[bytes, bytes]]:
    (old_stream, before), (new_stream, after) = old, new
    left = min(before.end - before.start, after.end - after.start)
    old_stream.seek(before.start)
    new_stream.seek(after.start)
    while left > 0:
        count = min(length, left)
        yield old_stream.read(count), new_stream.read(count)
        left -= count


def compare_fragments(place: str, old: _File, new: _File) -> list[Change]:
    """Compare compressed pixels, fragment by fragment; the first is the table of offsets."""
    pairs = itertools.zip_longest(_fragments(*old), _fragments(*new), fillvalue=b"")
    table, *frames = pairs
    cleared = other = 0
    for before, after in frames:
        if before == after:
            continue
        zeros = sum(a != b and not b for a, b in zip(before, after, strict=False))
        differing = sum(a != b for a, b in zip(before, after, strict=False))
        is_cleared = len(before) == len(after) and zeros == differing
        cleared += zeros
        other += not is_cleared
    changes = [Change(place, "replaced" if other else "kept", by="other pixels" if other else "")]
    if table[0] != table[1]:
        changes.append(Change(f"{place} > table of offsets", "removed", value="not a table"))
    if cleared:
        told = count_noun(cleared, "byte")
        changes.append(Change(f"{place} > texts in compressed frames", "removed", value=told))
    return changes


def _fragments(stream: BinaryIO, pixels: PixelData) -> Iterator[bytes]:
    at = pixels.start
    while at < pixels.end:
        stream.seek(at)
        group, element, length = struct.unpack("<HHL", stream.read(8))
        if (group, element) != ITEM_TAG:
            return
        yield stream.read(length)
        at += 8 + length
