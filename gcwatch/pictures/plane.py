"""One plane of an image before it is drawn, and why there may be none."""

from collections.abc import Sequence
from dataclasses import dataclass

Direction = tuple[float, float, float]
"""Where an axis leads in the patient: to the left, to the back, to the head (LPS)."""


class CantDrawError(Exception):
    """There is no picture; the text is a clause for people that says why."""


@dataclass(frozen=True)
class Plane:
    """The numbers of one plane, row by row, or its colours (red, green and blue of each pixel).

    It is number `number` of `count`. `is_empty`: the whole image holds nothing but zeros.
    `is_dark_high`: high numbers are dark.
    """

    columns: int
    rows: int
    numbers: Sequence[float] = ()
    colours: bytes = b""
    number: int = 1
    count: int = 1
    is_empty: bool = False
    is_dark_high: bool = False
    mirrored: tuple[bool, bool] = (False, False)


def find_mirroring(along_rows: Direction, along_columns: Direction) -> tuple[bool, bool]:
    """Given where columns and rows increase to, return whether to mirror left-right and up-down.

    So that images with other axes are shown in one way: the patient's left and back are on the
    right, the back is below, and the head is above.
    """
    axis, sign = _main_axis(along_rows)
    below, down = _main_axis(along_columns)
    is_head = below == 2
    return sign < 0 and axis < 2, down > 0 if is_head else down < 0


def _main_axis(direction: Direction) -> tuple[int, float]:
    axis = max(range(3), key=lambda each: abs(direction[each]))
    return axis, direction[axis]
