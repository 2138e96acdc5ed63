"""Reads PNG, JPEG and TIFF with Pillow, within limits."""

import sys
import warnings
from typing import BinaryIO, Final

from PIL import Image, ImageOps

from gcwatch.pictures.drawing import SIDE_PIXELS, draw_plane, encode
from gcwatch.pictures.plane import CantDrawError, Plane
from gcwatch.pictures.voxels import numbers_of

MAX_IMAGE_PIXELS: Final = 48_000_000
"""A picture with more pixels is not decoded."""

_FORMATS: Final = ("PNG", "JPEG", "TIFF")
_MOST_PAGES: Final = 20
_SAME_SHAPE: Final = 0.03
"""Allowed difference between the shapes of pages of a slide: its label has another shape."""


def draw_photo(stream: BinaryIO, formats: tuple[str, ...] = _FORMATS) -> tuple[bytes, bool]:
    """Given a PNG, JPEG or TIFF, return a small picture, and whether all of it is zero."""
    # Pillow warns from a size on; here the limit decides.
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(stream, formats=formats) as picture:
        _seek_small_page(picture)
        if picture.width * picture.height > MAX_IMAGE_PIXELS:
            raise CantDrawError("it is too large to draw")
        picture.draft(None, (2 * SIDE_PIXELS, 2 * SIDE_PIXELS))
        return _draw(ImageOps.exif_transpose(picture))


def _draw(picture: Image.Image) -> tuple[bytes, bool]:
    if picture.mode.startswith(("I", "F")):
        numbers = picture.convert("F" if picture.mode == "F" else "I")
        numbers.thumbnail((480, 480), Image.Resampling.NEAREST)
        code = "f" if numbers.mode == "F" else "i"
        values = numbers_of(numbers.tobytes(), code, "<" if sys.byteorder == "little" else ">")
        return draw_plane(Plane(numbers.width, numbers.height, values)), not any(values)
    plain = picture.convert("L" if picture.mode in {"1", "L"} else "RGB")
    highest = max(plain.convert("L").getextrema())
    return encode(plain), highest == 0


def _seek_small_page(picture: Image.Image) -> None:
    """Go to the smallest page of a slide that is large enough, and has the shape of the first."""
    shape = picture.width / picture.height
    best, least = 0, picture.width * picture.height
    for page in range(1, min(getattr(picture, "n_frames", 1), _MOST_PAGES)):
        picture.seek(page)
        is_same = abs(picture.width / picture.height / shape - 1) <= _SAME_SHAPE
        is_enough = max(picture.size) >= SIDE_PIXELS
        if is_same and is_enough and picture.width * picture.height < least:
            best, least = page, picture.width * picture.height
    picture.seek(best)
