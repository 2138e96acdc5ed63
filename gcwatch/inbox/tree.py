"""The files below one folder of an inbox."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gcwatch.core.case import Snapshot
from gcwatch.core.errors import CannotSend, CaseError, NotYet
from gcwatch.core.reasons import Reason
from gcwatch.core.temporary_names import is_temporary
from gcwatch.files.beneath import LeadsOutside, SharePath
from gcwatch.files.patterns import is_ignored
from gcwatch.files.snapshot import EntryStatus, SourceFile, take_snapshot, unreadable_error
from gcwatch.inbox.listing import (
    list_entries,
    list_temporary,
    missing_folder_error,
    require_few_files,
)


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

    `seen` are device and inode of everything found, so that no file is found twice. `count` is how
    many entries were looked at.
    """

    folder: SharePath
    ignore: Sequence[str]
    found: list[SourceFile] = field(default_factory=list)
    temporary: list[SourceFile] = field(default_factory=list)
    links: list[tuple[SharePath, str]] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    moved: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def add_folder(self, folder: SharePath, prefix: str) -> None:
        """Add every file below a folder; collect its links for later."""
        pending = [(folder, prefix)]
        while pending:
            here, above = pending.pop()
            entries = self._enter_folder(here, above)
            entries.reverse()
            while entries:  # one by one let go: of 100,000 files this takes the half of the memory
                name, status = entries.pop()
                relative = above + name
                if is_temporary(name):
                    self.add_temporary(here.entry(name), relative, status)
                elif is_ignored(relative, self.ignore):
                    continue
                elif stat.S_ISLNK(status.st_mode):
                    self.links.append((here.entry(name), relative))
                elif stat.S_ISDIR(status.st_mode):
                    pending.append((here.entry(name), relative + "/"))
                else:
                    self.add_file(here.entry(name), relative, status)

    def add_temporary(self, place: SharePath, relative: str, status: EntryStatus) -> None:
        """Add a file that a copy writes, or all files below such a folder."""
        for file, name, now in list_temporary(place, relative, status):
            self.temporary.append(SourceFile.listed(file, name, now))
            self._count(1)

    def _count(self, more: int) -> None:
        self.count += more
        require_few_files(self.count)

    def _enter_folder(self, folder: SharePath, prefix: str) -> list[tuple[str, EntryStatus]]:
        """Record a folder's identity and when it was moved; return its entries."""
        try:
            status = folder.lstat()
            self.seen.add(_inode_of(status))
            self.moved[prefix] = _moved_at(status)
            entries = list_entries(folder, prefix)
        except (FileNotFoundError, NotADirectoryError):
            if not prefix:
                raise
            return []  # a sub-folder removed during the walk: the digest will differ
        except PermissionError as error:
            if not prefix:
                raise
            raise unreadable_error(prefix.rstrip("/"), error) from error
        self._count(len(entries))
        return entries

    def add_file(
        self, place: SharePath, relative: str, status: EntryStatus | os.stat_result
    ) -> None:
        """Add one file, if it is a regular file."""
        if stat.S_ISREG(status.st_mode):
            self.seen.add(_inode_of(status))
            self.found.append(SourceFile.listed(place, relative, status))

    def add_link(self, link: SharePath, relative: str) -> None:
        """Add the target of a link, unless it was found before, so that cycles end.

        Raise CannotSend (`link_outside`) if the target is outside the folder: in the inbox it would
        be another patient's.
        """
        with _raise_unreadable(relative):
            try:
                target = self.folder.follow_links(link.relative_to(self.folder))
            except LeadsOutside as error:
                raise CannotSend(Reason("link_outside", names={"file": relative})) from error
            status = target.lstat()
        if _inode_of(status) in self.seen:
            return
        if stat.S_ISDIR(status.st_mode):
            self.add_folder(target, relative + "/")
        else:
            self.add_file(target, relative, status)


def _moved_at(status: os.stat_result) -> int:
    """Return when a folder was moved or renamed, in ns; 0 if its content changed after that."""
    # A rename sets the change time (ctime) only; new or removed entries set both times.
    return status.st_ctime_ns if status.st_ctime_ns > status.st_mtime_ns else 0


def _inode_of(status: os.stat_result | EntryStatus) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _raise_unreadable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable_error(name, error) from error


def _read_error(place: SharePath, error: OSError) -> CaseError:
    """Given an OSError at or below a case, return it as an error of the share or of the case."""
    trouble = missing_folder_error(place.parent)
    return trouble if isinstance(trouble, NotYet) else unreadable_error(place.name, error)


def source_files(folder: SharePath, ignore: Sequence[str] = ()) -> tuple[SourceFile, ...]:
    """Given a folder of an inbox, return its regular files, sorted by name.

    Links to files and folders within the folder are followed; a file is returned only once.

    Raise CannotSend if a link leads out of the folder (`link_outside`), or if the folder holds too
    much (as `list_entries` does), TryAgain (`file_unreadable`) if a folder or a link can't be read,
    SourceVanished if the folder was removed, NotYet (`inbox_away`) if the inbox is missing or
    empty.
    """
    return folder_tree(folder, ignore).files


def folder_tree(folder: SharePath, ignore: Sequence[str] = ()) -> FolderTree:
    """Given a folder of an inbox, return its files as `source_files` does, and its folders."""
    walk = _Walk(folder, ignore)
    try:
        walk.add_folder(folder, "")
        while walk.links:
            walk.add_link(*walk.links.pop(0))
    except (FileNotFoundError, NotADirectoryError) as error:  # also if it is a link now
        raise missing_folder_error(folder.parent) from error
    except OSError as error:
        raise _read_error(folder, error) from error
    found, temporary = (
        tuple(sorted(files, key=lambda file: file.name)) for files in (walk.found, walk.temporary)
    )
    return FolderTree(found, walk.moved, temporary)


def temporary_files(file: SharePath) -> tuple[SourceFile, ...]:
    """Given a file directly in an inbox, return temporary files there that have its name in theirs.

    A browser, for example, makes an empty file at once, and fills `<file>.part` beside it.
    """
    inbox = file.parent
    walk = _Walk(inbox, ())
    with _raise_unreadable(file.name):
        for name, status in list_entries(inbox):
            if file.name in name and is_temporary(name):
                walk.add_temporary(inbox / name, name, status)
    return tuple(walk.temporary)


def source_file(file: SharePath, name: str = "") -> SourceFile:
    """Given a file of an inbox, and its name in its case, return it; raise as `source_files`."""
    try:
        status = file.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise missing_folder_error(file.parent) from error
    except OSError as error:
        raise _read_error(file, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise missing_folder_error(file.parent)
    return SourceFile.listed(file, name or file.name, status)


def snapshot_folder(
    folder: SharePath, ignore: Sequence[str] = (), before: Snapshot | None = None
) -> Snapshot:
    """Given a folder of an inbox and its snapshot *before*, return its snapshot now.

    The digest covers every file's name, size and modification time. Raise as `source_files` does,
    and TryAgain (`file_unreadable`) if this process may not read a file.
    """
    tree = folder_tree(folder, ignore)
    try:
        status = folder.lstat()
    except OSError as error:
        raise missing_folder_error(folder.parent) from error
    moved = _moved_at(status)
    return take_snapshot(
        tree.files, status.st_ctime_ns, before, moved=moved, temporary=tree.temporary
    )
