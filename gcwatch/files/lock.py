"""File locks: every `flock` of gcwatch. A lock ends with its context, or with its process."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TEXT_BYTES: Final = 128
_PAUSE_SECONDS: Final = 0.02


class LockHeldError(Exception):
    """Another process or thread has the lock; `text` is what it wrote into the lock's file."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class HeldLock:
    """A lock that this process has."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> None:
        """Write at most 128 bytes about the holder into the lock's file, for others to read."""
        # One write, so that whoever reads meanwhile finds the old text or the new one.
        os.pwrite(self._descriptor, text.encode().ljust(_TEXT_BYTES, b"\n"), 0)


@contextmanager
def exclusive_lock(path: Path, *, wait_seconds: float | None = 0.0) -> Iterator[HeldLock]:
    """Hold the lock of a file or folder during the body; a missing file is created.

    Args:
        path: The file or folder.
        wait_seconds: How long to wait for another holder; None waits without limit.

    Raises:
        LockHeldError: when another holder still has the lock after that time.
        OSError: when the file can't be opened.
    """
    # A folder can be locked, but not opened for writing.
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    # O_CLOEXEC: a program that is started meanwhile would inherit the lock and keep it.
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        _lock(descriptor, wait_seconds)
        yield HeldLock(descriptor)
    finally:
        with suppress(OSError):
            os.close(descriptor)


def read_lock_holder(path: Path) -> str | None:
    """Given a lock's file, return the text of its holder; None if the lock is free."""
    try:
        # A pipe in its place would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        if not _read_text(descriptor):
            return None  # whoever made the file is about to lock it: leave the lock free for it
        # The holder's exclusive lock refuses this shared one, which lasts only for this question.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_text(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait_seconds: float | None) -> None:
    if wait_seconds is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    # flock has no time-out, so it is tried again until the time is over.
    end = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise LockHeldError(_read_text(descriptor)) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _read_text(descriptor: int) -> str:
    return os.pread(descriptor, _TEXT_BYTES, 0).decode(errors="replace").strip()
