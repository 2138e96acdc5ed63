"""What the platform must make of an image that is sent, and how to compare it with what it made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_SIZE_TOLERANCE = 1e-4
"""Allowed relative difference between voxel sizes; formats round them to 32 bits or as text."""

_SHOWN_AXES = 6
_SHOWN_CHARACTERS = 20
"""Limits of what a sentence shows of the platform's answer."""

MOST_SEGMENTS = 64
"""More volumes than this are times in any case (panimg 0.18.2, `models.py`)."""


@dataclass(frozen=True)
class ImageForecast:
    """The image that the platform must make of an upload; what is not known is empty or None.

    `shape` is without colour, in the platform's order: time, z, y, x, as far as the image has them.
    `color_space` is GRAY, RGB, RGBA or YCBCR. `voxel_sizes` are width, height and depth in mm;
    None also stands for a size that the platform does not tell. `times` is the number of volumes,
    None if the image is not over time. `pixel_type` is the type of a stored number, as NumPy names
    it. `order` holds the numbers of a series' files, counted from 0, first plane first; times come
    one after the other.
    """

    shape: tuple[int, ...] = ()
    color_space: str = ""
    voxel_sizes: tuple[float | None, ...] = (None, None, None)
    times: int | None = None
    pixel_type: str = ""
    order: tuple[int, ...] = ()

    @property
    def possible_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that the platform may tell; () if none is known.

        Volumes of 8-bit numbers may be segmentations, one for each volume, if all their voxels are
        0 or 1. The platform tells no times of these, and the header does not tell their voxels.
        """
        may_be_segments = (
            self.times is not None
            and self.times <= MOST_SEGMENTS
            and self.color_space == "GRAY"
            and self.pixel_type in {"int8", "uint8"}
        )
        if not self.shape:
            return ()
        return (self.shape, self.shape[1:]) if may_be_segments else (self.shape,)


UNKNOWN = ImageForecast()
"""The forecast of an image of which nothing is known."""


@dataclass(frozen=True)
class ReportedImage:
    """What the platform tells of an image; the fields are those of `ImageForecast`."""

    shape: tuple[int | None, ...]
    color_space: str
    voxel_sizes: tuple[float | None, ...]


def is_as_foretold(forecast: ImageForecast, reported: ReportedImage) -> bool:
    """Whether the platform made the image of the forecast, as far as both are known."""
    shapes = forecast.possible_shapes
    return (
        (not shapes or reported.shape in shapes)
        and forecast.color_space in {"", reported.color_space}
        and all(map(_is_same_size, forecast.voxel_sizes, reported.voxel_sizes))
    )


def _is_same_size(expected: float | None, found: float | None) -> bool:
    if expected is None:
        return True
    return found is not None and math.isclose(expected, found, rel_tol=_SIZE_TOLERANCE)


def describe_image(image: ImageForecast | ReportedImage) -> str:
    """Given an image, return its size in words, x first: "16 x 16 x 4 GRAY, 0.49 x 0.49 x 2 mm"."""
    axes = [str(number) for number in image.shape[::-1][:_SHOWN_AXES]]
    more = ["..."] if len(image.shape) > _SHOWN_AXES else []
    color = image.color_space[:_SHOWN_CHARACTERS]
    parts = (" x ".join([*axes, *more]), color)
    sizes = _describe_sizes(image.voxel_sizes)
    return " ".join(filter(None, parts)) + (f", {sizes}" if sizes else "")


def _describe_sizes(sizes: Sequence[float | None]) -> str:
    known = ["?" if size is None else f"{size:.6g}" for size in sizes]
    while known and known[-1] == "?":
        known.pop()
    return f"{' x '.join(known)} mm" if known else ""
