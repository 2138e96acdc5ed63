"""The lock file of a state directory: which process works on it, and why that pauses."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gcwatch.core.errors import StateError
from gcwatch.core.reasons import CATALOGUE, Reason

_WORDS = 128
"""Bytes of the lock file."""


def _locked(descriptor: int) -> bool:
    """Lock a file; somebody who only asks whether a daemon is there holds it for a moment."""
    for _ in range(100):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


class LockFile:
    """A daemon's words in its lock file: its process id, and the reason for which it pauses."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.write_pause()

    def write_pause(self, pause: str = "") -> None:
        """Write down why all work pauses (a code of the catalogue), or that it does not."""
        # In one write, so that whoever reads meanwhile finds the old words or the new ones.
        words = f"{os.getpid()}\n{pause}\n".encode()
        os.pwrite(self._descriptor, words.ljust(_WORDS, b"\n"), 0)


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
            return None  # it has not come as far as to tell; leave the lock to it
        # A shared lock, for no longer than the asking, is refused by a daemon's exclusive one.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(holder)
    else:
        return None
    finally:
        os.close(descriptor)


def pause_reason(state: Path) -> Reason | None:
    """Given a state directory, return why the gcwatch there pauses all work, if it does."""
    if running_daemon(state) is None:
        return None
    code = (state / "lock").read_text().splitlines()[1:2]
    return Reason(code[0]) if code and code[0] in CATALOGUE else None
