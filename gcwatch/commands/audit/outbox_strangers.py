"""What is in an outbox and belongs to no case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gcwatch.commands.audit.finding import Finding
from gcwatch.commands.audit.outboxes import OutboxListing
from gcwatch.commands.audit.owners import find_owners
from gcwatch.config import Settings
from gcwatch.files.beneath import SharePath
from gcwatch.journal.read_only import ReadOnlyJournal
from gcwatch.outbox.staging import staging_key


@dataclass(frozen=True)
class AuditMoment:
    """When an audit began: in seconds since the epoch, and after which event of the journal."""

    at: float
    event: int


def strangers(
    listings: Mapping[str, OutboxListing],
    settings: Settings,
    journal: ReadOnlyJournal,
    begun: AuditMoment,
) -> Iterator[Finding]:
    """Given what the outboxes of routes hold, yield what belongs to no case.

    What is newer than the audit is skipped.
    """
    unknown = journal.unknown_keys(key for each in listings.values() for key in each.results)
    bare = {name for each in listings.values() for name in each.bare}
    wanted = {("receipt", key) for key in unknown} | {("result", name) for name in bare}
    owners = find_owners(journal, wanted, {})
    # Several routes may share an outbox, which is compared once.
    for folder, route in {r.outbox.resolve(): r.name for r in settings.routes}.items():
        if route not in listings:
            continue  # `audit` has this finding
        where, listing = f"route {route}", listings[route]
        for key in sorted(unknown & listing.results.keys()):
            if ("receipt", key) not in owners:
                for name in _settled(folder, listing.results[key], begun):
                    detail = f"it is in the outbox as case {key}, but the journal has no such case"
                    yield Finding(where, name, "missing", detail, key)
        for name in _settled(folder, listing.bare, begun):
            if ("result", name) not in owners and not _is_ours(folder, name, settings, journal):
                yield Finding(where, name, "half there", "it is in the outbox without a receipt")
        for name in _settled(folder, listing.partial, begun):
            key = staging_key(name)
            if not _is_under_way(key, journal, begun):
                detail = f"the outbox has an unfinished result, {name}, but no case is open for it"
                yield Finding(where, name, "half there", detail, key)


def _settled(folder: Path, names: Sequence[str], begun: AuditMoment) -> Iterator[str]:
    for name in names:
        status = (SharePath(folder) / name).status()
        if status is not None and status.st_ctime <= begun.at:
            yield name


def _is_under_way(key: str, journal: ReadOnlyJournal, begun: AuditMoment) -> bool:
    """Whether a case is open, or was when the audit began."""
    found = journal.whole_case(key)
    return found is not None and (found.case.is_open or found.number > begun.event)


def _is_ours(outbox: Path, name: str, settings: Settings, journal: ReadOnlyJournal) -> bool:
    """Whether a folder in an outbox is named by the config, or is a case of a next route."""
    real = (outbox / name).resolve()
    named = (each for each in _named_folders(settings) if each != outbox)
    if any(each == real or real in each.parents for each in named):
        return True
    inboxes = {route.name: route.inbox.resolve() for route in settings.routes}
    return any(
        journal.known(route, [real.relative_to(inbox).as_posix()])
        for route, inbox in inboxes.items()
        if inbox in real.parents
    )


def _named_folders(settings: Settings) -> list[Path]:
    """Return all folders that the config file names, without symbolic links."""
    routes = [place for r in settings.routes for place in (r.inbox, r.outbox, r.done) if place]
    others = [place for m in settings.mirrors for place in (m.outbox, m.gone_to) if place]
    return [place.resolve() for place in (settings.state, *routes, *others)]
