"""The hidden folder of an outbox in which a case's results are collected."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gcwatch.files.atomic import FOLDER_MODE, disk_trouble, write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import remove_tree
from gcwatch.files.safe_open import read_state_file

PARTIAL: Final = ".partial"
"""The end of a staging folder's name: `.<key>.<random>.partial`."""


@dataclass(frozen=True)
class StagingPlace:
    """Where a case's results are collected: in its outbox, under a random name.

    `note` is a file in the state directory that remembers which folder gcwatch made. What others
    put into the outbox is never used, whatever its name is. `below` is the folder of the outbox
    in which it is made, "" for the outbox itself.
    """

    outbox: Path
    key: str
    note: Path
    below: str = ""

    @property
    def _parent(self) -> SharePath:
        return SharePath(self.outbox, self.below)

    def open(self) -> SharePath:
        """Return the staging folder; make it, if gcwatch's own is not there (any longer).

        Raise TryAgain (`disk`) if it can't be made.
        """
        with disk_trouble("writing to the outbox"):
            return self._find() or self._make()

    def _find(self) -> SharePath | None:
        try:
            told = json.loads(read_state_file(self.note))
            folder = self._parent / told["name"]
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        status = folder.status() if folder.is_dir() else None
        return folder if status is not None and status.st_ino == told["inode"] else None

    def _make(self) -> SharePath:
        # Those of earlier versions, of a run that was killed before it wrote the note, of others.
        with contextlib.suppress(OSError):
            self._remove_all()
        folder = self._parent / f".{self.key}.{secrets.token_hex(8)}{PARTIAL}"
        folder.mkdir(FOLDER_MODE)
        told = {"name": folder.name, "inode": folder.lstat().st_ino}
        with disk_trouble("writing to the spool"):
            self.note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self.note, json.dumps(told).encode(), durable=False)
        return folder

    def discard(self) -> None:
        """Remove the staging folder if it exists; raise TryAgain (`disk`) if that fails."""
        with disk_trouble("clearing the outbox"):
            self._remove_all()
            self.note.unlink(missing_ok=True)

    def _remove_all(self) -> None:
        for folder in self._all():
            remove_tree(folder)

    def _all(self) -> Iterator[SharePath]:
        for name in self._parent.list_names():
            if staging_key(name) == self.key:
                yield self._parent / name


def staging_key(name: str) -> str:
    """Given a name in an outbox, return the key of the case whose staging folder it is, or ""."""
    is_one = name.startswith(".") and name.endswith(PARTIAL)
    return name[1:].partition(".")[0] if is_one else ""
