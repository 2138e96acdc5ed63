"""The pages of a TIFF with all their fields, as far as they can be trusted."""

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from gcwatch.imaging.checks.streams import count_bytes, iterate_numbers, read_at
from gcwatch.imaging.codestreams.errors import CantScrub

_KIND_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8} | {
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_CODES = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q", 18: "Q"}
_MOST_PAGES, _MOST_FIELDS, _MOST_BYTES = 10_000, 4096, 64 * 1024 * 1024


@dataclass(frozen=True)
class Field:
    """A field: the number of its type, how many values it has, and where they are."""

    kind: int
    count: int
    begin: int

    @property
    def length(self) -> int:
        """Bytes of all values."""
        return self.count * _KIND_BYTES[self.kind]


@dataclass(frozen=True)
class Page:
    """A page, with its fields by tag, and where its directory begins and ends."""

    fields: Mapping[int, Field]
    directory: tuple[int, int] = (0, 0)

    @property
    def is_tiled(self) -> bool:
        """Whether its pixels are in tiles, as those of slides are."""
        return 324 in self.fields


@dataclass(frozen=True)
class Tiff:
    """A TIFF with its byte order and the bytes of an offset; `header` is that of a new file."""

    stream: BinaryIO
    order: str
    width: int

    @property
    def header(self) -> bytes:
        """The first bytes of a file of this kind, with an offset of 0."""
        mark = b"II" if self.order == "<" else b"MM"
        numbers = (42,) if self.width == 4 else (43, 8, 0)
        return mark + struct.pack(f"{self.order}{len(numbers)}H", *numbers) + bytes(self.width)

    def pack_offset(self, number: int) -> bytes:
        """Return an offset, or a count of values, as the file has it."""
        return struct.pack(self.order + self.offset_code, self.check_offset(number))

    @property
    def offset_code(self) -> str:
        """The code of `struct` for an offset."""
        return "L" if self.width == 4 else "Q"

    def check_offset(self, number: int) -> int:
        """Return an offset, raise CantScrub if a file of this kind has no such place."""
        if number >= 1 << (8 * self.width):
            raise CantScrub("it is too large for a TIFF")
        return number

    def pack_count(self, number: int) -> bytes:
        """Return the count of a page's fields."""
        return struct.pack(self.order + ("H" if self.width == 4 else "Q"), number)

    def read(self, field: Field) -> bytes:
        """Return the bytes of a field's values."""
        if field.length > _MOST_BYTES:
            raise CantScrub("a value of it is too long")
        data = read_at(self.stream, field.begin, field.length)
        if len(data) < field.length:
            raise CantScrub("its end is missing")
        return data

    def read_jpeg(self, field: Field, copy: Callable[[BinaryIO, BinaryIO], None]) -> bytes:
        """Return a JPEG that is in a field, as `copy` cleans it."""
        target = io.BytesIO()
        copy(io.BytesIO(self.read(field)), target)
        return target.getvalue()

    def count(self, page: Page, tag: int) -> int:
        """Return how many whole numbers a field has, 0 if the page has no such field."""
        field = page.fields.get(tag)
        return field.count if field and field.kind in _CODES else 0

    def numbers(self, page: Page, tag: int) -> Iterator[int]:
        """Yield the whole numbers of a field; a page may have millions of strips."""
        field = page.fields.get(tag)
        if field is None or field.kind not in _CODES:
            return
        if field.length > _MOST_BYTES:
            raise CantScrub("a value of it is too long")
        code, place = _CODES[field.kind], (field.begin, field.length)
        yield from iterate_numbers(self.stream, self.order, code, *place)

    def number(self, page: Page, tag: int, default: int = 0) -> int:
        """Return the first number of a field."""
        return next(self.numbers(page, tag), default)

    def size(self, page: Page) -> tuple[int, int]:
        """Return a page's columns and lines."""
        return self.number(page, 256), self.number(page, 257)

    def layout(self, page: Page) -> "Layout":
        """Return how the pixels of a page are compressed, and how many each piece has."""
        samples = self.number(page, 277, 1) if self.number(page, 284, 1) == 1 else 1
        columns, lines = self.size(page)
        step, pieces = lines, 1
        if page.is_tiled:
            columns, step = self.number(page, 322), self.number(page, 323)
            lines = step
        else:
            step = min(lines, self.number(page, 278, lines)) or 1
            pieces = -(-lines // step) or 1
        bits = max(self.numbers(page, 258), default=1)
        line = -(-columns * bits * samples // 8)
        last = line * (lines - step * (pieces - 1))
        return Layout(self.number(page, 259, 1), line * step, last, pieces)


class Layout(NamedTuple):
    """The compression of a page, and the bytes of its strips or tiles without compression.

    `last` are those of the last of each `pieces` strips, which may have fewer lines.
    """

    compression: int
    each: int
    last: int
    pieces: int

    def size(self, number: int) -> int:
        """Return the bytes of a strip or tile, counted from 0."""
        return self.last if number % self.pieces == self.pieces - 1 else self.each


def read_pages(stream: BinaryIO) -> tuple[Tiff, list[Page]]:
    """Given a TIFF, return it and its pages; raise CantScrub if their chain is damaged."""
    start = read_at(stream, 0, 16)
    is_big = b"+" in start[2:4]
    tiff = Tiff(stream, "<" if start.startswith(b"II") else ">", 8 if is_big else 4)
    code = tiff.order + ("Q" if is_big else "L")
    if len(start) < 16:
        raise CantScrub("its end is missing")
    (place,) = struct.unpack_from(code, start, 8 if is_big else 4)
    pages: list[Page] = []
    seen = set[int]()
    while place:
        if place in seen or len(pages) >= _MOST_PAGES:
            raise CantScrub("its pages go round in a circle, or are too many")
        seen.add(place)
        page, place = _read_page(tiff, place)
        pages.append(page)
    if not pages:
        raise CantScrub("it has no page")
    return tiff, pages


def _read_page(tiff: Tiff, place: int) -> tuple[Page, int]:
    """Return a page and where the next one is."""
    head = "H" if tiff.width == 4 else "Q"
    step, first = 4 + 2 * tiff.width, place + (2 if tiff.width == 4 else 8)
    count = _unpack(tiff, head, place)
    if count > _MOST_FIELDS:
        raise CantScrub("a page of it has too many fields")
    entries = read_at(tiff.stream, first, count * step)
    if len(entries) < count * step:
        raise CantScrub("its end is missing")
    fields: dict[int, Field] = {}
    for number in range(count):
        field, tag = _field(
            tiff, entries[number * step : (number + 1) * step], first + number * step
        )
        if field is not None:
            fields.setdefault(tag, field)
    end = first + count * step
    following = _unpack(tiff, "L" if tiff.width == 4 else "Q", end)
    return Page(fields, (place, end + tiff.width)), following


def _field(tiff: Tiff, entry: bytes, place: int) -> tuple[Field | None, int]:
    code = "L" if tiff.width == 4 else "Q"
    tag, kind, count, value = struct.unpack(f"{tiff.order}HH{code}{code}", entry)
    if kind not in _KIND_BYTES:
        return None, tag
    is_inline = count * _KIND_BYTES[kind] <= tiff.width
    begin = place + 4 + tiff.width if is_inline else value
    if not is_inline and begin + count * _KIND_BYTES[kind] > count_bytes(tiff.stream):
        raise CantScrub("its end is missing")
    return Field(kind, count, begin), tag


def _unpack(tiff: Tiff, code: str, place: int) -> int:
    layout = struct.Struct(tiff.order + code)
    data = read_at(tiff.stream, place, layout.size)
    if len(data) < layout.size:
        raise CantScrub("its end is missing")
    (number,) = layout.unpack(data)
    return int(number)
