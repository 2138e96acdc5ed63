"""Paths in shares: opened from a folder's descriptor, without following a link on the way.

Whoever may write to a share can put a link, a pipe or another folder in any place at any moment.
So nothing in a share is opened, listed, renamed or removed by its whole path: each step begins at
the folder that the config names, and a link anywhere below it is an error. The path of that folder
itself is the admin's choice and may contain links; it is resolved once.
"""

import contextlib
import errno
import functools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from gcwatch.threads.heartbeats import heartbeat

if TYPE_CHECKING:
    from ctypes import Array, c_uint64

    from _typeshed import WriteableBuffer

_OPENAT2: Final = 437
"""The number of the system call openat2(2), on all machines that Python runs on."""

_AT_FDCWD: Final = -100
_NO_LINKS: Final = 0x04
_BENEATH: Final = 0x08
"""RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH of openat2(2)."""

_HOW_BYTES: Final = 24
_FOLDER: Final = os.O_DIRECTORY | os.O_CLOEXEC
_TRIES: Final = 20
"""The kernel asks for another try (EAGAIN) if a folder is renamed while it walks."""

_MOST_LINKS: Final = 40
"""Links that the kernel follows on one path; so many are followed here."""

_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
NAME_REFUSED: Final = frozenset({errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.ENOENT})
"""Errors of a file system that can't store a name (exFAT, SMB), if the folder itself exists."""


class LeadsOutside(OSError):
    """A link leads out of the folder that it must stay in."""


class _BeatingFile(FileIO):
    """A file whose reading is progress of the worker that reads, and ends if the daemon stops."""

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        """See `FileIO`."""
        heartbeat()
        return super().readinto(buffer)


