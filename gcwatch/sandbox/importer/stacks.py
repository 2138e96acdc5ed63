"""The voxels and the place of one group of DICOM files.

Compressed pixels are not decoded: they become zeros. YBR is not converted to RGB.
"""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pydicom
from pydicom.pixels.common import PhotometricInterpretation
from pydicom.uid import UID

from gcwatch.sandbox.metaimage import TYPE_CODES, Unreadable, Volume

Numbers: TypeAlias = "array[Any]"
Vector = tuple[float, ...]

_ELEMENTS = {code: element for element, code in reversed(TYPE_CODES.items())}
_TYPECODES = {1: "B", 8: "b", 16: "h", 32: "i", 64: "q"}
_COLORS = frozenset(str(each) for each in PhotometricInterpretation)
_SAME_PLACE_MM = 1e-8


@dataclass(frozen=True)
class Stack:
    """The files of one image, with their headers.

    Attributes:
        frames: How many pictures each file has, as the first one tells.
        times: How many volumes there are.
    """

    files: list[tuple[Path, pydicom.Dataset]]
    frames: int
    times: int

    @property
    def planes(self) -> int:
        """How many planes each volume has."""
        return len(self.files) * self.frames // self.times


@dataclass(frozen=True)
class _Pixels:
    """The pixels of one file."""

    numbers: Numbers
    frames: int
    samples: int
    is_big_endian: bool = False


def build_volume(stack: Stack, name: str, raw: Path) -> Volume:
    """Read a stack and write its voxels.

    Raises:
        Unreadable: The importer refuses it. So it does at the errors that pydicom raises.
    """
    if len(stack.files) > 1:
        stack.files.sort(key=lambda file: int(file[1].InstanceNumber))
    first = stack.files[0][1]
    origin, spacing, is_upward = _find_geometry(stack)
    numbers, planes, samples = _read_voxels(stack, is_upward=is_upward)
    if samples == 1 and first.get("PhotometricInterpretation") == "MONOCHROME1":
        numbers = _invert(numbers)
        _require_numbers(first.get("WindowCenter", ()))
    if stack.times > 1:
        _require_times(stack)
    raw.write_bytes(numbers.tobytes())
    times = (stack.times,) if stack.times > 1 else ()
    return Volume(
        name=name,
        size=(int(first.Columns), int(first.Rows), planes, *times),
        spacing=(*spacing, *(1.0 for _ in times)),
        element=_ELEMENTS[numbers.typecode],
        raw=raw,
        channels=samples,
        offset=origin,
    )


def _require_times(stack: Stack) -> None:
    for index, (_, header) in enumerate(stack.files):
        if stack.frames > 1 or index % stack.planes == 0:
            _ = header.ContentTime, header.Exposure


# --- place -------------------------------------------------------------------------------------


def _find_geometry(stack: Stack) -> tuple[Vector, Vector, bool]:
    """Return the place of the first voxel, the voxel sizes, and whether the planes go upwards."""
    first = stack.files[0][1]
    orientation: Any = _find_element(first, "ImageOrientationPatient", (1, 0, 0, 0, 1, 0))
    a, b, c, d, e, f = map(float, orientation)
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    if not any(normal):
        raise Unreadable("rows and columns have one direction")
    places = _find_places(stack)
    step: Vector = (0.0, 0.0, 0.0)
    if len(places) > 1:
        ends = zip(places[-1], places[0], strict=True)
        step = tuple((last - begin) / (len(places) - 1) for last, begin in ends)
        depth = math.hypot(*step)
    else:
        depth = float(first.get("SpacingBetweenSlices", 1.0))
    pixel: Any = _find_element(first, "PixelSpacing", (1.0, 1.0))
    width, height = map(float, pixel)
    if not (width and height and depth):
        raise Unreadable("a voxel size of 0")
    axes = zip((a, b, c), (d, e, f), normal, strict=True)
    is_upward = sum(way * sum(axis) for way, axis in zip(step, axes, strict=True)) >= 0
    origin = (places[0] if is_upward else places[-1]) if places else (0.0, 0.0, 0.0)
    return origin, (width, height, depth), is_upward


def _find_element(dataset: pydicom.Dataset, keyword: str, default: object) -> object:
    """Return the value of the first element of that name, also in sequences."""
    return next((each.value for each in dataset.iterall() if each.keyword == keyword), default)


