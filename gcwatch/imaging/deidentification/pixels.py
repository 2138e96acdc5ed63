"""Copies pixels without compression, and nothing that is behind the last one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.core.rules.region import Region
from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.dicom.elements import PIXEL_TAGS, PixelData
from gcwatch.imaging.dicom.encoded import SHORT_HEAD

PHOTOMETRIC = 0x00280004
_SAMPLES, _FRAMES = 0x00280002, 0x00280008
_ROWS, _COLUMNS, _PLANAR, _BITS = 0x00280010, 0x00280011, 0x00280006, 0x00280100
LAYOUT_NUMBERS = (_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _PLANAR, _BITS)
"""Tags of the numbers that say how pixels are stored."""


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
    """As `make_layout`, given encoded little-endian elements by tag."""
    numbers = {
        tag: int.from_bytes(elements[tag][-2:], "little")
        for tag in LAYOUT_NUMBERS
        if tag != _FRAMES and tag in elements
    }
    frames = elements.get(_FRAMES, b"")[SHORT_HEAD:].strip(b"\0 ")
    if frames.isdigit():
        numbers[_FRAMES] = int(frames)
    return make_layout(numbers, elements.get(PHOTOMETRIC, b"").decode("latin-1"), pixel_tag)


def make_layout(numbers: Mapping[int, int], photometric: str, pixel_tag: int) -> PixelLayout | None:
    """Return how pixels are stored, None if the numbers do not say.

    Args:
        numbers: Those of `LAYOUT_NUMBERS` that the header has.
        photometric: Its PhotometricInterpretation.
        pixel_tag: The tag of the pixels.
    """
    try:
        rows, columns, samples, bits = (numbers[tag] for tag in (_ROWS, _COLUMNS, _SAMPLES, _BITS))
    except KeyError:
        return None
    bits = PIXEL_TAGS.get((pixel_tag >> 16, pixel_tag & 0xFFFF), 0) or bits
    is_halved = samples == 3 and "_422" in photometric
    is_planar = samples > 1 and numbers.get(_PLANAR) == 1
    frames = numbers.get(_FRAMES) or 1
    layout = PixelLayout(rows, columns, samples, bits, frames, is_planar, is_halved)
    return layout if layout.size > 0 else None


def copy_pixels(
    stream: BinaryIO,
    pixels: PixelData,
    target: BinaryIO,
    layout: PixelLayout | None,
    blank: Sequence[Region] = (),
) -> None:
    """Given a file, where its pixels without compression are, write them to a target.

    Regions in *blank* become 0; `can_blank` says whether that is possible.
    """
    stream.seek(pixels.start)
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


def _clear(row: bytearray, start: int, end: int) -> None:
    end = min(end, len(row))
    row[start:end] = bytes(max(0, end - start))
