"""What a case is: a folder of the inbox, a file in it, or a DICOM series below a patient's folder.

An `Inbox` answers for its cases by name, so that nobody else needs to know which of these it is.
A case's name is that of the folder or file; that of a series is `<patient>/<series>`.
"""

import functools
import glob
import hashlib
import math
import os
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from gcwatch.config import Route
from gcwatch.core.case import Snapshot
from gcwatch.core.errors import CaseError, NotYet, SourceChanged, SourceVanished
from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile, take_snapshot
from gcwatch.imaging import images
from gcwatch.inbox.listing import (
    InboxEntry,
    InboxListing,
    has_marker,
    holds_files,
    list_files,
    list_folders,
    read_receipt,
)
from gcwatch.inbox.tree import FolderTree, folder_tree, snapshot_folder, source_file, source_files

READ_SECONDS: Final = 1.0
"""Seconds that one survey spends on the headers of files that it has not seen before."""

_RETRY_SECONDS: Final = 5.0
"""Seconds until files that are being written are looked at again."""


@dataclass(frozen=True)
class Inbox(ABC):
    """An inbox and what a case is in it; `ignore` are globs of names that are never case content.

    `ready` is the name of the marker file that ends the wait, if the route has one. `report` is the
    name of the route's report, if that stands directly in the inbox. `is_watched` tells whether
    news of anything below it is news of its cases.
    """

    is_watched: ClassVar[bool] = True

    root: Path
    ignore: tuple[str, ...] = ()
    ready: str | None = None
    report: str | None = None

    @abstractmethod
    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """Return the cases that stand in the inbox, sorted by name.

        Files that were not seen before may be read for `patience` seconds to tell.

        Raise NotYet (reason `inbox_away`) if it is missing, unreadable or no folder.
        """

    @abstractmethod
    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """Given a case, return its files, sorted by name; raise as `inbox.source_files` does."""

    @abstractmethod
    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """Given a case, and how it looked *before*, return what it looks like now.

        Raise as `source_files` does, and TryAgain (`file_unreadable`) if a file may not be read.
        """

    @property
    def not_cases(self) -> tuple[str, ...]:
        """Globs of what stands directly in the inbox and is nobody's."""
        return (*self.ignore, glob.escape(self.report)) if self.report else self.ignore

    def holds_files(self, name: str) -> bool:
        """Given a case of the listing, return whether it holds anything that could be sent."""
        return holds_files(self.root, name, self.ignore)

    def is_marked(self, name: str) -> bool:
        """Given a case, return whether the marker file stands in its folder."""
        return self.ready is not None and has_marker(self.root, name, self.ready)

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """Given a case, return what the gcwatch.json in its folder says; nothing if it has none."""
        return read_receipt(self.root, name)

    def has_changed(self, before: int, now: int) -> bool:
        """Given two stamps of a case, return whether something happened to it in between."""
        return before != now

    def select_cases(self, listing: InboxListing, known: Collection[str]) -> tuple[InboxEntry, ...]:
        """Given a listing and the names of all known cases, return what of it is a case."""
        del known
        return listing.cases

    def is_part(self, name: str) -> bool:
        """Given a case, return whether its files stand among what belongs to others."""
        del name
        return False

    def own_files(self, name: str) -> tuple[SourceFile, ...]:
        """Given a case, return those of its files that are no other's.

        Raise as `source_files` does.
        """
        return self.source_files(name)

    def public_name(self, name: str) -> str:
        """Given a case, return as much of its name as the platform may see, if it may see any."""
        return name


