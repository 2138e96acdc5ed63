"""Files opened as they were listed, or not at all."""

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
    """Given a file as it was listed, yield it open for reading, if it is still that file.

    Raise SourceChanged if it is not, before or after the body; TryAgain (`file_unreadable`) if
    it can't be opened. A verdict that the body gives on bytes that changed is no verdict.
    """
    heartbeat()
    with _open_file(file) as stream:
        _require_same(stream, file)
        try:
            yield stream
        except CannotSend:
            _require_same(stream, file)
            raise
        _require_same(stream, file)


def _open_file(file: SourceFile) -> BinaryIO:
    try:
        # Without O_NONBLOCK a pipe that took the file's place would hang the worker.
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
