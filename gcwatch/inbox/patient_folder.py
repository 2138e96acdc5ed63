"""Which DICOM series the files of a patient's folder belong to, and when each series changed."""

import hashlib
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from gcwatch.core.rules.series_rules import SeriesRules
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.series import group_series
from gcwatch.inbox.listing import InboxEntry
from gcwatch.inbox.tree import FolderTree

_ANY_SERIES, _NO_SERIES = -1, -2
"""In place of a series' index: the file may be a slice of any series, or of none."""


@dataclass(frozen=True)
class SeriesIndex:
    """Which series each of a patient's files belongs to, valid while `fingerprint` is the same.

    `series` has, for each file in its order, the index of its series in `names`, or one of
    `_ANY_SERIES` and `_NO_SERIES`. `not_taken` says which series the route does not take.
    """

    # An array needs 4 bytes a file, so 100,000 files can be remembered.

    fingerprint: bytes
    names: tuple[str, ...]
    series: "array[int]"
    not_taken: tuple[str, ...] = ()


@dataclass(frozen=True)
class PatientFolder:
    """A patient's folder as it is now, and the series of its files."""

    tree: FolderTree
    index: SeriesIndex

    def own_files(self, series: str) -> tuple[SourceFile, ...]:
        """Return the files that surely belong to a series; all files if the folder has none."""
        if not self.index.names:
            return () if series else self.tree.files
        if series not in self.index.names:
            return ()
        return tuple(self._files_at(self.index.names.index(series)))

    def _files_at(self, *wanted: int) -> Iterator[SourceFile]:
        pairs = zip(self.tree.files, self.index.series, strict=True)
        return (file for file, series in pairs if series in wanted)

    def all_files(self, series: str) -> tuple[SourceFile, ...]:
        """Return a series' files, and those that may be part of any series."""
        # Otherwise a slice that can't be read would be left out without notice.
        own = self.own_files(series)
        if not own or not series:
            return own
        return tuple(self._files_at(self.index.names.index(series), _ANY_SERIES))

    def count_rest(self) -> int:
        """Return how many files belong to no series; 0 if the folder has no series."""
        return self.index.series.count(_NO_SERIES) if self.index.names else 0

    def list_entries(self, patient: InboxEntry) -> Iterator[InboxEntry]:
        """Return the patient's series; the folder itself if it has files but no series."""
        stamps = [0] * len(self.index.names)
        for file, series in zip(self.tree.files, self.index.series, strict=True):
            if series >= 0:
                stamps[series] = max(stamps[series], file.ctime_ns, self._moved_at(file))
        for name, stamp in zip(self.index.names, stamps, strict=True):
            yield InboxEntry(f"{patient.name}/{name}", stamp)
        if self.tree.files and not stamps:
            yield patient

    def series_stamp(self, series: str) -> int:
        """Return when a series' files last changed or were moved, in nanoseconds."""
        return max(max(file.ctime_ns, self._moved_at(file)) for file in self.own_files(series))

    def _moved_at(self, file: SourceFile) -> int:
        """Return when a file's folder, or one above it, was moved or renamed, in nanoseconds."""
        folder = file.name.rpartition("/")[0]
        latest = self.tree.moved.get("", 0)
        while folder:
            latest = max(latest, self.tree.moved.get(folder + "/", 0))
            folder = folder.rpartition("/")[0]
        return latest


def sort_into_series(tree: FolderTree, fingerprint: bytes, only: SeriesRules) -> SeriesIndex:
    """Given a patient's files, read their headers and sort them into the series that fit *only*.

    Raise SourceChanged if a file changed since it was listed.
    """
    grouping = group_series(tree.files, only)
    index_of = dict.fromkeys((file.name for file in grouping.unreadable), _ANY_SERIES)
    for index, series in enumerate(grouping.series):
        index_of.update(dict.fromkeys((file.name for file in series.files), index))
    indexes = array("i", [index_of.get(file.name, _NO_SERIES) for file in tree.files])
    names = tuple(series.name for series in grouping.series)
    return SeriesIndex(fingerprint, names, indexes, grouping.not_taken)


def tree_fingerprint(tree: FolderTree) -> bytes:
    """Return a digest of the names, sizes and times of a folder's files; no file is read."""
    total = hashlib.sha256()
    for file in tree.files:
        facts = (file.size, file.mtime_ns, file.ctime_ns)
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0%d\0" % facts)
    return total.digest()
