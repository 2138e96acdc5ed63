"""The directories of a TIFF: what its pages say of themselves, and whether the file holds it."""

import itertools
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from gcwatch.imaging.checks.streams import (
    END_MISSING,
    count_bytes,
    iterate_numbers,
    read_at,
    unpack_numbers,
)

_TIFF_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a TIFF value, by the number of its type; other types have 1 byte."""


_TIFF_PIXELS = ((273, 279), (324, 325))
"""Tags with the offsets and lengths of strips, and of tiles."""

_SHORT_BYTES, _MOST_FIELDS = 64, 4096
"""Longer values of a TIFF are no sizes, and no page has more fields."""

_MOST_CHECKED_PAGES = 50_000


class _Field(NamedTuple):
    """One field of a TIFF directory; its values are `length` bytes from `begin` on."""

    tag: int
    kind: int
    begin: int
    length: int


@dataclass(frozen=True)
class _Tiff:
    """A TIFF, its byte order, and the `struct` codes of a count of fields and of an offset."""

    stream: BinaryIO
    order: str
    count: str
    offset: str

    def read_numbers(self, code: str, position: int, length: int) -> Sequence[int]:
        """Return the numbers at a position, without those beyond the end of the file."""
        return unpack_numbers(self.order, code, read_at(self.stream, position, length))

    def read_number(self, code: str, position: int) -> int:
        """Return the number at a position, 0 if the file ends before."""
        return next(iter(self.read_numbers(code, position, struct.calcsize("<" + code))), 0)


def _open_tiff(stream: BinaryIO) -> tuple[_Tiff, int]:
    """Return a TIFF, and the position of its first directory."""
    start = read_at(stream, 0, 4)
    big = b"+" in start[2:]
    order = "<" if start.startswith(b"II") else ">"
    tiff = _Tiff(stream, order, *(("Q", "Q") if big else ("H", "L")))
    return tiff, tiff.read_number(tiff.offset, 8 if big else 4)


def tiff_damage(stream: BinaryIO) -> str:
    """The directories of a TIFF list all positions; none may be beyond the end of the file."""
    size = count_bytes(stream)
    tiff, position = _open_tiff(stream)
    if not position:
        return END_MISSING
    for count, place in enumerate(_directories(tiff, position)):
        if count == _MOST_CHECKED_PAGES:
            return "it has more pages than any real image"
        if _directory_end(tiff, place, size) > size:
            return END_MISSING
    return ""


def _directories(tiff: _Tiff, position: int) -> Iterator[int]:
    """Yield the positions of all directories from one on; of a chain in a loop, it ends.

    A chain may have very many, so they are not kept: a loop is found by the position that was met
    last at a power of two (Brent, An improved Monte Carlo factorization algorithm, 1980).
    """
    met = count = 0
    while position and position != met:
        if count & (count + 1) == 0:
            met = position
        count += 1
        yield position
        position = _next_directory(tiff, position)


def _directory_end(tiff: _Tiff, position: int, size: int) -> int:
    """Given a directory's position, return where its content ends."""
    count, width = tiff.read_number(tiff.count, position), struct.calcsize("<" + tiff.offset)
    first = position + struct.calcsize("<" + tiff.count)
    last = first + count * (4 + 2 * width)
    if last + width > size:
        return last + width
    places = range(first, last, 4 + 2 * width)
    found = (_tiff_field(tiff, place, width) for place in places)
    fields = {field.tag: field for field in found}
    end = max((field.begin + field.length for field in fields.values()), default=0)
    if end <= size:
        end = max(end, max(_tiff_pixels(tiff, fields), default=0))
    return end


def _next_directory(tiff: _Tiff, position: int) -> int:
    """Given a directory's position, return that of the next one, 0 if it is the last."""
    step = 4 + 2 * struct.calcsize("<" + tiff.offset)
    first = position + struct.calcsize("<" + tiff.count)
    return tiff.read_number(tiff.offset, first + tiff.read_number(tiff.count, position) * step)


def _tiff_field(tiff: _Tiff, place: int, width: int) -> _Field:
    tag, kind = tiff.read_numbers("H", place, 4)
    length = tiff.read_number(tiff.offset, place + 4) * _TIFF_VALUE_BYTES.get(kind, 1)
    inline = place + 4 + width
    begin = inline if length <= width else tiff.read_number(tiff.offset, inline)
    return _Field(tag, kind, begin, length)


