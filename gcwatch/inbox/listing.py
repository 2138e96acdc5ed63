"""Lists an inbox: its folders, its files, their change times, marker files and receipts."""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from gcwatch.core.errors import CannotSend, CaseError, NotYet, SourceVanished
from gcwatch.core.reasons import Reason
from gcwatch.core.temporary_names import is_temporary
from gcwatch.files.atomic import error_text
from gcwatch.files.beneath import SharePath
from gcwatch.files.patterns import is_ignored
from gcwatch.files.receipt_file import read_receipt
from gcwatch.files.snapshot import EntryStatus

MOST_FILES: Final = 100_000
"""Files of one folder, and entries of one inbox; more would fill the memory."""

MOST_NESTED_FOLDERS: Final = 100
"""Deeper folders are a mistake of a copy."""

LONGEST_NAME_BYTES: Final = 2048
"""Of a file's name with its folders; the system opens no path of more than 4096 bytes."""

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
    read all of them: another listing continues. `not_taken` says which series the route does not
    take, each after the name of its folder.
    """

    cases: tuple[InboxEntry, ...]
    loose: int = 0
    links: int = 0
    unsure: frozenset[str] = frozenset()
    unread: bool = False
    beside: tuple[str, ...] = ()
    not_taken: tuple[str, ...] = ()

    def may_hold(self, name: str) -> bool:
        """Given the name of a case that is not listed, return whether it may still be there."""
        return name.partition("/")[0] in self.unsure


# --- the inbox ---------------------------------------------------------------------------------


def list_folders(inbox: SharePath, ignore: Sequence[str] = ()) -> InboxListing:
    """Given an inbox and a route's ignore globs, return its folders as cases, sorted by name.

    Raise NotYet (reason `inbox_away`) if the inbox is missing, unreadable or no folder, or
    (`inbox_too_full`) if it has too many entries.
    """
    folders, files, links = _folders_and_files(inbox, ignore)
    beside = tuple(file.name for file in files)
    return InboxListing(tuple(folders), len(files), links, beside=beside)


def list_files(inbox: SharePath, ignore: Sequence[str] = ()) -> InboxListing:
    """Given an inbox and a route's ignore globs, return its files as cases, sorted by name.

    Only files directly in the inbox count; `loose` counts its folders. Raise as `list_folders`.
    """
    folders, files, links = _folders_and_files(inbox, ignore)
    beside = tuple(folder.name for folder in folders)
    return InboxListing(tuple(files), len(folders), links, beside=beside)


_Found = list[InboxEntry]


def _folders_and_files(inbox: SharePath, ignore: Sequence[str]) -> tuple[_Found, _Found, int]:
    """Return the folders and the files of an inbox, and the number of its links."""
    folders: _Found = []
    files: _Found = []
    links = 0
    try:
        for name, status in list_entries(inbox):
            if is_ignored(name, ignore):
                continue
            if stat.S_ISLNK(status.st_mode):
                links += 1
            else:
                found = folders if stat.S_ISDIR(status.st_mode) else files
                found.append(InboxEntry(name, status.st_ctime_ns))
    except OSError as error:
        raise _away_error(error_text(error)) from error
    except CannotSend as error:
        raise NotYet(Reason("inbox_too_full", error.reason.facts), _AWAY_SECONDS) from error
    return folders, files, links


def _away_error(error: str) -> NotYet:
    return NotYet(Reason("inbox_away", {"error": error}), _AWAY_SECONDS)


def missing_folder_error(inbox: SharePath) -> NotYet | SourceVanished:
    """Given the inbox of a folder that does not exist, return the error that tells why.

    SourceVanished if the folder was removed, NotYet if the whole inbox is not available.
    """
    try:
        with inbox.scan() as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return _away_error(error_text(error))
    # An empty inbox may be the mount point of a share that is not mounted, so it proves nothing.
    return _away_error(os.strerror(errno.ENOENT)) if empty else SourceVanished()


def holds_files(folder: SharePath, ignore: Sequence[str] = ()) -> bool:
    """Given a folder of an inbox, return whether it contains any file that is or will be content.

    The temporary file of a copy counts: the case waits for it. A folder without files is not a case
    yet. A folder that can't be read counts as having files, so that it becomes a case and somebody
    is told.
    """
    pending = [(folder, "")]
    count = 0
    while pending:
        here, prefix = pending.pop()
        try:
            entries = list_entries(here, prefix)
            count += len(entries)
            require_few_files(count)
            for name, status in entries:
                relative = prefix + name
                if is_temporary(name):
                    if list_temporary(here / name, relative, status):
                        return True
                elif is_ignored(relative, ignore):
                    continue
                elif stat.S_ISDIR(status.st_mode):
                    pending.append((here / name, relative + "/"))
                elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                    return True
        except FileNotFoundError:
            continue
        except (OSError, CaseError):
            return True
    return False


def list_temporary(
    place: SharePath, relative: str, status: EntryStatus
) -> list[tuple[SharePath, str, EntryStatus]]:
    """Given what has a temporary name, its name and status, return what a copy writes there.

    That is the file itself, or each file below a folder, with its relative name. Links do not
    count. What is renamed or removed meanwhile is left out. Raise CannotSend as `list_entries`.
    """
    found = []
    pending = [(place, relative, status)]
    while pending:
        here, name, now = pending.pop()
        if stat.S_ISREG(now.st_mode):
            found.append((here, name, now))
        elif stat.S_ISDIR(now.st_mode):
            try:
                inside = list_entries(here, f"{name}/")
            except (FileNotFoundError, NotADirectoryError):
                continue
            pending += [(here / each, f"{name}/{each}", its) for each, its in inside]
        require_few_files(len(found))
    return found


def marker_stamp(marker: SharePath) -> int:
    """Given the path of a marker file, return its change time in ns; 0 if it is not there."""
    status = marker.status()
    return status.st_ctime_ns if status is not None and stat.S_ISREG(status.st_mode) else 0


# --- a folder's files --------------------------------------------------------------------------


def list_entries(folder: SharePath, prefix: str = "") -> list[tuple[str, EntryStatus]]:
    """Given a folder, return the names in it with their status, sorted; links are not followed.

    What is removed meanwhile is left out. `prefix` is the folder's name in its case.

    Raise OSError if it can't be read, CannotSend if it holds too much (`folder_too_full`), if it is
    nested too deep (`too_deep`), or if a name is too long (`name_too_long`).
    """
    if prefix.count("/") > MOST_NESTED_FOLDERS:
        raise CannotSend(Reason("too_deep", {"limit": MOST_NESTED_FOLDERS}))
    found = []
    shortest = (LONGEST_NAME_BYTES - len(os.fsencode(prefix))) // 4  # a letter has up to 4 bytes
    with folder.scan() as entries:
        for entry in entries:
            name = entry.name
            if len(name) > shortest and len(os.fsencode(prefix + name)) > LONGEST_NAME_BYTES:
                raise CannotSend(Reason("name_too_long", {"limit": LONGEST_NAME_BYTES}))
            try:
                found.append((name, _reduced(entry.stat(follow_symlinks=False))))
            except FileNotFoundError:
                continue
            if len(found) > MOST_FILES:
                break
    require_few_files(len(found))
    return sorted(found, key=itemgetter(0))


def _reduced(status: os.stat_result) -> EntryStatus:
    return EntryStatus(
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_dev,
        status.st_ino,
    )


def require_few_files(count: int) -> None:
    """Raise CannotSend (`folder_too_full`) if there are more files than one folder may hold."""
    if count > MOST_FILES:
        raise CannotSend(Reason("folder_too_full", {"limit": MOST_FILES}))


def dropped_receipt(folder: SharePath) -> Mapping[str, Any]:
    """Given a folder of the inbox, return the receipt in it; empty if there is none to be read.

    A result of another route has one. Callers check every value before they use it.
    """
    try:
        return read_receipt(folder)
    except OSError:
        return {}
