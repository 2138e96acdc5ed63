"""Inboxes against the journal: folders never taken in, changed since, or gone unnoticed."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from gcwatch.commands.audit.finding import Finding, KnownCase
from gcwatch.config import Route
from gcwatch.core.errors import CaseError, NotYet, SourceChanged, SourceVanished
from gcwatch.core.reasons import explain
from gcwatch.inbox.layouts import Inbox, inbox_of
from gcwatch.inbox.listing import InboxEntry

NEWS: Final = 120.0
"""Seconds within which a new folder is taken in: two surveys of a share that tells no news."""


def inbox(route: Route, latest: Mapping[str, KnownCase], begun: float) -> Iterator[Finding]:
    """Given a route and the latest case of each of its folders, compare both with its inbox.

    `begun` is when the audit began, in seconds since the epoch: what came since is not judged.
    """
    box = inbox_of(route)
    try:
        listing = box.list_cases(patience=math.inf)
    except NotYet as error:
        yield Finding(f"route {route.name}", "", "unclear", explain(error.reason).detail)
        return
    entries = {entry.name: entry for entry in box.select_cases(listing, latest)}
    for entry in entries.values():
        yield from _entry(entry, latest.get(entry.name), route, box, begun)
    for folder, each in latest.items():
        if folder not in entries and not listing.may_hold(folder):
            yield from _absent(each)


def _entry(
    entry: InboxEntry, each: KnownCase | None, route: Route, box: Inbox, begun: float
) -> Iterator[Finding]:
    if each is None or _is_new(each, entry, box):
        yield from _unknown(entry, route, box, begun)
    elif each.case.ending == "delivered":
        yield from _delivered(each, box)


def _is_new(each: KnownCase, entry: InboxEntry, box: Inbox) -> bool:
    """Whether a folder was taken away and dropped anew, so that it is a case of its own."""
    stamp = each.case.seen.stamp if each.case.seen else 0
    return not each.case.is_open and each.case.gone and box.has_changed(stamp, entry.stamp)


def _unknown(entry: InboxEntry, route: Route, box: Inbox, begun: float) -> Iterator[Finding]:
    where = f"route {route.name}"
    if not box.holds_files(entry.name):
        return
    if entry.stamp / 1e9 > begun - NEWS:
        yield Finding(where, entry.name, "under way", "it has just come into the inbox")
        return
    detail = "it stands in the inbox, and the journal has no case of it: it was never taken in"
    yield Finding(where, entry.name, "missing", detail)


def _delivered(each: KnownCase, box: Inbox) -> Iterator[Finding]:
    try:
        now = box.snapshot_case(each.case.folder)
    except (SourceVanished, SourceChanged):
        return  # at this moment; the next audit tells
    except CaseError as error:
        yield each.finding("unclear", explain(error.reason).detail)
        return
    if each.sent is not None and now.digest != each.sent.digest:
        yield each.finding("different", "its folder in the inbox has changed since it was sent")


def _absent(each: KnownCase) -> Iterator[Finding]:
    """What was withdrawn, or taken away as the journal knows, is owed to nobody."""
    if each.case.ending in {"delivered", "failed"} and not each.case.gone:
        detail = "the journal has its folder in the inbox, and it is not there (any more)"
        yield each.finding("missing", detail)
