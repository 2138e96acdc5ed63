"""TIFF and BigTIFF: pages are written anew with the numbers that make their pixels.

Descriptions, dates, names of people, machines and software, EXIF, GPS and tags of vendors go; so
do all bytes that no page refers to. Of a file with tiles, pages of another shape than the first
page's (a slide's label, its macro image) go as well.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.imaging.checks.streams import count_bytes, pack_numbers, zeros
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.codestreams.jpeg_2000 import blank_jpeg_2000
from gcwatch.imaging.codestreams.run_lengths import find_end
from gcwatch.imaging.scrub.icc import clean_profile
from gcwatch.imaging.scrub.jpeg import copy_jpeg
from gcwatch.imaging.scrub.streaming import Write, copy_exactly, find_zlib_end, seek_within
from gcwatch.imaging.scrub.tiff_pages import Layout, Page, Tiff, read_pages
from gcwatch.imaging.scrub.tiff_text import clean_description

_KEPT = frozenset(
    {
        *(254, 255, 256, 257, 258, 259, 262, 263, 266, 274, 277, 278, 280, 281, 282, 283, 284),
        *(286, 287, 290, 291, 292, 293, 296, 297, 317, 318, 319, 320, 321, 322, 323, 332, 334),
        *(338, 339, 340, 341, 529, 530, 531, 532, 32997, 32998),
    }
)
"""Tags with numbers that make the picture."""

_DESCRIPTION, _JPEG_TABLES, _SUB_PAGES, _ICC = 270, 347, 330, 34675
_SEGMENTS = ((324, 325), (273, 279))
_JPEG, _PLAIN, _RUN_LENGTHS = 7, 1, 32773
_DEFLATE, _JPEG_2000 = frozenset({8, 32946}), frozenset({33003, 33005, 34712})
_COMPRESSIONS = frozenset({_PLAIN, 2, 3, 4, 5, _JPEG, _RUN_LENGTHS, *_DEFLATE, *_JPEG_2000})
"""Fax and LZW among them; others, such as WebP, have places for texts."""
_MOST_SEGMENT_BYTES = 64 << 20
"""Of a strip or tile that is held in memory."""
_MOST_SEGMENTS = 2 << 20
"""Of a page; a slide of 200,000 x 200,000 pixels has 610,000 tiles."""
_MOST_VALUE_BYTES = 1 << 20
_NDPI_TAG, _XMP = 65420, 700


def scrub_tiff(stream: BinaryIO) -> Write:
    """Given a TIFF, return what writes its clean copy to a target that can seek."""
    tiff, pages = read_pages(stream)
    first = pages[0]
    if _NDPI_TAG in first.fields:
        raise CantScrub("it is a slide in the form of its scanner's vendor", "ndpi")
    if _XMP in first.fields and b"iScan" in tiff.read(first.fields[_XMP]):
        raise CantScrub("it is a slide in the form of its scanner's vendor", "bif")
    kept = [page for page in pages if page is first or _is_level(tiff, first, page)]
    if sum(_stored_bytes(tiff, page) for page in kept) > count_bytes(stream):
        raise CantScrub("its pages share their pixels")

    texts = [_description(tiff, page) for page in kept]  # some tell a vendor's form

    def write(target: BinaryIO) -> None:
        _Writer(tiff, target).write(kept, texts)

    return write


def _is_level(tiff: Tiff, first: Page, page: Page) -> bool:
    """Whether a page goes out: of a file with tiles, only levels of the first page's image."""
    if not first.is_tiled:
        return True
    if not page.is_tiled:
        return False
    (width, height), (across, down) = tiff.size(first), tiff.size(page)
    tile = max(tiff.number(page, 322), tiff.number(page, 323), 1)
    # Levels are rounded, or filled up to a whole tile.
    ratio = max(width / max(across, 1), 1.0)
    return abs(down - height / ratio) <= max(2.0, tile * (across % tile == 0 == down % tile))


def _stored_bytes(tiff: Tiff, page: Page) -> int:
    return sum(length for _, length in iterate_segments(tiff, page))


def iterate_segments(tiff: Tiff, page: Page) -> Iterator[tuple[int, int]]:
    """Return where the strips or tiles of a page are, and their lengths."""
    begins, lengths = _segment_tags(page)
    if _count_segments(tiff, page) != tiff.count(page, begins):
        raise CantScrub("its list of pixels is damaged")
    return zip(tiff.numbers(page, begins), tiff.numbers(page, lengths), strict=False)


def _count_segments(tiff: Tiff, page: Page) -> int:
    count = tiff.count(page, _segment_tags(page)[1])
    if count > _MOST_SEGMENTS:
        raise CantScrub("a page of it has too many strips or tiles")
    return count


def _segment_tags(page: Page) -> tuple[int, int]:
    """Return the tags of the places and the lengths of a page's strips or tiles."""
    for begins, lengths in _SEGMENTS:
        if begins in page.fields and lengths in page.fields:
            return begins, lengths
    raise CantScrub("a page of it has no pixels")


def _description(tiff: Tiff, page: Page) -> bytes:
    """Return what is kept of a page's description."""
    field = page.fields.get(_DESCRIPTION)
    return clean_description(tiff.read(field), tiff.size(page)) if field else b""