@dataclass(frozen=True, slots=True, order=True)
class SharePath:
    """A path in a share: `below` the folder `root`, with slashes; "" is that folder itself.

    Methods raise OSError as those of `pathlib.Path` do; for a link on the way, NotADirectoryError.
    """

    root: Path
    below: str = ""

    @classmethod
    def of(cls, path: Path) -> "SharePath":
        """Given the path of a file that the config or the user names, return it in its folder."""
        return cls(path.parent.absolute(), path.name)

    def __truediv__(self, name: str | PurePath) -> "SharePath":
        """Return a path below this one; raise ValueError for one that could lead elsewhere."""
        told = str(name)
        if "\0" in told or not {"", ".", ".."}.isdisjoint(told.split("/")):
            raise ValueError("a path in a share has plain names only")
        return SharePath(self.root, f"{self.below}/{told}" if self.below else told)

    def entry(self, name: str) -> "SharePath":
        """Return the path of an entry of this folder, whose name is from its listing."""
        return SharePath(self.root, f"{self.below}/{name}" if self.below else name)

    def __str__(self) -> str:
        """Return the whole path, for people; it is never opened."""
        return f"{str(self.root).rstrip('/')}/{self.below}" if self.below else str(self.root)

    @property
    def name(self) -> str:
        """The last component."""
        return self.below.rpartition("/")[2] or self.root.name

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on, as `pathlib` has it."""
        return PurePath(self.name).suffix

    @property
    def parent(self) -> "SharePath":
        """The folder that it is in; of the root, the root."""
        return SharePath(self.root, self.below.rpartition("/")[0])

    def with_name(self, name: str) -> "SharePath":
        """Return the path beside this one that has another last component."""
        return self.parent / name

    def relative_to(self, folder: "SharePath") -> str:
        """Return the path from a folder above on; raise ValueError if it is not below that."""
        start = f"{folder.below}/" if folder.below else ""
        if self.root != folder.root or not self.below.startswith(start):
            raise ValueError("not below that folder")
        return self.below[len(start) :]

    # --- opening ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def open_folder(self, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Yield the descriptor of this folder."""
        descriptor = _open(self, flags | _FOLDER)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def in_folder(self) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the folder that this is in, and its name there."""
        if not self.below:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with self.parent.open_folder(os.O_PATH) as folder:
            yield folder, self.name

    def open_file(self) -> BufferedReader:
        """Open a regular file for reading, without waiting; FileNotFoundError if it is another."""
        # Without O_NONBLOCK, opening a pipe that replaced the file would block for ever.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = _open(self, flags)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a socket, or a device without a driver
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
            raise
        return BufferedReader(_BeatingFile(_require_regular(descriptor)))

    def create_file(self, mode: int = 0o600) -> BufferedWriter:
        """Make a new file and open it for writing; what has this name is removed first."""
        # Not truncated: it may be a link, or another name of a file outside.
        self.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self.in_folder() as (folder, name):
            return os.fdopen(os.open(name, flags, mode, dir_fd=folder), "wb")

    def append_file(self) -> BufferedWriter:
        """Open an existing regular file to write at its end.

        Raise FileNotFoundError if it is no file, or has a second name, perhaps outside.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        with self.in_folder() as (folder, name):
            file = os.fdopen(_require_regular(os.open(name, flags, dir_fd=folder)), "ab")
        if os.fstat(file.fileno()).st_nlink > 1:
            file.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return file

    # --- looking ---------------------------------------------------------------------------------

    def lstat(self) -> os.stat_result:
        """Return the status of what has this name; of a link itself."""
        if not self.below:
            with self.open_folder(os.O_PATH) as folder:
                return os.fstat(folder)
        with self.in_folder() as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def status(self) -> os.stat_result | None:
        """Return the status as `lstat` does; None if nothing has this name."""
        try:
            return self.lstat()
        except OSError as error:
            # A name that the file system can't store is a name that nothing has.
            if error.errno in _MISSING | NAME_REFUSED:
                return None
            raise

    def exists(self) -> bool:
        """Whether anything has this name, also a link to nothing."""
        return self.status() is not None

    def is_file(self) -> bool:
        """Whether this is a regular file, and no link."""
        status = self.status()
        return status is not None and stat.S_ISREG(status.st_mode)

    def is_dir(self) -> bool:
        """Whether this is a folder, and no link."""
        status = self.status()
        return status is not None and stat.S_ISDIR(status.st_mode)

    @contextlib.contextmanager
    def scan(self) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Yield this folder's entries; they can be used, without following links, in the body."""
        heartbeat()
        with self.open_folder() as folder, os.scandir(folder) as entries:
            yield entries

    def list_names(self) -> list[str]:
        """Return the names in this folder, sorted."""
        with self.scan() as entries:
            return sorted(entry.name for entry in entries)

    def walk_files(self) -> Iterator["SharePath"]:
        """Yield all that is no folder below this folder, in no order; links are not followed."""
        pending = [self]
        while pending:
            here = pending.pop()
            with here.scan() as entries:
                found = [
                    (here.entry(each.name), each.is_dir(follow_symlinks=False)) for each in entries
                ]
            pending += [path for path, is_folder in found if is_folder]
            yield from (path for path, is_folder in found if not is_folder)

    def follow_links(self, below: str) -> "SharePath":
        """Given the name of something in this folder, return where it is, without any link.

        Raise LeadsOutside if a link leads out of this folder, even if it would come back.
        """
        done: list[str] = []
        todo = deque(below.split("/"))
        links = 0
        while todo:
            part = todo.popleft()
            if part == "..":
                if not done:
                    raise LeadsOutside(errno.EXDEV, os.strerror(errno.EXDEV))
                done.pop()
            elif part not in {"", "."}:
                target = (self / "/".join([*done, part])).read_link()
                if target is None:
                    done.append(part)
                    continue
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                if target.startswith("/"):
                    target, done = self._inside(target), []
                todo.extendleft(reversed(target.split("/")))
        return self / "/".join(done) if done else self

    def read_link(self) -> str | None:
        """Return where a link leads to; None for anything else that exists."""
        with self.in_folder() as (folder, name):
            if not stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                return None
            return os.readlink(name, dir_fd=folder)

    def _inside(self, target: str) -> str:
        """Given an absolute path, return it from this folder on."""
        for root in (str(self.root), _real_root(self.root)):
            here = str(SharePath(Path(root), self.below))
            if f"{target}/".startswith(f"{here}/"):
                return target[len(here) :]
        raise LeadsOutside(errno.EXDEV, os.strerror(errno.EXDEV))

    # --- changing --------------------------------------------------------------------------------

    def mkdir(self, mode: int = 0o777, *, exist_ok: bool = False) -> None:
        """Make a folder."""
        with self.in_folder() as (folder, name):
            try:
                os.mkdir(name, mode, dir_fd=folder)
            except FileExistsError:
                if not exist_ok or not self.is_dir():
                    raise

    def make_parents(self, mode: int = 0o777) -> None:
        """Make all folders on the way to this path that are missing."""
        missing = []
        above = self.parent
        while above.below and above.status() is None:
            missing.append(above)
            above = above.parent
        for folder in reversed(missing):
            folder.mkdir(mode, exist_ok=True)

    def rename(self, target: "SharePath") -> None:
        """Rename this to a path that may be in another share; an existing file is replaced."""
        with self.in_folder() as (folder, name), target.in_folder() as (new_folder, new_name):
            os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def link(self, target: "SharePath") -> None:
        """Give this file a second name; never replace anything."""
        with self.in_folder() as (folder, name), target.in_folder() as (new_folder, new_name):
            os.link(
                name,
                new_name,
                src_dir_fd=folder,
                dst_dir_fd=new_folder,
                follow_symlinks=False,
            )

    def symlink(self, target: str) -> None:
        """Make a symbolic link at this path."""
        with self.in_folder() as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove a file or a link."""
        try:
            with self.in_folder() as (folder, name):
                os.unlink(name, dir_fd=folder)
        except OSError as error:
            if not missing_ok or error.errno not in _MISSING | NAME_REFUSED:
                raise

    def rmdir(self) -> None:
        """Remove an empty folder."""
        with self.in_folder() as (folder, name):
            os.rmdir(name, dir_fd=folder)


def forget_roots() -> None:
    """Resolve the paths of the config's folders once more: the admin may have changed links."""
    _real_root.cache_clear()


