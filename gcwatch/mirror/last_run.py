"""What the state directory knows of mirrors: who works on one, and how its last run ended.

All of it may be deleted: what a mirror holds is told by its receipts.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gcwatch.core.errors import StateError
from gcwatch.files.atomic import write_atomically
from gcwatch.files.lock import LockHeldError, exclusive_lock


class LastRun(BaseModel):
    """A mirror's last run: when it ended (ISO 8601), what was held then, and what went wrong.

    `reason` is a code of the catalogue of reasons, or "" if the run came to its end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ended: str = ""
    items: int = 0
    gone: int = 0
    failed: int = 0
    reason: str = ""


def read_last_run(state: Path, name: str) -> LastRun:
    """Given a state directory and a mirror's name, return its last run; an empty one if none."""
    try:
        return LastRun.model_validate_json(_file(state, name, "json").read_bytes())
    except (OSError, ValidationError):
        return LastRun()


def write_last_run(state: Path, name: str, memory: LastRun) -> None:
    """Write down how a run ended; raise OSError if that can't be."""
    write_atomically(_file(state, name, "json"), memory.model_dump_json().encode())


@contextmanager
def only_mirror(state: Path, name: str) -> Iterator[None]:
    """Be the only one who works on a mirror.

    Raises:
        StateError: when another process, or another thread, does.
    """
    path = _file(state, name, "lock")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with exclusive_lock(path) as lock:
            lock.write(str(os.getpid()))
            yield
    except LockHeldError as error:
        raise StateError(
            f"Another gcwatch (process {error.text}) works on mirror {name} at this moment.",
            "It does the same; gcwatch status tells when it is done.",
        ) from None


def _file(state: Path, name: str, suffix: str) -> Path:
    return state / "mirrors" / f"{name}.{suffix}"
