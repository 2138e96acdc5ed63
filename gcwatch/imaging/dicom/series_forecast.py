"""Forecasts from the headers which image the platform makes of a DICOM series.

It follows the importer line by line (panimg 0.18.2, `image_builders/dicom.py`): slices are sorted
by InstanceNumber; the first one gives size, spacing and direction; the mean distance of different
positions is the distance of slices; a falling stack is turned round.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.imaging.dicom.elements import parse_numbers
from gcwatch.imaging.dicom.header_facts import Header, Vector
from gcwatch.imaging.dicom.slice_geometry import Slice, is_slide

IsRemoved = Callable[[str], bool]
"""Tells by its keyword whether an element is not in the files that are sent."""

_COLOR_SPACES = {1: "GRAY", 3: "RGB", 4: "RGBA"}
_BIT_SIZES = (8, 16, 32, 64)
_AXIAL: tuple[Vector, Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class _PixelFormat:
    """Size and type of a picture, as numbers."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool


def forecast_series(members: Sequence[Slice], is_removed: IsRemoved) -> ImageForecast:
    """Given the files of one image, return the image that the platform makes of them.

    What the headers don't say is unknown: the levels of a slide, and series that the platform
    refuses.
    """
    headers = [header for header, _ in members]
    if is_slide(members) or any(header.problem for header in headers):
        return UNKNOWN
    ranks = _sort_by_number(headers)
    frames = 1 if is_removed("NumberOfFrames") else headers[0].frames
    form = _pixel_format(headers[ranks[0]]) if ranks else None
    times = _count_times(headers, is_removed)
    whole = len(headers) % times == 0 and (frames == 1 or len(headers) == 1)
    if form is None or not whole or (form.samples > 1 and frames == 1):
        return UNKNOWN
    planes = len(headers) // times * frames
    distance, falling = _measure_stack([headers[rank] for rank in ranks], frames, is_removed)
    blocks = [ranks[first : first + planes] for first in range(0, len(ranks), planes)]
    order = [rank for block in blocks for rank in (block[::-1] if falling else block)]
    numbers = [header.number for header in headers]
    is_certain = len(set(numbers)) == len(numbers)  # equal numbers are sorted as it happens
    return ImageForecast(
        shape=(*((times,) if times > 1 else ()), planes, form.rows, form.columns),
        color_space=_COLOR_SPACES.get(form.samples, ""),
        voxel_sizes=(
            *_pixel_spacing(headers[ranks[0]], is_removed),
            distance if is_certain else None,
        ),
        times=times if times > 1 else None,
        pixel_type=_pixel_type(headers, form, is_removed),
        order=tuple(order) if is_certain else (),
    )


def _sort_by_number(headers: Sequence[Header]) -> list[int]:
    """Return the places of the headers in the importer's order; [] if it can't sort them."""
    if len(headers) == 1:
        return [0]
    numbers = [header.number for header in headers if header.number is not None]
    if len(numbers) < len(headers):
        return []
    return sorted(range(len(headers)), key=numbers.__getitem__)


def _count_times(headers: Sequence[Header], is_removed: IsRemoved) -> int:
    times = {header.time.strip(b" \0") for header in headers} - {b""}
    return 1 if len(times) < 2 or is_removed("TemporalPositionIndex") else len(times)


def _pixel_format(header: Header) -> _PixelFormat | None:
    raw = header.common.pixel_format
    if not raw or not all(len(value) == 2 for value in (*raw[:2], raw[3])):
        return None
    rows, columns, samples, bits, signed = (int.from_bytes(value, "little") for value in raw[:5])
    return _PixelFormat(rows, columns, samples or 1, bits, bool(signed))


def _pixel_spacing(
    header: Header, is_removed: IsRemoved
) -> tuple[float, float] | tuple[None, None]:
    raw = b"" if is_removed("PixelSpacing") else header.common.spacing
    if header.frames > 1 and not raw:
        return None, None  # the frames of an enhanced file have their own
    # The importer takes the distance of rows as the width of a pixel, not as its height.
    numbers = parse_numbers(raw) if raw else [1.0, 1.0]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (None, None)


def _pixel_type(headers: Sequence[Header], form: _PixelFormat, is_removed: IsRemoved) -> str:
    scales = {header.common.rescale for header in headers}
    slope, intercept = (is_removed(name) for name in ("RescaleSlope", "RescaleIntercept"))
    for scale in scales:
        numbers = [*map(parse_numbers, scale)] or [[], []]
        if (numbers[0] and not slope and not math.isclose(numbers[0][0], 1.0)) or (
            numbers[1] and not intercept and numbers[1][0]
        ):
            return "float32"
    if form.bits == 1:
        return "uint8"
    return f"{'int' if form.signed else 'uint'}{form.bits}" if form.bits in _BIT_SIZES else ""


# --- places ------------------------------------------------------------------------------------


def _measure_stack(
    headers: Sequence[Header], frames: int, is_removed: IsRemoved
) -> tuple[float | None, bool]:
    """Given sorted headers, return the distance of slices in mm, and whether the stack falls."""
    told = [header.slice_position for header in headers]
    if frames > 1:
        told = [*headers[0].frame_positions] or [
            None
        ]  # one file, whose own position does not count
    places = [place for place in told if place and not is_removed("ImagePositionPatient")]
    if 0 < len(places) < len(told):
        return None, False  # the others may have a position without directions
    positions = list(dict.fromkeys(place.position for place in places))
    if len(positions) < 2:
        return _told_distance(headers[0], is_removed), False
    way = [*map(operator.sub, positions[-1], positions[0])]
    distance = math.hypot(*way) / (len(positions) - 1)
    row, column = _AXIAL
    if not is_removed("ImageOrientationPatient"):
        row, column = places[0].row, places[0].column
    upward = map(sum, zip(row, column, _cross(row, column), strict=True))
    return distance, sum(map(operator.mul, way, upward)) < 0


def _told_distance(header: Header, is_removed: IsRemoved) -> float | None:
    """Return the distance that the header tells; 1 mm without one, as in the importer."""
    raw = b"" if is_removed("SpacingBetweenSlices") else header.common.slice_spacing
    numbers = parse_numbers(raw) if raw else [1.0]
    return abs(numbers[0]) if len(numbers) == 1 else None


def _cross(one: Vector, other: Vector) -> Vector:
    (a, b, c), (d, e, f) = one, other
    return b * f - c * e, c * d - a * f, a * e - b * d
