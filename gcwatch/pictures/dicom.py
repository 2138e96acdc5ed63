"""Chooses a slice of a DICOM series, and reads its picture."""

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Final

from gcwatch.files.beneath import SharePath
from gcwatch.imaging.dicom.elements import find_pixel_data, read_dataset, transfer_syntax
from gcwatch.imaging.dicom.header_facts import Header
from gcwatch.imaging.dicom.headers import read_header
from gcwatch.pictures.photos import draw_photo
from gcwatch.pictures.plane import CantDrawError, Plane, find_mirroring
from gcwatch.pictures.voxels import numbers_of

_MOST_HEADERS: Final = 400
"""Headers that are read to find the order of slices; of a longer series each n-th file."""

_LARGEST_FRAME_BYTES: Final = 64 * 1024 * 1024
_CODES: Final = {(8, 0): "B", (8, 1): "b", (16, 0): "H", (16, 1): "h", (32, 0): "I", (32, 1): "i"}
"""Codes of numbers, by BitsAllocated and PixelRepresentation."""

Slice = tuple[SharePath, Header]
Drawn = Plane | tuple[bytes, bool]


def choose_slice(files: Sequence[SharePath], at: float) -> tuple[Slice, int, int]:
    """Given the files of a series, return that at this part of its height (0 to 1).

    Also return its number, from 1, and how many there are. Localizers and labels are left out. Of
    several series the largest one counts.
    """
    step = -(-len(files) // _MOST_HEADERS)
    series: dict[tuple[object, bytes], list[Slice]] = defaultdict(list)
    for file in files[::step]:
        with file.open_file() as stream:
            header = read_header(stream)
        if header is not None and header.group is not None and not header.is_label:
            series[header.group, header.series].append((file, header))
    if not series:
        raise CantDrawError("no file of it is a picture")
    largest = max(series.values(), key=len)
    slices = [each for each in largest if not each[1].is_localizer] or largest
    slices.sort(key=_height)
    index = min(int(at * len(slices)), len(slices) - 1)
    return slices[index], index * step + 1, len(slices) * step


def _height(each: Slice) -> tuple[float, int, str]:
    file, header = each
    place = header.slice_position
    height = 0.0
    if place is not None:
        (a, b, c), (d, e, f), (x, y, z) = place.row, place.column, place.position
        height = x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)
    return height, header.number or 0, file.below


def read_frame(stream: BinaryIO, header: Header, at: float) -> Drawn:
    """Given a DICOM file at its start, and its header, return its picture.

    Of several frames it is that at this part of them (0 to 1).
    """
    dataset = read_dataset(stream)
    syntax = transfer_syntax(dataset)
    if syntax.is_deflated:
        raise CantDrawError("it is compressed in a way that is not drawn here")
    pixels = find_pixel_data(stream, dataset.original_encoding)
    frames = int(dataset.get("NumberOfFrames") or 1)
    frame = min(int(at * frames), frames - 1)
    if pixels.encapsulated:
        return _compressed_frame(stream, pixels.start, frame, frames)
    size = _frame_bytes(dataset)
    stream.seek(pixels.start + frame * size)
    data = stream.read(size)
    if len(data) < size:
        raise CantDrawError("its end is missing")
    order = "<" if syntax.is_little_endian else ">"
    return _plane(dataset, header, data, order, (frame + 1, frames))


def _frame_bytes(dataset: Any) -> int:
    size = dataset.Rows * dataset.Columns * int(dataset.get("SamplesPerPixel") or 1)
    size = int(size * dataset.BitsAllocated // 8)
    if not 0 < size <= _LARGEST_FRAME_BYTES:
        raise CantDrawError("it is too large to draw")
    return size


def _plane(dataset: Any, header: Header, data: bytes, order: str, place: tuple[int, int]) -> Plane:
    number, count = place
    lies = header.slice_position
    plane = Plane(
        int(dataset.Columns),
        int(dataset.Rows),
        number=number,
        count=count,
        is_empty=count == 1 and not any(data),
        mirrored=find_mirroring(lies.row, lies.column) if lies else (False, False),
    )
    colours = str(dataset.get("PhotometricInterpretation", ""))
    if int(dataset.get("SamplesPerPixel") or 1) == 3:
        if colours != "RGB" or dataset.BitsAllocated != 8 or dataset.get("PlanarConfiguration"):
            raise CantDrawError("its colours are stored in a rare way")
        return replace(plane, colours=data)
    code = _CODES.get((dataset.BitsAllocated, int(dataset.get("PixelRepresentation") or 0)))
    if code is None:
        raise CantDrawError("its pixels are stored in a rare way")
    numbers = numbers_of(data, code, order)
    return replace(plane, numbers=numbers, is_dark_high=colours == "MONOCHROME1")


def _compressed_frame(stream: BinaryIO, start: int, frame: int, frames: int) -> tuple[bytes, bool]:
    """Return the picture of a frame in JPEG or JPEG 2000."""
    from pydicom.encaps import get_frame  # noqa: PLC0415 - as in read_dataset

    stream.seek(start)
    data = get_frame(stream, frame, number_of_frames=frames)
    if len(data) > _LARGEST_FRAME_BYTES:
        raise CantDrawError("it is too large to draw")
    return draw_photo(io.BytesIO(data), ("JPEG", "JPEG2000"))
