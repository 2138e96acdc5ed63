"""The files below one folder of an inbox."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gcwatch.core.case import Snapshot
from gcwatch.core.errors import CannotSend, CaseError, NotYet
from gcwatch.core.reasons import Reason
from gcwatch.core.temporary_names import is_temporary
from gcwatch.files.patterns import is_ignored
from gcwatch.files.snapshot import SourceFile, take_snapshot, unreadable_error
from gcwatch.inbox.listing import missing_folder_error, sorted_entries, walk_temporary

_MOST_NESTED_FOLDERS: Final = 100
"""Deeper folders are a mistake of a copy; what walks through them may run out of stack."""


@dataclass(frozen=True)
class FolderTree:
    """A folder's regular files, sorted by name, and when its folders were moved or renamed.

    `moved` maps relative folder names with a slash at the end ("" for the folder itself) to a time
    in nanoseconds; 0 if the folder's content changed after the move. `temporary` are the files of
    copies that are under way, sorted by name; they are not in `files`.
    """

    files: tuple[SourceFile, ...]
    moved: Mapping[str, int]
    temporary: tuple[SourceFile, ...] = ()


@dataclass
class _Walk:
    """A walk through one folder: first the real files, then what is reached only by links.

    `root` is the folder's real path. `seen` are device and inode of everything found, so that no
    file is found twice.
    """

    inbox: Path
    ignore: Sequence[str]
    root: str
    found: list[SourceFile] = field(default_factory=list)
    temporary: list[SourceFile] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    moved: dict[str, int] = field(default_factory=dict)

    def add_folder(self, path: str, prefix: str) -> None:
        """Add every file below a folder; collect its links for later."""
        pending = [(path, prefix)]
        while pending:
            here, above = pending.pop()
            if above.count("/") > _MOST_NESTED_FOLDERS:
                raise CannotSend(Reason("too_deep", {"limit": _MOST_NESTED_FOLDERS}))
            for entry in self._enter_folder(here, above):
                relative = above + entry.name
                if is_temporary(entry.name):
                    self.add_temporary(entry, relative)
                elif is_ignored(relative, self.ignore):
                    continue
                elif entry.is_symlink():
                    self.links.append((entry.path, relative))
                elif entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, relative + "/"))
                else:
                    self.add_file(entry.path, relative)

    def add_temporary(self, entry: os.DirEntry[str], relative: str) -> None:
        """Add a file that a copy writes, or all files below such a folder."""
        for file, name in walk_temporary(entry, relative):
            with contextlib.suppress(FileNotFoundError):  # renamed: the copy of it is complete
                status = file.stat(follow_symlinks=False)
                self.temporary.append(_source_file(file.path, self.root, name, status))

    def _enter_folder(self, path: str, prefix: str) -> list[os.DirEntry[str]]:
        """Record a folder's identity and when it was moved; return its entries."""
        try:
            status = os.stat(path)  # noqa: PTH116 - names of any bytes, fast
            self.seen.add(_inode_of(status))
            self.moved[prefix] = _moved_at(status)
            return sorted_entries(path)
        except (FileNotFoundError, NotADirectoryError):
            if not prefix:
                raise
            return []  # a sub-folder removed during the walk: the digest will differ
        except PermissionError as error:
            if not prefix:
                raise
            raise unreadable_error(prefix.rstrip("/"), error) from error

    def add_file(self, path: str, relative: str) -> None:
        """Add one file, if it is a regular file and still exists."""
        try:
            status = os.stat(path)  # noqa: PTH116 - names of any bytes, fast
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISREG(status.st_mode):
            self.seen.add(_inode_of(status))
            self.found.append(_source_file(path, self.root, relative, status))

    def add_link(self, path: str, relative: str) -> None:
        """Add the target of a link, unless it was found before, so that cycles end.

        Raise CannotSend (`link_outside`) if the target is outside the folder: in the inbox it would
        be another patient's.
        """
        with _raise_unreadable(relative):
            target = os.path.realpath(path, strict=True)
        if not (target + "/").startswith(self.root + "/"):
            raise CannotSend(Reason("link_outside", names={"file": relative}))
        with _raise_unreadable(relative):
            status = os.stat(target)  # noqa: PTH116 - names of any bytes, fast
            if _inode_of(status) in self.seen:
                return
            if stat.S_ISDIR(status.st_mode):
                self.add_folder(target, relative + "/")
            else:
                self.add_file(path, relative)


