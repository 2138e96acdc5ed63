"""Another user of a share, who swaps a folder or file for a link between two system calls."""

import ctypes
import hashlib
import os
from contextlib import suppress
from functools import partial

import pytest

from gcwatch.files import beneath

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

_CALLS = (
    *("open", "stat", "lstat", "scandir", "access", "readlink", "listdir"),
    *("rename", "replace", "unlink", "rmdir", "mkdir", "link", "symlink", "chmod", "utime"),
)


def exchange(one, other):
    """Exchange what two paths are, in one step (renameat2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def exchange_if_there(one, other):
    """Exchange two paths, if both are there; the first may be a link that tells the path."""
    if one.is_symlink() and one.name == "staged":
        one = one.readlink()
    with suppress(FileNotFoundError, NotADirectoryError):
        exchange(one, other)


class SystemCalls:
    """Counts the system calls on files, and does something before one of them."""

    def __init__(self, number, act):
        self.count = 0
        self._number = number
        self._act = act

    def watch(self, patched):
        """Count all calls from now on, until the patches are undone."""
        for name in _CALLS:
            patched.setattr(os, name, self._around(getattr(os, name)))
        patched.setattr(beneath, "_call_openat2", self._around(beneath._call_openat2))
        # What asks whether a function is in these sets must find the new one there.
        for name in ("supports_effective_ids", "supports_dir_fd", "supports_fd"):
            known = {each.__name__ for each in getattr(os, name)}
            now = {getattr(os, each) for each in known if hasattr(os, each)}
            patched.setattr(os, name, now | getattr(os, name))

    def _around(self, call):
        def passing(*args, **kwargs):
            self.count += 1
            if self.count == self._number:
                self._number = 0  # what the act itself calls does not count
                self._act()
            return call(*args, **kwargs)

        passing.__name__ = call.__name__
        return passing


def swap_at_every_call(make, targets, work, check, step=1):
    """Do some work again and again, each time with a swap before another of its system calls.

    `make` makes a new place; `targets` gives pairs of paths to swap in it; `work` is what is done
    there, and `check` what must hold afterwards, given the place and what the work returned. With
    a step, only one call in so many has its swap. Return the number of swaps.
    """
    swaps = 0
    for first, pair in enumerate(targets, 1):
        number = first
        while True:
            place = make()
            one, other = (place / each for each in pair)
            calls = SystemCalls(number, partial(exchange_if_there, one, other))
            with pytest.MonkeyPatch.context() as patched:
                calls.watch(patched)
                found = work(place)
            check(place, found)
            if calls.count < number:
                break
            swaps += 1
            number += step
    return swaps


def fingerprint(folder):
    """All that can be changed in a folder: names, kinds, modes, times and contents."""
    total = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *folders, "."]):
            path = os.path.join(parent, name)  # noqa: PTH118 - names of any bytes
            status = os.lstat(path)
            facts = (path, status.st_mode, status.st_size, status.st_mtime_ns, status.st_nlink)
            total.update(repr(facts).encode())
            if name in files and not os.path.islink(path):  # noqa: PTH114 - as above
                with open(path, "rb") as file:  # noqa: PTH123 - as above
                    total.update(file.read())
    return total.hexdigest()
