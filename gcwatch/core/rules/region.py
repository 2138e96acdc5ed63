"""Regions of a picture that are blacked out: "0,0,100%,12%" is its upper 12 percent."""

import math
import re
from dataclasses import dataclass

_EXTENT = r"(\d{1,6}(?:\.\d{1,3})?)(%?)"
_REGION = re.compile(rf"\s*{_EXTENT}\s*,\s*{_EXTENT}\s*,\s*{_EXTENT}\s*,\s*{_EXTENT}\s*")


@dataclass(frozen=True)
class Region:
    """Left, top, width and height, each in pixels, or in percent of the picture."""

    extents: tuple[tuple[float, bool], ...]

    def box(self, columns: int, rows: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in pixels of a picture; rounded outwards."""
        left, top, width, height = (
            value * whole / 100 if is_percent else value
            for (value, is_percent), whole in zip(
                self.extents, (columns, rows, columns, rows), strict=True
            )
        )
        right, bottom = math.ceil(left + width), math.ceil(top + height)
        return math.floor(left), math.floor(top), min(right, columns), min(bottom, rows)


def parse_region(text: str) -> Region:
    """Given the text of a region, return it; raise ValueError if it is none."""
    found = _REGION.fullmatch(text)
    if found is None:
        raise ValueError
    numbers = found.groups()
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return Region(tuple((float(number), sign == "%") for number, sign in pairs))
