"""What an inbox folder holds: folders and files, and whether they changed."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from pathlib import Path
from typing import Any, BinaryIO

from gcwatch.cases import Snapshot
from gcwatch.errors import CannotSend, CaseError, NotYet, SourceChanged, SourceVanished, TryAgain
from gcwatch.files import why
from gcwatch.pulse import beat
from gcwatch.reasons import Reason

IGNORED = (
    ".*",
    "*.part",
    "*.partial",
    "*.tmp",
    "~$*",
    "Thumbs.db",
    "desktop.ini",
    "__MACOSX",
    "@eaDir",
    "gcwatch.json",
)
"""Globs of names that are never case content, whatever their case."""

_IGNORED = re.compile("|".join(translate(pattern) for pattern in IGNORED), re.IGNORECASE)

RECEIPT = "gcwatch.json"
"""Name of the receipt that a folder of results or of a mirror holds."""

_AWAY_WAIT = 30.0
"""Seconds until an inbox that is away is looked at again."""


@dataclass(frozen=True)
class Entry:
    """One case of an inbox; `stamp` is its own change time in nanoseconds."""

    name: str
    stamp: int


@dataclass(frozen=True)
class Listing:
    """An inbox: its cases, and how many `loose` files (or folders) and links are left alone.

    Of the `unsure` folders it can't be told at this moment which cases they hold; some of them may
    only be `unread`, for which the next survey will have the time.
    """

    cases: tuple[Entry, ...]
    loose: int = 0
    links: int = 0
    unsure: frozenset[str] = frozenset()
    unread: bool = False

    def may_hold(self, name: str) -> bool:
        """Given the name of a case that is not listed, return whether it may stand there still."""
        return name.partition("/")[0] in self.unsure


@dataclass(frozen=True)
class SourceFile:
    """One regular file of a case; `name` is relative to the folder, with slashes."""

    path: str
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True)
class Tree:
    """A folder's regular files, sorted by name, and when its folders took their places.

    `moved` has the folder itself as "", those below it by their relative names with a slash at
    the end; in nanoseconds, 0 where something came into the folder since.
    """

    files: tuple[SourceFile, ...]
    moved: Mapping[str, int]


# --- patterns ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _pattern_parts(pattern: str) -> tuple[str, ...]:
    return tuple(_comparable(pattern).split("/"))


def _comparable(name: str) -> str:
    # macOS writes decomposed letters where a config file has composed ones.
    return unicodedata.normalize("NFC", name).lower()


def matches(name: str, pattern: str) -> bool:
    """Given a relative name and a glob, return whether the whole name matches, whatever its case.

    `*` and `?` stay within one component; a component `**` stands for any number of them.
    """
    return _match(tuple(_comparable(name).split("/")), _pattern_parts(pattern))


def _match(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match(parts[skip:], patterns[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match(parts[1:], patterns[1:])


def is_ignored(name: str, ignore: Sequence[str] = ()) -> bool:
    """Given a relative name and a route's globs, return whether it is never case content.

    The built-in globs see the last component (folders are judged before what is in them); a
    route's glob sees the last component, and the whole name too.
    """
    last = name.rpartition("/")[2]
    return bool(_IGNORED.match(last)) or any(
        matches(last, pattern) or matches(name, pattern) for pattern in ignore
    )


# --- the inbox ---------------------------------------------------------------------------------


def survey(inbox: Path, ignore: Sequence[str] = ()) -> Listing:
    """Given an inbox and a route's ignore globs, return its folders, sorted by name.

    Raise NotYet (reason `inbox_away`) if it is missing, unreadable or no folder.
    """
    folders, files, links = _sorted_entries(inbox, ignore)
    return Listing(_cases(folders), len(files), links)


def survey_files(inbox: Path, ignore: Sequence[str] = ()) -> Listing:
    """Given an inbox and a route's ignore globs, return the files directly in it, sorted by name.

    Its folders are the loose ones. Raise as `survey` does.
    """
    folders, files, links = _sorted_entries(inbox, ignore)
    return Listing(_cases(files), len(folders), links)


_Found = list[os.DirEntry[str]]


def _sorted_entries(inbox: Path, ignore: Sequence[str]) -> tuple[_Found, _Found, int]:
    """Return the folders and the files of an inbox, and how many links there are."""
    folders: _Found = []
    files: _Found = []
    links = 0
    try:
        for entry in _entries(inbox):
            if is_ignored(entry.name, ignore):
                continue
            if entry.is_symlink():
                links += 1
            else:
                (folders if entry.is_dir(follow_symlinks=False) else files).append(entry)
    except OSError as error:
        raise _away(why(error)) from error
    return folders, files, links


def _cases(entries: _Found) -> tuple[Entry, ...]:
    return tuple(each for entry in entries for each in _entry(entry))


def _entry(entry: os.DirEntry[str]) -> Iterator[Entry]:
    try:
        yield Entry(entry.name, entry.stat(follow_symlinks=False).st_ctime_ns)
    except FileNotFoundError:  # taken away between listing and asking
        return
    except OSError as error:
        raise _away(why(error)) from error


def _away(error: str) -> NotYet:
    return NotYet(Reason("inbox_away", {"error": error}), _AWAY_WAIT)


def _gone(inbox: Path) -> NotYet | SourceVanished:
    """Given the inbox of a folder that is not there, return what that means.

    An empty inbox may be the mount point of a share that is away: never proof of withdrawal.
    """
    try:
        with os.scandir(inbox) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return _away(why(error))
    return _away(os.strerror(errno.ENOENT)) if empty else SourceVanished()


def holds_files(inbox: Path, name: str, ignore: Sequence[str] = ()) -> bool:
    """Given a folder of an inbox, return whether it holds anything that could be case content.

    A folder without files is not a case yet. What can't be read counts, so that it is reported.
    """
    pending = [(inbox / name, "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            entries = _entries(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return True
        for entry in entries:
            relative = prefix + entry.name
            if is_ignored(relative, ignore):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append((Path(entry.path), relative + "/"))
            elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                return True
    return False


def is_marked(inbox: Path, name: str, marker: str) -> bool:
    """Given a folder and a marker file's relative name, return whether the marker stands there."""
    return (inbox / name / marker).is_file()