def _moved_at(status: os.stat_result) -> int:
    """Return when a folder was moved or renamed, in ns; 0 if its content changed after that."""
    # A rename sets the change time (ctime) only; new or removed entries set both times.
    return status.st_ctime_ns if status.st_ctime_ns > status.st_mtime_ns else 0


def _inode_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _source_file(path: str, root: str, relative: str, status: os.stat_result) -> SourceFile:
    times = status.st_mtime_ns, status.st_ctime_ns
    return SourceFile(path, root, relative, status.st_size, *times)


@contextlib.contextmanager
def _raise_unreadable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable_error(name, error) from error


def _read_error(inbox: Path, name: str, error: OSError) -> CaseError:
    """Given an OSError below a folder, return it as an error of the share or of the folder."""
    trouble = missing_folder_error(inbox)
    return trouble if isinstance(trouble, NotYet) else unreadable_error(name, error)


def source_files(inbox: Path, name: str, ignore: Sequence[str] = ()) -> tuple[SourceFile, ...]:
    """Given a folder of an inbox, return its regular files, sorted by name.

    Links to files and folders within the folder are followed; a file is returned only once.

    Raise CannotSend (`link_outside`) if a link leads out of the folder, TryAgain
    (`file_unreadable`) if a folder or a link can't be read, SourceVanished if the folder was
    removed, NotYet (`inbox_away`) if the inbox is missing or empty.
    """
    return folder_tree(inbox, name, ignore).files


def folder_tree(inbox: Path, name: str, ignore: Sequence[str] = ()) -> FolderTree:
    """Given a folder of an inbox, return its files as `source_files` does, and its folders."""
    walk = _Walk(inbox, ignore, os.path.join(os.path.realpath(inbox), name))  # noqa: PTH118 -- names of any bytes
    try:
        if (inbox / name).is_symlink():
            raise missing_folder_error(inbox)  # a link replaced the folder; links are no cases
        walk.add_folder(str(inbox / name), "")
        while walk.links:
            walk.add_link(*walk.links.pop(0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_folder_error(inbox) from error
    except OSError as error:
        raise _read_error(inbox, name, error) from error
    found, temporary = (
        tuple(sorted(files, key=lambda file: file.name)) for files in (walk.found, walk.temporary)
    )
    return FolderTree(found, walk.moved, temporary)


def temporary_files(inbox: Path, name: str) -> tuple[SourceFile, ...]:
    """Given a file directly in an inbox, return temporary files there that have its name in theirs.

    A browser, for example, makes an empty file at once, and fills `<file>.part` beside it.
    """
    walk = _Walk(inbox, (), "")
    with _raise_unreadable(name):
        for entry in sorted_entries(inbox):
            if name in entry.name and is_temporary(entry.name):
                walk.add_temporary(entry, entry.name)
    return tuple(walk.temporary)


def source_file(inbox: Path, name: str) -> SourceFile:
    """Given a file directly in an inbox, return it; raise as `source_files` does."""
    path = inbox / name
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_folder_error(inbox) from error
    except OSError as error:
        raise _read_error(inbox, name, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise missing_folder_error(inbox)
    return _source_file(str(path), os.path.realpath(inbox), name, status)


def snapshot_folder(
    inbox: Path, name: str, ignore: Sequence[str] = (), before: Snapshot | None = None
) -> Snapshot:
    """Given a folder of an inbox and its snapshot *before*, return its snapshot now.

    The digest covers every file's name, size and modification time. Raise as `source_files` does,
    and TryAgain (`file_unreadable`) if this process may not read a file.
    """
    tree = folder_tree(inbox, name, ignore)
    try:
        status = (inbox / name).lstat()
    except OSError as error:
        raise missing_folder_error(inbox) from error
    moved = _moved_at(status)
    return take_snapshot(
        tree.files, status.st_ctime_ns, before, moved=moved, temporary=tree.temporary
    )
