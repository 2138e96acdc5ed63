"""Files and folders copied to another file system."""

import errno
import os
import shutil
import stat

from gcwatch.files.atomic import BUFFER_BYTES, set_mode
from gcwatch.files.beneath import SharePath

_REFUSED = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EACCES})
"""Errors of a file system that has no symbolic links, or no times that can be set."""


def copy_file(source: SharePath, target: SharePath) -> None:
    """Copy a regular file, with its mode and times; an existing target is replaced."""
    with source.open_file() as file, target.create_file() as copy:
        shutil.copyfileobj(file, copy, BUFFER_BYTES)
        copy.flush()
        _copy_facts(os.fstat(file.fileno()), copy.fileno())


def copy_tree(source: SharePath, target: SharePath) -> None:
    """Copy a folder with its files, folders and links; raise OSError if the target exists.

    What is neither of these is left out, as are links where the target can't have any.
    """
    pending = [(source, target)]
    while pending:
        folder, copy = pending.pop()
        copy.mkdir()
        with folder.scan() as entries:
            found = [(each.name, each.stat(follow_symlinks=False).st_mode) for each in entries]
        for name, mode in found:
            if stat.S_ISDIR(mode):
                pending.append((folder / name, copy / name))
            elif stat.S_ISREG(mode):
                copy_file(folder / name, copy / name)
            elif stat.S_ISLNK(mode):
                _copy_link(folder / name, copy / name)
        with copy.open_folder() as descriptor:
            set_mode(descriptor, stat.S_IMODE(folder.lstat().st_mode))


def _copy_link(source: SharePath, target: SharePath) -> None:
    try:
        target.symlink(source.read_link() or "")
    except OSError as error:
        if error.errno not in _REFUSED:
            raise


def _copy_facts(status: os.stat_result, copy: int) -> None:
    set_mode(copy, stat.S_IMODE(status.st_mode))
    try:
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