# --- a folder's files --------------------------------------------------------------------------


@dataclass
class _Walk:
    """A walk through one folder: real files first, then what only links lead to."""

    inbox: Path
    ignore: Sequence[str]
    root: str
    found: list[SourceFile] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    moved: dict[str, int] = field(default_factory=dict)

    def folder(self, path: str, prefix: str) -> None:
        """Add every file below a folder; keep links for later."""
        pending = [(path, prefix)]
        while pending:
            here, above = pending.pop()
            for entry in self._enter(here, above):
                relative = above + entry.name
                if is_ignored(relative, self.ignore):
                    continue
                if entry.is_symlink():
                    self.links.append((entry.path, relative))
                elif entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, relative + "/"))
                else:
                    self.file(entry.path, relative)

    def _enter(self, path: str, prefix: str) -> list[os.DirEntry[str]]:
        """Note where a folder is and when it came there; return what is in it."""
        try:
            status = os.stat(path)  # noqa: PTH116 - names of any bytes, fast
            self.seen.add(_identity(status))
            self.moved[prefix] = _moved(status)
            return _entries(path)
        except (FileNotFoundError, NotADirectoryError):
            if not prefix:
                raise
            return []  # a sub-folder taken away under way shows in the digest
        except PermissionError as error:
            if not prefix:
                raise
            raise _unreadable(prefix.rstrip("/"), error) from error

    def file(self, path: str, relative: str) -> None:
        """Add one file, if it is a regular one and still there."""
        try:
            status = os.stat(path)  # noqa: PTH116 - names of any bytes, fast
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISREG(status.st_mode):
            self.seen.add(_identity(status))
            self.found.append(_source_file(path, relative, status))

    def link(self, path: str, relative: str) -> None:
        """Add what a link leads to, unless the walk has been there (so cycles end)."""
        with _readable(relative):
            target = os.path.realpath(path, strict=True)
        if not target.startswith(self.root + "/"):
            raise CannotSend(Reason("link_outside", names={"file": relative}))
        with _readable(relative):
            status = os.stat(target)  # noqa: PTH116 - names of any bytes, fast
            if _identity(status) in self.seen:
                return
            if stat.S_ISDIR(status.st_mode):
                self.folder(target, relative + "/")
            else:
                self.file(path, relative)


