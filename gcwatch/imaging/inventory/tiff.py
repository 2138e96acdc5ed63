"""What TIFF and EXIF hold: the fields of each page, its pixels, and bytes of no page."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, cast

from gcwatch.core.text import count_noun
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.inventory.parts import Part, data_part, read_pieces, rest_part, text_part
from gcwatch.imaging.scrub.tiff import copy_segment, iterate_segments
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
_TEXT, _DATA = 2, 7
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


class _Digest:
    """A target of which only the digest and the length are kept."""

    def __init__(self) -> None:
        self.total, self.length = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        self.total.update(data)
        self.length += len(data)
        return len(data)


def _pixel_parts(tiff: Tiff, page: Page) -> Iterator[Part]:
    """Yield the pixels of a page, and how much beside them is in their strips or tiles."""
    target, stored, layout = _Digest(), 0, tiff.layout(page)
    for number, (begin, length) in enumerate(_segments(tiff, page)):
        stored += length
        try:
            if length:
                copy_segment(tiff, layout, number, (begin, length), cast("BinaryIO", target))
        except CantScrub:  # such a page does not go out
            for data in read_pieces(tiff.stream, begin, length):
                target.write(data)
    columns, lines = tiff.size(page)
    yield Part(f"TIFF page of {columns} x {lines} pixels", target.total.digest(), "the picture")
    yield from rest_part("TIFF bytes beside pixels", stored - target.length)


def _segments(tiff: Tiff, page: Page) -> Iterable[tuple[int, int]]:
    try:
        return iterate_segments(tiff, page)
    except CantScrub:
        return []
