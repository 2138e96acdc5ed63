"""Names of files and folders that gcwatch writes: safe on every system, unused, short enough."""

import contextlib
import errno
import os
import re
import secrets
import time
import unicodedata
from collections.abc import Callable, Collection
from itertools import count
from pathlib import PurePosixPath
from typing import Final, TypeVar

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.atomic import sync_folder
from gcwatch.files.beneath import NAME_REFUSED, SharePath
from gcwatch.threads.heartbeats import heartbeat

T = TypeVar("T")

_MAX_NAME_BYTES = 255


_MAX_PATH_BYTES = 1024


_FORBIDDEN = re.compile(r'[<>:"|?*\\]')


_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
"""Names that Windows can't open; a Windows computer may read the outbox over a share."""


def safe_relative_path(relative: str, fallback: str) -> PurePosixPath:
    """Given a path that a server chose, return a safe relative path; `fallback` if it is empty.

    The result is not absolute and has no "..", no hidden or reserved names, no control characters
    and no component of more than 255 bytes. It is never the receipt's path. Never raises.
    """
    parts = [_safe_name(part) for part in relative.split("/") if part not in {"", "."}]
    if parts and parts[0].lower() == RECEIPT_NAME:
        parts[0] = "_" + parts[0]
    path = "/".join(parts)
    if not parts or len(path.encode()) > _MAX_PATH_BYTES:
        return PurePosixPath(_safe_name(fallback.replace("/", "_")))
    return PurePosixPath(path)


def _safe_name(part: str) -> str:
    part = "".join("_" if _is_hostile(letter) else letter for letter in part)
    part = _FORBIDDEN.sub("_", part).strip()
    if part.startswith("."):
        part = "_" + part[1:]
    if _RESERVED.fullmatch(part):
        part = "_" + part
    stem, dot, suffix = part.rpartition(".")
    # A name that is too long is cut before its suffix: programs need the suffix.
    tail = dot + suffix if stem and len(suffix.encode()) <= 16 else ""
    part = _cut_to_bytes(part.removesuffix(tail), _MAX_NAME_BYTES - len(tail.encode())) + tail
    # Windows drops a dot or a space at the end of a name.
    return re.sub(r"[. ]$", "_", part) or "_"


def _is_hostile(letter: str) -> bool:
    # Control and format characters (line ends, direction marks) and lone surrogates.
    return unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _cut_to_bytes(name: str, limit: int) -> str:
    """Given a name, return as many of its first letters as fit into `limit` bytes."""
    while len(os.fsencode(name)) > limit:
        name = name[:-1]
    return name


def with_suffix(folder: str, suffix: str) -> str:
    """Given a name and a suffix, return both, the name cut so that they have at most 255 bytes."""
    return _cut_to_bytes(folder, _MAX_NAME_BYTES - len(suffix)) + suffix


def numbered_name(folder: str, number: int) -> str:
    """Given a name and a number, return the name for 1, and `<name>.<number>` for the others."""
    return folder if number == 1 else with_suffix(folder, f".{number}")


def storable_names(name: str) -> tuple[str, ...]:
    """Given a name, return it, and the name instead of it where the file system refuses it."""
    plain = _safe_name(name)
    return (name,) if plain == name else (name, plain)


def with_storable_name(place: SharePath, use: Callable[[SharePath], T]) -> T:
    """Return what *use* returns for a path, or for its storable name if its own is refused."""
    *_, plain = storable_names(place.name)
    try:
        return use(place)
    except OSError as error:
        if error.errno not in NAME_REFUSED or plain == place.name or not place.parent.is_dir():
            raise
    return use(place.with_name(plain))


def take_free_name(source: SharePath, parent: SharePath, folder: str) -> str:
    """Given a folder with content, move it into `parent` under its first unused name.

    Return that name; it is another one where the file system refuses the name. Raise OSError if it
    can't be moved; its errno is EXDEV if `parent` is on another file system.
    """
    return with_storable_name(parent / folder, lambda place: _take_numbered(source, place))


