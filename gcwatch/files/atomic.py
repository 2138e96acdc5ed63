"""Atomic writes, syncs, and what a folder lies on."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason

FOLDER_MODE = 0o750
"""The group reads (a setgid outbox says which), the world never does, whatever the umask."""
FILE_MODE = 0o640
"""Permission bits of what gcwatch publishes."""

BUFFER = 1024 * 1024
"""Bytes read or written at a time, so that memory does not depend on file size."""


_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})


def error_text(error: OSError) -> str:
    """Given an OSError, return what it says without the paths in it."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


@contextlib.contextmanager
def disk_trouble(what: str) -> Iterator[None]:
    """Given what is being done, raise TryAgain (reason `disk`) if the body raises an OSError."""
    try:
        yield
    except OSError as error:
        raise TryAgain(Reason("disk", {"what": what, "error": error_text(error)})) from error


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Given a path, bytes and permission bits, put a file there that is whole or absent.

    What stood there before is replaced. The bytes and the name survive a power cut once this
    returns, unless they need not be *durable*. Raise OSError if it can't be written; nothing is
    left behind then. What a crash left behind, the next try takes away: the name of the file in
    the making is always the same.
    """
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    temporary = path.with_name(f".gcwatch-{digest[:16]}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Given a folder, return when its names are on the disk (where its file system can say so)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Given a folder, return when it and everything below it is on the disk."""
    for folder, _, names in os.walk(path, topdown=False, onerror=_raise_error):
        for name in names:
            _sync_file(Path(folder, name))
        sync_folder(Path(folder))


def _sync_file(path: Path) -> None:
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_error(error: OSError) -> None:
    raise error
