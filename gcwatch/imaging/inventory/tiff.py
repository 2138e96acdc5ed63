"""What TIFF and EXIF hold: the fields of each page, its pixels, and bytes of no page."""

import hashlib
import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from gcwatch.core.text import count_noun
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.inventory.parts import Part, data_part, read_pieces, rest_part, text_part
from gcwatch.imaging.scrub.jpeg import copy_jpeg
from gcwatch.imaging.scrub.streaming import seek_within
from gcwatch.imaging.scrub.tiff import list_segments
from gcwatch.imaging.scrub.tiff_pages import Page, Tiff, read_pages

_NAMES: Final = {
    254: "NewSubfileType",
    256: "ImageWidth",
    257: "ImageLength",
    258: "BitsPerSample",
    259: "Compression",
    262: "PhotometricInterpretation",
    269: "DocumentName",
    270: "ImageDescription",
    271: "Make",
    272: "Model",
    274: "Orientation",
    277: "SamplesPerPixel",
    278: "RowsPerStrip",
    282: "XResolution",
    283: "YResolution",
    284: "PlanarConfiguration",
    285: "PageName",
    296: "ResolutionUnit",
    305: "Software",
    306: "DateTime",
    315: "Artist",
    316: "HostComputer",
    317: "Predictor",
    320: "ColorMap",
    322: "TileWidth",
    323: "TileLength",
    330: "SubIFDs",
    338: "ExtraSamples",
    339: "SampleFormat",
    347: "JPEGTables",
    513: "thumbnail",
    700: "XMP",
    33432: "Copyright",
    33723: "IPTC",
    34377: "Photoshop",
    34665: "camera data",
    34675: "ICC profile",
    34853: "GPS",
}
_PLACES: Final = frozenset({273, 279, 324, 325})
"""Fields that say where pixels are: they change with every copy."""
_TEXT, _JPEG, _DATA = 2, 7, 7
_LONGEST_NUMBERS = 256


def tiff_parts(stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of a TIFF; raise CantScrub if it is damaged."""
    tiff, pages = read_pages(stream)
    for page in pages:
        yield from _field_parts("TIFF", tiff, page)
        yield from _pixel_parts(tiff, page)
    yield from rest_part("bytes of the TIFF that no page refers to", _count_unused(tiff, pages))


def exif_parts(name: str, stream: BinaryIO) -> Iterator[Part]:
    """Yield the parts of an EXIF block, which has the form of a TIFF without pixels."""
    try:
        tiff, pages = read_pages(stream)
        parts = [part for page in pages for part in _field_parts(name, tiff, page)]
        parts += rest_part(f"{name}, bytes of no field", _count_unused(tiff, pages))
    except CantScrub:
        stream.seek(0)
        parts = [data_part(name, [stream.read()])]
    yield from parts


def _count_unused(tiff: Tiff, pages: list[Page]) -> int:
    """Return how many bytes are in no header, directory, value, strip or tile."""
    used = [(0, len(tiff.header)), *(page.directory for page in pages)]
    for page in pages:
        fields = page.fields.values()
        used += [(each.begin, each.begin + each.length) for each in fields]
        used += [(begin, begin + length) for begin, length in _segments(tiff, page)]
    unused = at = 0
    for begin, end in [*sorted(used), (count_bytes(tiff.stream),) * 2]:
        gap = begin - at
        # One byte may be needed to put a value at an even place.
        unused += gap if gap > 1 or (gap == 1 and at % 2 == 0) else 0
        at = max(at, end)
    return unused


def _field_parts(name: str, tiff: Tiff, page: Page) -> Iterator[Part]:
    for tag, field in page.fields.items():
        if tag in _PLACES:
            continue
        place = f"{name} {_NAMES.get(tag, f'tag {tag}')}"
        data = tiff.read(field)
        if field.kind in {_TEXT, _DATA}:
            yield text_part(place, data)
        elif field.count == 1 or field.length <= _LONGEST_NUMBERS:
            numbers = tiff.numbers(page, tag)
            told = ", ".join(map(str, numbers))
            yield Part(place, told.encode() or data, told or count_noun(len(data), "byte"))
        else:
            yield data_part(place, [data])


def _pixel_parts(tiff: Tiff, page: Page) -> Iterator[Part]:
    """Yield the pixels of a page; of JPEG also how much of it is no picture."""
    total, extra = hashlib.sha256(), 0
    most = tiff.segment_bytes(page) if tiff.number(page, 259, 1) == 1 else 0
    for begin, length in _segments(tiff, page):
        if tiff.number(page, 259, 1) == _JPEG and length:
            clean = io.BytesIO()
            seek_within(tiff.stream, begin)
            copy_jpeg(tiff.stream, clean)
            total.update(clean.getvalue())
            extra += length - len(clean.getvalue())
            continue
        used = min(length, most) if most else length
        extra += length - used
        for data in read_pieces(tiff.stream, begin, used):
            total.update(data)
    columns, lines = tiff.size(page)
    yield Part(f"TIFF page of {columns} x {lines} pixels", total.digest(), "the picture")
    yield from rest_part("TIFF bytes beside pixels", extra)


def _segments(tiff: Tiff, page: Page) -> list[tuple[int, int]]:
    try:
        return list_segments(tiff, page)
    except CantScrub:
        return []
