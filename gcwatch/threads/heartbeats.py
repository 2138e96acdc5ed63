"""Signs of life: whoever works gives them, and who has given none for long is known by name.

The layers below need not know for whom they work: `beat` counts for whatever the thread is at.
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


def heartbeat() -> None:
    """What this thread is at makes progress."""
    tell: Callable[[], None] | None = getattr(_thread, "tell", None)
    if tell is not None:
        tell()


def with_callers_heartbeat(work: Callable[P, R]) -> Callable[P, R]:
    """Given what another thread does for this one, return it with this one's signs of life."""
    tell = getattr(_thread, "tell", None)

    def done(*args: P.args, **kwargs: P.kwargs) -> R:
        _thread.tell = tell
        try:
            return work(*args, **kwargs)
        finally:
            _thread.tell = None

    return done


class Heartbeats:
    """Who is at work, and when each last made progress, on a clock that never steps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, who: str) -> Iterator[None]:
        """Somebody is at work in this thread until the block ends."""
        with self._lock:
            self._last[who] = self._clock()
        _thread.tell = partial(self.tell, who)
        try:
            yield
        finally:
            _thread.tell = None
            with self._lock:
                self._last.pop(who, None)

    def tell(self, who: str) -> None:
        """Somebody made progress, in whatever thread; who is not at work is not heard."""
        with self._lock:
            if who in self._last:
                self._last[who] = self._clock()

    def silent(self, seconds: float) -> frozenset[str]:
        """Return who is at work and has made no progress for so long."""
        since = self._clock() - seconds
        with self._lock:
            return frozenset(who for who, last in self._last.items() if last < since)
