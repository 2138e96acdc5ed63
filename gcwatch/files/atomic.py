"""Files written completely or not at all, and synced to the disk."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason

FOLDER_MODE = 0o750
"""Permission bits of published folders: the group may read, others may not, whatever the umask.

A setgid outbox sets the group.
"""
FILE_MODE = 0o640
"""Permission bits of published files."""

BUFFER_BYTES = 1024 * 1024
"""Bytes read or written at a time, so that memory use does not depend on the file's size."""


_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""Errors of a file system that can't sync a folder."""


def error_text(error: OSError) -> str:
    """Given an OSError, return its message without paths: they may contain a patient's name."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


@contextlib.contextmanager
def disk_trouble(what: str) -> Iterator[None]:
    """Given what the body does, raise TryAgain (reason `disk`) if it raises an OSError."""
    try:
        yield
    except OSError as error:
        raise TryAgain(Reason("disk", {"what": what, "error": error_text(error)})) from error


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Given a path, bytes and permission bits, write a file there, completely or not at all.

    An existing file is replaced. If *durable*, the file survives a power cut once this returns.
    Raise OSError if it can't be written; nothing is left behind then.
    """
    # The temporary name is always the same, so the next try removes what a crash left behind.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    temporary = path.with_name(f".gcwatch-{digest[:16]}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        # O_EXCL: a link that somebody puts at this name meanwhile is not followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
            # The umask takes bits from the mode of a new file, but not from this one.
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        # Only after the sync: else a power cut could leave the new name on an empty file.
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        # The name is an entry of the folder, which the sync of the file does not cover.
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Given a folder, return when its entries are on the disk, if its file system can sync them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Given a folder, return when it and all files and folders below it are on the disk."""
    for folder, _, names in os.walk(path, topdown=False, onerror=_raise_error):
        for name in names:
            _sync_file(Path(folder, name))
        sync_folder(Path(folder))


def _sync_file(path: Path) -> None:
    # open would follow the link, perhaps out of this folder; a link itself has nothing to sync.
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_error(error: OSError) -> None:
    raise error
