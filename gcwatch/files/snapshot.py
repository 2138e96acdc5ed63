"""A listed file, and what the files of a case looked like at one moment."""

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from gcwatch.core.case import Snapshot
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import error_text


@dataclass(frozen=True)
class SourceFile:
    """One regular file of a case; `name` is relative to the folder, with slashes."""

    path: str
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int


def unreadable_error(name: str, error: OSError) -> TryAgain:
    return TryAgain(Reason("file_unreadable", {"error": error_text(error)}, {"file": name}))


def take_snapshot(
    files: Sequence[SourceFile], stamp: int, before: Snapshot | None = None
) -> Snapshot:
    """Given a case's files, its stamp and how it looked *before*, return what it looks like.

    Raise TryAgain (`file_unreadable`) if a file may not be read.
    """
    for file in files:
        _check_access(file)
    return Snapshot(
        listing_digest(files),
        len(files),
        sum(file.size for file in files),
        stamp,
        latest=max((file.ctime_ns for file in files), default=0),
        changing=_count_changed(files, before),
    )


def _count_changed(files: Sequence[SourceFile], before: Snapshot | None) -> int:
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
        raise unreadable_error(file.name, PermissionError(errno.EACCES, ""))


def listing_digest(files: Sequence[SourceFile]) -> str:
    """Given files sorted by name, return a SHA-256 over their names, sizes and times."""
    total = hashlib.sha256()
    for file in files:
        # A name holds no NUL, so no two listings give the same bytes.
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    return total.hexdigest()
