"""Copies the pixels of a DICOM file, and nothing that is hidden beside or within them.

Removed are: bytes behind the last pixel; comments and application segments of JPEG, JPEG-LS and
JPEG 2000 frames, and bytes behind their ends. Within a frame, bytes are set to zero and not cut
out, so that tables of offsets stay right.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from gcwatch.core.region import Region
from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.dicom.elements import END_TAG, ITEM_TAG, PIXEL_TAGS, PixelData

_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x00280002, 0x00280004, 0x00280008
_ROWS, _COLUMNS, _PLANAR, _BITS = 0x00280010, 0x00280011, 0x00280006, 0x00280100
_START: Final = b"\xff\xd8\xff"
_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_MARKER: Final = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""A marker behind entropy-coded data: no stuffed byte, no restart."""
_SCAN, _END, _COMMENT, _FIRST_APP, _LAST_APP = 0xDA, 0xD9, 0xFE, 0xE0, 0xEF
_J2K_COMMENT, _J2K_TILE, _J2K_DATA, _J2K_END = 0xFF64, 0xFF90, 0xFF93, 0xFFD9
_JFIF: Final = re.compile(rb"JFIF\0.{7}\0\0", re.DOTALL)
_ADOBE: Final = re.compile(rb"Adobe.{7}", re.DOTALL)


@dataclass(frozen=True)
class PixelLayout:
    """How a file says that its pixels without compression are stored."""

    rows: int
    columns: int
    samples: int
    bits: int
    frames: int
    is_planar: bool
    is_halved: bool

    @property
    def size(self) -> int:
        """How many bytes the pixels take."""
        samples = 2 if self.is_halved else self.samples
        return (self.rows * self.columns * samples * self.bits * self.frames + 7) // 8


def read_layout(elements: Mapping[int, bytes], pixel_tag: int) -> PixelLayout | None:
    """Given encoded elements by tag and the tag of the pixels, return how these are stored.

    None if the elements do not say.
    """
    try:
        rows, columns, samples, bits = (
            int.from_bytes(elements[tag][-2:], "little")
            for tag in (_ROWS, _COLUMNS, _SAMPLES, _BITS)
        )
        frames = int(elements[_FRAMES][8:].strip(b"\0 ") or 1) if _FRAMES in elements else 1
    except (KeyError, ValueError):
        return None
    bits = PIXEL_TAGS.get((pixel_tag >> 16, pixel_tag & 0xFFFF), 0) or bits
    is_halved = samples == 3 and b"_422" in elements.get(_PHOTOMETRIC, b"")
    is_planar = samples > 1 and elements.get(_PLANAR, b"")[-2:] == b"\1\0"
    layout = PixelLayout(rows, columns, samples, bits, frames, is_planar, is_halved)
    return layout if layout.size > 0 else None


def copy_pixels(
    stream: BinaryIO,
    pixels: PixelData,
    target: BinaryIO,
    layout: PixelLayout | None,
    blank: Sequence[Region] = (),
) -> None:
    """Given a file, where its pixels are and how they are stored, write them to a target.

    Regions in *blank* become 0; `can_blank` says whether that is possible.
    """
    stream.seek(pixels.start)
    if pixels.encapsulated:
        _copy_fragments(stream, pixels, target)
        return
    left = pixels.end - pixels.start
    used = left if layout is None else min(left, layout.size)
    if blank and layout:
        _copy_blanked(stream, target, layout, blank)
    else:
        _copy_bytes(stream, target, used)
    target.write(bytes(used % 2))


def native_length(pixels: PixelData, layout: PixelLayout | None) -> int:
    """Return the length of the value that `copy_pixels` writes of pixels without compression."""
    length = pixels.end - pixels.start
    used = length if layout is None else min(length, layout.size)
    return used + used % 2


def can_blank(pixels: PixelData, layout: PixelLayout | None) -> bool:
    """Whether regions of pixels can be blacked out: they are not compressed, and all are there."""
    return (
        not pixels.encapsulated
        and layout is not None
        and not layout.is_halved
        and layout.bits % 8 == 0
        and layout.size <= pixels.end - pixels.start
    )


def _copy_bytes(stream: BinaryIO, target: BinaryIO, count: int) -> None:
    while count and (data := stream.read(min(count, BUFFER_BYTES))):
        target.write(data)
        count -= len(data)


