"""Files written completely or not at all, and synced to the disk."""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.beneath import SharePath

FOLDER_MODE = 0o750
"""Permission bits of published folders: the group may read, others may not, whatever the umask.

A setgid outbox sets the group.
"""
FILE_MODE = 0o640
"""Permission bits of published files."""

BUFFER_BYTES = 1024 * 1024
"""Bytes read or written at a time, so that memory use does not depend on the file's size."""


_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS})
"""Errors of a file system that can't sync a folder, or anything."""

_NO_MODES = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
"""Errors of a file system that has no permission bits (SMB, S3, exFAT)."""

_NO_REPLACING = frozenset(
    {errno.EEXIST, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
)
"""Errors of a file system that can't rename a file over an existing one."""


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


def write_atomically(
    path: Path | SharePath,
    data: bytes | Iterable[bytes],
    mode: int = 0o600,
    *,
    durable: bool = True,
    writer: str = "",
) -> None:
    """Given a path, bytes and permission bits, write a file there, completely or not at all.

    The bytes may come in parts, so that they are never in memory together. An existing file is
    replaced. If *durable*, the file survives a power cut once this returns. Raise OSError if it
    can't be written; nothing is left behind then. Several hosts may write it at the same moment if
    each has a *writer* of its own.
    """
    place = SharePath.of(path) if isinstance(path, Path) else path
    # The temporary name is always the same, so the next try removes what a crash left behind.
    digest = hashlib.sha256(os.fsencode(writer + place.name)).hexdigest()
    temporary = place.with_name(f".gcwatch-{digest[:16]}.tmp")
    try:
        with temporary.create_file() as stream:
            # The umask takes bits from the mode of a new file, but not from this one.
            set_mode(stream.fileno(), mode)
            stream.writelines([data] if isinstance(data, bytes) else data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        # Only after the sync: else a power cut could leave the new name on an empty file.
        replace_file(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        # The name is an entry of the folder, which the sync of the file does not cover.
        sync_folder(place.parent)


def replace_file(source: SharePath, target: SharePath) -> None:
    """Rename a file; if the file system can't rename over an existing file, remove that first."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not target.is_file():
            raise
        target.unlink()
        source.rename(target)


def set_mode(descriptor: int, mode: int) -> None:
    """Set the permission bits of an open file or folder, where the file system has any."""
    # No chmod if the mode is right: systemd's RestrictSUIDSGID= forbids one with the setgid bit.
    if stat.S_IMODE(os.fstat(descriptor).st_mode) == mode:
        return
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        if error.errno not in _NO_MODES:
            raise


def let_group_enter(folder: SharePath) -> None:
    """Give a folder the mode of published ones; keep its setgid bit."""
    with folder.open_folder() as descriptor:
        setgid = os.fstat(descriptor).st_mode & stat.S_ISGID
        set_mode(descriptor, FOLDER_MODE | setgid)


def let_group_read(folder: SharePath) -> None:
    """Let the group read a folder and all below it, whatever the umask was."""
    pending = [folder]
    while pending:
        here = pending.pop()
        let_group_enter(here)
        with here.scan() as entries:
            found = [(here / each.name, each.is_dir(follow_symlinks=False)) for each in entries]
        for path, is_folder in found:
            if is_folder:
                pending.append(path)
            elif path.is_file():
                with path.open_file() as file:
                    # A file with a second name may be one that is not gcwatch's.
                    if os.fstat(file.fileno()).st_nlink == 1:
                        set_mode(file.fileno(), FILE_MODE)


def sync_folder(path: Path | SharePath) -> None:
    """Given a folder, return when its entries are on the disk, if its file system can sync them."""
    with _as_share(path).open_folder() as descriptor:
        _sync(descriptor)


def sync_tree(path: Path | SharePath) -> None:
    """Given a folder, return when it and all files and folders below it are on the disk."""
    pending = [_as_share(path)]
    folders = []
    while pending:
        here = pending.pop()
        folders.append(here)
        with here.scan() as entries:
            found = [(here / each.name, each.is_dir(follow_symlinks=False)) for each in entries]
        pending += [each for each, is_folder in found if is_folder]
        # A link itself has nothing to sync.
        for file in (each for each, is_folder in found if not is_folder and each.is_file()):
            sync_file(file)
    # From below: an entry is on the disk only after what it names.
    for folder in reversed(folders):
        sync_folder(folder)


def sync_file(path: SharePath) -> None:
    """Given a file, return when it is on the disk."""
    with path.open_file() as stream:
        _sync(stream.fileno())


def _as_share(folder: Path | SharePath) -> SharePath:
    return SharePath(folder.absolute()) if isinstance(folder, Path) else folder


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
