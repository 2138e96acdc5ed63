"""Scans the inboxes: opens a case for each new folder; records what changed, left or came back.

A scan compares the inboxes with the journal, so it finds every change, also one of which the
watcher reported nothing. The daemon's loop decides when to scan.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from gcwatch import log
from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Uptime
from gcwatch.core.checklist import stage
from gcwatch.core.errors import CaseError, LeaseLost, NotYet, SourceVanished
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.files import file_systems
from gcwatch.inbox.closed_cases import ClosedCases
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.listing import InboxEntry, InboxListing
from gcwatch.inbox.renames import find_renamed_case
from gcwatch.inbox.unused import unused_reasons
from gcwatch.inbox.watcher import Watcher
from gcwatch.journal.hosts.leases import Lease
from gcwatch.journal.journal import Journal
from gcwatch.journal.rows import Known
from gcwatch.threads.heartbeats import heartbeat

MIN_PAUSE_SECONDS: Final = 0.2
"""Minimum time between two scans."""

Routes = Mapping[str, Route]
"""Routes by their names."""


def survey_lease(route: str) -> str:
    """Return the name of the lease of looking into the inbox and outbox of a route."""
    return f"survey:{route}"


@dataclass
class ScanEffort:
    """What a scan took: `took` seconds by the clock, `cpu` seconds of one processor core.

    Writing to the journal is not counted: that happens once per change, not at every scan.
    """

    took: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def count_time(self, sign: int = 1) -> Iterator[None]:
        """Add the time that the body takes; with -1, subtract it from an enclosing count."""
        begun, cpu = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            self.took += sign * (time.monotonic() - begun)
            self.cpu += sign * (time.thread_time() - cpu)


class InboxScanner:
    """Scans all inboxes and remembers what the next scan needs.

    `away` are the names of routes whose inbox was not available. `unused` says, by route, what is
    in its inbox but becomes no case. `urgent` are the keys of cases
    whose marker file came; the daemon's loop removes them when their step runs. `last` is when the
    last scan ended (`time.monotonic`), 0 before the first.

    Args:
        journal: Where cases are opened and looked up.
        watcher: Watches every inbox that can be watched.
        uptime: Returns how long this machine has been on.
        look_again: Asks for another scan if one could not read everything.
        record: Writes an event of a case to the journal and to the log.
        log_event: Logs an event, given the case before, the event, and the case after.
        hold: Yields the lease of what is named while the body lasts, or None if another host has
            it.
    """

    def __init__(
        self,
        journal: Journal,
        watcher: Watcher,
        *,
        uptime: Callable[[], Uptime],
        look_again: Callable[[], None],
        record: Callable[[Case, Event, Lease | None], Case],
        log_event: Callable[[Case, Event, Case], None],
        hold: Callable[[str], AbstractContextManager[Lease | None]],
    ) -> None:
        self._journal = journal
        self._watcher = watcher
        self._look_again = look_again
        self._record = record
        self._log_event = log_event
        self._hold = hold
        self._lease: Lease | None = None
        self.away: set[str] = set()
        self.unused: Mapping[str, tuple[Reason, ...]] = {}
        self.urgent: set[str] = set()
        self.last = 0.0
        self._watched = 0
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._effort = ScanEffort()
        self._closed = ClosedCases(journal, uptime, log_event)

    def is_too_soon(self) -> bool:
        """Whether the next scan must wait, however often it is asked for.

        Scans take at most half of the time and a sixth of one processor core.
        """
        return time.monotonic() < self.last + max(
            MIN_PAUSE_SECONDS, self._effort.took, 5 * self._effort.cpu
        )

    # --- all inboxes -----------------------------------------------------------------------------

    def scan_inboxes(self, routes: Routes) -> float:
        """Scan every inbox; return how many seconds of processor time that took."""
        self._effort = ScanEffort()
        with self._effort.count_time():
            found = {route.name: self._scan_inbox(route) for route in routes.values()}
            self.unused = {name: unused for name, unused in found.items() if unused}
            if self._watcher.folder_count != self._watched:
                self._watched = self._watcher.folder_count
                log.emit("watch.started", folders=self._watched)
            self.last = time.monotonic()
        return self._effort.cpu

    def watch_only(self, routes: Routes) -> None:
        """Given all routes of the config, stop watching the inboxes of former routes."""
        self._watcher.watch_only([route.inbox for route in routes.values()])
        self.away &= routes.keys()

    def _scan_inbox(self, route: Route) -> tuple[Reason, ...]:
        """Scan one inbox; return what in it becomes no case, or did so at the last scan.

        One host at a time scans an inbox: a file on a share is an event for one of them only.
        """
        try:
            with self._hold(survey_lease(route.name)) as lease:
                if lease is None:
                    self._look_again()
                    return self.unused.get(route.name, ())
                self._lease = lease
                return self._scan_held_inbox(route)
        except LeaseLost:
            return self.unused.get(route.name, ())

    def _scan_held_inbox(self, route: Route) -> tuple[Reason, ...]:
        if self._journal.leases.is_shared and not self._journal.has_route(route.name):
            self._log_once("route.unknown", route)
            return ()
        box = inbox_of(route)
        if box.is_watched:
            self._watcher.watch_inbox(route.inbox)
        self._closed.note_touched(route, self._watcher.take_touched(route.inbox))
        try:
            listing = box.list_cases()
        except NotYet as error:
            if error.reason.code == "inbox_too_full":
                self._log_once("inbox.too_full", route, **error.reason.facts)
                return (error.reason,)
            self._on_unavailable(route, error)
            return ()
        self._on_available(route, listing)
        return unused_reasons(route, listing, self._reconcile(route, listing))

    def _on_unavailable(self, route: Route, error: NotYet) -> None:
        if route.name not in self.away:
            self.away.add(route.name)
            log.emit("inbox.away", route=route.name, error=error.reason.facts.get("error", ""))

    def _on_available(self, route: Route, listing: InboxListing) -> None:
        if route.name in self.away:
            self.away.discard(route.name)
            log.emit("inbox.returned", route=route.name)
            log_network_inbox(route)  # at the start it was not there to be checked
        if listing.loose and route.cases == "files":
            self._log_once("inbox.folders_ignored", route, folders=listing.loose)
        elif listing.loose:
            self._log_once("inbox.loose_files_ignored", route, files=listing.loose)
        if listing.links:
            self._log_once("inbox.links_ignored", route, links=listing.links)

    def _log_once(self, event: str, route: Route, **facts: int) -> None:
        if self._is_first(event, route.name):
            log.emit(event, route=route.name, **facts)

    def _is_first(self, event: str, whom: str) -> bool:
        """Whether this is the first time since the start that an event is logged for a subject."""
        with self._lock:
            told = (event, whom) in self._told
            self._told.add((event, whom))
            return not told

    # --- one inbox -------------------------------------------------------------------------------

    def _reconcile(self, route: Route, listing: InboxListing) -> list[str]:
        """Compare the entries of an inbox with its cases; return those that have no files."""
        known = self._journal.current(route.name)
        new = [entry.name for entry in listing.cases if entry.name not in known]
        known |= self._journal.known(route.name, new)
        empty = []
        entries = inbox_of(route).select_cases(listing, known)
        # New names first: they may be those of cases whose old names other folders have taken.
        for entry in sorted(entries, key=lambda each: each.name in known):
            with suppress(CaseError, SourceVanished):  # it changed again: the next scan sees it
                if not self._reconcile_entry(route, entry, known):
                    empty.append(entry.name)
        present = {entry.name for entry in listing.cases}
        for folder, latest in known.items():
            if folder in present or latest.is_open or latest.gone:
                continue
            if not listing.may_hold(folder):
                self._record_event(latest.key, events.FolderRemoved())
        self._closed.look_at_inbox(route, known)
        if listing.unread:
            self._look_again()
        return empty

    def _reconcile_entry(self, route: Route, entry: InboxEntry, known: dict[str, Known]) -> bool:
        """Reconcile one inbox entry with its latest case; return False if it is no case yet.

        Open a case for a new entry, or record that it changed, came back, is urgent, or is a case
        that had another name.
        """
        box, latest = inbox_of(route), known.get(entry.name)
        changed = latest is not None and box.has_changed(latest.stamp, entry.stamp)
        if latest is None or (latest.gone and changed):
            if not box.holds_files(entry.name):
                return False
            if not self._follow_rename(route, entry.name, known):
                self._open_case(route, entry.name)
        elif latest.is_open:
            if latest.stage == "settling" and box.is_marked(entry.name):
                self.urgent.add(latest.key)
        elif latest.gone:
            self._record_event(latest.key, events.FolderReturned())
        elif changed and not self._follow_rename(route, entry.name, known):
            self._closed.look_at(route, latest.key)
        return True

    def _follow_rename(self, route: Route, name: str, known: dict[str, Known]) -> bool:
        """Return whether an entry is a known case that had another name; record its new name."""
        case = find_renamed_case(route, name, self._journal)
        if case is None:
            return False
        # Results are published under one name: what is being delivered is renamed afterwards.
        if stage(case) == "delivering":
            self._look_again()
            return True
        snapshot = inbox_of(route).snapshot_case(name, case.seen)
        self._record_event(case.key, events.FolderRenamed(name, snapshot))
        known.pop(case.folder, None)
        return True

    def _open_case(self, route: Route, folder: str) -> None:
        with self._effort.count_time(-1):
            case = self._journal.open_case(route.name, folder, lease=self._lease)
            self._log_event(case, events.FolderFound(route.name, folder), case)

    def _record_event(self, key: str, event: Event) -> None:
        with self._effort.count_time(-1):
            self._record(self._journal.case(key), event, self._lease)

    def look_at_ended(self, routes: Routes, key: str) -> None:
        """Given a case, if it has ended, record what changed in its folder since it was sent."""
        route = routes.get(self._journal.case(key).route)
        if route is not None:
            self._closed.look_at(route, key)

    def scan_closed_cases(self, routes: Routes, go_on: Callable[[], bool]) -> None:
        """Check all files of closed cases for late changes, as long as `go_on` returns True."""
        for route in routes.values():
            for latest in self._journal.current(route.name).values():
                if not go_on():
                    return
                heartbeat()
                if not latest.is_open and not latest.gone:
                    self._closed.look_at(route, latest.key)


def log_network_inbox(route: Route) -> None:
    """Log if an inbox is on a network file system: then Linux reports no writes of others."""
    kind = file_systems.network_file_system(route.inbox)
    if kind:
        log.emit("inbox.on_network_file_system", route=route.name, file_system=kind)
