"""Listed files, opened only if they have not changed since."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gcwatch.core.errors import CannotSend, SourceChanged
from gcwatch.files.snapshot import SourceFile, unreadable_error
from gcwatch.threads.heartbeats import heartbeat


@contextlib.contextmanager
def open_unchanged(file: SourceFile) -> Iterator[BinaryIO]:
    """Given a listed file, yield it open for reading if it has not changed since.

    Raise SourceChanged if it changed before or during the body, TryAgain (`file_unreadable`) if
    it can't be opened.
    """
    heartbeat()
    with _open_file(file) as stream:
        _require_inside(stream, file)
        _require_same(stream, file)
        try:
            yield stream
        except CannotSend:
            # If the file changed meanwhile, the refusal was about bytes that no longer count.
            _require_same(stream, file)
            raise
        _require_same(stream, file)


def _open_file(file: SourceFile) -> BinaryIO:
    try:
        # Without O_NONBLOCK, opening a pipe that replaced the file would block the worker forever.
        return os.fdopen(os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceChanged from error
    except OSError as error:
        raise unreadable_error(file.name, error) from error


def _require_inside(stream: BinaryIO, file: SourceFile) -> None:
    """Raise SourceChanged if the open file lies elsewhere: a folder became a link meanwhile."""
    # What the kernel opened, whatever the path leads to by now (proc_pid_fd(5)).
    opened = os.readlink(f"/proc/self/fd/{stream.fileno()}")  # noqa: PTH115 -- names of any bytes
    if not opened.startswith(file.root.rstrip("/") + "/"):
        raise SourceChanged


def read_small_file(path: Path, limit_bytes: int) -> bytes | None:
    """Given the path of a file that others may replace, return its content.

    Return None if there is no regular file (a link is none), or if it holds more than
    *limit_bytes*. Raise OSError if it can't be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            return None
        raise
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = stream.read(limit_bytes + 1)
    return content if len(content) <= limit_bytes else None


def _require_same(stream: BinaryIO, file: SourceFile) -> None:
    status = os.fstat(stream.fileno())
    now = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if not stat.S_ISREG(status.st_mode) or now != (file.size, file.mtime_ns, file.ctime_ns):
        raise SourceChanged
