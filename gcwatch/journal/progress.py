"""What a daemon is at, told to whoever looks on from another process: `gcwatch status`.

A small file in the state directory, replaced once a second while something is under way, and
never synced. It may be lost or left behind: whoever reads it believes it only while the daemon that
wrote it holds its lock, and what it says of bytes only as long as it is fresh.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from gcwatch.files.atomic import write_atomically
from gcwatch.threads.periodic import PeriodicThread

FILE: Final = "progress.json"

OFTEN: Final = 1.0
"""Seconds between two writes at least."""

FRESH: Final = 15.0
"""Seconds for which it is news where a transfer stands."""


@dataclass(frozen=True)
class CurrentWork:
    """Who is at work: keys of cases, names of mirrors; and the routes whose inbox is away."""

    cases: frozenset[str] = frozenset()
    mirrors: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()


class DaemonProgress(BaseModel):
    """What a daemon is at.

    `working` are the keys of the cases that are worked on. `transfers` are bytes moved, of how many
    (0 if that is not known), by key. `mirrors` are items done, of how many, and bytes moved, by
    name. `away` are the routes whose inbox can't be reached.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    daemon: int = 0
    at: float = 0.0
    working: frozenset[str] = frozenset()
    transfers: Mapping[str, tuple[int, int]] = {}
    mirrors: Mapping[str, tuple[int, int, int]] = {}
    away: frozenset[str] = frozenset()


NOTHING: Final = DaemonProgress()


def read_progress(state: Path, daemon: int | None, now: float) -> DaemonProgress:
    """Given a state directory, the process that works on it and the time, return what it is at.

    Where nothing is known, nothing is under way.
    """
    try:
        found = DaemonProgress.model_validate_json((state / FILE).read_bytes())
    except (OSError, ValidationError):
        return NOTHING
    if daemon is None or found.daemon != daemon:
        return NOTHING
    if abs(now - found.at) > FRESH:
        return NOTHING.model_copy(update={"away": found.away})
    return found


class ProgressFile(PeriodicThread):
    """A daemon's `progress.json`, kept by a thread of its own from start to end.

    Args:
        state: The state directory.
        daemon: The daemon's process id.
        work: Says who is at work at this moment.
    """

    def __init__(self, state: Path, daemon: int, work: Callable[[], CurrentWork]) -> None:
        super().__init__("board", OFTEN)
        self._state = state
        self._daemon = daemon
        self._work = work
        self._lock = threading.Lock()
        self._transfers: dict[str, tuple[int, int]] = {}
        self._mirrors: dict[str, tuple[int, int, int]] = {}
        self._written = NOTHING

    def on_stop(self) -> None:
        """Nothing is under way any more: the file goes."""
        with suppress(OSError):
            (self._state / FILE).unlink(missing_ok=True)

    def moved(self, key: str, moved: int, total: int) -> None:
        """Note that so many bytes of a case's transfer have moved; 0 of 0 is its end."""
        with self._lock:
            self._transfers[key] = (moved, total)
            if not moved and not total:
                del self._transfers[key]

    def mirrored(self, name: str, done: int, items: int, moved: int) -> None:
        """Note how far a mirror's run is."""
        with self._lock:
            self._mirrors[name] = (done, items, moved)

    def progress(self) -> DaemonProgress:
        """Return what the daemon is at."""
        work = self._work()
        with self._lock:
            transfers = dict(self._transfers)
            mirrors = {name: self._mirrors.get(name, (0, 0, 0)) for name in work.mirrors}
            self._mirrors = mirrors
        return DaemonProgress(
            daemon=self._daemon,
            at=time.time(),
            working=work.cases,
            transfers=transfers,
            mirrors=mirrors,
            away=work.away,
        )

    def tick(self) -> None:
        """Write what the daemon is at, if that is news."""
        now = self.progress()
        if now.working or now.mirrors or not _is_same(now, self._written):
            self._write(now)

    def _write(self, now: DaemonProgress) -> None:
        with suppress(OSError):  # a full disk costs the onlookers their bars, and nobody else
            data = now.model_dump_json().encode()
            write_atomically(self._state / FILE, data, durable=False)
            self._written = now


def _is_same(one: DaemonProgress, other: DaemonProgress) -> bool:
    return one.model_copy(update={"at": other.at}) == other
