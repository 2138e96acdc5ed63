"""A listed file, and the state of a case's files at one moment."""

import errno
import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gcwatch.core.case import Copies, Snapshot
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import error_text
from gcwatch.files.beneath import SharePath


class EntryStatus(NamedTuple):
    """What is needed of an entry's status, under the names of `os.stat_result`.

    That has many more fields: for 100,000 files it takes three times the memory.
    """

    st_mode: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_dev: int
    st_ino: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One regular file of a case.

    `place` is where it is, without any link; `name` is relative to the folder, with slashes: of a
    file that is reached by a link, the name with that link. `size` is in bytes, times are in
    nanoseconds.
    """

    place: SharePath
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int

    @classmethod
    def listed(
        cls, place: SharePath, name: str, status: os.stat_result | EntryStatus
    ) -> "SourceFile":
        """Return a file as it is when it is listed."""
        return cls(
            place,
            name,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_dev,
            status.st_ino,
        )

    def is_same(self, status: os.stat_result) -> bool:
        """Whether this is the status of the very file that was listed, unchanged."""
        return (
            self.size == status.st_size
            and self.mtime_ns == status.st_mtime_ns
            and self.ctime_ns == status.st_ctime_ns
            and (self.device, self.inode) == (status.st_dev, status.st_ino)
        )


def unreadable_error(name: str, error: OSError) -> TryAgain:
    """Given a file's name and why it can't be read, return that as an error to try again."""
    return TryAgain(Reason("file_unreadable", {"error": error_text(error)}, {"file": name}))


def take_snapshot(
    files: Sequence[SourceFile],
    stamp: int,
    before: Snapshot | None = None,
    *,
    moved: int = 0,
    temporary: Sequence[SourceFile] = (),
) -> Snapshot:
    """Given a case's files, its stamp (in ns) and its snapshot *before*, return its snapshot now.

    `moved` is when its folder was moved or renamed (in ns), 0 if its content changed after that.
    `temporary` are the files of copies that are under way, sorted by name.

    Raise TryAgain (`file_unreadable`) if a file may not be read.
    """
    for folder, inside in itertools.groupby(files, key=lambda file: file.place.parent):
        _check_access(folder, tuple(inside))
    return Snapshot(
        listing_digest(files),
        len(files),
        sum(file.size for file in files),
        stamp,
        latest=max((file.ctime_ns for file in files), default=0),
        changing=_count_changed(files, before),
        moved=moved,
        copies=_copies(temporary),
    )


def _copies(temporary: Sequence[SourceFile]) -> Copies | None:
    if not temporary:
        return None
    return Copies(listing_digest(temporary), len(temporary), temporary[0].name)


def _count_changed(files: Sequence[SourceFile], before: Snapshot | None) -> int:
    """Return how many files are new or changed since the snapshot before.

    Times are compared with each other, never with this machine's clock: a file server has its own.
    """
    if before is None or not before.latest:
        return 0
    # A new or changed file has a later change time than every file of the snapshot before. Files
    # moved in together with their folder keep their old time, so the number of files counts too.
    later = sum(file.ctime_ns > before.latest for file in files)
    return max(later, len(files) - before.files)


def _check_access(folder: SharePath, files: Sequence[SourceFile]) -> None:
    """Raise TryAgain unless this process may read these files of one folder."""
    try:
        with folder.open_folder(os.O_PATH) as descriptor:
            for file in files:
                if not _may_read(file.place.name, descriptor):
                    raise unreadable_error(file.name, PermissionError(errno.EACCES, ""))
    except OSError as error:
        raise unreadable_error(files[0].name, error) from error


def _may_read(name: str, folder: int) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(name, os.R_OK, dir_fd=folder, effective_ids=effective, follow_symlinks=False)


def listing_digest(files: Sequence[SourceFile]) -> str:
    """Given files sorted by name, return a SHA-256 over their names, sizes and times."""
    total = hashlib.sha256()
    for file in files:
        # A name holds no NUL, so no two listings give the same bytes.
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    return total.hexdigest()
