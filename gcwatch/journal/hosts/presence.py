"""The lock file of a state directory: which daemon uses it, and why that daemon is paused.

The file holds two lines: the process id, and the code of the reason for which all work is paused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from gcwatch.core.errors import StateError
from gcwatch.core.reasons import CATALOGUE, Reason
from gcwatch.files.lock import HeldLock, LockHeldError, exclusive_lock, read_lock_holder
from gcwatch.journal.databases.sqlite import no_access_error

_WAIT_SECONDS: Final = 2.0
"""`running_daemon` in another process holds the lock for a moment; wait for that."""


class LockFile:
    """The lock that a running daemon holds, with the content of its file.

    Raises:
        OSError: when the process id can't be written.
    """

    def __init__(self, lock: HeldLock) -> None:
        self._lock = lock
        self._write("")

    def write_pause(self, pause: str = "") -> None:
        """Write the reason code for which all work is paused, or "" if it is not.

        On a read-only disk it stays as it is: the pause itself does not depend on it.
        """
        with suppress(OSError):
            self._write(pause)

    def _write(self, pause: str) -> None:
        self._lock.write(f"{os.getpid()}\n{pause}\n")


@contextmanager
def only_daemon(state: Path) -> Iterator[LockFile]:
    """Hold the state directory's lock.

    Raises:
        StateError: when another daemon holds it, or the directory can't be used.
        JournalUnavailable: when its disk is full or read-only.
    """
    with ExitStack() as stack:
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = _lock_file(state)
            _require_file(path)
            lock = exclusive_lock(path, wait_seconds=_WAIT_SECONDS)
            lock_file = LockFile(stack.enter_context(lock))
        except LockHeldError as error:
            holder, *_ = error.text.split("\n")
            raise StateError(
                f"Another gcwatch (process {holder}) works on {state}.",
                "Stop it first, or give this one its own state directory.",
            ) from None
        except OSError as error:
            raise no_access_error(state, error) from error
        yield lock_file


def _require_file(path: Path) -> None:
    """Raise StateError if something else is in the place of the lock file: it is written to."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise StateError(
            f"{path} is a link, a folder, a pipe or a device, and has to be a file.",
            "Remove it: gcwatch makes it anew.",
        )


def running_daemon(state: Path) -> int | None:
    """Given a state directory, return the process id of the gcwatch that works on it, if any."""
    process, _ = _read(state)
    return int(process) if process.isdigit() else None


def pause_reason(state: Path) -> Reason | None:
    """Given a state directory, return why its daemon has paused all work, or None."""
    _, code = _read(state)
    return Reason(code) if code in CATALOGUE else None


def _read(state: Path) -> tuple[str, str]:
    """Return the two lines of the daemon that runs; both are empty if none runs."""
    process, _, code = (read_lock_holder(_lock_file(state)) or "").partition("\n")
    return process, code


def _lock_file(state: Path) -> Path:
    return state / "lock"
