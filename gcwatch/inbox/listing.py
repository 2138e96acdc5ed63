"""Lists an inbox: its folders, its files, their change times, marker files and receipts."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcwatch.core.errors import NotYet, SourceVanished
from gcwatch.core.reasons import Reason
from gcwatch.core.temporary_names import is_temporary
from gcwatch.files.atomic import error_text
from gcwatch.files.patterns import is_ignored
from gcwatch.files.receipt_file import read_receipt
from gcwatch.threads.heartbeats import heartbeat

_AWAY_SECONDS = 30.0
"""Seconds until the next try to read an inbox that is not available."""


@dataclass(frozen=True)
class InboxEntry:
    """One case of an inbox; `stamp` is the change time of its folder or file in nanoseconds."""

    name: str
    stamp: int


@dataclass(frozen=True)
class InboxListing:
    """The cases of an inbox, and how many `loose` files (or folders) and `links` are ignored.

    `beside` are the names of the loose files (or folders) directly in the inbox. `unsure` are
    folders whose cases are not known at the moment. `unread` tells that the time was too short to
    read all of them: another listing continues.
    """

    cases: tuple[InboxEntry, ...]
    loose: int = 0
    links: int = 0
    unsure: frozenset[str] = frozenset()
    unread: bool = False
    beside: tuple[str, ...] = ()

    def may_hold(self, name: str) -> bool:
        """Given the name of a case that is not listed, return whether it may still be there."""
        return name.partition("/")[0] in self.unsure


# --- the inbox ---------------------------------------------------------------------------------


def list_folders(inbox: Path, ignore: Sequence[str] = ()) -> InboxListing:
    """Given an inbox and a route's ignore globs, return its folders as cases, sorted by name.

    Raise NotYet (reason `inbox_away`) if the inbox is missing, unreadable or no folder.
    """
    folders, files, links = _folders_and_files(inbox, ignore)
    beside = tuple(file.name for file in files)
    return InboxListing(_list_entries(folders), len(files), links, beside=beside)


def list_files(inbox: Path, ignore: Sequence[str] = ()) -> InboxListing:
    """Given an inbox and a route's ignore globs, return its files as cases, sorted by name.

    Only files directly in the inbox count; `loose` counts its folders. Raise as `list_folders`.
    """
    folders, files, links = _folders_and_files(inbox, ignore)
    beside = tuple(folder.name for folder in folders)
    return InboxListing(_list_entries(files), len(folders), links, beside=beside)


_Found = list[os.DirEntry[str]]


def _folders_and_files(inbox: Path, ignore: Sequence[str]) -> tuple[_Found, _Found, int]:
    """Return the folders and the files of an inbox, and the number of its links."""
    folders: _Found = []
    files: _Found = []
    links = 0
    try:
        for entry in sorted_entries(inbox):
            if is_ignored(entry.name, ignore):
                continue
            if entry.is_symlink():
                links += 1
            else:
                (folders if entry.is_dir(follow_symlinks=False) else files).append(entry)
    except OSError as error:
        raise _away_error(error_text(error)) from error
    return folders, files, links


def _list_entries(entries: _Found) -> tuple[InboxEntry, ...]:
    return tuple(each for entry in entries for each in _read_entry(entry))


def _read_entry(entry: os.DirEntry[str]) -> Iterator[InboxEntry]:
    try:
        yield InboxEntry(entry.name, entry.stat(follow_symlinks=False).st_ctime_ns)
    except FileNotFoundError:  # removed since the folder was listed
        return
    except OSError as error:
        raise _away_error(error_text(error)) from error


def _away_error(error: str) -> NotYet:
    return NotYet(Reason("inbox_away", {"error": error}), _AWAY_SECONDS)


def missing_folder_error(inbox: Path) -> NotYet | SourceVanished:
    """Given the inbox of a folder that does not exist, return the error that tells why.

    SourceVanished if the folder was removed, NotYet if the whole inbox is not available.
    """
    try:
        with os.scandir(inbox) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return _away_error(error_text(error))
    # An empty inbox may be the mount point of a share that is not mounted, so it proves nothing.
    return _away_error(os.strerror(errno.ENOENT)) if empty else SourceVanished()


def holds_files(inbox: Path, name: str, ignore: Sequence[str] = ()) -> bool:
    """Given a folder of an inbox, return whether it contains any file that is or will be content.

    The temporary file of a copy counts: the case waits for it. A folder without files is not a case
    yet. A folder that can't be read counts as having files, so that it becomes a case and somebody
    is told.
    """
    pending = [(inbox / name, "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            entries = sorted_entries(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return True
        for entry in entries:
            relative = prefix + entry.name
            if is_temporary(entry.name):
                if next(walk_temporary(entry, relative), None):
                    return True
            elif is_ignored(relative, ignore):
                continue
            elif entry.is_dir(follow_symlinks=False):
                pending.append((Path(entry.path), relative + "/"))
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                return True
    return False


def walk_temporary(
    entry: os.DirEntry[str], relative: str
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Given an entry with a temporary name and its relative name, yield what a copy writes there.

    That is the file itself, or each file below a folder, with its relative name. Links do not
    count. What is renamed or removed meanwhile is left out.
    """
    pending = [(entry, relative)]
    while pending:
        here, name = pending.pop()
        with suppress(FileNotFoundError, NotADirectoryError):
            if here.is_dir(follow_symlinks=False):
                pending += [(each, f"{name}/{each.name}") for each in sorted_entries(here.path)]
            elif here.is_file(follow_symlinks=False):
                yield here, name


def marker_stamp(inbox: Path, name: str, marker: str) -> int:
    """Given a folder and a marker file's relative name, return the marker's change time in ns.

    Return 0 if the marker is not there.
    """
    path = inbox / name / marker
    return path.stat().st_ctime_ns if path.is_file() else 0


# --- a folder's files --------------------------------------------------------------------------


def sorted_entries(path: str | Path) -> list[os.DirEntry[str]]:
    """Given a folder, return its entries, sorted by name; raise OSError if it can't be read."""
    heartbeat()
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def dropped_receipt(folder: Path) -> Mapping[str, Any]:
    """Given a folder of the inbox, return the receipt in it; empty if there is none to be read.

    A result of another route has one. Callers check every value before they use it.
    """
    try:
        return read_receipt(folder)
    except OSError:
        return {}
