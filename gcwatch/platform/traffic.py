"""What passes between gcwatch and the platform since the start: requests by their outcome."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

OUTCOMES: Final = ("ok", "refused", "token_refused", "later", "server_error", "unanswered")
"""How a request can end: `later` is a status 429, `unanswered` that no complete answer came."""


def outcome_of(status: int) -> str:
    """Given the status of an answer, return its outcome."""
    match status:
        case 401:
            return "token_refused"
        case 429:
            return "later"
        case _ if status >= 500:
            return "server_error"
        case _:
            return "refused" if status >= 400 else "ok"


@dataclass
class Traffic:
    """Counts requests; any thread may. It outlives the connections that a reload replaces."""

    clock: Callable[[], float] = time.time
    last_ok: float | None = None
    _wait: float = 0.0
    _outcomes: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, status: int) -> None:
        """Count a request that was answered with this status."""
        outcome = outcome_of(status)
        with self._lock:
            self._outcomes[outcome] += 1
            if outcome == "ok":
                self.last_ok = self.clock()

    def unanswered(self) -> None:
        """Count a request without a complete answer."""
        with self._lock:
            self._outcomes["unanswered"] += 1

    def asked_to_wait(self, seconds: float) -> None:
        """Note that the platform has asked this account to wait (429)."""
        with self._lock:
            self._wait = max(self._wait, seconds)

    def take_wait(self) -> float:
        """Return for how many seconds it has asked to wait since this was asked last."""
        with self._lock:
            wait, self._wait = self._wait, 0.0
        return wait

    def outcomes(self) -> Mapping[str, int]:
        """Return how many requests ended how, for every outcome."""
        with self._lock:
            return {each: self._outcomes[each] for each in OUTCOMES}
