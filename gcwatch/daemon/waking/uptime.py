"""Time that no change of the machine's clock can alter, and changes of that clock."""

import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from gcwatch import log
from gcwatch.core.case import Uptime
from gcwatch.core.clock import is_likely
from gcwatch.core.text import iso_time

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_SMALLEST_STEP_SECONDS: Final = 2.0
"""A smaller difference between the two clocks is no change that somebody made."""


@cache
def _boot() -> str:
    """Return the name of the machine's last start; without one, a name for this process."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return str(uuid.uuid4())


def read_uptime() -> Uptime:
    """Return for how long this machine has been on; time in which it sleeps does not count."""
    return Uptime(_boot(), time.monotonic())


def warn_if_unlikely(now: float) -> None:
    """Given what the machine's clock shows (seconds since the epoch), log if it can't be right."""
    if not is_likely(now):
        log.emit("clock.unlikely", shown=iso_time(now))


class ClockSteps:
    """Notices when the machine's clock is set.

    Args:
        clock: The time in seconds since the epoch.
        uptime: For how long the machine has been on.
    """

    def __init__(self, clock: Callable[[], float], uptime: Callable[[], Uptime]) -> None:
        self._clock, self._uptime = clock, uptime
        self._offset = self._read_offset()

    def _read_offset(self) -> float:
        return self._clock() - self._uptime().seconds

    def seconds(self) -> float:
        """Return by how many seconds the clock was set, negative if back; 0.0 if it was not."""
        step = self._read_offset() - self._offset
        return step if abs(step) >= _SMALLEST_STEP_SECONDS else 0.0

    def accept(self) -> None:
        """Count from now on: everything follows the clock as it is."""
        self._offset = self._read_offset()
