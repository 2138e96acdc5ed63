"""Outboxes compared with the journal: each result once, complete, unchanged, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gcwatch.commands.audit.finding import Expected, Finding, KnownCase, Progress, compare_files
from gcwatch.config import Route
from gcwatch.core import checklist
from gcwatch.core.receipt import FAILURE_NOTE, RECEIPT_NAME, product_pk, receipt_key
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import with_suffix
from gcwatch.files.receipt_file import read_receipt
from gcwatch.outbox import publish
from gcwatch.outbox.notes import note_names
from gcwatch.outbox.staging import staging_key

LITTER: Final = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX"})
"""Files that file managers leave in every folder."""


@dataclass
class OutboxListing:
    """The contents of an outbox: results by their keys, folders without a receipt, and the rest.

    An unreadable receipt counts as none. `partial` are the names of unfinished results.
    """

    results: dict[str, list[str]] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)


def read(outbox: Path) -> OutboxListing:
    """Given an outbox, return its contents; raise OSError if it can't be read."""
    listing = OutboxListing()
    _fill(listing, SharePath(outbox), "")
    return listing


def _fill(listing: OutboxListing, folder: SharePath, parent: str) -> None:
    for name in folder.list_names():
        path = folder / name
        if name.startswith("."):
            if staging_key(name):
                listing.partial.append(name)
        elif name.endswith(FAILURE_NOTE):
            listing.notes.add(parent + name)
        elif name not in LITTER and path.is_dir():
            _add(listing, path, parent + name, is_inner=bool(parent))


def _add(listing: OutboxListing, path: SharePath, name: str, *, is_inner: bool) -> None:
    record = receipt(path)
    if key := receipt_key(record):
        listing.results.setdefault(key, []).append(name)
    elif "mirror" in record:
        return
    elif not is_inner and _holds_results(path):
        _fill(listing, path, f"{name}/")  # a patient's folder, with a result for each series
    else:
        listing.bare.append(name)


def _holds_results(folder: SharePath) -> bool:
    if (folder / RECEIPT_NAME).exists():
        return False
    return any(
        name.endswith(FAILURE_NOTE) or (folder / name / RECEIPT_NAME).exists()
        for name in folder.list_names()
    )


def receipt(folder: SharePath) -> Mapping[str, Any]:
    """Given a folder, return its receipt; an empty one if there is none, or it is unreadable."""
    try:
        return read_receipt(folder)
    except OSError:
        return {}


# --- a case's result -----------------------------------------------------------------------------


def results(
    route: Route,
    records: Sequence[KnownCase],
    later: Sequence[tuple[Route, KnownCase]],
    progress: Progress,
) -> Iterator[Finding]:
    """Given a route and all its cases, compare them with its outbox.

    `later` are the cases of the routes whose inbox this outbox is: one whose folder was moved or
    deleted once it was delivered there is not missing here.
    """
    try:
        listing = read(route.outbox)
    except OSError as error:
        detail = f"the outbox {route.outbox} can't be read: {error.strerror}"
        yield Finding(f"route {route.name}", "", "unclear", detail)
        return
    for count, each in enumerate(records):
        progress(f"route {route.name}", count)
        if each.case.ending == "delivered":
            yield from _delivered(each, route, listing, later)
        elif each.case.ending == "failed" and each.is_newest:
            yield from _failed(each, listing)


def _delivered(
    each: KnownCase, route: Route, listing: OutboxListing, later: Sequence[tuple[Route, KnownCase]]
) -> Iterator[Finding]:
    if each.is_newest and (notes := note_names(each.case.folder) & listing.notes):
        shown = " and ".join(sorted(notes))
        yield each.finding("different", f"it was delivered, but there is a failure note, {shown}")
    names = listing.results.get(each.case.adopted or each.case.key, [])
    if len(names) > 1:
        shown = " and ".join(names)
        yield each.finding("doubled", f"its result is in the outbox more than once: {shown}")
    if names:
        name = each.case.result if each.case.result in names else names[0]
        if name != each.case.result:
            detail = f"its result is in the outbox as {name}, not as {each.case.result}"
            yield each.finding("different", detail)
        yield from _compared(each, SharePath(route.outbox) / name)
        return
    taken = _next_case(each, later)
    if taken is not None:
        yield from _moved_on(each, *taken)
    elif each.case.result in listing.bare:
        detail = (
            f"its result's receipt, {each.case.result}/{RECEIPT_NAME}, is missing or can't be read"
        )
        yield each.finding("half there", detail)
        yield from _files(each, SharePath(route.outbox) / each.case.result, _written(each))
    else:
        yield each.finding("missing", f"its result {each.case.result} is not in the outbox")


