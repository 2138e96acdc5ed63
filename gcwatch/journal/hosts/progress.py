"""What a daemon does at this moment, for other processes such as `gcwatch status`.

A small file in the state directory, replaced once a second while there is work, and never synced
to disk. It may be lost or outdated: a reader uses it only while the daemon that wrote it runs, and
the byte counts only while they are fresh.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import write_atomically
from gcwatch.files.safe_open import read_state_file
from gcwatch.threads.periodic import PeriodicThread

FILE: Final = "progress.json"

INTERVAL_SECONDS: Final = 1.0
"""Time between two writes."""

FRESH_SECONDS: Final = 15.0
"""Byte counts older than this are ignored."""


@dataclass(frozen=True)
class CurrentWork:
    """The cases (keys) and mirrors (names) in work, and the routes whose inbox is away.

    `unused` says, by route, what is in its inbox but becomes no case.
    """

    cases: frozenset[str] = frozenset()
    mirrors: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()
    unused: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)


class DaemonProgress(BaseModel):
    """What a daemon does at the time `at`; `daemon` is its process id.

    `working`: keys of the cases in work. `transfers`: by key, bytes moved and bytes in total (0:
    unknown). `mirrors`: by name, items done, items in total, and bytes moved. `away`: the routes
    whose inbox can't be reached. `unused`: by route, what is in its inbox but becomes no case.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    daemon: int = 0
    at: float = 0.0
    working: frozenset[str] = frozenset()
    transfers: Mapping[str, tuple[int, int]] = {}
    mirrors: Mapping[str, tuple[int, int, int]] = {}
    away: frozenset[str] = frozenset()
    unused: Mapping[str, tuple[Reason, ...]] = {}


NOTHING: Final = DaemonProgress()


def read_progress(state: Path, daemon: int | None, now: float) -> DaemonProgress:
    """Given a state directory, its daemon's process id and the time, return what the daemon does.

    Without a daemon or a usable file, return `NOTHING`.
    """
    try:
        found = DaemonProgress.model_validate_json(read_state_file(state / FILE))
    except (OSError, ValidationError):
        return NOTHING
    # A killed daemon leaves its file; the process id says whose it is.
    if daemon is None or found.daemon != daemon:
        return NOTHING
    if abs(now - found.at) > FRESH_SECONDS:
        return NOTHING.model_copy(update={"away": found.away, "unused": found.unused})
    return found


class ProgressFile(PeriodicThread):
    """A daemon's `progress.json`; a thread keeps it up to date.

    Args:
        state: The state directory.
        daemon: The daemon's process id.
        work: Returns what is in work at this moment.
    """

    def __init__(self, state: Path, daemon: int, work: Callable[[], CurrentWork]) -> None:
        super().__init__("board", INTERVAL_SECONDS)
        self._state = state
        self._daemon = daemon
        self._work = work
        self._lock = threading.Lock()
        self._transfers: dict[str, tuple[int, int]] = {}
        self._mirrors: dict[str, tuple[int, int, int]] = {}
        self._written = NOTHING

    def on_stop(self) -> None:
        """Remove the file: nothing is in work any more."""
        with suppress(OSError):
            (self._state / FILE).unlink(missing_ok=True)

    def moved(self, key: str, moved: int, total: int) -> None:
        """Record the bytes moved and the total of a case's transfer; 0 of 0 ends it."""
        with self._lock:
            self._transfers[key] = (moved, total)
            if not moved and not total:
                del self._transfers[key]

    def mirrored(self, name: str, done: int, items: int, moved: int) -> None:
        """Record how far the run of a mirror is: items done, items in total, bytes moved."""
        with self._lock:
            self._mirrors[name] = (done, items, moved)

    def progress(self) -> DaemonProgress:
        """Return what the daemon does at this moment."""
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
            unused=work.unused,
        )

    def tick(self) -> None:
        """Write the file if something is in work or has changed."""
        now = self.progress()
        if now.working or now.mirrors or not _is_same(now, self._written):
            self._write(now)

    def _write(self, now: DaemonProgress) -> None:
        with suppress(OSError):  # on a full disk only the progress bars are lost
            data = now.model_dump_json().encode()
            write_atomically(self._state / FILE, data, durable=False)
            self._written = now


def _is_same(one: DaemonProgress, other: DaemonProgress) -> bool:
    return one.model_copy(update={"at": other.at}) == other
