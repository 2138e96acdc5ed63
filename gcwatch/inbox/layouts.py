"""What a case is: a folder of the inbox, a file in it, or a DICOM series below a patient's folder.

An `Inbox` has the same methods for all three layouts, so other rooms need not know which one a
route uses. A case's name is the name of its folder or file; of a series, `<patient>/<series>`.
"""

import functools
import glob
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from gcwatch.config import Route
from gcwatch.core.case import Snapshot
from gcwatch.core.errors import CaseError, NotYet, SourceChanged, SourceVanished
from gcwatch.core.reasons import Reason
from gcwatch.core.rules.series_rules import ALL_SERIES, SeriesRules
from gcwatch.core.tables.case_table import CASES_TABLE
from gcwatch.files.beneath import SharePath
from gcwatch.files.snapshot import SourceFile, take_snapshot
from gcwatch.imaging.formats import suffix_of
from gcwatch.inbox.listing import (
    InboxEntry,
    InboxListing,
    dropped_receipt,
    holds_files,
    list_files,
    list_folders,
    marker_stamp,
)
from gcwatch.inbox.patient_folder import (
    PatientFolder,
    SeriesIndex,
    sort_into_series,
    tree_fingerprint,
)
from gcwatch.inbox.tree import (
    folder_tree,
    snapshot_folder,
    source_file,
    source_files,
    temporary_files,
)

READ_SECONDS: Final = 1.0
"""Time that one listing spends on reading headers of new files."""

_RETRY_SECONDS: Final = 5.0
"""Time until the next try to read files that are being written."""


@dataclass(frozen=True)
class Inbox(ABC):
    """An inbox, and what a case is in it.

    `ignore` are globs of names that never belong to a case. `ready` is the name of the marker file
    that says that a folder is complete, if the route has one. `beside` are files of
    gcwatch directly in the inbox: the status file, the table of cases. `only` says which series are
    cases. `is_watched` tells whether the watcher should watch everything below the inbox.
    """

    is_watched: ClassVar[bool] = True

    root: SharePath
    ignore: tuple[str, ...] = ()
    ready: str | None = None
    beside: tuple[str, ...] = ()
    only: SeriesRules = ALL_SERIES

    @abstractmethod
    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """Return the cases in the inbox, sorted by name.

        Headers of new files are read for at most `patience` seconds.

        Raise NotYet (reason `inbox_away`) if the inbox is missing, unreadable or no folder.
        """

    @abstractmethod
    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """Given a case, return its files, sorted by name; raise as `tree.source_files` does."""

    @abstractmethod
    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """Given a case and its snapshot *before*, return its snapshot now.

        Raise as `source_files` does, and TryAgain (`file_unreadable`) if this process may not read
        a file.
        """

    @property
    def not_cases(self) -> tuple[str, ...]:
        """Globs of names directly in the inbox that belong to no case."""
        return (*self.ignore, *map(glob.escape, self.beside))

    def holds_files(self, name: str) -> bool:
        """Given a case of the listing, return whether it has any file that could be sent."""
        return holds_files(self.root / name, self.ignore)

    def is_marked(self, name: str) -> bool:
        """Given a case, return whether the marker file is in its folder."""
        return self.marker_stamp(name) > 0

    def marker_stamp(self, name: str) -> int:
        """Given a case, return the change time of the marker file in its folder (ns), or 0."""
        return 0 if self.ready is None else marker_stamp(self.root / name / self.ready)

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """Given a case, return the content of the gcwatch.json in its folder; empty if none."""
        return dropped_receipt(self.root / name)

    def has_changed(self, before: int, now: int) -> bool:
        """Given two stamps of a case, return whether it changed in between."""
        return before != now

    def select_cases(self, listing: InboxListing, known: Collection[str]) -> tuple[InboxEntry, ...]:
        """Given a listing and the names of all known cases, return the entries that are cases."""
        del known
        return listing.cases

    def is_part(self, name: str) -> bool:
        """Given a case, return whether its folder also contains files of other cases."""
        del name
        return False

    def own_files(self, name: str) -> tuple[SourceFile, ...]:
        """Given a case, return the files that belong to no other case.

        Raise as `source_files` does.
        """
        return self.source_files(name)

    def public_name(self, name: str) -> str:
        """Given a case, return the part of its name that may be shown on the platform.

        It is used only if the route allows names there.
        """
        return name