def _next_case(
    each: KnownCase, later: Sequence[tuple[Route, KnownCase]]
) -> tuple[Route, KnownCase] | None:
    """Return the case that a result became in a next route, if that moved or deleted its folder.

    The journal must say so: a result that somebody else removed is missing.
    """
    for route, other in later:
        is_same = other.case.folder.partition("/")[0] == each.case.result.partition("/")[0]
        is_leaving = route.after != "keep" and checklist.stage(other.case) == "delivering"
        if is_same and (other.was_taken or is_leaving):
            return route, other
    return None


def _moved_on(each: KnownCase, route: Route, other: KnownCase) -> Iterator[Finding]:
    """Compare a moved result in its new folder, from where people may move it elsewhere."""
    if route.done is None or other.case.is_open or not route.done.is_dir():
        return
    name = publish.published_name(route.done, each.case.key, each.case.result)
    if name is not None:
        yield from _compared(each, SharePath(route.done) / name)


def _compared(each: KnownCase, folder: SharePath) -> Iterator[Finding]:
    record = receipt(folder)
    if each.case.adopted:  # the journal knows only that it is there
        yield from _files(each, folder, _told(record))
        return
    written = _written(each)
    if _told(record) != sorted(written) or product_pk(record) not in each.made:
        yield each.finding("different", "its receipt differs from the journal")
    yield from _files(each, folder, written)


def _files(each: KnownCase, folder: SharePath, written: Sequence[Expected]) -> Iterator[Finding]:
    for kind, detail in compare_files(folder, written):
        yield each.finding(kind, f"in its result {detail}")
    known = {path for path, _, _ in written} | {RECEIPT_NAME}
    for name in sorted(_all_files(folder) - known):
        yield each.finding("different", f"its result holds {name}, which gcwatch did not write")


def _written(each: KnownCase) -> list[Expected]:
    return [(file.path, file.size, file.sha256) for file in each.case.fetched]


def _told(record: Mapping[str, Any]) -> list[Expected]:
    try:
        told = [
            (file["path"], file["size"], file["sha256"])
            for output in record["outputs"]
            for file in output["files"]
        ]
    except (KeyError, TypeError):
        return []
    is_sound = all(tuple(map(type, each)) == (str, int, str) for each in told)
    return sorted(told) if is_sound else []


def _all_files(folder: SharePath) -> set[str]:
    names = (path.relative_to(folder) for path in folder.walk_files())
    return {name for name in names if LITTER.isdisjoint(name.split("/"))}


def _failed(each: KnownCase, listing: OutboxListing) -> Iterator[Finding]:
    """Yield a finding of a missing failure note; with the folder, its note may be gone, too."""
    if not note_names(each.case.folder) & listing.notes and not each.case.gone:
        name = with_suffix(each.case.folder, FAILURE_NOTE)
        yield each.finding("missing", f"it failed, but its note {name} is not in the outbox")


# --- what belongs to no case ---------------------------------------------------------------------


def strangers(
    where: str,
    folder: Path,
    records: Sequence[KnownCase],
    ours: Sequence[Path],
    begun: float,
    *,
    pruned: frozenset[str],
) -> Iterator[Finding]:
    """Given an outbox and all cases, yield what is there and belongs to no case.

    `ours` are folders that may be there for other reasons: those that the config file names, and
    cases of a next route. `pruned` are the keys of cases that left the journal. What is newer than
    the audit, which `begun` then, is skipped.
    """
    try:
        listing = read(folder)
    except OSError:
        return  # `results` has this finding
    keys = {key for each in records for key in (each.case.key, each.case.adopted)}
    under_way = {each.case.key for each in records if each.case.is_open}
    claimed = {each.case.result for each in records if each.case.ending == "delivered"}
    for key in sorted(listing.results.keys() - keys - pruned):
        for name in _settled(folder, listing.results[key], begun):
            detail = f"it is in the outbox as case {key}, but the journal has no such case"
            yield Finding(where, name, "missing", detail, key)
    for name in _settled(folder, listing.bare, begun):
        if name not in claimed and not _is_ours(folder / name, ours):
            yield Finding(where, name, "half there", "it is in the outbox without a receipt")
    for name in _settled(folder, listing.partial, begun):
        key = staging_key(name)
        if key not in under_way:
            detail = f"the outbox has an unfinished result, {name}, but no case is open for it"
            yield Finding(where, name, "half there", detail, key)


def _settled(folder: Path, names: Sequence[str], begun: float) -> Iterator[str]:
    for name in names:
        status = (SharePath(folder) / name).status()
        if status is not None and status.st_ctime <= begun:
            yield name


def _is_ours(path: Path, ours: Sequence[Path]) -> bool:
    real = path.resolve()
    return any(each == real or real in each.parents for each in ours)