def _copy_blanked(
    stream: BinaryIO, target: BinaryIO, layout: PixelLayout, blank: Sequence[Region]
) -> None:
    planes = layout.samples if layout.is_planar else 1
    pixel = layout.samples * layout.bits // 8 // planes
    boxes = [region.box(layout.columns, layout.rows) for region in blank]
    for _ in range(layout.frames * planes):
        for y in range(layout.rows):
            row = bytearray(stream.read(layout.columns * pixel))
            for left, top, right, bottom in boxes:
                if top <= y < bottom:
                    _clear(row, left * pixel, right * pixel)
            target.write(row)


def _copy_fragments(stream: BinaryIO, pixels: PixelData, target: BinaryIO) -> None:
    """Copy the table of offsets if it is one, and all fragments, cleaned."""
    starts = _fragment_starts(stream, pixels)
    table_bytes = _read_item(stream)
    table = struct.unpack(f"<{len(table_bytes) // 4}L", table_bytes[: len(table_bytes) // 4 * 4])
    is_table = not len(table_bytes) % 4 and set(table) <= set(starts)
    _write_item(target, table_bytes if is_table else b"")
    for _ in starts:
        _write_item(target, clean_frame(_read_item(stream)))
    target.write(struct.pack("<HHL", *END_TAG, 0))


def _fragment_starts(stream: BinaryIO, pixels: PixelData) -> list[int]:
    """Return where fragments start, counted from the first one behind the table."""
    starts = []
    at = pixels.start
    first = None
    while at < pixels.end:
        stream.seek(at)
        group, element, length = struct.unpack("<HHL", stream.read(8))
        if (group, element) == END_TAG:
            break
        following = at + 8 + length
        if first is None:
            first = following
        else:
            starts.append(at - first)
        at = following
    stream.seek(pixels.start)
    return starts


def _read_item(stream: BinaryIO) -> bytes:
    _, _, length = struct.unpack("<HHL", stream.read(8))
    return stream.read(length)


def _write_item(target: BinaryIO, content: bytes) -> None:
    target.write(struct.pack("<HHL", *ITEM_TAG, len(content)))
    target.write(content)


def clean_frame(fragment: bytes) -> bytes:
    """Given a fragment, return it with zeros in comments, in metadata and behind its end.

    A fragment that is no beginning of a JPEG or JPEG 2000 frame (RLE, video, the second part of
    a frame) is returned as it is.
    """
    if fragment.startswith(_START):
        return _clean_jpeg(bytearray(fragment))
    if fragment.startswith(_CODESTREAM):
        return _clean_jpeg_2000(bytearray(fragment))
    return fragment


def _clear(frame: bytearray, start: int, end: int) -> None:
    end = min(end, len(frame))
    frame[start:end] = bytes(max(0, end - start))


def _clean_jpeg(frame: bytearray) -> bytes:
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _END:
            _clear(frame, at + 2, len(frame))
            break
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == _COMMENT:
            _clear(frame, at + 4, end)
        elif _FIRST_APP <= marker <= _LAST_APP:
            _clear(frame, at + 4 + _needed_bytes(marker, frame[at + 4 : end]), end)
        if marker == _SCAN:
            found = _MARKER.search(frame, end)
            end = found.start() if found else len(frame)
        at = end
    return bytes(frame)


def _needed_bytes(marker: int, content: bytearray) -> int:
    """How many bytes of an application segment a decoder needs for colours."""
    wanted = {0xE0: _JFIF, 0xEE: _ADOBE}.get(marker)
    found = wanted.match(content) if wanted else None
    return found.end() if found else 0


def _clean_jpeg_2000(frame: bytearray) -> bytes:
    at, tile = 2, 0
    while at + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker == _J2K_END:
            break
        if marker == _J2K_COMMENT:
            _clear(frame, at + 6, at + 2 + length)
        elif marker == _J2K_TILE:
            tile = at
        elif marker == _J2K_DATA:
            size = struct.unpack_from(">L", frame, tile + 6)[0]
            if not size:  # the last tile has no length: it ends where the codestream does
                at = frame.rfind(b"\xff\xd9")
                break
            at = tile + size
            continue
        at += 2 + length
    if at > 0 and frame[at : at + 2] == b"\xff\xd9":
        _clear(frame, at + 2, len(frame))
    return bytes(frame)
