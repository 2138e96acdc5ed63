"""Whether inboxes, journal, outboxes, mirrors and the platform agree: `gcwatch audit`.

Every case that is anywhere missing, doubled, half there or different in content is told of. The
audit only looks: it reads a copy of the journal, and writes nowhere.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from gcwatch.commands.audit import mirrors
from gcwatch.commands.audit.contents import ContentCheck
from gcwatch.commands.audit.finding import FINE, Finding, Kind, KnownCase, Progress, known
from gcwatch.commands.audit.inboxes import inbox
from gcwatch.commands.audit.online import PlatformAudit, submissions
from gcwatch.commands.audit.outboxes import results, strangers
from gcwatch.config import Route, Settings
from gcwatch.core import checklist
from gcwatch.journal.copies import copied_journal
from gcwatch.platform.client import CachingGrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.transfers import Transfers

__all__ = ["FINE", "Finding", "Kind", "Progress", "audit", "no_progress"]


def no_progress(_where: str, _count: int) -> None:
    """Tell nobody."""


def audit(
    settings: Settings,
    *,
    offline: bool = False,
    download: bool = False,
    progress: Progress = no_progress,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Given settings, compare all that they name; yield what was found of each case and item.

    Every case and every item of a mirror is told of, those that agree too. What changes while the
    audit is at work is left to the next one. With *offline* the platform is not asked; with
    *download* it is asked for all files of results, and for those that were sent as they are.

    Raises:
        StateError: when the journal can't be read.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        NotYet: when the platform's listings can't be had completely.
    """
    begun = clock()
    with copied_journal(settings) as journal:
        records = known(journal) if journal else []
    platform = None if offline else CachingGrandChallenge(connect(settings))
    try:
        with ThreadPoolExecutor(1) as pool:
            contents = ContentCheck(Transfers(platform, pool)) if platform and download else None
            again = partial(copied_journal, settings)
            online = PlatformAudit(platform, again, contents, progress) if platform else None
            yield from _cases(settings, records, online, begun, progress)
        for each in settings.mirrors:
            yield from mirrors.mirror(each, platform, begun, progress)
    finally:
        if platform is not None:
            platform.close()


def _cases(
    settings: Settings,
    records: Sequence[KnownCase],
    online: PlatformAudit | None,
    begun: float,
    progress: Progress,
) -> Iterator[Finding]:
    named = {route.name for route in settings.routes}
    ours = [each for each in records if each.case.route in named]
    told = set()
    found = chain(
        chain.from_iterable(
            _on_disk(each, settings, ours, begun, progress) for each in settings.routes
        ),
        _strangers(settings, records, begun),
        submissions(ours, settings.routes, online) if online else (),
    )
    for finding in found:
        told.add(finding.case)
        yield finding
    for each in records:
        if each.case.key not in told:
            yield _rest(each, named)


def _rest(each: KnownCase, named: set[str]) -> Finding:
    """What is to be said of a case of which nothing was found."""
    if each.case.route not in named:
        return each.finding("unclear", "the config file has no such route (any more)")
    if each.case.is_open:
        return each.finding("under way", checklist.stage(each.case))
    return each.finding("agrees", str(each.case.ending))


def _on_disk(
    route: Route, settings: Settings, records: Sequence[KnownCase], begun: float, progress: Progress
) -> Iterator[Finding]:
    some = [each for each in records if each.case.route == route.name]
    yield from inbox(route, {e.case.folder: e for e in some if e.is_newest}, begun)
    next_ones = {each.name: each for each in settings.routes if _is_same(each.inbox, route.outbox)}
    later = [(next_ones[e.case.route], e) for e in records if e.case.route in next_ones]
    yield from results(route, some, later, progress)


def _strangers(settings: Settings, records: Sequence[KnownCase], begun: float) -> Iterator[Finding]:
    """Look for what is no case's, once in each outbox: several routes may have the same."""
    outboxes = {route.outbox.resolve(): f"route {route.name}" for route in settings.routes}
    inboxes = {route.name: route.inbox.resolve() for route in settings.routes}
    sources = [inboxes[e.case.route] / e.case.folder for e in records if e.case.route in inboxes]
    for folder, where in outboxes.items():
        ours = [each for each in (*_places(settings), *sources) if each != folder]
        yield from strangers(where, folder, records, ours, begun)


def _places(settings: Settings) -> list[Path]:
    """Return all folders that the config file names, where they really are."""
    routes = [place for r in settings.routes for place in (r.inbox, r.outbox, r.done) if place]
    others = [place for m in settings.mirrors for place in (m.outbox, m.gone_to) if place]
    return [place.resolve() for place in (settings.state, *routes, *others)]


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
