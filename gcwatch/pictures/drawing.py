"""Draws a plane as a small picture: windowed, mirrored, scaled, as PNG or JPEG."""

import io
import math
from collections.abc import Sequence
from itertools import chain
from typing import Final

from PIL import Image, ImageOps

from gcwatch.pictures.plane import Plane

SIDE_PIXELS: Final = 160
"""The longer side of a picture."""

_SAMPLED_PIXELS: Final = 480
"""The longer side of what a picture is made of: of larger planes only each n-th number is used."""

_WINDOW: Final = (0.01, 0.99)
"""Shares of all numbers below which is black, and above which is white."""

_MOST_LABELS: Final = 32
"""Images with fewer different numbers are masks; each number has its own grey."""


def draw_plane(plane: Plane) -> bytes:
    """Given a plane, return it as the bytes of a PNG or JPEG."""
    if plane.colours:
        picture = Image.frombytes("RGB", (plane.columns, plane.rows), plane.colours)
    else:
        picture = _draw_numbers(plane)
    return encode(_mirror(picture, plane.mirrored))


def encode(picture: Image.Image) -> bytes:
    """Given a picture, return it scaled to its size, as the bytes of a PNG or JPEG."""
    picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS))
    target = io.BytesIO()
    if len(picture.getcolors(1 << 16) or range(1 << 16)) <= _MOST_LABELS:
        picture.save(target, "PNG", optimize=True)
    else:
        picture.save(target, "JPEG", quality=80, optimize=True)
    return target.getvalue()


def _mirror(picture: Image.Image, mirrored: tuple[bool, bool]) -> Image.Image:
    sideways, upside_down = mirrored
    picture = ImageOps.mirror(picture) if sideways else picture
    return ImageOps.flip(picture) if upside_down else picture


def _draw_numbers(plane: Plane) -> Image.Image:
    step = math.ceil(max(plane.columns, plane.rows) / _SAMPLED_PIXELS)
    rows = [
        plane.numbers[row * plane.columns : (row + 1) * plane.columns : step]
        for row in range(0, plane.rows, step)
    ]
    greys = _window(list(chain.from_iterable(rows)), is_dark_high=plane.is_dark_high)
    return Image.frombytes("L", (len(rows[0]), len(rows)), greys)


def _window(numbers: Sequence[float], *, is_dark_high: bool) -> bytes:
    """Given numbers, return their greys."""
    counted = sorted(number for number in numbers if math.isfinite(number))
    if not counted:
        return bytes(len(numbers))
    low, high = counted[0], counted[-1]
    if len(set(counted)) > _MOST_LABELS:
        low, high = (counted[round(share * (len(counted) - 1))] for share in _WINDOW)
    scale = 255 / (high - low) if high > low else 0.0
    greys = bytes(
        0 if not number > low else 255 if number >= high else int((number - low) * scale)
        for number in numbers
    )
    return greys.translate(bytes(range(255, -1, -1))) if is_dark_high else greys