def _moved(status: os.stat_result) -> int:
    """When a folder took its place: a rename changes its change time, but not what is in it."""
    return status.st_ctime_ns if status.st_ctime_ns > status.st_mtime_ns else 0


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _source_file(path: str, relative: str, status: os.stat_result) -> SourceFile:
    return SourceFile(path, relative, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _entries(path: str | Path) -> list[os.DirEntry[str]]:
    beat()
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(name, error) from error


def _blame(inbox: Path, name: str, error: OSError) -> CaseError:
    """Given an error below a folder, return whether the folder or its share is to blame."""
    trouble = _gone(inbox)
    return trouble if isinstance(trouble, NotYet) else _unreadable(name, error)


def _unreadable(name: str, error: OSError) -> TryAgain:
    return TryAgain(Reason("file_unreadable", {"error": why(error)}, {"file": name}))


def source_files(inbox: Path, name: str, ignore: Sequence[str] = ()) -> tuple[SourceFile, ...]:
    """Given a folder of an inbox, return its regular files, sorted by name.

    Links within the inbox are followed, and add what the folder does not hold already.

    Raise CannotSend (`link_outside`) if a link leads out of the inbox, TryAgain
    (`file_unreadable`) if a folder or a link can't be read, SourceVanished if the folder is gone
    from an inbox that holds others, NotYet (`inbox_away`) if the inbox is missing or empty.
    """
    return tree(inbox, name, ignore).files


def tree(inbox: Path, name: str, ignore: Sequence[str] = ()) -> Tree:
    """Given a folder of an inbox, return its files as `source_files` does, and its folders."""
    walk = _Walk(inbox, ignore, os.path.realpath(inbox))
    try:
        if (inbox / name).is_symlink():
            raise _gone(inbox)  # a link took the folder's place; links are no cases
        walk.folder(str(inbox / name), "")
        while walk.links:
            walk.link(*walk.links.pop(0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _gone(inbox) from error
    except OSError as error:
        raise _blame(inbox, name, error) from error
    return Tree(tuple(sorted(walk.found, key=lambda file: file.name)), walk.moved)


def source_file(inbox: Path, name: str) -> SourceFile:
    """Given a file directly in an inbox, return it; raise as `source_files` does."""
    path = inbox / name
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _gone(inbox) from error
    except OSError as error:
        raise _blame(inbox, name, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise _gone(inbox)
    return _source_file(str(path), name, status)


def receipt(inbox: Path, name: str) -> Mapping[str, Any]:
    """Given a folder, return what its gcwatch.json says; nothing if it has none.

    It is written by whoever made the folder, so nothing in it is believed unseen.
    """
    try:
        found = json.loads((inbox / name / RECEIPT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def look(
    inbox: Path, name: str, ignore: Sequence[str] = (), before: Snapshot | None = None
) -> Snapshot:
    """Given a folder of an inbox, and how it looked *before*, return what it looks like now.

    The digest covers every file's name, size and time of change. Raise as `source_files` does,
    and TryAgain (`file_unreadable`) if a file may not be read.
    """
    files = source_files(inbox, name, ignore)
    return snapshot(files, _stamp(inbox, name), before)


def snapshot(files: Sequence[SourceFile], stamp: int, before: Snapshot | None = None) -> Snapshot:
    """Given a case's files, its stamp and how it looked *before*, return what it looks like.

    Raise TryAgain (`file_unreadable`) if a file may not be read.
    """
    for file in files:
        _check_access(file)
    return Snapshot(
        digest(files),
        len(files),
        sum(file.size for file in files),
        stamp,
        latest=max((file.ctime_ns for file in files), default=0),
        changing=_changing(files, before),
    )


def _changing(files: Sequence[SourceFile], before: Snapshot | None) -> int:
    """Return how many files are new or changed since, by the clock of the disk they lie on.

    Whatever happened to a file since is later than all that was seen of the others. Only what was
    moved in with its folder keeps its time; it shows in the number of files.
    """
    if before is None or not before.latest:
        return 0
    later = sum(file.ctime_ns > before.latest for file in files)
    return max(later, len(files) - before.files)


def _check_access(file: SourceFile) -> None:
    effective = os.access in os.supports_effective_ids
    if not os.access(file.path, os.R_OK, effective_ids=effective):
        raise _unreadable(file.name, PermissionError(errno.EACCES, ""))


def _stamp(inbox: Path, name: str) -> int:
    try:
        return (inbox / name).lstat().st_ctime_ns
    except OSError as error:
        raise _gone(inbox) from error


def digest(files: Sequence[SourceFile]) -> str:
    """Given files sorted by name, return a SHA-256 over their names, sizes and times."""
    total = hashlib.sha256()
    for file in files:
        # A name holds no NUL, so no two listings give the same bytes.
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    return total.hexdigest()


@contextlib.contextmanager
def open_unchanged(file: SourceFile) -> Iterator[BinaryIO]:
    """Given a file as it was listed, yield it open for reading, if it is still that file.

    Raise SourceChanged if it is not, before or after the body; TryAgain (`file_unreadable`) if
    it can't be opened. A verdict that the body gives on bytes that changed is no verdict.
    """
    beat()
    with _open(file) as stream:
        _require_same(stream, file)
        try:
            yield stream
        except CannotSend:
            _require_same(stream, file)
            raise
        _require_same(stream, file)


def _open(file: SourceFile) -> BinaryIO:
    try:
        # Without O_NONBLOCK a pipe that took the file's place would hang the worker.
        return os.fdopen(os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise SourceChanged from error
    except OSError as error:
        raise _unreadable(file.name, error) from error


def _require_same(stream: BinaryIO, file: SourceFile) -> None:
    status = os.fstat(stream.fileno())
    now = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if not stat.S_ISREG(status.st_mode) or now != (file.size, file.mtime_ns, file.ctime_ns):
        raise SourceChanged
