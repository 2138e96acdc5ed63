"""Inboxes compared with the journal: folders without a case, changed, or missing."""

import math
from collections.abc import Iterator
from typing import Final

from gcwatch.commands.audit.finding import Finding, KnownCase, known_case
from gcwatch.config import Route
from gcwatch.core.errors import CaseError, NotYet, SourceChanged, SourceVanished
from gcwatch.core.reasons import explain
from gcwatch.inbox.layouts import Inbox, inbox_of
from gcwatch.inbox.listing import InboxEntry
from gcwatch.journal.read_only import ReadOnlyJournal
from gcwatch.journal.rows import Known

NEW_SECONDS: Final = 120.0
"""Time until a new folder has a case: two scans of a share without notifications."""


def inbox(route: Route, journal: ReadOnlyJournal, begun: float) -> Iterator[Finding]:
    """Given a route, compare the latest cases of its folders with its inbox.

    `begun` is when the audit began, in seconds since the epoch; newer folders are skipped.
    """
    # Read before the inbox is listed: a case whose folder was there then must be among them.
    current = journal.current(route.name)
    box = inbox_of(route)
    try:
        listing = box.list_cases(patience=math.inf)
    except NotYet as error:
        yield Finding(f"route {route.name}", "", "unclear", explain(error.reason).detail)
        return
    latest = {**journal.known(route.name, [e.name for e in listing.cases]), **current}
    entries = {entry.name: entry for entry in box.select_cases(listing, latest)}
    for entry in entries.values():
        yield from _entry(entry, latest.get(entry.name), route, journal, begun)
    for folder, known in current.items():
        if folder not in entries and not listing.may_hold(folder):
            yield from _absent(folder, known, route)


def _entry(
    entry: InboxEntry, known: Known | None, route: Route, journal: ReadOnlyJournal, begun: float
) -> Iterator[Finding]:
    box = inbox_of(route)
    if known is None or _is_new(known, entry, box):
        yield from _unknown(entry, route, box, begun)
    elif known.stage == "delivered" and (whole := journal.whole_case(known.key)):
        yield from _delivered(known_case(whole), box)


def _is_new(known: Known, entry: InboxEntry, box: Inbox) -> bool:
    """Whether a folder was removed and dropped again, so that it is a new case."""
    return not known.is_open and known.gone and box.has_changed(known.stamp, entry.stamp)


def _unknown(entry: InboxEntry, route: Route, box: Inbox, begun: float) -> Iterator[Finding]:
    where = f"route {route.name}"
    if not box.holds_files(entry.name):
        return
    if entry.stamp / 1e9 > begun - NEW_SECONDS:
        yield Finding(where, entry.name, "under way", "it is new in the inbox")
        return
    detail = "it is in the inbox, but the journal has no case for it"
    yield Finding(where, entry.name, "missing", detail)


def _delivered(each: KnownCase, box: Inbox) -> Iterator[Finding]:
    try:
        now = box.snapshot_case(each.case.folder)
    except (SourceVanished, SourceChanged):
        return  # it is changing: the next audit compares it
    except CaseError as error:
        yield each.finding("unclear", explain(error.reason).detail)
        return
    if each.sent is not None and now.digest != each.sent.digest:
        yield each.finding("different", "its folder in the inbox has changed since it was sent")


def _absent(folder: str, known: Known, route: Route) -> Iterator[Finding]:
    """Yield a finding of a missing folder, unless it was withdrawn or is known to be gone."""
    if known.stage in {"delivered", "failed"} and not known.gone:
        detail = "by the journal its folder is in the inbox, but it is not there"
        yield Finding(f"route {route.name}", folder, "missing", detail, known.key)
