"""The hosts that work by one journal: which live, and what each does."""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import write_atomically
from gcwatch.files.safe_open import read_state_file
from gcwatch.journal.hosts.ownership import Owner, this_owner
from gcwatch.journal.hosts.presence import pause_reason, running_daemon
from gcwatch.journal.hosts.progress import DaemonProgress, read_progress
from gcwatch.version import VERSION


@dataclass(frozen=True)
class Host:
    """One gcwatch of those that share a journal; `started`: when, 0 if that is not known.

    `silent` is for how many seconds it has told nothing, `longest` for how many it may be, as its
    leases last so long. `pause` is why all its work is paused.
    """

    identity: str
    name: str
    version: str
    started: float
    silent: float
    longest: float
    pause: Reason | None
    progress: DaemonProgress

    @property
    def is_alive(self) -> bool:
        """Whether it has told something for as long as its leases last without it."""
        return self.silent < self.longest


class Notes(Protocol):
    """What hosts remember together, by name."""

    def note(self, name: str) -> bytes:
        """Return a note; nothing if there is none."""

    def write_note(self, name: str, content: bytes) -> None:
        """Replace a note; raise OSError or JournalUnavailable if that fails."""


class Hosts(Notes, Protocol):
    """The hosts of one journal, as one of them sees them.

    All raise JournalUnavailable when the database can't be used at the moment.
    """

    def join(self) -> None:
        """Tell that this host begins to work; raise StateError if another one has its identity."""

    def tell(self, progress: DaemonProgress, pause: str) -> None:
        """Tell that this host lives, what it does, and the code of why all its work is paused."""

    def leave(self) -> None:
        """Tell that this host does not work any more."""

    def all(self) -> Sequence[Host]:
        """Return all hosts that have begun to work and have not ended, by name."""

    def wait_for_news(self, seconds: float) -> bool:
        """Wait until some host has found, retried or withdrawn a case; return whether one has."""

    def others(self) -> Sequence[Host]:
        """Return the hosts beside this one that live."""

    def owner(self) -> Owner:
        """Return to whom the inboxes of these hosts belong."""


class NoteFiles:
    """Notes in a state directory: each is a file there."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def note(self, name: str) -> bytes:
        """Return a note; nothing if there is none, or if it can't be read."""
        try:
            return read_state_file(self._state / f"{name}.json")
        except OSError:
            return b""

    def write_note(self, name: str, content: bytes) -> None:
        """Replace a note; raise OSError if that fails."""
        path = self._state / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, content)


class SoleHost(NoteFiles):
    """The one gcwatch of a journal in a state directory: its files there tell what it does."""

    def join(self) -> None:
        """Do nothing: the lock of the state directory tells it."""

    def tell(self, progress: DaemonProgress, pause: str) -> None:
        """Do nothing: the files of the state directory tell it."""

    def leave(self) -> None:
        """Do nothing: the lock of the state directory tells it."""

    def all(self) -> Sequence[Host]:
        """Return the gcwatch that works on this state directory, if one does."""
        daemon = running_daemon(self._state)
        if daemon is None:
            return ()
        progress = read_progress(self._state, daemon, time.time())
        progress = progress.model_copy(update={"daemon": daemon})
        pause = pause_reason(self._state)
        return (Host("", socket.gethostname(), VERSION, 0.0, 0.0, 1.0, pause, progress),)

    def wait_for_news(self, seconds: float) -> bool:
        """Return False at once: there is no other host."""
        del seconds
        return False

    def others(self) -> Sequence[Host]:
        """Return nothing."""
        return ()

    def owner(self) -> Owner:
        """Return whom this state directory makes of gcwatch."""
        return this_owner(self._state)
