"""Recognises a file's format by its first bytes, and damage by the format's own structure.

A file that readers can open is never called damaged; a damaged file may be missed. Nothing is
decompressed, and memory use does not depend on a file's size.
"""

import functools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from gcwatch.core.text import count_noun
from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging import jpeg
from gcwatch.imaging.checks.streams import END_MISSING, count_bytes, read_at
from gcwatch.imaging.checks.tiff import tiff_damage
from gcwatch.imaging.jpeg import read_jpeg_header
from gcwatch.threads.heartbeats import heartbeat

START_BYTES = 4096
"""Bytes from a file's start that are enough to recognise its format."""


_PDF_TAIL_BYTES = 4096
"""The end mark of a PDF must be within its last bytes; readers require 1024."""

_NEWICK_BYTES = 16 * 1024 * 1024
"""The brackets of larger trees are not count_noun."""

MOST_PNG_PARTS: Final = 500_000
"""Real ones have a part for each 8 KiB of compressed pixels, or fewer."""
TOO_MANY_PNG_PARTS: Final = f"it has more than {MOST_PNG_PARTS:,} parts"
_PNG_HEADER: Final = struct.pack(">L4s", 13, b"IHDR")

Damage = Callable[[BinaryIO], str]


def _starts_with(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(magic)


def _no_check(_: BinaryIO) -> str:
    return ""


# --- pictures ----------------------------------------------------------------------------------


def _png_damage(stream: BinaryIO) -> str:
    """A PNG is a chain of chunks; the first one is called IHDR, and the last one IEND."""
    if read_at(stream, 8, 8) != _PNG_HEADER:
        return "its header is missing"
    position, size = 8, count_bytes(stream)
    for _ in range(MOST_PNG_PARTS):
        heartbeat()
        head = read_at(stream, position, 8)
        if len(head) < 8:
            return END_MISSING
        length, kind = struct.unpack(">L4s", head)
        if position + 12 + length > size:
            return END_MISSING
        if _png_checksum(stream, kind, position + 8, length):
            return f"the checksum of its part {kind.decode('latin-1')} is wrong"
        position += 12 + length
        if kind == b"IEND":
            return ""
    return TOO_MANY_PNG_PARTS


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
    _, begin = read_jpeg_header(functools.partial(read_at, stream))
    return "" if begin and _contains(stream, jpeg.END, begin) else END_MISSING


def _contains(stream: BinaryIO, wanted: bytes, begin: int = 0) -> bool:
    """Whether these bytes are anywhere from `begin` on."""
    stream.seek(begin)
    last = b""
    while data := stream.read(BUFFER_BYTES):
        if wanted in last + data:
            return True
        last = (last + data)[-len(wanted) :]
    return False


# --- documents, films, archives, databases -----------------------------------------------------


def _pdf_damage(stream: BinaryIO) -> str:
    tail = read_at(stream, max(0, count_bytes(stream) - _PDF_TAIL_BYTES), _PDF_TAIL_BYTES)
    return "" if b"%%EOF" in tail or b"startxref" in tail else END_MISSING


def _mp4_damage(stream: BinaryIO) -> str:
    """An MP4 is a chain of boxes; the box moov is needed to play it."""
    size, position, found = count_bytes(stream), 0, set()
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
    head = read_at(stream, position, 16)
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
        read_at(stream, member.header_offset, 4) != b"PK\x03\x04"
        or member.header_offset + member.compress_size > end
        for member in members
    )
    return "a member is not where its directory says" if lost else ""


def _sqlite_damage(stream: BinaryIO) -> str:
    """A database has its number of pages in its header, if the last writer set it."""
    head = read_at(stream, 0, 100)
    if len(head) < 100:
        return END_MISSING
    page = int.from_bytes(head[16:18])
    bytes_told = int.from_bytes(head[28:32]) * (65536 if page == 1 else page)
    return END_MISSING if head[24:28] == head[92:96] and bytes_told > count_bytes(stream) else ""


_NO_TABLE = "it has no BIOM table (observation and sample)"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_END = {0: (13, 40), 1: (13, 44), 2: (9, 28), 3: (9, 28)}
"""By version: offset of the width of an address, and offset of the file's end address."""


def _is_hdf5(start: bytes) -> bool:
    """Whether the signature is at the start, or after a user block."""
    return any(start.startswith(_HDF5, place) for place in (0, 512, 1024, 2048))


def _hdf5_damage(stream: BinaryIO) -> str:
    head = read_at(stream, 0, 64)
    if not head.startswith(_HDF5):
        return ""
    if len(head) < 64:
        return END_MISSING
    width, end = _HDF5_END.get(head[8], (0, 0))
    if head[width] != 8:
        return ""
    return (
        END_MISSING if int.from_bytes(head[end : end + 8], "little") > count_bytes(stream) else ""
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
    if read_at(stream, 0, 2) in _UTF16:
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
        not read_at(stream, max(0, count_bytes(stream) - START_BYTES), START_BYTES)
        .rstrip()
        .endswith(b";")
    ):
        return "it does not end in a semicolon"
    if count_bytes(stream) > _NEWICK_BYTES:
        return ""
    tree = _NEWICK_OPAQUE.sub(b"", read_at(stream, 0, _NEWICK_BYTES))
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
TIFF = Format("a TIFF image", _starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), tiff_damage)
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