@functools.cache
def _real_root(root: Path) -> str:
    """Return a folder's path without links; if it does not exist, that is asked again."""
    return os.path.realpath(root, strict=True)


def _open(path: SharePath, flags: int) -> int:
    """Open a path; return its descriptor."""
    real = _real_root(path.root)
    if not path.below:
        return _open_absolute(real, flags)
    folder = _open_absolute(real, os.O_PATH | _FOLDER)
    try:
        return _open_below(folder, path.below, flags)
    finally:
        os.close(folder)


def _open_absolute(real: str, flags: int) -> int:
    if has_openat2():
        return _openat2(_AT_FDCWD, real, flags, _NO_LINKS)
    top = os.open("/", os.O_PATH | _FOLDER)
    try:
        return _open_step_by_step(top, real, flags)
    finally:
        os.close(top)


def _open_below(folder: int, below: str, flags: int) -> int:
    if has_openat2():
        return _openat2(folder, below, flags, _NO_LINKS | _BENEATH)
    return _open_step_by_step(folder, below, flags)


def _open_step_by_step(folder: int, below: str, flags: int) -> int:
    """Open a path as openat2 does, where the kernel is older than 5.6 or a sandbox forbids it."""
    *above, last = [part for part in below.split("/") if part] or ["."]
    descriptor = os.dup(folder)
    try:
        for part in above:
            following = os.open(part, os.O_PATH | os.O_NOFOLLOW | _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
        return os.open(last, flags | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError as error:
        raise _plain_error(error.errno or errno.EIO) from error
    finally:
        os.close(descriptor)


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel has openat2(2), and nothing forbids it."""
    try:
        os.close(_openat2(_AT_FDCWD, "/", os.O_PATH | _FOLDER, _NO_LINKS))
    except OSError:
        return False
    return True


def _openat2(folder: int, path: str, flags: int, resolve: int) -> int:
    """Call openat2(2); raise OSError as os.open does."""
    for _ in range(_TRIES):
        descriptor, error = _call_openat2(folder, os.fsencode(path), flags, resolve)
        if descriptor >= 0:
            return descriptor
        if error not in {errno.EAGAIN, errno.EINTR}:
            break
    raise _plain_error(error)


def _plain_error(error: int) -> OSError:
    """Return an error; a link on the way is told as what it is for the caller: no folder."""
    code = errno.ENOTDIR if error in {errno.ELOOP, errno.EXDEV} else error
    return OSError(code, os.strerror(code))


def _call_openat2(folder: int, path: bytes, flags: int, resolve: int) -> tuple[int, int]:
    """Return the descriptor and 0, or -1 and the errno."""
    call, get_errno = _system_call()
    descriptor: int = call(_OPENAT2, folder, path, _open_how(flags, resolve), _HOW_BYTES)
    return descriptor, 0 if descriptor >= 0 else get_errno()


@functools.cache
def _system_call() -> tuple[Callable[..., int], Callable[[], int]]:
    import ctypes  # noqa: PLC0415 - commands that open nothing start without it

    call = ctypes.CDLL(None, use_errno=True).syscall
    number, size, pointer = ctypes.c_long, ctypes.c_size_t, ctypes.c_void_p
    call.argtypes = [number, ctypes.c_int, ctypes.c_char_p, pointer, size]
    call.restype = number
    return call, ctypes.get_errno


@functools.cache
def _open_how(flags: int, resolve: int) -> "Array[c_uint64]":
    """Return a struct open_how of openat2(2); the kernel only reads it, so it is used again."""
    import ctypes  # noqa: PLC0415 - as above

    return (ctypes.c_uint64 * 3)(flags, 0, resolve)


def _require_regular(descriptor: int) -> int:
    """Return the descriptor of a regular file; close that of anything else, and raise."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
