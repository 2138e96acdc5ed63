"""`gcwatch audit`: whether inboxes, journal, outboxes, mirrors and the platform agree.

It finds every case that is missing, doubled, half there or different in content anywhere. It only
reads: nothing here writes a file or changes the platform. Cases are read one after another, so that
memory grows with what outboxes and platform hold, and not with the cases of the journal.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gcwatch.commands.audit import mirrors, outbox_strangers, outboxes, platform_strangers
from gcwatch.commands.audit.contents import ContentCheck
from gcwatch.commands.audit.finding import (
    FINE,
    Finding,
    Kind,
    KnownCase,
    Progress,
    known_case,
    known_cases,
)
from gcwatch.commands.audit.inboxes import inbox
from gcwatch.commands.audit.online import PlatformAudit
from gcwatch.commands.audit.outbox_strangers import AuditMoment
from gcwatch.commands.audit.outboxes import NextCases, OutboxListing
from gcwatch.config import Route, Settings
from gcwatch.core.progress import no_progress
from gcwatch.journal.read_only import CaseOutline, ReadOnlyJournal, read_only_journal
from gcwatch.platform.client import CachingGrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.transfers import Transfers

__all__ = ["FINE", "Finding", "Kind", "Progress", "audit"]


def audit(
    settings: Settings,
    *,
    offline: bool = False,
    download: bool = False,
    progress: Progress = no_progress,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Given settings, compare everything that they name; yield findings of each case and item.

    Cases and items that agree have a finding, too. What changes during the audit is left to the
    next one. With *offline* the platform is not asked. With *download* all files of results are
    downloaded and compared, and so are those that were sent as they are.

    Raises:
        StateError: when the journal can't be read.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        NotYet: when a listing of the platform is incomplete at the moment.
    """
    at = clock()
    platform = None if offline else CachingGrandChallenge(connect(settings))
    try:
        with read_only_journal(settings, clock) as journal, ThreadPoolExecutor(1) as pool:
            begun = AuditMoment(at, journal.latest())
            contents = ContentCheck(Transfers(platform, pool)) if platform and download else None
            online = None
            if platform:
                online = PlatformAudit(platform, journal, settings.routes, contents, progress)
            yield from _cases(settings, journal, online, begun, progress)
        for each in settings.mirrors:
            yield from mirrors.mirror(each, platform, at, progress)
    finally:
        if platform is not None:
            platform.close()


def _cases(
    settings: Settings,
    journal: ReadOnlyJournal,
    online: PlatformAudit | None,
    begun: AuditMoment,
    progress: Progress,
) -> Iterator[Finding]:
    seen = set()
    for finding in _differences(settings, journal, online, begun, progress):
        seen.add(finding.case)
        yield finding
    named = {route.name for route in settings.routes}
    for each in journal.outlines():
        if each.key not in seen:
            yield _other_finding(each, named)


def _other_finding(each: CaseOutline, named: set[str]) -> Finding:
    """Return the finding of a case about which there is no other."""
    where = f"route {each.route}"
    if each.route not in named:
        detail = "the config file has no such route (any more)"
        return Finding(where, each.folder, "unclear", detail, each.key)
    kind: Kind = "under way" if each.is_open else "agrees"
    return Finding(where, each.folder, kind, each.stage, each.key)


def _differences(
    settings: Settings,
    journal: ReadOnlyJournal,
    online: PlatformAudit | None,
    begun: AuditMoment,
    progress: Progress,
) -> Iterator[Finding]:
    for route in settings.routes:
        yield from inbox(route, journal, begun.at)
    listings: dict[str, OutboxListing] = {}
    yield from _list_outboxes(settings, listings)
    later = _next_cases(settings, journal)
    routes = {route.name: route for route in settings.routes}
    for count, each in enumerate(known_cases(journal)):
        progress("cases", count)
        if online:
            online.note_earlier(each)
        if each.number > begun.event:
            yield each.finding("under way", "it changed during the audit")
            continue
        if each.case.route in listings:
            of = each.case.route
            yield from outboxes.result(each, routes[of], listings[of], later)
        if online:
            yield from online.compare(each)
    yield from outbox_strangers.strangers(listings, settings, journal, begun)
    if online:
        yield from online.shared()
        yield from platform_strangers.strangers(online, journal)


def _list_outboxes(settings: Settings, listings: dict[str, OutboxListing]) -> Iterator[Finding]:
    """Add what each outbox holds, by route; yield a finding of one that can't be read."""
    for route in settings.routes:
        try:
            listings[route.name] = outboxes.read(route.outbox)
        except OSError as error:
            detail = f"the outbox {route.outbox} can't be read: {error.strerror}"
            if not settings.is_own(route):
                detail += f"; it is for {' and '.join(route.hosts)}: audit it there"
            yield Finding(f"route {route.name}", "", "unclear", detail)


def _next_cases(settings: Settings, journal: ReadOnlyJournal) -> NextCases:
    """Return a function that finds what a result became in the routes whose inbox its outbox is."""
    following = {
        route.name: [each for each in settings.routes if _is_same(each.inbox, route.outbox)]
        for route in settings.routes
    }

    def later(route: Route, name: str) -> Iterator[tuple[Route, KnownCase]]:
        for each in following[route.name]:
            for whole in journal.whole_cases_in(each.name, name):
                yield each, known_case(whole)

    return later


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