def _tiff_pixels(tiff: _Tiff, fields: Mapping[int, _Field]) -> Iterator[int]:
    """Yield the end position of each strip and tile."""
    for begins, lengths in _TIFF_PIXELS:
        if begins in fields and lengths in fields:
            pairs = (_tiff_values(tiff, fields[begins]), _tiff_values(tiff, fields[lengths]))
            yield from map(sum, zip(*pairs, strict=False))


def _tiff_values(tiff: _Tiff, field: _Field) -> Iterator[int]:
    """Yield a field's numbers; a page may have millions of strips."""
    if code := {3: "H", 4: "L", 5: "L", 16: "Q"}.get(field.kind):
        yield from iterate_numbers(tiff.stream, tiff.order, code, field.begin, field.length)


def read_tiff_values(stream: BinaryIO) -> dict[int, tuple[int, ...]]:
    """Given a TIFF, return the short numeric fields of its first page by tag.

    A fraction gives two numbers.
    """
    tiff, position = _open_tiff(stream)
    return _short_values(tiff, _tiff_fields(tiff, position))


def _short_values(tiff: _Tiff, fields: Iterable[_Field]) -> dict[int, tuple[int, ...]]:
    return {
        field.tag: tuple(_tiff_values(tiff, field))
        for field in fields
        if field.length <= _SHORT_BYTES
    }


class Piece(NamedTuple):
    """A strip or tile of a page: where it is, its length, and its bytes once it is unpacked."""

    begin: int
    length: int
    unpacked: int


_MOST_PAGES = 10_000
"""Of these the pixels are looked at."""

_GRAY, _YCBCR = 1, 6


def iterate_pieces(stream: BinaryIO, compressions: Collection[int]) -> Iterator[Piece]:
    """Given a TIFF, yield the pieces of all pages that are compressed in one of these ways.

    Pages whose colours are sampled otherwise than its pixels are left out.
    """
    tiff, position = _open_tiff(stream)
    for place in itertools.islice(_directories(tiff, position), _MOST_PAGES):
        fields = {field.tag: field for field in _tiff_fields(tiff, place)}
        short = _short_values(tiff, fields.values())
        first = {tag: values[0] for tag, values in short.items() if values}
        if first.get(259) in compressions and first.get(262, _GRAY) != _YCBCR:
            yield from _page_pieces(tiff, fields, first)


def _page_pieces(
    tiff: _Tiff, fields: Mapping[int, _Field], first: Mapping[int, int]
) -> Iterator[Piece]:
    begins, lengths = _TIFF_PIXELS[324 in fields]
    if begins not in fields or lengths not in fields:
        return
    is_planar = first.get(284) == 2
    bits = first.get(258, 1) * (1 if is_planar else first.get(277, 1))
    rows = first.get(257, 0)
    if 324 in fields:
        row = -(-first.get(322, 0) * bits // 8)
        sizes: Iterator[int] = itertools.repeat(first.get(323, 0) * row)
    else:
        height = max(1, min(rows, first.get(278, rows)))
        sizes = _strip_bytes(rows, height, -(-first.get(256, 0) * bits // 8))
    places = zip(*(_tiff_values(tiff, fields[tag]) for tag in (begins, lengths)), strict=False)
    for (begin, length), size in zip(places, sizes, strict=False):
        yield Piece(begin, length, size)


def _strip_bytes(rows: int, height: int, row: int) -> Iterator[int]:
    """Yield the unpacked bytes of strips of some height, again for each plane of the page."""
    while rows:
        for top in range(0, rows, height):
            yield min(height, rows - top) * row


def _tiff_fields(tiff: _Tiff, position: int) -> list[_Field]:
    count, width = tiff.read_number(tiff.count, position), struct.calcsize("<" + tiff.offset)
    first, step = position + struct.calcsize("<" + tiff.count), 4 + 2 * width
    last = min(first + min(count, _MOST_FIELDS) * step, count_bytes(tiff.stream) - step + 1)
    return [_tiff_field(tiff, place, width) for place in range(first, last, step)]


def count_strip_bytes(stream: BinaryIO) -> int | None:
    """Given a TIFF, return the bytes of all strips of its first page; None without strips."""
    tiff, position = _open_tiff(stream)
    fields = {field.tag: field for field in _tiff_fields(tiff, position)}
    return sum(_tiff_values(tiff, fields[279])) if 279 in fields else None
