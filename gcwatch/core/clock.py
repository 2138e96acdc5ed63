"""Which times the clock of a machine can show: a wrong one must end nothing."""

from collections.abc import Callable
from typing import Final

LATEST_SECONDS: Final = 32503680000.0
"""The year 3000. Calendars end in 9999, and what is added to a time must fit, too."""

_LIKELY_SECONDS: Final = (1_793_491_200.0, 4_102_444_800.0)
"""From November 2026, when there was no gcwatch, to 2100."""


def bounded_time(at: float) -> float:
    """Given seconds since the epoch, return the nearest time from 1970 to the year 3000."""
    return min(max(0.0, at), LATEST_SECONDS)  # in this order NaN becomes 0


def bounded_clock(clock: Callable[[], float]) -> Callable[[], float]:
    """Given a clock, return one that goes as fast, and always shows a time from 1970 to 3000."""
    # A clock that stood at an end would let no case become due.
    return lambda: clock() % LATEST_SECONDS


def is_likely(now: float) -> bool:
    """Whether a clock that shows this time can be right."""
    return _LIKELY_SECONDS[0] <= now < _LIKELY_SECONDS[1]
