"""Which cases own what no column of the journal tells: all cases are read for it once."""

from collections.abc import Collection, Iterator, Mapping

from gcwatch.commands.audit.finding import KnownCase, known_cases
from gcwatch.core.case import Case
from gcwatch.core.kinds import Kind
from gcwatch.journal.read_only import ReadOnlyJournal
from gcwatch.platform.models import pk_of

Place = tuple[Kind, str]
"""A kind of target and its slug."""

Sign = tuple[str, ...]
"""What shows that something is a case's: a word for what it is, on the platform its place, a text.

These are ("receipt", key of an adopted result), ("result", name), ("title", kind, slug, title),
("id", kind, slug, random part of a key) and ("image", kind, slug, pk of an image).
"""


def place_of(case: Case, routes: Mapping[str, Place]) -> Place | None:
    """Return the target of a case: its own, or its route's; None if there is no such route."""
    if case.route not in routes:
        return None
    return (case.target.kind, case.target.slug) if case.target else routes[case.route]


def find_owners(
    journal: ReadOnlyJournal, wanted: Collection[Sign], routes: Mapping[str, Place]
) -> dict[Sign, KnownCase]:
    """Given signs, and the targets of routes by name, return the latest case that has each."""
    if not wanted:
        return {}
    cases = known_cases(journal)
    return {sign: each for each in cases for sign in _signs(each, routes) if sign in wanted}


def _signs(each: KnownCase, routes: Mapping[str, Place]) -> Iterator[Sign]:
    case = each.case
    yield "receipt", case.adopted
    if case.ending == "delivered":
        yield "result", case.result
    if place := place_of(case, routes):
        yield "id", *place, case.key.rpartition("-")[2]
        if case.target:
            yield "title", *place, case.target.title
        for url in own_images(case):
            yield "image", *place, pk_of(url)


def own_images(case: Case) -> Iterator[str]:
    """Return the images that were made from a case's uploads; no other case has them."""
    sent = {item.socket for item in case.inputs or () if item.is_uploaded}
    return (url for socket, url in case.images.items() if socket in sent)
