"""Chooses a slice of a DICOM series, and reads its picture."""

import io
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Final

from PIL import Image

from gcwatch.files.beneath import SharePath
from gcwatch.imaging.dicom.elements import find_pixel_data, read_dataset, transfer_syntax
from gcwatch.imaging.dicom.header_facts import Header
from gcwatch.imaging.dicom.headers import read_header
from gcwatch.pictures.photos import draw_photo
from gcwatch.pictures.plane import CantDrawError, Plane, find_mirroring
from gcwatch.pictures.voxels import numbers_of

_MOST_HEADERS: Final = 400
"""Headers that are read to find the order of slices; of a longer series each n-th file."""

_RUN_LENGTHS: Final = "1.2.840.10008.1.2.5"
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
    size = _frame_bytes(dataset)
    if pixels.encapsulated:
        data = _read_fragments(stream, pixels.start, frame, frames)
        if str(syntax) != _RUN_LENGTHS:
            return draw_photo(io.BytesIO(data), ("JPEG", "JPEG2000"))
        data = _expand_run_lengths(data, dataset)
        dataset.PlanarConfiguration = 1
    else:
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
        is_planar = bool(dataset.get("PlanarConfiguration"))
        return replace(plane, colours=_colours(data, plane, colours, is_planar=is_planar))
    code = _CODES.get((dataset.BitsAllocated, int(dataset.get("PixelRepresentation") or 0)))
    if code is None:
        raise CantDrawError("its pixels are stored in a rare way")
    numbers = numbers_of(data, code, order)
    return replace(plane, numbers=numbers, is_dark_high=colours == "MONOCHROME1")


def _colours(data: bytes, plane: Plane, model: str, *, is_planar: bool) -> bytes:
    """Return red, green and blue of each pixel."""
    modes = {"RGB": "RGB", "YBR_FULL": "YCbCr"}
    size, count = (plane.columns, plane.rows), plane.columns * plane.rows
    if model not in modes or len(data) != 3 * count:
        raise CantDrawError("its colours are stored in a rare way")
    if is_planar:
        parts = [
            Image.frombytes("L", size, data[at : at + count]) for at in range(0, len(data), count)
        ]
        picture = Image.merge(modes[model], parts)
    else:
        picture = Image.frombytes(modes[model], size, data)
    return picture.convert("RGB").tobytes()


def _read_fragments(stream: BinaryIO, start: int, frame: int, frames: int) -> bytes:
    """Return the compressed bytes of a frame."""
    from pydicom.encaps import get_frame  # noqa: PLC0415 - as in read_dataset

    stream.seek(start)
    data: bytes = get_frame(stream, frame, number_of_frames=frames)
    if len(data) > _LARGEST_FRAME_BYTES:
        raise CantDrawError("it is too large to draw")
    return data


def _expand_run_lengths(data: bytes, dataset: Any) -> bytes:
    """Return a frame as its segments have it: colour by colour, numbers little-endian."""
    count = int(dataset.Rows * dataset.Columns)
    number, *starts = struct.unpack_from("<16L", data)
    segments = [_expand(data, start, count) for start in starts[:number]]
    width = dataset.BitsAllocated // 8
    if width == 1:
        return b"".join(segments)
    # The segments of a number begin with its highest byte.
    samples = bytearray(len(segments) * count)
    for sample in range(0, len(segments), width):
        for place, segment in enumerate(reversed(segments[sample : sample + width])):
            samples[sample * count + place : (sample + width) * count : width] = segment
    return bytes(samples)


def _expand(data: bytes, at: int, count: int) -> bytes:
    """Given run lengths from a position, return their first bytes (PS3.5, Annex G)."""
    held = bytearray()
    while len(held) < count:
        control = data[at]
        if control < 128:
            held += data[at + 1 : at + control + 2]
            at += control + 2
        elif control > 128:
            held += data[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    return bytes(held[:count])
