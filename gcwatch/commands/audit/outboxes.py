"""Outboxes compared with the journal: each result once, complete and unchanged."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gcwatch.commands.audit.finding import Expected, Finding, KnownCase, compare_files
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


NextCases = Callable[[Route, str], Iterable[tuple[Route, KnownCase]]]
"""Given a route and the name of a result, returns the cases that it became in next routes."""


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


def result(
    each: KnownCase, route: Route, listing: OutboxListing, later: NextCases
) -> Iterator[Finding]:
    """Given a closed or open case of a route, compare it with what its outbox had.

    A case whose folder was moved or deleted by a next route once it was delivered there, which
    `later` tells, is not missing here.
    """
    if each.case.ending == "delivered":
        yield from _delivered(each, route, listing, later)
    elif each.case.ending == "failed" and each.is_newest:
        yield from _failed(each, listing)


def _delivered(
    each: KnownCase, route: Route, listing: OutboxListing, later: NextCases
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
    taken = _next_case(each, route, later)
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


def _next_case(each: KnownCase, route: Route, later: NextCases) -> tuple[Route, KnownCase] | None:
    """Return the case that a result became in a next route, if that moved or deleted its folder.

    The journal must say so: a result that somebody else removed is missing.
    """
    for following, other in later(route, each.case.result.partition("/")[0]):
        is_leaving = following.after != "keep" and checklist.stage(other.case) == "delivering"
        if other.was_taken or is_leaving:
            return following, other
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
