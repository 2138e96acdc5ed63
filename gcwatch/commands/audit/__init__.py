"""`gcwatch audit`: whether inboxes, journal, outboxes, mirrors and the platform agree.

It finds every case that is missing, doubled, half there or different in content anywhere. It only
reads: nothing here writes a file or changes the platform, and the journal is read from a copy.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from gcwatch.commands.audit import mirrors
from gcwatch.commands.audit.contents import ContentCheck
from gcwatch.commands.audit.finding import FINE, Finding, Kind, KnownCase, Progress, known_cases
from gcwatch.commands.audit.inboxes import inbox
from gcwatch.commands.audit.online import PlatformAudit, submissions
from gcwatch.commands.audit.outboxes import results, strangers
from gcwatch.config import Route, Settings
from gcwatch.core import checklist
from gcwatch.core.progress import no_progress
from gcwatch.journal.copies import copied_journal
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
    begun = clock()
    with copied_journal(settings) as journal:
        records = known_cases(journal) if journal else []
        pruned = journal.pruned_keys() if journal else frozenset()
    platform = None if offline else CachingGrandChallenge(connect(settings))
    try:
        with ThreadPoolExecutor(1) as pool:
            contents = ContentCheck(Transfers(platform, pool)) if platform and download else None
            again = partial(copied_journal, settings)
            online = PlatformAudit(platform, again, contents, progress) if platform else None
            yield from _cases(settings, records, online, begun, progress, pruned=pruned)
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
    *,
    pruned: frozenset[str],
) -> Iterator[Finding]:
    named = {route.name for route in settings.routes}
    ours = [each for each in records if each.case.route in named]
    seen = set()
    found = chain(
        chain.from_iterable(
            _on_disk(each, settings, ours, begun, progress) for each in settings.routes
        ),
        _strangers(settings, records, pruned, begun),
        submissions(ours, settings.routes, online) if online else (),
    )
    for finding in found:
        seen.add(finding.case)
        yield finding
    for each in records:
        if each.case.key not in seen:
            yield _other_finding(each, named)


def _other_finding(each: KnownCase, named: set[str]) -> Finding:
    """Return the finding of a case about which there is no other."""
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


def _strangers(
    settings: Settings, records: Sequence[KnownCase], pruned: frozenset[str], begun: float
) -> Iterator[Finding]:
    """Find what belongs to no case, once in each outbox: several routes may share one."""
    outboxes = {route.outbox.resolve(): f"route {route.name}" for route in settings.routes}
    inboxes = {route.name: route.inbox.resolve() for route in settings.routes}
    sources = [inboxes[e.case.route] / e.case.folder for e in records if e.case.route in inboxes]
    for folder, where in outboxes.items():
        ours = [each for each in (*_named_folders(settings), *sources) if each != folder]
        yield from strangers(where, folder, records, ours, begun, pruned=pruned)


def _named_folders(settings: Settings) -> list[Path]:
    """Return all folders that the config file names, without symbolic links."""
    routes = [place for r in settings.routes for place in (r.inbox, r.outbox, r.done) if place]
    others = [place for m in settings.mirrors for place in (m.outbox, m.gone_to) if place]
    return [place.resolve() for place in (settings.state, *routes, *others)]


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
