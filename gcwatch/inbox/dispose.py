"""Keeps, moves or deletes the source of a delivered case in the inbox, as the route says."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from gcwatch.core.case import Snapshot
from gcwatch.core.errors import CaseError, NotYet, SourceVanished
from gcwatch.files.atomic import FOLDER_MODE, disk_trouble, sync_folder, sync_tree
from gcwatch.files.beneath import SharePath
from gcwatch.files.copies import copy_file, copy_tree
from gcwatch.files.names import (
    find_namesakes,
    remove_tree,
    take_free_file_name,
    take_free_name,
    with_storable_name,
)
from gcwatch.files.snapshot import SourceFile, listing_digest
from gcwatch.inbox.layouts import Inbox
from gcwatch.inbox.tree import snapshot_folder


def dispose_of_source(
    inbox: Inbox,
    name: str,
    after: Literal["keep", "move", "delete"],
    done: Path | None,
    expected: Snapshot,
) -> bool:
    """Given a delivered case, keep, move or delete its files; return whether that is done.

    `expected` is the snapshot that was sent. If the case has changed since, or if a program still
    writes into its folder, return False and leave it as it is: late files are never deleted. `done`
    is the target folder of "move". A second call after the first changes nothing.

    Raise TryAgain (`disk`) if it can't be done, or if the inbox is not available.
    """
    if after == "keep":
        return True
    with disk_trouble("clearing the inbox"):
        target = _make_done(done) if after == "move" and done is not None else None
        if inbox.is_part(name):
            return _SentPart(inbox, name, expected).move_or_delete(target)
        return _SentFolder(inbox.root, name, expected, inbox.ignore).move_or_delete(target)


def _make_done(done: Path) -> SharePath:
    done.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return SharePath(done)


@dataclass(frozen=True)
class _SentFolder:
    """A delivered folder in its inbox, and its snapshot when it was sent."""

    inbox: SharePath
    folder: str
    expected: Snapshot
    ignore: tuple[str, ...]

    def move_or_delete(self, done: SharePath | None) -> bool:
        """Move the folder into `done`, or delete it; return whether that is done."""
        self.finish_earlier()
        if not self.is_there():
            return True
        if not self.is_as_sent(self.folder):
            return False
        return self.delete_folder() if done is None else self.move_folder(done, self.folder)

    def _hidden(self, suffix: str) -> str:
        return _hidden_name(self.folder, suffix)

    @property
    def _held_name(self) -> str:
        return self._hidden("held")

    @property
    def _doomed_path(self) -> SharePath:
        return self.inbox / self._hidden("doomed")

    def finish_earlier(self) -> None:
        """Finish what a killed run began: delete the doomed folder, put the held one back."""
        remove_tree(self._doomed_path)
        if (self.inbox / self._held_name).exists():
            take_free_name(self.inbox / self._held_name, self.inbox, self.folder)

    def is_there(self) -> bool:
        """Return whether the folder is in the inbox; OSError if the inbox is not available."""
        with self.inbox.open_folder():
            return (self.inbox / self.folder).exists()

    def is_as_sent(self, name: str) -> bool:
        """Return whether the folder, now with this name, is unchanged and nothing is written."""
        try:
            now = snapshot_folder(self.inbox / name, self.ignore)
        except (CaseError, SourceVanished):
            return False
        return now.digest == self.expected.digest and now.copies is None

    def delete_folder(self) -> bool:
        """Delete the folder unless it changed; return whether it is deleted."""
        # First the folder is renamed ("held"), so that a program that writes to the old path gets
        # an error and does not lose a file. Then it is compared. Only then it is renamed again
        # ("doomed"); a folder with that name is deleted by a later run without a check.
        held = self.inbox / self._held_name
        (self.inbox / self.folder).rename(held)
        if not self.is_as_sent(self._held_name):
            take_free_name(held, self.inbox, self.folder)
            return False
        held.rename(self._doomed_path)
        remove_tree(self._doomed_path)
        sync_folder(self.inbox)
        return True

    def move_folder(self, done: SharePath, name: str) -> bool:
        """Move the folder into `done` under the first unused name; return whether it is there."""
        try:
            take_free_name(self.inbox / self.folder, done, name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy_folder(done, name) and self.delete_folder()
        sync_folder(self.inbox)
        return True

    def _copy_folder(self, done: SharePath, name: str) -> bool:
        """Copy the folder to another file system; return False if it changed meanwhile."""
        if any(self._is_copy(done, each) for each in find_namesakes(done, name)):
            return True
        partial = done / self._hidden("partial")
        remove_tree(partial)
        copy_tree(self.inbox / self.folder, partial)
        sync_tree(partial)
        if not self.is_as_sent(self.folder):
            remove_tree(partial)
            return False
        take_free_name(partial, done, name)
        return True

    def _is_copy(self, done: SharePath, name: str) -> bool:
        return replace(self, inbox=done).is_as_sent(name)


def _hidden_name(name: str, suffix: str) -> str:
    return f".gcwatch-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.{suffix}"


_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that file managers create in every folder."""


_STORED: Final = "file"
"""The name of a copy before it has its own, which the other file system may refuse."""