class FolderInbox(Inbox):
    """Each folder of the inbox is a case."""

    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """See `Inbox`; `loose` counts the files directly in the inbox."""
        del patience
        return list_folders(self.root, self.not_cases)

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`."""
        return source_files(self.root / name, self.ignore)

    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """See `Inbox`."""
        return snapshot_folder(self.root / name, self.ignore, before)


class FileInbox(Inbox):
    """Each file directly in the inbox is a case."""

    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """See `Inbox`; `loose` counts the folders."""
        del patience
        return list_files(self.root, self.ignore)

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`."""
        return (source_file(self.root / name),)

    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """See `Inbox`."""
        [file] = self.source_files(name)
        return take_snapshot(
            [file], file.ctime_ns, before, temporary=temporary_files(self.root / name)
        )

    def holds_files(self, name: str) -> bool:
        """See `Inbox`; False for a pipe or a device."""
        return (self.root / name).is_file()

    def public_name(self, name: str) -> str:
        """See `Inbox`; the name without its suffix."""
        # `{number}` in a title is the name's last number: ".mp4" would always make it 4.
        return name[: len(name) - len(suffix_of(name))]

    def marker_stamp(self, name: str) -> int:
        """See `Inbox`; always 0: a file has no folder for a marker."""
        del name
        return 0

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """See `Inbox`."""
        del name
        return {}

    def is_part(self, name: str) -> bool:
        """See `Inbox`."""
        del name
        return True


# --- series --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeriesInbox(Inbox):
    """Each DICOM series anywhere below a folder of the inbox is a case.

    A folder with files but without a series is one case, and so is a folder that can't be read, so
    that somebody is told. A file that may be a slice but can't be read is part of each series of
    its folder: these series wait until the file no longer changes, and then fail or are sent with
    a warning, as the route's `integrity` says.
    """

    _known: dict[str, SeriesIndex] = field(default_factory=dict, compare=False, repr=False)

    def list_cases(self, patience: float = READ_SECONDS) -> InboxListing:
        """See `Inbox`; `loose` counts files outside folders and files of no series."""
        listing = list_folders(self.root, self.not_cases)
        patients = {entry.name for entry in listing.cases}
        for gone in self._known.keys() - patients:
            self._known.pop(gone, None)
        found: list[InboxEntry] = []
        unsure: set[str] = set()
        not_taken: list[str] = []
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
                # A folder of which nothing is taken becomes a case, whose failure note says so.
                if patient.index.names:
                    not_taken += [f"{entry.name}, {told}" for told in patient.index.not_taken]
        return InboxListing(
            tuple(found),
            loose,
            listing.links,
            frozenset(unsure),
            unread,
            listing.beside,
            tuple(not_taken),
        )

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`; raise NotYet (`being_written`) while a file in the folder is written."""
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
            return snapshot_folder(self.root / name, self.ignore, before)
        found = self._read_patient(patient)
        files = found.all_files(series)
        if not files:
            raise SourceVanished
        stamp = found.series_stamp(series)
        # Nobody knows which series the file of a copy will belong to, so it counts for all.
        copies = found.tree.temporary
        return take_snapshot(files, stamp, before, moved=stamp, temporary=copies)

    def holds_files(self, name: str) -> bool:
        """See `Inbox`; always True: a listed case has files, or can't be read."""
        del name
        return True

    def marker_stamp(self, name: str) -> int:
        """See `Inbox`; one marker in the patient's folder counts for all its series."""
        return super().marker_stamp(name.partition("/")[0])

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """See `Inbox`; the file is in the patient's folder."""
        return super().read_receipt(name.partition("/")[0])

    def has_changed(self, before: int, now: int) -> bool:
        """See `Inbox`; True only if a file of the series is newer than before."""
        # The stamp falls if a file leaves the series; that alone is no change to report.
        return now > before

    def select_cases(self, listing: InboxListing, known: Collection[str]) -> tuple[InboxEntry, ...]:
        """See `Inbox`; a folder whose series were cases is not itself a case afterwards."""
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
        """See `Inbox`; without files that may be part of several series."""
        patient, _, series = name.partition("/")
        files = self._read_patient(patient).own_files(series)
        if not files:
            raise SourceVanished
        return files

    def public_name(self, name: str) -> str:
        """See `Inbox`; the patient's folder only."""
        # A series' name contains its UID, which must not leave the hospital.
        return name.partition("/")[0]

    def _read_patient(self, name: str, end: float = math.inf) -> PatientFolder:
        """Given a patient's folder, return its series; new headers are read until time `end`.

        Raise NotYet (`being_written`) if that time is over, or while files change.
        """
        for _ in range(2):
            tree = folder_tree(self.root / name, self.ignore)
            fingerprint = tree_fingerprint(tree)
            known = self._known.get(name)
            if known is not None and known.fingerprint == fingerprint:
                return PatientFolder(tree, known)
            if time.monotonic() > end:
                break
            with suppress(SourceChanged):  # a file is being written: list the folder once more
                self._known[name] = sort_into_series(tree, fingerprint, self.only)
        raise NotYet(Reason("being_written"), _RETRY_SECONDS)


# --- the inbox of a route ------------------------------------------------------------------------

_LAYOUTS: Mapping[str, type[Inbox]] = {
    "folders": FolderInbox,
    "files": FileInbox,
    "series": SeriesInbox,
}


@functools.singledispatch
def inbox_of(route: Route) -> Inbox:
    """Given a route, return its inbox; the same object for equal routes in the whole process."""
    # One object, because a `SeriesInbox` remembers the headers that it has read.
    ignore = (*route.ignore, route.ready) if route.ready else tuple(route.ignore)
    beside: tuple[str, ...] = (CASES_TABLE,) if route.cases_table else ()
    if route.report and route.report.parent == route.inbox:
        beside += (route.report.name,)
    only = route.only or ALL_SERIES
    return _make_inbox(_LAYOUTS[route.cases], route.inbox, ignore, route.ready, beside, only)


@functools.lru_cache(256)
def _make_inbox(  # noqa: PLR0917 -- all that tells inboxes apart
    unit: type[Inbox],
    root: Path,
    ignore: tuple[str, ...],
    ready: str | None,
    beside: tuple[str, ...],
    only: SeriesRules,
) -> Inbox:
    return unit(SharePath(root), ignore, ready, beside, only)
