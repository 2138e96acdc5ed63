"""Publishes result folders in the outbox: complete, on the disk, by one rename."""

import contextlib
import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.atomic import (
    FILE_MODE,
    FOLDER_MODE,
    disk_trouble,
    sync_folder,
    sync_tree,
    write_atomically,
)
from gcwatch.files.names import find_namesakes, remove_tree, take_free_name
from gcwatch.files.receipt_file import read_receipt


def _staging_path(outbox: Path, key: str) -> Path:
    return outbox / f".{key}.partial"


def staging_folder(outbox: Path, key: str) -> Path:
    """Given an outbox and a case's key, return the hidden folder for its results.

    It is created if necessary; raise TryAgain (`disk`) if that fails. What others put in its place
    is never used: a link or a file is removed, and of a folder that is not ours the same is said.
    """
    path = _staging_path(outbox, key)
    with disk_trouble("writing to the outbox"):
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        _require_own_folder(path)
    return path


def _require_own_folder(path: Path) -> None:
    """Raise PermissionError unless a path is a folder, and no link, that this user made."""
    status = path.lstat()
    is_ours = status.st_uid == os.geteuid() or status.st_uid == _owner_of_new(path)
    if not (stat.S_ISDIR(status.st_mode) and is_ours):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path.name)


def _owner_of_new(path: Path) -> int:
    """Return the user who owns what gcwatch makes beside a path: a share may show another one."""
    with tempfile.TemporaryDirectory(prefix=".gcwatch-", dir=path.parent) as probe:
        return os.lstat(probe).st_uid


def publish_results(outbox: Path, key: str, folder: str, receipt: Mapping[str, Any]) -> str:
    """Given a case with all results in its staging folder, publish it; return the folder's name.

    The name is `folder`, or `folder.2`, `folder.3` … if it is taken: nothing is ever replaced. For
    a series it is `<patient>/<series>`. A second call changes nothing: the published folder is
    found by the key in its receipt.

    Raise TryAgain (`disk`) if the outbox can't be written.
    """
    with disk_trouble("publishing"):
        place = result_path(outbox, folder)
        if name := _find_published(outbox, key, folder):
            # A crash may have come between the rename and its sync.
            sync_folder(place.parent)
            return name
        source = staging_folder(outbox, key)
        seal_folder(source, json.dumps({**receipt, "key": key}, indent=2))
        make_parent_folder(outbox, place)
        return _sibling_name(folder, take_free_name(source, place.parent, place.name))


def result_path(outbox: Path, folder: str) -> Path:
    """Given an outbox and a case's name, return the path of its result folder."""
    return outbox / folder


def _sibling_name(folder: str, name: str) -> str:
    """Given a case's name, return it with another last component."""
    parent, slash, _ = folder.rpartition("/")
    return parent + slash + name


def make_parent_folder(outbox: Path, place: Path) -> None:
    """Given a path in the outbox, create its parent folder with the mode of published folders."""
    if place.parent == outbox:
        return
    with contextlib.suppress(FileExistsError):
        place.parent.mkdir()
        _let_enter(place.parent)
        sync_folder(outbox)


def seal_folder(source: Path, receipt: str) -> None:
    """Given a folder with all its files, add the receipt, so that it can be published.

    Afterwards the group may read all of it, and all of it is on the disk. Raise OSError if that
    fails.
    """
    write_receipt(source / RECEIPT_NAME, receipt)
    let_group_read(source)
    sync_tree(source)


def write_receipt(path: Path, receipt: str) -> None:
    """Given a path and a receipt, write it completely or not at all; raise OSError on failure."""
    write_atomically(path, receipt.encode(), FILE_MODE)


def let_group_read(source: Path) -> None:
    """Given a folder, let the group read everything below it, whatever the umask was."""
    for parent, _, names in os.walk(source):
        folder = Path(parent)
        _let_enter(folder)
        for name in names:
            (folder / name).chmod(FILE_MODE)


def _let_enter(folder: Path) -> None:
    """Let the group enter a folder; keep its setgid bit."""
    # systemd's RestrictSUIDSGID= forbids a chmod with the setgid bit, even if the folder has it
    # already. So there is no chmod if the mode is right, as it is with the service's umask.
    mode = stat.S_IMODE(folder.stat().st_mode)
    wanted = FOLDER_MODE | (mode & stat.S_ISGID)
    if mode != wanted:
        folder.chmod(wanted)


def published_name(outbox: Path, key: str, folder: str) -> str | None:
    """Given a case, return the name of its published folder, or None if there is none.

    Raise TryAgain (`disk`) if the outbox can't be read.
    """
    with disk_trouble("reading the outbox"):
        return _find_published(outbox, key, folder)


def _find_published(outbox: Path, key: str, folder: str) -> str | None:
    found = find_receipts(outbox, folder)
    return next((name for name, receipt in found if receipt.get("key") == key), None)


def find_receipts(outbox: Path, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Given a case's folder, yield each of its results in the outbox: its name, and its receipt.

    Raise TryAgain (`disk`) if the outbox can't be read.
    """
    with disk_trouble("reading the outbox"):
        place = result_path(outbox, folder)
        if place.parent == outbox or place.parent.is_dir():
            for name in find_namesakes(place.parent, place.name):
                receipt = read_receipt(place.with_name(name))
                yield _sibling_name(folder, name), receipt


def discard_staging(outbox: Path, key: str) -> None:
    """Given a case, remove its staging folder if it exists.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk_trouble("clearing the outbox"):
        remove_tree(_staging_path(outbox, key))
