"""Looks into the inboxes: what is new becomes a case; what changed, went or came back is noted.

A look compares what stands there with what the journal knows, so it does not matter which news of
it were lost. The loop decides when to look.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from gcwatch import log
from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.errors import CaseError, NotYet, SourceVanished
from gcwatch.core.events import Event
from gcwatch.core.timing import Pace
from gcwatch.files import file_systems
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.listing import InboxEntry, InboxListing
from gcwatch.inbox.watcher import Watcher
from gcwatch.journal.journal import Journal, Known
from gcwatch.log.case_events import log_entry
from gcwatch.threads.heartbeats import heartbeat

SHORTEST_PAUSE_SECONDS: Final = 0.2
"""Seconds between two looks at least."""

Routes = Mapping[str, Route]
"""Routes by their names."""


@dataclass
class ScanEffort:
    """What a look took: seconds by the clock, and seconds of a core.

    What it takes to write down what was found is left out: that is done only once, however often
    one looks.
    """

    took: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def counting(self, sign: int = 1) -> Iterator[None]:
        """Count what the block takes; with -1, leave it out of what is counted around it."""
        begun, cpu = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            self.took += sign * (time.monotonic() - begun)
            self.cpu += sign * (time.thread_time() - cpu)


class InboxScanner:
    """What is looked for, and what is remembered from one look to the next.

    `away` names the routes whose inbox was not there; `urgent` the cases whose marker came, until
    the loop has seen to them; `last` is when the last look ended, on the clock that never steps,
    and 0 before the first.

    Args:
        journal: Where cases are opened and known.
        watcher: Has every inbox under watch that can be.
        look_again: Asks for another look where one look could not see everything.
        pace_of: The pace of a route, by its name.
        record: Records an event of a case, and logs it.
        log_event: Logs an event, given the case before and after it.
    """

    def __init__(
        self,
        journal: Journal,
        watcher: Watcher,
        *,
        pace_of: Callable[[str], Pace],
        look_again: Callable[[], None],
        record: Callable[[Case, Event], Case],
        log_event: Callable[[Case, Event, Case], None],
    ) -> None:
        self._journal = journal
        self._watcher = watcher
        self._pace_of = pace_of
        self._look_again = look_again
        self._record = record
        self._log_event = log_event
        self.away: set[str] = set()
        self.urgent: set[str] = set()
        self.last = 0.0
        self._watched = 0
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._effort = ScanEffort()

    def is_too_soon(self) -> bool:
        """Looks take at most half of the time and a sixth of a core, however many nudges come."""
        return time.monotonic() < self.last + max(
            SHORTEST_PAUSE_SECONDS, self._effort.took, 5 * self._effort.cpu
        )

    # --- a look at all inboxes -------------------------------------------------------------------

    def scan(self, routes: Routes) -> float:
        """Look into every inbox; return how many seconds of a core that took."""
        self._effort = ScanEffort()
        with self._effort.counting():
            for route in routes.values():
                self._scan_inbox(route)
            if self._watcher.folders != self._watched:
                self._watched = self._watcher.folders
                log.emit("watch.started", folders=self._watched)
            self.last = time.monotonic()
        return self._effort.cpu

    def watch_only(self, routes: Routes) -> None:
        """Given the routes that there are now, watch the inboxes of no other any more."""
        self._watcher.only([route.inbox for route in routes.values()])
        self.away &= routes.keys()

    def _scan_inbox(self, route: Route) -> None:
        box = inbox_of(route)
        if box.is_watched:
            self._watcher.watch(route.inbox)
        try:
            listing = box.survey()
        except NotYet as error:
            self._on_unavailable(route, error)
        else:
            self._on_available(route, listing)
            self._reconcile(route, listing)

    def _on_unavailable(self, route: Route, error: NotYet) -> None:
        if route.name not in self.away:
            self.away.add(route.name)
            log.emit("inbox.away", route=route.name, error=error.reason.facts.get("error", ""))

    def _on_available(self, route: Route, listing: InboxListing) -> None:
        if route.name in self.away:
            self.away.discard(route.name)
            log.emit("inbox.returned", route=route.name)
            log_network_inbox(route)  # what was away at the start may have been a share
        if listing.loose and route.cases == "files":
            self._tell_once("inbox.folders_ignored", route, folders=listing.loose)
        elif listing.loose:
            self._tell_once("inbox.loose_files_ignored", route, files=listing.loose)
        if listing.links:
            self._tell_once("inbox.links_ignored", route, links=listing.links)

    def _tell_once(self, event: str, route: Route, **facts: int) -> None:
        if self._is_first(event, route.name):
            log.emit(event, route=route.name, **facts)

    def _is_first(self, event: str, whom: str) -> bool:
        """Whether an event is told of somebody for the first time since the daemon began."""
        with self._lock:
            told = (event, whom) in self._told
            self._told.add((event, whom))
            return not told

    # --- what stands in one ----------------------------------------------------------------------

    def _reconcile(self, route: Route, listing: InboxListing) -> None:
        """Compare what stands in an inbox with what is known of it."""
        known = self._journal.known(route.name)
        for entry in inbox_of(route).cases(listing, known):
            with suppress(CaseError, SourceVanished):  # gone again: the next survey tells
                self._reconcile_entry(route, entry, known.get(entry.name))
        present = {entry.name for entry in listing.cases}
        for folder, latest in known.items():
            if folder in present or latest.is_open or latest.gone:
                continue
            if not listing.may_hold(folder):
                self._note(latest.key, events.FolderRemoved())
        if listing.unread:
            self._look_again()

    def _reconcile_entry(self, route: Route, entry: InboxEntry, latest: Known | None) -> None:
        """Given what stands in an inbox and its latest case, do what its sight asks for."""
        box = inbox_of(route)
        changed = latest is not None and box.has_changed(latest.stamp, entry.stamp)
        if latest is None or (latest.gone and changed):
            if box.holds_files(entry.name):
                self._open(route, entry.name)
        elif latest.is_open:
            if latest.stage == "settling" and box.is_marked(entry.name):
                self.urgent.add(latest.key)
        elif latest.gone:
            self._note(latest.key, events.FolderReturned())
        elif changed:
            self._note_late_changes(route, latest.key)

    def _open(self, route: Route, folder: str) -> None:
        with self._effort.counting(-1):
            case = self._journal.open_case(route.name, folder, self._pace_of(route.name))
            self._log_event(case, events.FolderFound(route.name, folder), case)

    def _note(self, key: str, event: Event) -> None:
        with self._effort.counting(-1):
            self._record(self._journal.case(key), event)

    # --- closed cases ----------------------------------------------------------------------------

    def scan_closed_cases(self, routes: Routes, go_on: Callable[[], bool]) -> None:
        """Look at all files of closed cases, while `go_on` says so."""
        for route in routes.values():
            for latest in self._journal.known(route.name).values():
                if not go_on():
                    return
                heartbeat()
                if not latest.is_open and not latest.gone:
                    with suppress(CaseError, SourceVanished):
                        self._note_late_changes(route, latest.key)

    def _note_late_changes(self, route: Route, key: str) -> None:
        """A closed case's folder changed: remember how it looks now, say so once, send nothing."""
        case = self._journal.case(key)
        now = inbox_of(route).look(case.folder)
        if now == case.seen:
            return
        event = events.FolderChangedLate(now)
        after = self._journal.record(key, event, self._pace_of(case.route), of_round=case.round)
        if log_entry(case, event, after) and self._is_first("late", f"{key}/{case.round}"):
            self._log_event(case, event, after)


def log_network_inbox(route: Route) -> None:
    """Say that an inbox lies where early news of other machines' writes can't be had."""
    kind = file_systems.network_file_system(route.inbox)
    if kind:
        log.emit("inbox.on_network_file_system", route=route.name, file_system=kind)
