"""Publishes result folders in the outbox: complete, on the disk, by one rename."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.atomic import (
    FILE_MODE,
    disk_trouble,
    let_group_enter,
    let_group_read,
    sync_folder,
    sync_tree,
    write_atomically,
)
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import (
    find_namesakes,
    is_namesake,
    storable_names,
    take_free_name,
    with_storable_name,
)
from gcwatch.files.receipt_file import read_receipt
from gcwatch.outbox.staging import StagingPlace


def publish_results(place: StagingPlace, folder: str, receipt: Mapping[str, Any]) -> str:
    """Given a case with all results in its staging folder, publish it; return the folder's name.

    The name is `folder`, or `folder.2`, `folder.3` … if it is taken: nothing is ever replaced. For
    a series it is `<patient>/<series>`. Where the file system refuses a name, it is changed. A
    second call changes nothing: the published folder is found by the key in its receipt.

    Raise TryAgain (`disk`) if the outbox can't be written.
    """
    with disk_trouble("publishing"):
        if name := _find_published(place.outbox, place.key, folder):
            # A crash may have come between the rename and its sync.
            sync_folder((SharePath(place.outbox) / name).parent)
            return name
        source = place.open()
        seal_folder(source, json.dumps({**receipt, "key": place.key}, indent=2))
        result = make_parent_folder(SharePath(place.outbox) / folder)
        name = take_free_name(source, result.parent, result.name)
        return result.with_name(name).below


def is_renamed(folder: str, name: str) -> bool:
    """Given a case's name and that of its result, return whether the file system refused one."""
    above, _, last = folder.rpartition("/")
    parent, _, own = name.rpartition("/")
    return parent != above or not is_namesake(own, [last])


def make_parent_folder(place: SharePath) -> SharePath:
    """Given a path in the outbox, create its parent folder with the mode of published folders.

    Return the path; its parent has another name where the file system refuses that name.
    """
    if not place.parent.below:
        return place
    return with_storable_name(place.parent, _make_folder) / place.name


def _make_folder(folder: SharePath) -> SharePath:
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        let_group_enter(folder)
        sync_folder(folder.parent)
    return folder


def seal_folder(source: SharePath, receipt: str) -> None:
    """Given a folder with all its files, add the receipt, so that it can be published.

    Afterwards the group may read all of it, and all of it is on the disk. Raise OSError if that
    fails.
    """
    write_receipt(source / RECEIPT_NAME, receipt)
    let_group_read(source)
    sync_tree(source)


def write_receipt(path: SharePath, receipt: str) -> None:
    """Given a path and a receipt, write it completely or not at all; raise OSError on failure."""
    write_atomically(path, receipt.encode(), FILE_MODE)


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
        for parent, last in result_places(outbox, folder):
            if parent.below and not parent.is_dir():
                continue
            for name in find_namesakes(parent, last):
                place = parent / name
                yield place.below, read_receipt(place)


def result_places(outbox: Path, folder: str) -> Iterator[tuple[SharePath, str]]:
    """Given a case's name, yield the folder of the outbox for its result, and its name there.

    For a series there may be two: the file system may have refused the patient's name.
    """
    above, _, last = folder.rpartition("/")
    for parent in storable_names(above) if above else ("",):
        yield SharePath(outbox, parent), last