@dataclass(frozen=True)
class _SentPart:
    """A delivered series or file, whose folder also contains files of other cases.

    Its own files are gathered in a hidden folder of the inbox, and that folder is moved or deleted.
    Other files are not touched.
    """

    inbox: Inbox
    name: str
    expected: Snapshot

    @property
    def _gathering_folder(self) -> SharePath:
        return self.inbox.root / _hidden_name(self.name, "gathered")

    @property
    def _own_path(self) -> SharePath:
        """The file, or the patient's folder that holds the series."""
        return self.inbox.root / self.name.partition("/")[0]

    @property
    def _base_folder(self) -> SharePath:
        """The folder to which the names of the files are relative."""
        return self._own_path if "/" in self.name else self.inbox.root

    def _as_folder(self, own: Sequence[SourceFile]) -> _SentFolder:
        expected = replace(self.expected, digest=listing_digest(own))
        return _SentFolder(
            self.inbox.root, self._gathering_folder.name, expected, self.inbox.ignore
        )

    def move_or_delete(self, done: SharePath | None) -> bool:
        """Move the files into `done`, or delete them; return whether that is done."""
        self._finish_earlier()
        try:
            own = self._list_own_files() if self._is_as_sent() else []
        except SourceVanished:
            return True
        except NotYet:
            if self._is_gone():
                return True
            raise
        except CaseError:
            return False
        return bool(own) and self._take_out(own, done)

    def _is_as_sent(self) -> bool:
        return self.inbox.snapshot_case(self.name).digest == self.expected.digest

    def _list_own_files(self) -> list[SourceFile]:
        """Return the case's files without those reached by links: these belong to others."""
        files = self.inbox.own_files(self.name)
        return [file for file in files if file.place == self._base_folder / file.name]

    def _is_gone(self) -> bool:
        """Whether the case was removed; raise OSError if the inbox is not available."""
        with self.inbox.root.open_folder():
            return not self._own_path.exists()

    def _finish_earlier(self) -> None:
        """Finish what a killed run began: put gathered files back that were not doomed."""
        self._as_folder(()).finish_earlier()
        self._give_back()

    def _take_out(self, own: Sequence[SourceFile], done: SharePath | None) -> bool:
        source = self._as_folder(own)
        for file in own:
            self._gather_file(file)
        if source.is_as_sent(source.folder) and not self._has_more():
            self._remove_bare_folders(own)  # before the files are gone: after a crash nobody would
            if self._move_or_delete_gathered(source, done):
                return True
        self._give_back()
        return False

    def _gather_file(self, file: SourceFile) -> None:
        target = self._gathering_folder / file.name
        target.make_parents(FOLDER_MODE)
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile: the digest differs
            file.place.rename(target)

    def _has_more(self) -> bool:
        """Whether a slice came while the others were gathered; NotYet if that is unknown."""
        try:
            return bool(self.inbox.own_files(self.name))
        except SourceVanished:
            return False
        except NotYet:
            if self._is_gone():
                return False
            raise
        except CaseError:
            return True

    def _give_back(self) -> None:
        if not self._gathering_folder.is_dir():
            return
        for file in self._gathering_folder.walk_files():
            target = self._base_folder / file.relative_to(self._gathering_folder)
            target.make_parents()
            take_free_file_name(file, target.parent, target.name)
        remove_tree(self._gathering_folder)

    def _move_or_delete_gathered(self, source: _SentFolder, done: SharePath | None) -> bool:
        if done is None:
            return source.delete_folder()
        parent, _, series = self.name.partition("/")
        if not series:
            return self._move_file(source, done)
        return source.move_folder(with_storable_name(done / parent, _make_folder), series)

    def _move_file(self, source: _SentFolder, done: SharePath) -> bool:
        """Move the one file into `done` under an unused name; return whether it is there."""
        file = self._gathering_folder / self.name
        try:
            take_free_file_name(file, done, self.name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy_file(source, done) and source.delete_folder()
        sync_folder(done)
        remove_tree(self._gathering_folder)
        return True

    def _copy_file(self, source: _SentFolder, done: SharePath) -> bool:
        """Copy the file to another file system; return False if it changed meanwhile."""
        file = self._gathering_folder / self.name
        if any(_is_copy(done / each, file) for each in find_namesakes(done, self.name)):
            return True
        aside = done / _hidden_name(self.name, "partial")
        remove_tree(aside)
        aside.mkdir(FOLDER_MODE)
        copy_file(file, aside / _STORED)
        sync_tree(aside)
        if not source.is_as_sent(source.folder):
            remove_tree(aside)
            return False
        take_free_file_name(aside / _STORED, done, self.name)
        sync_folder(done)
        remove_tree(aside)
        return True

    def _remove_bare_folders(self, own: Sequence[SourceFile]) -> None:
        """Remove a patient's folders that contain nothing but a marker or file managers' files."""
        if "/" not in self.name:
            return
        inside = {folder for file in own for folder in _folders_above(file.place, self._own_path)}
        for folder in sorted(inside, key=lambda each: each.below.count("/"), reverse=True):
            self._remove_if_bare(folder)

    def _remove_if_bare(self, folder: SharePath) -> None:
        # Another series of the patient may have removed it.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            left = folder.list_names()
            if all(name in {*_LITTER, self.inbox.ready} for name in left):
                for name in left:
                    (folder / name).unlink()
                with contextlib.suppress(OSError):  # something came in the meantime
                    folder.rmdir()


def _folders_above(file: SharePath, top: SharePath) -> Iterator[SharePath]:
    """Yield the folders of a file up to the folder *top*, which is the last one."""
    while file != top:
        file = file.parent
        yield file


def _make_folder(folder: SharePath) -> SharePath:
    folder.mkdir(FOLDER_MODE, exist_ok=True)
    return folder


def _is_copy(path: SharePath, file: SharePath) -> bool:
    one, other = path.lstat(), file.lstat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
