"""The directories of a TIFF: what its pages say of themselves, and whether the file holds it."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from gcwatch.imaging.checks.streams import END_MISSING, count_bytes, read_at

_TIFF_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a TIFF value, by the number of its type; other types have 1 byte."""


_TIFF_PIXELS = ((273, 279), (324, 325))
"""Tags with the offsets and lengths of strips, and of tiles."""

_SHORT_BYTES, _MOST_FIELDS = 64, 4096
"""Longer values of a TIFF are no sizes, and no page has more fields."""


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

    def read_numbers(self, code: str, position: int, length: int) -> tuple[int, ...]:
        """Return the numbers at a position, without those beyond the end of the file."""
        layout = struct.Struct(self.order + code)
        data = read_at(self.stream, position, length)
        whole = data[: len(data) // layout.size * layout.size]
        return tuple(number for (number,) in layout.iter_unpack(whole))

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
    seen = set[int]()
    while position and position not in seen:
        seen.add(position)
        end, position = _tiff_directory(tiff, position, size)
        if end > size:
            return END_MISSING
    return ""


def _tiff_directory(tiff: _Tiff, position: int, size: int) -> tuple[int, int]:
    """Given a directory's position, return where its content ends, and the next directory."""
    count, width = tiff.read_number(tiff.count, position), struct.calcsize("<" + tiff.offset)
    first = position + struct.calcsize("<" + tiff.count)
    last = first + count * (4 + 2 * width)
    if last + width > size:
        return last + width, 0
    places = range(first, last, 4 + 2 * width)
    found = (_tiff_field(tiff, place, width) for place in places)
    fields = {field.tag: field for field in found}
    ends = [field.begin + field.length for field in fields.values()]
    if max(ends, default=0) <= size:
        ends.extend(_tiff_pixels(tiff, fields))
    return max(ends, default=0), tiff.read_number(tiff.offset, last)


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


def _tiff_values(tiff: _Tiff, field: _Field) -> tuple[int, ...]:
    code = {3: "H", 4: "L", 5: "L", 16: "Q"}.get(field.kind)
    return tiff.read_numbers(code, field.begin, field.length) if code else ()


def read_tiff_values(stream: BinaryIO) -> dict[int, tuple[int, ...]]:
    """Given a TIFF, return the short numeric fields of its first page by tag.

    A fraction gives two numbers.
    """
    tiff, position = _open_tiff(stream)
    fields = _tiff_fields(tiff, position)
    return {
        field.tag: _tiff_values(tiff, field) for field in fields if field.length <= _SHORT_BYTES
    }


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
