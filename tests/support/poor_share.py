"""A file system that can do less than others (exFAT, SMB, S3 mounts), at the border to the kernel.

Only calls that begin at a folder's descriptor below a share are refused, as gcwatch makes them.
"""

import errno
import os
import re
import stat
from functools import partial

_REFUSED_NAME = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]\Z')


class PoorShare:
    """Refuses what the file system of one folder can't do; `refused` are the errors so far."""

    def __init__(self, folder):
        self._folder = str(folder)
        self.refused = []

    def refuse(self, patched, *what):
        """Refuse some of these from now on, until the patches are undone."""
        for each in what:
            getattr(self, f"_refuse_{each}")(patched)

    def refuse_all(self, patched, code):
        """Refuse all changes with one error, until the patches are undone."""
        mkdir, rename, unlink, opening = os.mkdir, os.rename, os.unlink, os.open

        def refusing(call, key, *paths, **more):
            if self._is_here(more.get(key)):
                self._raise(code)
            return call(*paths, **more)

        def creating(name, flags, *mode, **more):
            if flags & os.O_CREAT and self._is_here(more.get("dir_fd")):
                self._raise(code)
            return opening(name, flags, *mode, **more)

        patched.setattr(os, "mkdir", partial(refusing, mkdir, "dir_fd"))
        patched.setattr(os, "unlink", partial(refusing, unlink, "dir_fd"))
        patched.setattr(os, "rename", partial(refusing, rename, "dst_dir_fd"))
        patched.setattr(os, "open", creating)

    def _is_here(self, descriptor):
        if not isinstance(descriptor, int):
            return False
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - of a descriptor
        return f"{path}/".startswith(f"{self._folder}/")

    def _raise(self, code):
        self.refused.append(code)
        raise OSError(code, os.strerror(code))

    def _refuse_modes(self, patched):
        fchmod = os.fchmod

        def refusing(descriptor, mode):
            if self._is_here(descriptor):
                self._raise(errno.EPERM)
            fchmod(descriptor, mode)

        patched.setattr(os, "fchmod", refusing)

    def _refuse_hard_links(self, patched):
        link = os.link

        def refusing(source, target, **folders):
            if self._is_here(folders.get("dst_dir_fd")):
                self._raise(errno.EPERM)
            link(source, target, **folders)

        patched.setattr(os, "link", refusing)

    def _refuse_symbolic_links(self, patched):
        patched.setattr(os, "symlink", lambda *_, **__: self._raise(errno.EPERM))

    def _refuse_folder_sync(self, patched):
        fsync = os.fsync

        def refusing(descriptor):
            if self._is_here(descriptor) and stat.S_ISDIR(os.fstat(descriptor).st_mode):
                self._raise(errno.EINVAL)
            fsync(descriptor)

        patched.setattr(os, "fsync", refusing)

    def _refuse_replacing(self, patched):
        rename = os.rename

        def refusing(source, target, **folders):
            folder = folders.get("dst_dir_fd")
            if self._is_here(folder) and _is_there(target, folder):
                self._raise(errno.EEXIST)
            rename(source, target, **folders)

        patched.setattr(os, "rename", refusing)

    def _refuse_other_device(self, patched):
        rename, link = os.rename, os.link

        def refusing(call, source, target, **folders):
            ends = [self._is_here(folders.get(each)) for each in ("src_dir_fd", "dst_dir_fd")]
            if folders and any(ends) and not all(ends):
                self._raise(errno.EXDEV)
            call(source, target, **folders)

        patched.setattr(os, "rename", lambda *paths, **more: refusing(rename, *paths, **more))
        patched.setattr(os, "link", lambda *paths, **more: refusing(link, *paths, **more))

    def _refuse_names(self, patched):
        """Refuse names that Windows refuses, wherever one is made, renamed to or looked up."""
        rename, mkdir, status, opening = os.rename, os.mkdir, os.stat, os.open

        def check(name, folder):
            if self._is_here(folder) and _REFUSED_NAME.search(os.path.basename(name)):  # noqa: PTH119 -- str or bytes
                self._raise(errno.EINVAL)

        def renaming(source, target, **folders):
            check(target, folders.get("dst_dir_fd"))
            rename(source, target, **folders)

        def making(name, mode=0o777, *, dir_fd=None):
            check(name, dir_fd)
            mkdir(name, mode, dir_fd=dir_fd)

        def looking(name, *, dir_fd=None, follow_symlinks=True):
            check(str(name), dir_fd)
            return status(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

        def creating(name, flags, mode=0o777, *, dir_fd=None):
            if flags & os.O_CREAT:
                check(name, dir_fd)
            return opening(name, flags, mode, dir_fd=dir_fd)

        patched.setattr(os, "rename", renaming)
        patched.setattr(os, "mkdir", making)
        patched.setattr(os, "stat", looking)
        patched.setattr(os, "open", creating)


def _is_there(name, folder):
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
