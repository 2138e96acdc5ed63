"""The lock file of a state directory: which daemon uses it, and why that daemon is paused."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gcwatch.core.errors import StateError
from gcwatch.core.reasons import CATALOGUE, Reason

_LOCK_FILE_BYTES = 128
"""Size of the lock file."""


def _locked(descriptor: int) -> bool:
    """Lock a file; try for 2 s, as `running_daemon` in another process holds it for a moment."""
    for _ in range(100):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


class LockFile:
    """The content of a lock file: the daemon's process id, and why it is paused."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.tell()

    def tell(self, pause: str = "") -> None:
        """Write the reason code for which all work is paused, or "" if it is not."""
        # One write, so that a reader finds either the old content or the new one.
        words = f"{os.getpid()}\n{pause}\n".encode()
        os.pwrite(self._descriptor, words.ljust(_LOCK_FILE_BYTES, b"\n"), 0)


@contextmanager
def only_daemon(state: Path) -> Iterator[LockFile]:
    """Hold the state directory's lock; raise StateError if another daemon holds it."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(descriptor):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").partition("\n")[0]
            raise StateError(
                f"Another gcwatch (process {holder}) works on {state}.",
                "Stop it first, or give this one its own state directory.",
            )
        yield LockFile(descriptor)
    finally:
        with suppress(OSError):
            os.close(descriptor)


def running_daemon(state: Path) -> int | None:
    """Given a state directory, return the process id of the gcwatch that works on it, if any."""
    try:
        descriptor = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        holder = os.pread(descriptor, 32, 0).partition(b"\n")[0]
        if not holder.isdigit():
            return None  # the daemon is just starting; do not touch its lock
        # A daemon holds an exclusive lock, so this shared one is refused.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(holder)
    else:
        return None
    finally:
        os.close(descriptor)


def pause_reason(state: Path) -> Reason | None:
    """Given a state directory, return why its daemon has paused all work, or None."""
    if running_daemon(state) is None:
        return None
    code = (state / "lock").read_text().splitlines()[1:2]
    return Reason(code[0]) if code and code[0] in CATALOGUE else None
