"""Recognises a file's format by its first bytes, and damage by the format's own structure.

A file that readers can open is never called damaged; a damaged file may be missed. Nothing is
decompressed, and memory use does not depend on a file's size.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from gcwatch.core.text import count_noun
from gcwatch.files.atomic import BUFFER_BYTES

START_BYTES = 4096
"""Bytes from a file's start that are enough to recognise its format."""

END_MISSING = "its end is missing"

_PDF_TAIL_BYTES = 4096
"""The end mark of a PDF must be within its last bytes; readers require 1024."""

_NEWICK_BYTES = 16 * 1024 * 1024
"""The brackets of larger trees are not count_noun."""

Damage = Callable[[BinaryIO], str]


def _starts_with(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(magic)


def _no_check(_: BinaryIO) -> str:
    return ""


def _count_bytes(stream: BinaryIO) -> int:
    return stream.seek(0, 2)


def _read_at(stream: BinaryIO, position: int, count: int) -> bytes:
    """Return `count` bytes from a position on, fewer at the end of the file."""
    # The position was read from the file itself, so it may be any number.
    stream.seek(max(0, min(position, _count_bytes(stream))))
    return stream.read(count)


# --- pictures ----------------------------------------------------------------------------------


def _png_damage(stream: BinaryIO) -> str:
    """A PNG is a chain of chunks; the last one is called IEND."""
    position = 8
    while len(head := _read_at(stream, position, 8)) == 8:
        length, kind = struct.unpack(">L4s", head)
        if position + 12 + length > _count_bytes(stream):
            return END_MISSING
        if _png_checksum(stream, kind, position + 8, length):
            return f"the checksum of its part {kind.decode('latin-1')} is wrong"
        position += 12 + length
        if kind == b"IEND":
            return ""
    return END_MISSING


def _png_checksum(stream: BinaryIO, kind: bytes, begin: int, length: int) -> bool:
    """Whether the checksum of a part is wrong; it covers the part's name, too."""
    stream.seek(begin)
    total = zlib.crc32(kind)
    while length and (data := stream.read(min(length, BUFFER_BYTES))):
        total = zlib.crc32(data, total)
        length -= len(data)
    return stream.read(4) != total.to_bytes(4)


def _jpeg_damage(stream: BinaryIO) -> str:
    """A JPEG is a chain of segments, then pixels, then FFD9; a thumbnail is within a segment."""
    stream.seek(2)
    while (marker := _jpeg_marker(stream)) != 0xDA:
        length = int.from_bytes(stream.read(2))
        if marker is None or length < 2:
            return END_MISSING
        stream.seek(length - 2, 1)
    return "" if _contains(stream, b"\xff\xd9", stream.tell()) else END_MISSING


def _jpeg_marker(stream: BinaryIO) -> int | None:
    if stream.read(1) != b"\xff":
        return None
    while (byte := stream.read(1)) == b"\xff":
        pass  # any number of FF bytes may precede a marker
    return byte[0] if byte else None


def _contains(stream: BinaryIO, wanted: bytes, begin: int = 0) -> bool:
    """Whether these bytes are anywhere from `begin` on."""
    stream.seek(begin)
    last = b""
    while data := stream.read(BUFFER_BYTES):
        if wanted in last + data:
            return True
        last = (last + data)[-len(wanted) :]
    return False


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
        data = _read_at(self.stream, position, length)
        whole = data[: len(data) // layout.size * layout.size]
        return tuple(number for (number,) in layout.iter_unpack(whole))

    def read_number(self, code: str, position: int) -> int:
        """Return the number at a position, 0 if the file ends before."""
        return next(iter(self.read_numbers(code, position, struct.calcsize("<" + code))), 0)


def _open_tiff(stream: BinaryIO) -> tuple[_Tiff, int]:
    """Return a TIFF, and the position of its first directory."""
    start = _read_at(stream, 0, 4)
    big = b"+" in start[2:]
    order = "<" if start.startswith(b"II") else ">"
    tiff = _Tiff(stream, order, *(("Q", "Q") if big else ("H", "L")))
    return tiff, tiff.read_number(tiff.offset, 8 if big else 4)


def _tiff_damage(stream: BinaryIO) -> str:
    """The directories of a TIFF list all positions; none may be beyond the end of the file."""
    size = _count_bytes(stream)
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
    last = min(first + min(count, _MOST_FIELDS) * step, _count_bytes(tiff.stream) - step + 1)
    return [_tiff_field(tiff, place, width) for place in range(first, last, step)]


def count_strip_bytes(stream: BinaryIO) -> int | None:
    """Given a TIFF, return the bytes of all strips of its first page; None without strips."""
    tiff, position = _open_tiff(stream)
    fields = {field.tag: field for field in _tiff_fields(tiff, position)}
    return sum(_tiff_values(tiff, fields[279])) if 279 in fields else None


# --- documents, films, archives, databases -----------------------------------------------------


def _pdf_damage(stream: BinaryIO) -> str:
    tail = _read_at(stream, max(0, _count_bytes(stream) - _PDF_TAIL_BYTES), _PDF_TAIL_BYTES)
    return "" if b"%%EOF" in tail or b"startxref" in tail else END_MISSING


def _mp4_damage(stream: BinaryIO) -> str:
    """An MP4 is a chain of boxes; the box moov is needed to play it."""
    size, position, found = _count_bytes(stream), 0, set()
    while position < size:
        length, kind = _mp4_box(stream, position, size)
        if not kind.isalnum():
            break  # padding, not a box
        found.add(kind)
        position += length
    if position > size:
        return END_MISSING
    return "" if b"moov" in found else "its index (the box moov) is missing"


def _mp4_box(stream: BinaryIO, position: int, size: int) -> tuple[int, bytes]:
    head = _read_at(stream, position, 16)
    length, kind, least = int.from_bytes(head[:4]), head[4:8], 8
    if length == 0:
        length = size - position
    elif length == 1:
        length, least = int.from_bytes(head[8:16]), 16
    return max(length, least), kind


def _zip_damage(stream: BinaryIO) -> str:
    """A zip ends with a directory of its members; each must be at its listed position."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            end = archive.start_dir
    except NotImplementedError:
        return ""  # a newer zip version than Python can read
    except (zipfile.BadZipFile, ValueError, OSError, struct.error):
        return "its directory is missing or damaged"
    lost = any(
        _read_at(stream, member.header_offset, 4) != b"PK\x03\x04"
        or member.header_offset + member.compress_size > end
        for member in members
    )
    return "a member is not where its directory says" if lost else ""


def _sqlite_damage(stream: BinaryIO) -> str:
    """A database has its number of pages in its header, if the last writer set it."""
    head = _read_at(stream, 0, 100)
    if len(head) < 100:
        return END_MISSING
    page = int.from_bytes(head[16:18])
    bytes_told = int.from_bytes(head[28:32]) * (65536 if page == 1 else page)
    return END_MISSING if head[24:28] == head[92:96] and bytes_told > _count_bytes(stream) else ""


_NO_TABLE = "it has no BIOM table (observation and sample)"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_END = {0: (13, 40), 1: (13, 44), 2: (9, 28), 3: (9, 28)}
"""By version: offset of the width of an address, and offset of the file's end address."""


def _is_hdf5(start: bytes) -> bool:
    """Whether the signature is at the start, or after a user block."""
    return any(start.startswith(_HDF5, place) for place in (0, 512, 1024, 2048))


def _hdf5_damage(stream: BinaryIO) -> str:
    head = _read_at(stream, 0, 64)
    if not head.startswith(_HDF5):
        return ""
    if len(head) < 64:
        return END_MISSING
    width, end = _HDF5_END.get(head[8], (0, 0))
    if head[width] != 8:
        return ""
    return (
        END_MISSING if int.from_bytes(head[end : end + 8], "little") > _count_bytes(stream) else ""
    )


def _biom_damage(stream: BinaryIO) -> str:
    """A BIOM table has two axes; HDF5 stores their names as plain text."""
    if problem := _hdf5_damage(stream):
        return problem
    return "" if all(_contains(stream, axis) for axis in (b"observation", b"sample")) else _NO_TABLE


# --- text --------------------------------------------------------------------------------------

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_VERTEX = re.compile(rb"(?:^|\r)[ \t]*v[ \t]")
_NEWICK_OPAQUE = re.compile(rb"\[(?:\\.|[^\]\\])*\]|'(?:\\.|[^'\\])*'", re.DOTALL)
_JSON_OBJECT = re.compile(rb'\s*(?:\[\s*)?\{\s*"[^"\r\n]*"\s*:')


def _is_text(start: bytes) -> bool:
    return not recognise_format(start) and (b"\0" not in start or start.startswith(_UTF16))


def _text_damage(stream: BinaryIO) -> str:
    """An interrupted copy often has its full length, with zeros at the end."""
    if _read_at(stream, 0, 2) in _UTF16:
        return ""
    return "a part of it is binary zeros" if _contains(stream, b"\0") else ""


def _obj_damage(stream: BinaryIO) -> str:
    if problem := _text_damage(stream):
        return problem
    stream.seek(0)
    lines = iter(lambda: stream.readline(START_BYTES), b"")
    return (
        "" if any(_VERTEX.search(line) for line in lines) else "it has no vertex (a line v x y z)"
    )


def _newick_damage(stream: BinaryIO) -> str:
    """A tree ends with a semicolon, and each opened bracket is closed."""
    if problem := _text_damage(stream):
        return problem
    if (
        not _read_at(stream, max(0, _count_bytes(stream) - START_BYTES), START_BYTES)
        .rstrip()
        .endswith(b";")
    ):
        return "it does not end in a semicolon"
    if _count_bytes(stream) > _NEWICK_BYTES:
        return ""
    tree = _NEWICK_OPAQUE.sub(b"", _read_at(stream, 0, _NEWICK_BYTES))
    opened, closed = tree.count(b"("), tree.count(b")")
    if opened == closed:
        return ""
    brackets = count_noun(opened, "opening bracket"), count_noun(closed, "closing bracket")
    return f"it has {' and '.join(brackets)}"


# --- all of them -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A format: its name in a sentence, and two checks.

    `begins` gets the first `START_BYTES` and tells whether they are of this format. `damage` gets a
    stream that can seek and returns a clause that tells the damage, "" if it finds none.
    """

    name: str
    begins: Callable[[bytes], bool]
    damage: Damage = _no_check


PDF = Format("a PDF", lambda start: b"%PDF-" in start[:1024], _pdf_damage)  # as readers accept it
PNG = Format("a PNG picture", _starts_with(b"\x89PNG\r\n\x1a\n"), _png_damage)
JPEG = Format("a JPEG picture", _starts_with(b"\xff\xd8\xff"), _jpeg_damage)
TIFF = Format("a TIFF image", _starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff_damage)
MP4 = Format("an MP4 film", lambda start: start[:1] == b"\0" and start[4:8] == b"ftyp", _mp4_damage)
ZIP = Format("a ZIP or Office file", _starts_with(b"PK\x03\x04", b"PK\x05\x06"), _zip_damage)
GZIP = Format("a gzip file", _starts_with(b"\x1f\x8b"))
SQLITE = Format("an SQLite database", _starts_with(b"SQLite format 3\0"), _sqlite_damage)
HDF5 = Format("an HDF5 file", _is_hdf5, _hdf5_damage)
BIOM = Format("an HDF5 file", _is_hdf5, _biom_damage)
CSV = Format("CSV text", _is_text, _text_damage)
OBJ = Format("an OBJ model", _is_text, _obj_damage)
NEWICK = Format("a Newick tree", _is_text, _newick_damage)

_FOREIGN = (
    Format("a DICOM file", lambda start: start[128:132] == b"DICM"),
    Format("an old Office file", _starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")),
    Format(
        "a web page",
        lambda start: start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")),
    ),
    Format("JSON", lambda start: _JSON_OBJECT.match(start) is not None),
)
_TOLD_APART = (PNG, JPEG, TIFF, MP4, ZIP, GZIP, SQLITE, HDF5, *_FOREIGN)


def recognise_format(start: bytes) -> str:
    """Given a file's first `START_BYTES`, return its format in words; "" if unknown."""
    if start.startswith(b"%PDF-"):  # further on, it may be a text about PDFs
        return PDF.name
    return next((known.name for known in _TOLD_APART if known.begins(start)), "")