def _take_numbered(source: SharePath, place: SharePath) -> str:
    for number in count(1):
        target = place.with_name(numbered_name(place.name, number))
        # A second daemon may take the name after this check. Then the rename fails: it can't
        # replace a folder with content, and a published folder contains its receipt.
        if target.exists() or not _try_rename(source, target):
            continue
        sync_folder(target.parent)
        return target.name
    raise AssertionError


def _try_rename(source: SharePath, target: SharePath) -> bool:
    try:
        source.rename(target)
    except OSError as error:
        # The name was taken meanwhile; ENOTDIR: by a file.
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR} and target.exists():
            return False
        raise
    return True


def find_namesakes(parent: SharePath, folder: str) -> list[str]:
    """Given a folder's name, return the entries of `parent` with that name, numbered or not.

    A file system may store another name: one that it can hold, with letters in another form
    (macOS), or without a dot or space at its end (Windows).
    """
    wanted = storable_names(folder)
    return [name for name in parent.list_names() if is_namesake(name, wanted)]


def is_namesake(name: str, wanted: Collection[str]) -> bool:
    """Whether a name is one of those that are wanted, numbered or not, as file systems store it."""
    if _as_stored(name) in map(_as_stored, wanted):
        return True
    number = re.search(r"\.([0-9]{1,9})\Z", name)
    return number is not None and any(
        _as_stored(name) == _as_stored(numbered_name(each, int(number[1]))) for each in wanted
    )


def _as_stored(name: str) -> str:
    return unicodedata.normalize("NFC", name).rstrip(". ")


_DEEPEST_REMOVED: Final = 50
_LONGEST_REMOVED_BYTES: Final = 2048
"""Folders with longer paths are moved up; the system takes no path of more than 4096 bytes."""
_LONGEST_REMOVAL_SECONDS: Final = 120.0


def remove_tree(path: SharePath) -> None:
    """Remove whatever has this path, a folder with its content; do nothing if nothing has it.

    Links are removed, not followed. A folder may be of any depth: what is nested deep is first
    moved up into it, so no path gets long. Raise OSError if somebody fills it all the time.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    pending, end = [path], time.monotonic() + _LONGEST_REMOVAL_SECONDS
    while pending:
        heartbeat()
        if time.monotonic() > end:
            raise OSError(errno.EBUSY, "it takes too long to remove this folder", str(path))
        here = pending[-1]
        with contextlib.suppress(FileNotFoundError):
            if inside := _remove_files(here):
                deeper = here.below[len(path.below) :]
                is_short = len(os.fsencode(deeper)) < _LONGEST_REMOVED_BYTES
                if is_short and deeper.count("/") < _DEEPEST_REMOVED:
                    pending += inside
                    continue
                for folder in inside:
                    folder.rename(path / f".{secrets.token_hex(16)}")
            here.rmdir()
        pending.pop()


def _remove_files(folder: SharePath) -> list[SharePath]:
    """Remove all that is no folder in a folder; return its folders."""
    with folder.scan() as entries:
        found = [(folder / each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    for path, is_folder in found:
        if not is_folder:
            path.unlink(missing_ok=True)
    return [path for path, is_folder in found if is_folder]


_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""Errors of a file system that has no hard links (FAT, some shares)."""


def take_free_file_name(file: SharePath, parent: SharePath, name: str) -> None:
    """Given a file, move it into `parent` under its first unused name.

    Raise OSError if it can't be moved; its errno is EXDEV if `parent` is on another file system.
    """
    with_storable_name(parent / name, lambda place: _take_numbered_file(file, place))


def _take_numbered_file(file: SharePath, place: SharePath) -> None:
    for number in count(1):
        target = place.with_name(numbered_name(place.name, number))
        try:
            # A rename would replace an existing file; a new link never does.
            file.link(target)
        except FileExistsError:
            # The same file: an earlier run linked it and was killed before it removed the source.
            if not os.path.samestat(file.lstat(), target.lstat()):
                continue
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if target.exists():
                continue
            file.rename(target)
            return
        file.unlink()
        return
