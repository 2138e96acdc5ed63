"""Operator files: an empty <folder>.retry or <folder>.withdraw in an outbox asks for that verb."""

import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gcwatch.core.receipt import RETRY_FILE, WITHDRAW_FILE
from gcwatch.files.atomic import FILE_MODE, sync_folder, write_atomically
from gcwatch.files.beneath import SharePath

Verb = Literal["retry", "withdraw"]

_VERBS: Final[Mapping[str, Verb]] = {RETRY_FILE: "retry", WITHDRAW_FILE: "withdraw"}


@dataclass(frozen=True)
class OperatorFile:
    """An empty file that asks for a verb for the case of the name `folder`.

    `request` names this very file: a file that is made again asks again.
    """

    path: SharePath
    folder: str
    verb: Verb
    request: str


def find_operator_files(outbox: Path, folders: Iterable[str]) -> list[OperatorFile]:
    """Given an outbox and the names of its route's cases, return the operator files, oldest first.

    Only regular files without content count, so no link is followed and nothing is read.
    """
    parents = {"", *(folder.rpartition("/")[0] for folder in folders)}
    found = [each for parent in parents for each in _find_below(outbox, parent)]
    return [file for _, file in sorted(found, key=lambda each: each[0])]


def _find_below(outbox: Path, parent: str) -> Iterator[tuple[int, OperatorFile]]:
    """Yield the operator files of one folder with their change times; none if it can't be read."""
    place = SharePath(outbox, parent)
    try:
        named = [name for name in place.list_names() if name.endswith(tuple(_VERBS))]
    except OSError:
        return
    for each in named:
        status = (place / each).status()
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size == 0:
            name, dot, suffix = each.rpartition(".")
            folder = f"{parent}/{name}" if parent else name
            # With the time, since a later file may get the same inode number.
            request = f"{status.st_ino}-{status.st_ctime_ns}"
            verb = _VERBS[dot + suffix]
            yield status.st_ctime_ns, OperatorFile(place / each, folder, verb, request)


def remove_operator_file(file: OperatorFile) -> None:
    """Given an operator file whose verb is done, remove it; raise OSError if that fails."""
    file.path.unlink(missing_ok=True)
    sync_folder(file.path.parent)


def refuse_operator_file(file: OperatorFile, reason: str) -> None:
    """Given an operator file whose verb can't be done, write the reason into it.

    A file with content asks for nothing. Raise OSError if it can't be written.
    """
    text = f"gcwatch did not {file.verb} this: {reason}\nThis file may be deleted.\n"
    write_atomically(file.path, text.encode("utf-8", "backslashreplace"), FILE_MODE)
