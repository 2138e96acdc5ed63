"""Heartbeats: every worker shows that it makes progress, so that a hanging one is found.

A function that runs long calls `heartbeat()`; it need not know which worker its thread works for.
There the work also ends if the daemon stops.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_thread = threading.local()


def heartbeat(*, may_end: bool = True) -> None:
    """Record that the worker of this thread makes progress; without a worker do nothing.

    Raise what the worker's `Heartbeats` raise if no work may go on; not without `may_end`.
    """
    tell: Callable[[bool], None] | None = getattr(_thread, "tell", None)
    if tell is not None:
        tell(may_end)


def with_callers_heartbeat(work: Callable[P, R]) -> Callable[P, R]:
    """Given work for another thread, return it so that its heartbeats count for this worker."""
    tell = getattr(_thread, "tell", None)

    def work_for_caller(*args: P.args, **kwargs: P.kwargs) -> R:
        _thread.tell = tell
        try:
            return work(*args, **kwargs)
        finally:
            # The pool's thread does work for others afterwards.
            _thread.tell = None

    return work_for_caller


class Heartbeats:
    """The workers, and the time of each one's last heartbeat, on a monotonic clock.

    `require_running` is called at each heartbeat; it raises an error to end the work.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        require_running: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._require_running = require_running
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, who: str) -> Iterator[None]:
        """Name the worker of this thread until the block ends."""
        with self._lock:
            self._last[who] = self._clock()
        _thread.tell = partial(self._beat, who)
        try:
            yield
        finally:
            _thread.tell = None
            with self._lock:
                self._last.pop(who, None)

    def _beat(self, who: str, may_end: bool) -> None:
        self.tell(who)
        if may_end:
            self._require_running()

    def tell(self, who: str) -> None:
        """Record a heartbeat of a worker, from any thread; ignore a worker that has ended."""
        with self._lock:
            if who in self._last:
                self._last[who] = self._clock()

    def silent(self, seconds: float) -> frozenset[str]:
        """Return the workers that have made no progress for this many seconds."""
        since = self._clock() - seconds
        with self._lock:
            return frozenset(who for who, last in self._last.items() if last < since)