class FolderInbox(Inbox):
    """Each folder of the inbox is a case."""

    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """See `Inbox`; the loose files are those beside the folders."""
        del patience
        return list_folders(self.root, self.not_cases)

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`."""
        return source_files(self.root, name, self.ignore)

    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """See `Inbox`."""
        return snapshot_folder(self.root, name, self.ignore, before)


class FileInbox(Inbox):
    """Each file directly in the inbox is a case."""

    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """See `Inbox`; the loose ones are the folders."""
        del patience
        return list_files(self.root, self.ignore)

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`."""
        return (source_file(self.root, name),)

    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """See `Inbox`."""
        [file] = self.source_files(name)
        return take_snapshot([file], file.ctime_ns, before)

    def holds_files(self, name: str) -> bool:
        """See `Inbox`; a pipe or a device holds nothing."""
        return (self.root / name).is_file()

    def public_name(self, name: str) -> str:
        """See `Inbox`; a suffix tells nothing, and would give it the wrong number."""
        return name[: len(name) - len(images.suffix_of(name))]

    def is_marked(self, name: str) -> bool:
        """See `Inbox`; a file has no folder that a marker could stand in."""
        del name
        return False

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """See `Inbox`."""
        del name
        return {}

    def is_part(self, name: str) -> bool:
        """See `Inbox`."""
        del name
        return True


# --- series --------------------------------------------------------------------------------------

_ANY_SERIES, _NO_SERIES = -1, -2
"""A file that may be a slice of any series, and one that belongs to none."""


@dataclass(frozen=True)
class _SeriesIndex:
    """Which series each of a patient's files belongs to, for as long as none of them changes.

    `places` holds, for each file in its order, the index of its series in `names`, or one of the
    above: a few bytes a file, so that a hundred thousand can be remembered.
    """

    fingerprint: bytes
    names: tuple[str, ...]
    places: "array[int]"


@dataclass(frozen=True)
class _PatientFolder:
    """A patient's folder as it is now, with its files sorted into series."""

    tree: FolderTree
    sorting: _SeriesIndex

    def own_files(self, series: str) -> tuple[SourceFile, ...]:
        """Return the files that are known to be of a series; all, where there is no series."""
        if not self.sorting.names:
            return () if series else self.tree.files
        if series not in self.sorting.names:
            return ()
        return tuple(self._files_at(self.sorting.names.index(series)))

    def _files_at(self, *wanted: int) -> Iterator[SourceFile]:
        pairs = zip(self.tree.files, self.sorting.places, strict=True)
        return (file for file, place in pairs if place in wanted)

    def all_files(self, series: str) -> tuple[SourceFile, ...]:
        """Return a series' files and the doubtful ones, so that none is left out unnoticed."""
        own = self.own_files(series)
        if not own or not series:
            return own
        return tuple(self._files_at(self.sorting.names.index(series), _ANY_SERIES))

    def count_rest(self) -> int:
        """Return how many files belong to no series, where there are some."""
        return self.sorting.places.count(_NO_SERIES) if self.sorting.names else 0

    def list_entries(self, patient: InboxEntry) -> Iterator[InboxEntry]:
        """Return the patient's series; the folder itself, if it holds files but no series."""
        stamps = [0] * len(self.sorting.names)
        for file, place in zip(self.tree.files, self.sorting.places, strict=True):
            if place >= 0:
                stamps[place] = max(stamps[place], file.ctime_ns, self._moved_at(file))
        for name, stamp in zip(self.sorting.names, stamps, strict=True):
            yield InboxEntry(f"{patient.name}/{name}", stamp)
        if self.tree.files and not stamps:
            yield patient

    def series_stamp(self, series: str) -> int:
        """Return when a series' files last changed or took their places, in nanoseconds."""
        return max(max(file.ctime_ns, self._moved_at(file)) for file in self.own_files(series))

    def _moved_at(self, file: SourceFile) -> int:
        """Return when a file's folder, or one above it, took its place."""
        folder = file.name.rpartition("/")[0]
        latest = self.tree.moved.get("", 0)
        while folder:
            latest = max(latest, self.tree.moved.get(folder + "/", 0))
            folder = folder.rpartition("/")[0]
        return latest


