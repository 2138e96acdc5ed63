"""What each mirror has in the state directory: its lock and notes; and how its last run ended.

All may be deleted: the receipts in a mirror tell what it contains. How a run ended is known to all
hosts that share the journal.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from gcwatch.core.errors import StateError
from gcwatch.files.lock import LockHeldError, exclusive_lock
from gcwatch.journal.hosts.hosts import Notes


def _require_time(text: str) -> str:
    """Refuse what is no time with a time zone: a disk that fails leaves any text."""
    if text and datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no time zone")
    return text


class LastRun(BaseModel):
    """A mirror's last run: when it ended (ISO 8601), its counts, and what went wrong.

    `items` are on disk, `gone` of them are no longer on the platform, `failed` could not be
    fetched. Of the `answers` of a reader study, `masks_missing` have no mask yet. `reason` is a
    code of the catalogue of reasons, "" if the run was complete. `fetched` is what `gcwatch fetch`
    brought into the folder: kind and slug.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ended: Annotated[str, AfterValidator(_require_time)] = ""
    items: int = 0
    gone: int = 0
    failed: int = 0
    answers: int = 0
    masks_missing: int = 0
    reason: str = ""
    fetched: str = ""

    @property
    def ended_at(self) -> float | None:
        """When it ended, in seconds since the epoch; None without a run."""
        return datetime.fromisoformat(self.ended).timestamp() if self.ended else None


def read_last_run(notes: Notes, name: str) -> LastRun:
    """Given a mirror's name, return its last run, empty without one."""
    try:
        return LastRun.model_validate_json(notes.note(f"mirrors/{name}"))
    except ValidationError:
        return LastRun()


def write_last_run(notes: Notes, name: str, last_run: LastRun) -> None:
    """Write how a run ended; raise OSError or JournalUnavailable if that fails."""
    notes.write_note(f"mirrors/{name}", last_run.model_dump_json().encode())


@contextmanager
def lock_mirror(state: Path, name: str) -> Iterator[None]:
    """Hold the lock of a mirror during the body, so that only one run works on it.

    Raises:
        StateError: when another process or thread has the lock.
    """
    path = _state_file(state, name, "lock")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with exclusive_lock(path) as lock:
            lock.write(str(os.getpid()))
            yield
    except LockHeldError as error:
        raise StateError(
            f"Another gcwatch (process {error.text}) works on mirror {name} now.",
            "Wait until it is done; gcwatch status shows that.",
        ) from None


def staging_notes(state: Path, name: str) -> Path:
    """Return the folder that remembers which staging folders of a mirror gcwatch made."""
    return _state_file(state, name, "staging")


def answers_file(state: Path, name: str) -> Path:
    """Return the file with what was read of a reader study."""
    return _state_file(state, name, "answers.sqlite")


def _state_file(state: Path, name: str, suffix: str) -> Path:
    return state / "mirrors" / f"{name}.{suffix}"
