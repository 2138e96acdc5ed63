"""Listed files, opened only if they have not changed since; and small files of others."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from gcwatch.core.errors import CannotSend, SourceChanged
from gcwatch.files.beneath import SharePath
from gcwatch.files.snapshot import SourceFile, unreadable_error
from gcwatch.threads.heartbeats import heartbeat

_STATE_FILE_BYTES: Final = 64 << 20

Readable = Path | SharePath | SourceFile
"""A file that gcwatch wrote on this machine, one in a share, or one that was listed."""


@contextlib.contextmanager
def open_readable(file: Readable) -> Iterator[BinaryIO]:
    """Yield a file open for reading; a listed one as `open_unchanged` does."""
    match file:
        case SourceFile():
            with open_unchanged(file) as stream:
                yield stream
        case SharePath():
            with file.open_file() as stream:
                yield stream
        case _:
            with file.open("rb") as stream:
                yield stream


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
        return file.place.open_file()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceChanged from error
    except OSError as error:
        raise unreadable_error(file.name, error) from error


def _require_same(stream: BinaryIO, file: SourceFile) -> None:
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode) or not file.is_same(status):
        raise SourceChanged


def read_state_file(path: Path) -> bytes:
    """Given a file of the state directory, return its content.

    Raise FileNotFoundError if it is no file, or larger than any that gcwatch writes: a restored
    backup may hold a pipe or a link to a device in its place.
    """
    content = read_small_file(SharePath.of(path), _STATE_FILE_BYTES)
    if content is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return content


def read_small_file(path: SharePath, limit_bytes: int) -> bytes | None:
    """Given a file that others may replace, return its content.

    Return None if there is no regular file (a link is none), or if it holds more than
    *limit_bytes*. Raise OSError if it can't be read.
    """
    try:
        with path.open_file() as stream:
            content = stream.read(limit_bytes + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return content if len(content) <= limit_bytes else None