def _find_places(stack: Stack) -> list[Vector]:
    """Return the different positions, in order."""
    places: list[Vector] = []
    for value in _iterate_positions(stack):
        place = tuple(map(float, value))
        if len(place) != 3:
            raise Unreadable("a position without three numbers")
        if not any(_is_same(place, known) for known in places):
            places.append(place)
    return places


def _is_same(one: Vector, other: Vector) -> bool:
    pairs = zip(one, other, strict=True)
    return all(math.isclose(a, b, rel_tol=1e-5, abs_tol=_SAME_PLACE_MM) for a, b in pairs)


def _iterate_positions(stack: Stack) -> Iterator[Any]:
    first = stack.files[0][1]
    if stack.frames == 1 or "PerFrameFunctionalGroupsSequence" not in first:
        headers = (header for _, header in stack.files)
        yield from (each.ImagePositionPatient for each in headers if "ImagePositionPatient" in each)
        return
    for frame in first.PerFrameFunctionalGroupsSequence:
        place = _find_element(frame, "ImagePositionPatient", None)
        if place is not None:
            yield place


def _require_numbers(value: Any) -> None:
    """Convert what the importer calculates with; raise what pydicom or Python raises."""
    numbers: Any = (value,) if isinstance(value, str | float | None) else value
    for number in numbers:
        float(number)


# --- voxels ------------------------------------------------------------------------------------


def _read_voxels(stack: Stack, *, is_upward: bool) -> tuple[Numbers, int, int]:
    """Return all voxels, the planes of a volume, and the numbers of a voxel."""
    scale = _needs_scale(stack)
    first = _read_pixels(stack.files[0][0], scale)
    if first.is_big_endian and not scale:
        raise Unreadable("big-endian numbers")
    header = stack.files[0][1]
    length = int(header.Rows) * int(header.Columns) * first.samples
    numbers = array(first.numbers.typecode, bytes(first.numbers.itemsize * length))
    numbers *= stack.planes * stack.times
    for index, (path, _) in enumerate(stack.files):
        pixels = first if index == 0 else _read_pixels(path, scale)
        if _is_whole_image(stack, pixels):
            # The importer then looks at no other file.
            return _order_planes(pixels, is_upward=is_upward), pixels.frames, pixels.samples
        is_film = pixels.frames > 1
        is_odd = is_film and stack.frames == 1
        is_color = pixels.samples > 1 and (is_film or stack.times < 2)
        if pixels.samples != first.samples or is_color or is_odd:
            raise Unreadable("pictures in colour")
        if len(pixels.numbers) != length * (stack.planes if is_film else 1):
            raise Unreadable("pictures of different sizes")
        at = _find_plane(stack, index, is_upward=is_upward, is_film=is_film) * length
        numbers[at : at + len(pixels.numbers)] = _cast(pixels.numbers, numbers.typecode)
    return numbers, stack.planes, first.samples


def _is_whole_image(stack: Stack, pixels: _Pixels) -> bool:
    """Return whether the importer takes the array of one file for the whole image."""
    is_told = pixels.frames == stack.planes
    return stack.times == 1 and pixels.frames > 1 and (pixels.samples == 1 or is_told)


def _find_plane(stack: Stack, index: int, *, is_upward: bool, is_film: bool) -> int:
    """Return the first plane, among those of all volumes, that gets the pixels of a file."""
    z = (index if is_upward else len(stack.files) - index - 1) % stack.planes
    time = index // stack.planes if stack.times > 1 else 0
    return time * stack.planes + (0 if is_film else z)


def _order_planes(pixels: _Pixels, *, is_upward: bool) -> Numbers:
    if is_upward:
        return pixels.numbers
    length = len(pixels.numbers) // pixels.frames
    turned = array(pixels.numbers.typecode)
    for at in range(len(pixels.numbers) - length, -1, -length):
        turned += pixels.numbers[at : at + length]
    return turned


def _cast(numbers: Numbers, typecode: str) -> Numbers:
    """Return numbers of another type; too large ones lose their highest bits."""
    if numbers.typecode == typecode:
        return numbers
    if numbers.itemsize == array(typecode).itemsize and typecode not in "fd":
        return array(typecode, numbers.tobytes())
    mask = (1 << 8 * array(typecode).itemsize) - 1
    unsigned = array(typecode.upper(), (number & mask for number in numbers))
    return array(typecode, unsigned.tobytes())


