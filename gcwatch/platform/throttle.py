"""Slows uploads: all together send at most so many bytes a second."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

_SLICE_SECONDS: Final = 0.25
"""A slice takes so long at the limit: many uploads at once each send something every few seconds,
so that no storage takes one of them for dead."""

_LOOK_SECONDS: Final = 0.2


def _is_never_over() -> bool:
    return False


class Throttle:
    """A bucket of bytes for all threads; whoever comes first sends first.

    Args:
        rate: Returns the limit of the moment in bytes a second; None if there is none.
        clock: The monotonic time in seconds.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        rate: Callable[[], float | None] = lambda: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock, self._sleep = clock, sleep
        self._free_at = 0.0
        self._lock = threading.Lock()

    def slices(
        self,
        chunk: memoryview | bytes,
        *,
        on_wait: Callable[[float], None],
        is_over: Callable[[], bool] = _is_never_over,
    ) -> Iterator[memoryview]:
        """Yield a chunk in slices, each when it may be sent.

        *on_wait* gets the seconds of each wait before it begins: they are not the server's. A wait
        ends early if *is_over*.
        """
        left = memoryview(chunk)
        while left:
            rate = self._rate()
            most = len(left) if rate is None else max(int(rate * _SLICE_SECONDS), 1)
            count = min(len(left), most)
            seconds = self._reserve(count, rate)
            if seconds > 0:
                on_wait(seconds)
                self._wait(seconds, is_over)
            yield left[:count]
            left = left[count:]

    def _reserve(self, count: int, rate: float | None) -> float:
        """Take the next place for some bytes; return after how many seconds they may be sent."""
        now = self._clock()
        with self._lock:
            if rate is None:
                self._free_at = now
                return 0.0
            # What was not used is gone after one slice: nothing is made up for later.
            begin = max(self._free_at, now - _SLICE_SECONDS)
            self._free_at = begin + count / rate
            return max(begin - now, 0.0)

    def _wait(self, seconds: float, is_over: Callable[[], bool]) -> None:
        end = self._clock() + seconds
        while not is_over() and (left := end - self._clock()) > 0:
            self._sleep(min(left, _LOOK_SECONDS))