@dataclass(frozen=True)
class SeriesInbox(Inbox):
    """Each DICOM series anywhere below a folder of the inbox is a case.

    A folder that holds files but no series is one case, and so is one that can't be read: either
    way somebody hears of it. While a folder holds files of which nobody can tell whether they are
    slices, they are part of each of its series: so those wait until such a file is still, and then
    fail or are sent with a warning, as the route's `integrity` says.
    """

    _known: dict[str, _SeriesIndex] = field(default_factory=dict, compare=False, repr=False)

    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """See `Inbox`; the loose files are those of no folder, and those of no series."""
        listing = list_folders(self.root, self.not_cases)
        patients = {entry.name for entry in listing.cases}
        for gone in self._known.keys() - patients:
            self._known.pop(gone, None)
        found: list[InboxEntry] = []
        unsure: set[str] = set()
        loose, unread, end = listing.loose, False, time.monotonic() + patience
        for entry in listing.cases:
            try:
                patient = self._read_patient(entry.name, end)
            except SourceVanished:
                continue
            except NotYet:
                unread = True
                unsure.add(entry.name)
            except CaseError:
                found.append(entry)
                unsure.add(entry.name)
            else:
                found += patient.list_entries(entry)
                loose += patient.count_rest()
        return InboxListing(tuple(found), loose, listing.links, frozenset(unsure), unread)

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`; raise NotYet (`being_written`) while a file of the patient's is written."""
        patient, _, series = name.partition("/")
        files = self._read_patient(patient).all_files(series)
        if not files:
            raise SourceVanished
        return files

    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """See `Inbox`; raise as `source_files` does."""
        patient, _, series = name.partition("/")
        if not series:
            self.source_files(name)
            return snapshot_folder(self.root, name, self.ignore, before)
        found = self._read_patient(patient)
        files = found.all_files(series)
        if not files:
            raise SourceVanished
        return take_snapshot(files, found.series_stamp(series), before)

    def holds_files(self, name: str) -> bool:
        """See `Inbox`; what is listed as a case holds files, or can't be read."""
        del name
        return True

    def is_marked(self, name: str) -> bool:
        """See `Inbox`; the marker in a patient's folder is for all its series."""
        return super().is_marked(name.partition("/")[0])

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """See `Inbox`; it stands in the patient's folder."""
        return super().read_receipt(name.partition("/")[0])

    def has_changed(self, before: int, now: int) -> bool:
        """See `Inbox`; what comes into the folder of a series, or leaves it, is not news of it."""
        return now > before

    def select_cases(self, listing: InboxListing, known: Collection[str]) -> tuple[InboxEntry, ...]:
        """See `Inbox`; what is left in a folder whose series were cases is none."""
        patients = {name.partition("/")[0] for name in known if "/" in name}
        return tuple(
            entry
            for entry in listing.cases
            if entry.name not in patients or listing.may_hold(entry.name)
        )

    def is_part(self, name: str) -> bool:
        """See `Inbox`."""
        return "/" in name

    def own_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`; doubtful files are nobody's own."""
        patient, _, series = name.partition("/")
        files = self._read_patient(patient).own_files(series)
        if not files:
            raise SourceVanished
        return files

    def public_name(self, name: str) -> str:
        """See `Inbox`; the UID of a series must not leave the building."""
        return name.partition("/")[0]

    def _read_patient(self, name: str, end: float = math.inf) -> _PatientFolder:
        """Given a patient's folder, return its series; headers are read until `end`, if need be."""
        for _ in range(2):
            tree = folder_tree(self.root, name, self.ignore)
            fingerprint = _tree_fingerprint(tree)
            known = self._known.get(name)
            if known is not None and known.fingerprint == fingerprint:
                return _PatientFolder(tree, known)
            if time.monotonic() > end:
                break
            with suppress(SourceChanged):  # written at this moment; the others are remembered
                self._known[name] = _sort_into_series(tree, fingerprint)
        raise NotYet(Reason("being_written"), _RETRY_SECONDS)


def _sort_into_series(tree: FolderTree, fingerprint: bytes) -> _SeriesIndex:
    """Given a patient's files, read their headers and sort them; raise SourceChanged if need be."""
    grouping = images.group_series(tree.files)
    place = dict.fromkeys((file.name for file in grouping.unreadable), _ANY_SERIES)
    for index, series in enumerate(grouping.series):
        place.update(dict.fromkeys((file.name for file in series.files), index))
    places = array("i", [place.get(file.name, _NO_SERIES) for file in tree.files])
    return _SeriesIndex(fingerprint, tuple(series.name for series in grouping.series), places)


def _tree_fingerprint(tree: FolderTree) -> bytes:
    total = hashlib.sha256()
    for file in tree.files:
        facts = (file.size, file.mtime_ns, file.ctime_ns)
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0%d\0" % facts)
    return total.digest()


# --- a route's -----------------------------------------------------------------------------------

_LAYOUTS: Mapping[str, type[Inbox]] = {
    "folders": FolderInbox,
    "files": FileInbox,
    "series": SeriesInbox,
}


@functools.singledispatch
def inbox_of(route: Route) -> Inbox:
    """Given a route, return its inbox: one for the whole process, as it remembers what it read."""
    ignore = (*route.ignore, route.ready) if route.ready else tuple(route.ignore)
    report = route.report.name if route.report and route.report.parent == route.inbox else None
    return _make_inbox(_LAYOUTS[route.cases], route.inbox, ignore, route.ready, report)


@functools.lru_cache(256)
def _make_inbox(
    unit: type[Inbox], root: Path, ignore: tuple[str, ...], ready: str | None, report: str | None
) -> Inbox:
    return unit(root, ignore, ready, report)
