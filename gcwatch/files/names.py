"""Names of files and folders that gcwatch writes: safe on every system, unused, short enough."""

import contextlib
import errno
import os
import re
import shutil
import unicodedata
from itertools import count
from pathlib import Path, PurePosixPath

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.atomic import sync_folder

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


def take_free_name(source: Path, parent: Path, folder: str) -> str:
    """Given a folder with content, move it into `parent` under its first unused name.

    Return that name. Raise OSError if it can't be moved; its errno is EXDEV if `parent` is on
    another file system.
    """
    for number in count(1):
        name = numbered_name(folder, number)
        # A second daemon may take the name after this check. Then the rename fails: it can't
        # replace a folder with content, and a published folder contains its receipt.
        if os.path.lexists(parent / name) or not _try_rename(source, parent / name):
            continue
        sync_folder(parent)
        return name
    raise AssertionError


def _try_rename(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError as error:
        # The name was taken meanwhile; ENOTDIR: by a file.
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            return False
        raise
    return True


def find_namesakes(parent: Path, folder: str) -> list[str]:
    """Given a folder's name, return the entries of `parent` with that name, numbered or not."""
    with os.scandir(parent) as entries:
        return [entry.name for entry in entries if _is_namesake(entry.name, folder)]


def _is_namesake(name: str, folder: str) -> bool:
    number = re.search(r"\.([0-9]{1,9})\Z", name)
    return name == folder or (number is not None and name == numbered_name(folder, int(number[1])))


def remove_tree(path: Path) -> None:
    """Given a folder, remove it and its content; do nothing if it does not exist."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""Errors of a file system that has no hard links (FAT, some shares)."""


def take_free_file_name(file: Path, parent: Path, name: str) -> None:
    """Given a file, move it into `parent` under its first unused name.

    Raise OSError if it can't be moved; its errno is EXDEV if `parent` is on another file system.
    """
    for number in count(1):
        target = parent / numbered_name(name, number)
        try:
            # A rename would replace an existing file; a new link never does.
            os.link(file, target, follow_symlinks=False)
        except FileExistsError:
            # The same file: an earlier run linked it and was killed before it removed the source.
            if not os.path.samestat(file.lstat(), target.lstat()):
                continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                continue
            file.rename(target)
            return
        file.unlink()
        return