def _invert(numbers: Numbers) -> Numbers:
    """Return the numbers so that the highest becomes the lowest."""
    ends = min(numbers) + max(numbers)
    return array(numbers.typecode, (ends - number for number in numbers))


def _needs_scale(stack: Stack) -> bool:
    headers = [header for _, header in stack.files]
    slopes = [float(each.get("RescaleSlope", 1.0)) for each in headers]
    intercepts = [float(each.get("RescaleIntercept", 0.0)) for each in headers]
    return any(not math.isclose(slope, 1.0) for slope in slopes) or any(intercepts)


def _read_pixels(path: Path, scale: bool) -> _Pixels:
    """Read the pixels of a file, as 32-bit floats if they are to be scaled."""
    dataset = pydicom.dcmread(path)
    pixels = _read_stored(dataset)
    if not scale:
        return pixels
    slope = float(dataset.get("RescaleSlope", 1))
    intercept = float(dataset.get("RescaleIntercept", 0))
    scaled = array("f", (slope * number + intercept for number in pixels.numbers))
    return _Pixels(scaled, pixels.frames, pixels.samples)


def _read_stored(dataset: pydicom.Dataset) -> _Pixels:
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    samples = int(dataset.SamplesPerPixel)
    bits, typecode = _find_type(dataset)
    count = int(dataset.Rows) * int(dataset.Columns) * samples
    frames = int(dataset.get("NumberOfFrames", 1))
    if frames < 1:
        raise Unreadable("less than one frame")
    if syntax.is_encapsulated:
        if not dataset.PixelData:
            raise Unreadable("no pixels")
        data = bytes(count * frames * array(typecode).itemsize)
        return _Pixels(array(typecode, data), frames, samples)
    data = _find_data(dataset)
    # More bytes than told are frames, if they are enough for one (pydicom 3).
    if len(data) > count * frames * bits // 8 + 1:
        frames = max(frames, len(data) * 8 // (count * bits))
    if len(data) * 8 < count * frames * bits:
        raise Unreadable("pixels are missing")
    if bits == 1:
        numbers = array("B", ((data[at // 8] >> at % 8) & 1 for at in range(count * frames)))
    else:
        numbers = array(typecode, data[: count * frames * bits // 8])
    is_big_endian = not syntax.is_little_endian and numbers.itemsize > 1
    if is_big_endian:
        numbers.byteswap()
    if samples > 1 and dataset.PlanarConfiguration == 1:
        numbers = _join_planes(numbers, frames, samples)
    if typecode not in "fd" and int(dataset.BitsStored) < bits:
        numbers = _drop_unused_bits(numbers, int(dataset.BitsStored))
    return _Pixels(numbers, frames, samples, is_big_endian)


def _drop_unused_bits(numbers: Numbers, bits: int) -> Numbers:
    """Return the numbers without the bits above those that are stored; negative ones stay so."""
    mask, sign = (1 << bits) - 1, 1 << (bits - 1)
    if numbers.typecode.isupper():
        return array(numbers.typecode, (number & mask for number in numbers))
    return array(numbers.typecode, (((number & mask) ^ sign) - sign for number in numbers))


def _find_type(dataset: pydicom.Dataset) -> tuple[int, str]:
    if dataset.PhotometricInterpretation not in _COLORS:
        raise Unreadable("unknown colours")
    if "FloatPixelData" in dataset:
        return 32, "f"
    if "DoubleFloatPixelData" in dataset:
        return 64, "d"
    bits, sign = int(dataset.BitsAllocated), int(dataset.PixelRepresentation)
    if not 1 <= int(dataset.BitsStored) <= bits or sign not in {0, 1}:
        raise Unreadable("no numbers that there are")
    code = _TYPECODES[bits]
    return bits, code if sign else code.upper()


def _find_data(dataset: pydicom.Dataset) -> bytes:
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            return bytes(dataset[keyword].value)
    return bytes(dataset.PixelData)


def _join_planes(numbers: Numbers, frames: int, samples: int) -> Numbers:
    """Return the colours of each pixel together that stood plane by plane."""
    joined, length = array(numbers.typecode, numbers), len(numbers) // frames
    for frame in range(frames):
        begin = frame * length
        for sample in range(samples):
            part = begin + sample * length // samples
            joined[begin + sample : begin + length : samples] = numbers[
                part : part + length // samples
            ]
    return joined
