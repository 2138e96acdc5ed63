"""What all that use one account have to keep to: uploads that are taken, a pause, a refused token.

A limit has a name and a number, and holds for some seconds: it ends by itself, as the host that set
it may be gone by then.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

REMEMBERED_SECONDS: Final = 86_400.0
"""For how long a limit that has ended is kept: somebody may have to learn that it did."""


@dataclass(frozen=True)
class Limit:
    """One limit: its number, and for how many seconds it still holds; below 0 it has ended."""

    number: int
    left: float


AllLimits = Mapping[str, Limit]
"""Limits by name, also those that have ended."""


class AccountLimits(Protocol):
    """The limits of one journal's account.

    All raise JournalUnavailable when the database can't be used at the moment.
    """

    is_shared: bool
    """Whether there may be other hosts."""

    def all(self) -> AllLimits:
        """Return all limits that are known."""

    def set(self, name: str, seconds: float) -> None:
        """Let a limit hold for some seconds at least."""

    def take(self, name: str, seconds: float) -> bool:
        """Set a limit if it does not hold; return whether: only one of several gets it."""

    def remove(self, name: str) -> None:
        """Forget a limit."""

    def decide(self, name: str, seconds: float, number: Callable[[AllLimits], int]) -> None:
        """Let a limit have the number that a function makes of all limits, or what that raises.

        Such decisions are made one after another, on whichever host.
        """


class SoleLimits:
    """The limits of a journal that only one host uses: they are known while it runs."""

    is_shared = False

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}
        self._lock = threading.RLock()

    def all(self) -> AllLimits:
        """Return all limits that are known."""
        now = time.monotonic()
        with self._lock:
            return {name: Limit(number, end - now) for name, (number, end) in self._known.items()}

    def set(self, name: str, seconds: float) -> None:
        """Let a limit hold for some seconds at least."""
        with self._lock:
            number, end = self._known.get(name, (0, 0.0))
            self._known[name] = (number, max(end, time.monotonic() + seconds))

    def take(self, name: str, seconds: float) -> bool:
        """Set a limit if it does not hold; return whether."""
        with self._lock:
            found = self.all().get(name)
            if found is not None and found.left > 0:
                return False
            self.set(name, seconds)
            return True

    def remove(self, name: str) -> None:
        """Forget a limit."""
        with self._lock:
            self._known.pop(name, None)

    def decide(self, name: str, seconds: float, number: Callable[[AllLimits], int]) -> None:
        """Let a limit have the number that a function makes of all limits."""
        with self._lock:
            known = self.all()
            for each, limit in known.items():
                if limit.left < -REMEMBERED_SECONDS:
                    del self._known[each]
            self._known[name] = (number(known), time.monotonic() + seconds)
