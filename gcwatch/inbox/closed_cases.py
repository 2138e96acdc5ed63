"""Looks at the folders of closed cases: what has changed there, and what follows from it.

The change time of a folder does not tell of changes in its files and sub-folders, so all files are
listed; their content is not read.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from gcwatch import log
from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Snapshot, Uptime
from gcwatch.core.errors import CaseError, SourceVanished
from gcwatch.core.events import Event
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.journal import Journal
from gcwatch.journal.rows import Known

_FAILED_SECONDS: Final = 0.5
"""Time that one scan spends on the folders of a route's failed cases."""


class ClosedCases:
    """Records what becomes of the folders of closed cases.

    Args:
        journal: Where cases are looked up and events are recorded.
        uptime: Returns how long this machine has been on.
        log_event: Logs an event, given the case before, the event, and the case after.
    """

    def __init__(
        self,
        journal: Journal,
        uptime: Callable[[], Uptime],
        log_event: Callable[[Case, Event, Case], None],
    ) -> None:
        self._journal = journal
        self._uptime = uptime
        self._log_event = log_event
        self._turn: dict[str, int] = defaultdict(int)
        self._touched: dict[str, set[str]] = defaultdict(set)

    def note_touched(self, route: Route, names: Collection[str]) -> None:
        """Note the names in a route's inbox at or below which something happened."""
        self._touched[route.name].update(names)

    def look_at_inbox(self, route: Route, known: Mapping[str, Known]) -> None:
        """Given a route and its cases, look at closed cases that may have changed.

        That is each case at whose name something happened, and each failed case, as somebody may
        correct it where the system reports no changes. If the failed ones take too long for one
        scan, the next scan goes on.
        """
        touched = self._touched.pop(route.name, ())
        for folder, latest in known.items() if touched else ():
            if folder.partition("/")[0] in touched and not latest.is_open and not latest.gone:
                self.look_at(route, latest.key)
        self._look_at_failed(route, [each for each in known.values() if each.stage == "failed"])

    def _look_at_failed(self, route: Route, failed: Sequence[Known]) -> None:
        keys = [each.key for each in failed if not each.gone]
        turn = self._turn[route.name] % max(len(keys), 1)
        end = time.monotonic() + _FAILED_SECONDS
        for key in keys[turn:] + keys[:turn]:
            self.look_at(route, key)
            self._turn[route.name] += 1
            if time.monotonic() > end:
                return

    def look_at(self, route: Route, key: str) -> None:
        """Given a case, if it is closed, record what changed in its folder, if anything did."""
        with suppress(CaseError, SourceVanished):  # it can't be read now: a later look sees it
            # Another thread may record something meanwhile: the look is repeated.
            while not self._look_once(route, self._journal.case(key)):
                pass

    def _look_once(self, route: Route, case: Case) -> bool:
        """Look at a case; return False if it changed in the journal before that was recorded."""
        box = inbox_of(route)
        # A folder that `gcwatch send` sent once is no concern of gcwatch afterwards.
        if case.is_open or case.gone or not box.is_watched:
            return True
        event = _event_of(case, box.snapshot_case(case.folder, case.seen), self._uptime())
        if route.changed == "send" and _is_other_content(case, event):
            self._send_again(case)
            return True
        if event is None:
            return True
        after = self._journal.record_unless_changed(case, event)
        if after is None:
            return False
        self._log_event(case, event, after)
        return True

    def _send_again(self, case: Case) -> None:
        """Open a case for the folder as it is now; it settles as every new folder does."""
        following = self._journal.open_next_case(case.key)
        if following is not None:
            log.emit("case.sent_again", route=case.route, case=case.key, next=following.key)
            self._log_event(following, events.FolderFound(case.route, case.folder), following)


def _is_other_content(case: Case, event: Event | None) -> bool:
    """Whether a delivered case's folder holds other files than those that were sent.

    Files with the same names, sizes and times are compared by a step first.
    """
    if case.late is not None and case.late.replaced:
        return True
    return (
        isinstance(event, events.DeliveredFolderChanged)
        and case.seen is not None
        and event.snapshot.digest != case.seen.digest
    )


def _event_of(case: Case, now: Snapshot, uptime: Uptime) -> Event | None:
    """Given a closed case and how its folder looks now, return what happened to it, if anything."""
    # A failed case is tried again by any deed: to grant a right corrects a folder, too. The folder
    # as it is now is compared with from then on: a case that fails again waits for the next deed.
    if case.ending == "failed" and (case.seen is None or now.is_touched_since(case.seen)):
        return events.FolderCorrected(now)
    known = case.last_seen
    if case.ending == "delivered" and known is not None and _may_differ(case, known, now):
        return events.DeliveredFolderChanged(now, uptime)
    return events.FolderChangedLate(now) if now != known else None


def _may_differ(case: Case, known: Snapshot, now: Snapshot) -> bool:
    """Whether a delivered folder's files may have another content than when it was last seen.

    Names, sizes and times can be copied; no program can set the change time (ctime) of a file.
    """
    if now.digest != known.digest:
        return True
    # Without a digest of what was sent, nothing tells a new content from a new right.
    return bool(case.content and known.latest and now.latest != known.latest)
