"""Heartbeats: every worker shows that it makes progress, so that a hanging one is found.

A function that runs long calls `heartbeat()`, and one that is about to change something that can't
be changed twice calls `before_write()`; neither need know for which worker its thread works. There
the work also ends if the daemon stops, or if another host has taken it over.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Worker:
    """What a thread works for.

    `tell` records a heartbeat; `require_running` and `require_write` raise an error if the work may
    not go on, or may not write now.
    """

    tell: Callable[[], None]
    require_running: Callable[[], None]
    require_write: Callable[[], None] = lambda: None


class _Thread(threading.local):
    worker: _Worker | None = None


_thread = _Thread()


def heartbeat(*, may_end: bool = True) -> None:
    """Record that the worker of this thread makes progress; without a worker do nothing.

    Raise what the worker's `Heartbeats` raise if no work may go on; not without `may_end`.
    """
    worker = _thread.worker
    if worker is not None:
        worker.tell()
        if may_end:
            worker.require_running()


def before_write() -> None:
    """Raise an error if the worker of this thread may not make a call that can't be repeated."""
    if _thread.worker is not None:
        _thread.worker.require_write()


@contextmanager
def only_while(
    require_running: Callable[[], None], require_write: Callable[[], None]
) -> Iterator[None]:
    """Let the work of this thread go on, and write, only while two more functions raise nothing."""
    former = _thread.worker

    def require_both() -> None:
        if former is not None:
            former.require_running()
        require_running()

    tell = former.tell if former is not None else lambda: None
    _thread.worker = _Worker(tell, require_both, require_write)
    try:
        yield
    finally:
        _thread.worker = former


def with_callers_heartbeat(work: Callable[P, R]) -> Callable[P, R]:
    """Given work for another thread, return it so that its heartbeats count for this worker."""
    worker = _thread.worker

    def work_for_caller(*args: P.args, **kwargs: P.kwargs) -> R:
        _thread.worker = worker
        try:
            return work(*args, **kwargs)
        finally:
            # The pool's thread does work for others afterwards.
            _thread.worker = None

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
        _thread.worker = _Worker(lambda: self.tell(who), self._require_running)
        try:
            yield
        finally:
            _thread.worker = None
            with self._lock:
                self._last.pop(who, None)

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