def copy_segment(
    tiff: Tiff, layout: Layout, number: int, place: tuple[int, int], target: BinaryIO
) -> None:
    """Copy a page's strip or tile, counted from 0, without what is behind its end.

    `place` is where it begins, and its length.
    """
    compression, held = layout.compression, layout.size(number)
    begin, length = place
    seek_within(tiff.stream, begin)
    if compression not in _COMPRESSIONS:
        raise CantScrub(f"its compression {compression} is unusual")
    if compression == _JPEG:
        copy_jpeg(tiff.stream, target)
    elif compression == _RUN_LENGTHS:
        data = _read_whole(tiff.stream, length)
        target.write(data[: find_end(data, 0, held)])
    elif compression in _JPEG_2000:
        data = _read_whole(tiff.stream, length)
        blank_jpeg_2000(data)
        target.write(data)
    else:
        if compression in _DEFLATE:
            length = find_zlib_end(tiff.stream, length, held)
            tiff.stream.seek(begin)
        used = min(length, held) if compression == _PLAIN else length
        copy_exactly(tiff.stream, target, used)


def _read_whole(stream: BinaryIO, length: int) -> bytearray:
    if length > _MOST_SEGMENT_BYTES:
        raise CantScrub("a strip or tile of it is too large")
    data = bytearray(stream.read(length))
    if len(data) < length:
        raise CantScrub("its end is missing")
    return data


@dataclass
class _Writer:
    """Writes pages one after the other: pixels, values, directory."""

    tiff: Tiff
    target: BinaryIO

    def write(self, pages: list[Page], texts: list[bytes]) -> None:
        self.target.write(self.tiff.header)
        link = len(self.tiff.header) - self.tiff.width
        for page, text in zip(pages, texts, strict=True):
            place, next_link = self._write_page(page, text)
            self.target.seek(link)
            self.target.write(self.tiff.pack_offset(place))
            self.target.seek(0, 2)
            link = next_link

    def _write_page(self, page: Page, text: bytes) -> tuple[int, int]:
        """Write a page; return where its directory is, and where the next one's place belongs."""
        entries = self._kept_values(page)
        if text:
            entries[_DESCRIPTION] = (2, len(text) + 1, text + b"\0")
        tags = _SEGMENTS[0] if page.is_tiled else _SEGMENTS[1]
        pixels = dict(zip(tags, self._copy_pixels(page), strict=True))
        placed = {}
        for tag in sorted({*entries, *pixels}):
            entry = self._packed(pixels[tag]) if tag in pixels else entries[tag]
            placed[tag] = self._place_value(*entry)
        self._align()
        place = self.target.tell()
        self.target.write(self.tiff.pack_count(len(placed)))
        for tag, (kind, count, value) in placed.items():
            self.target.write(struct.pack(self.tiff.order + "HH", tag, kind))
            self.target.write(self.tiff.pack_offset(count) + value)
        link = self.target.tell()
        self.target.write(self.tiff.pack_offset(0))
        return place, link

    def _kept_values(self, page: Page) -> dict[int, tuple[int, int, bytes]]:
        kept = {}
        for tag, field in page.fields.items():
            if tag in _KEPT and field.kind not in {2, 6, 7}:
                if field.length > _MOST_VALUE_BYTES:
                    raise CantScrub(f"the value of its tag {tag} is too long")
                kept[tag] = (field.kind, field.count, self.tiff.read(field))
        if _ICC in page.fields:
            profile = self.tiff.read(page.fields[_ICC])
            if new := clean_profile(profile):
                kept[_ICC] = (7, len(new), new)
        if _JPEG_TABLES in page.fields:
            tables = self.tiff.read_jpeg(page.fields[_JPEG_TABLES], copy_jpeg)
            kept[_JPEG_TABLES] = (7, len(tables), tables)
        return kept

    def _copy_pixels(self, page: Page) -> "tuple[array[int], array[int]]":
        code, layout = self.tiff.offset_code, self.tiff.layout(page)
        if not layout.each:
            raise CantScrub("its strips or tiles have no size")
        count = _count_segments(self.tiff, page)
        begins, lengths = zeros(code, count), zeros(code, count)
        for number, (begin, length) in enumerate(iterate_segments(self.tiff, page)):
            self._align()
            place = self.target.tell()
            if length:
                copy_segment(self.tiff, layout, number, (begin, length), self.target)
            begins[number] = place if length else 0
            lengths[number] = self.tiff.check_offset(self.target.tell()) - place
        return begins, lengths

    def _packed(self, numbers: "array[int]") -> tuple[int, int, bytes]:
        """Return places or lengths of pixels as a field's kind, count and bytes."""
        kind = 16 if self.tiff.width == 8 else 4
        return kind, len(numbers), pack_numbers(self.tiff.order, numbers)

    def _place_value(self, kind: int, count: int, data: bytes) -> tuple[int, int, bytes]:
        if len(data) <= self.tiff.width:
            return kind, count, data.ljust(self.tiff.width, b"\0")
        self._align()
        place = self.target.tell()
        self.target.write(data)
        return kind, count, self.tiff.pack_offset(place)

    def _align(self) -> None:
        if self.target.tell() % 2:
            self.target.write(b"\0")
