"""Looks at the folders of closed cases: what has changed there, and what follows from it.

The change time of a folder does not tell of changes in its files and sub-folders, so all files are
listed; their content is not read.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Snapshot
from gcwatch.core.errors import CaseError, SourceVanished
from gcwatch.core.events import Event
from gcwatch.core.timing import Pace
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.journal import Journal, Known
from gcwatch.log.case_events import log_entry

_FAILED_SECONDS: Final = 0.5
"""Time that one scan spends on the folders of a route's failed cases."""


class ClosedCases:
    """Records what becomes of the folders of closed cases.

    Args:
        journal: Where cases are looked up and events are recorded.
        pace_of: Returns the pace of a route, by its name.
        log_event: Logs an event, given the case before, the event, and the case after.
    """

    def __init__(
        self,
        journal: Journal,
        pace_of: Callable[[str], Pace],
        log_event: Callable[[Case, Event, Case], None],
    ) -> None:
        self._journal = journal
        self._pace_of = pace_of
        self._log_event = log_event
        self._turn: dict[str, int] = defaultdict(int)
        self._told: set[tuple[str, int]] = set()

    def look_at_failed(self, route: Route, known: Mapping[str, Known]) -> None:
        """Given a route and its cases, look at those that failed: somebody may correct them.

        If that takes too long for one scan, the next scan goes on.
        """
        failed = [each.key for each in known.values() if each.stage == "failed" and not each.gone]
        turn = self._turn[route.name] % max(len(failed), 1)
        end = time.monotonic() + _FAILED_SECONDS
        for key in failed[turn:] + failed[:turn]:
            self.look_at(route, key)
            self._turn[route.name] += 1
            if time.monotonic() > end:
                return

    def look_at(self, route: Route, key: str) -> None:
        """Given a closed case, record what changed in its folder, if anything did."""
        case = self._journal.case(key)
        with suppress(CaseError, SourceVanished):  # it can't be read now: a later look sees it
            event = _event_of(case, inbox_of(route).snapshot_case(case.folder))
            if event is not None:
                self._record(case, event)

    def _record(self, case: Case, event: Event) -> None:
        pace = self._pace_of(case.route)
        after = self._journal.record(case.key, event, pace, of_round=case.round)
        if after != case and log_entry(case, event, after) and self._is_news(case, event):
            self._log_event(case, event, after)

    def _is_news(self, case: Case, event: Event) -> bool:
        """Whether an event is to be logged: a late change is, once per round."""
        if not isinstance(event, events.FolderChangedLate):
            return True
        change = (case.key, case.round)
        is_first = change not in self._told
        self._told.add(change)
        return is_first


def _event_of(case: Case, now: Snapshot) -> Event | None:
    """Given a closed case and how its folder looks now, return what happened to it, if anything."""
    # A failed case is tried again by any deed: to grant a right corrects a folder, too. The folder
    # as it is now is compared with from then on: a case that fails again waits for the next deed.
    if case.ending == "failed" and (case.seen is None or now.is_touched_since(case.seen)):
        return events.FolderCorrected(now)
    return events.FolderChangedLate(now) if now != case.seen else None
