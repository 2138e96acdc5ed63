"""Listed files, opened only if they have not changed since."""

import contextlib
import os
import stat
from collections.abc import Iterator
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


def _require_same(stream: BinaryIO, file: SourceFile) -> None:
    status = os.fstat(stream.fileno())
    now = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if not stat.S_ISREG(status.st_mode) or now != (file.size, file.mtime_ns, file.ctime_ns):
        raise SourceChanged
