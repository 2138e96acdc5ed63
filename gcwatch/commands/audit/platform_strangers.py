"""Jobs and items of the platform that the journal does not know, and that seem to be a case's.

They have the title, a file or an image of a case, or a name that begins with the key of one. Two
things can't be found: that somebody ran the same values, or uploaded the same DICOM series, once
more, since such a job has nothing of the case; and, with `names = "keep"`, to which lost case an
item belongs.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gcwatch.commands.audit.finding import Finding, KnownCase
from gcwatch.commands.audit.online import PlatformAudit, PlatformListing, file_name
from gcwatch.commands.audit.owners import Sign, find_owners
from gcwatch.core.case import Case
from gcwatch.core.errors import Refused
from gcwatch.journal.read_only import ReadOnlyJournal
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Job, SocketValue, pk_of

_RANDOM: Final = re.compile("(?<![a-z0-9])[2-9a-hjkmnp-z]{8}(?![a-z0-9])")
"""The random part of a key in a title or file name."""

_KEY: Final = re.compile(r"(?P<key>(?P<route>[a-z0-9-]+)-[2-9a-hjkmnp-z]{8})(-[0-9]+-[0-9]{2}.*)?")
"""A title, or the name of a file or image, that begins with a key."""


@dataclass(frozen=True)
class _Stranger:
    """A job or item that no case is known to have; `names` begins with its title.

    `signs` are what a case would have to which it belongs, the surest first.
    """

    pk: str
    listing: PlatformListing
    names: tuple[str, ...]
    signs: tuple[Sign, ...]


def strangers(audit: PlatformAudit, journal: ReadOnlyJournal) -> Iterator[Finding]:
    """Yield what the platform has of cases and the journal does not know, once all are compared.

    Raises:
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
    """
    found = [each for listing in audit.listings for each in _unknown(listing, audit, journal)]
    owners = find_owners(journal, {sign for each in found for sign in each.signs}, audit.routes)
    seen: set[tuple[str, str, str]] = set()
    for each in found:
        owner = next((owners[sign] for sign in each.signs if sign in owners), None)
        place = (each.listing.kind, each.listing.slug)
        names = {route for route, at in audit.routes.items() if at == place}
        key = owner.case.key if owner else _lost_key(each.names, names)
        # Asked again: a daemon may have made it, and recorded that only now.
        case = _now(key, journal)
        if key and journal.unknown_submissions([each.pk]):
            first = (*place, key) not in seen
            seen.add((*place, key))
            yield from _strange(each.pk, key, owner, case, each.listing.what, first=first)


def _unknown(
    listing: PlatformListing, audit: PlatformAudit, journal: ReadOnlyJournal
) -> Iterator[_Stranger]:
    unknown = journal.unknown_submissions(listing.found.keys()) - audit.earlier
    for pk, found in listing.found.items():
        if pk in unknown:
            values = found.inputs if isinstance(found, Job) else found.values
            # Jobs have no title.
            names = ("" if isinstance(found, Job) else found.title, *_names(values, listing))
            images = _images(values) if isinstance(found, Job) else []
            yield _Stranger(pk, listing, names, tuple(_signs(names, images, listing)))


def _signs(names: Iterable[str], images: Iterable[str], listing: PlatformListing) -> Iterator[Sign]:
    place = (listing.kind, listing.slug)
    title, *_ = names
    if title:
        yield "title", *place, title
    for name in names:
        for part in _RANDOM.findall(name):
            yield "id", *place, part
    for pk in images:
        yield "image", *place, pk


def _lost_key(names: Iterable[str], routes: set[str]) -> str:
    """Return the key of a case of one of our routes that a name begins with."""
    matches = (_KEY.fullmatch(name) for name in names)
    return next((m["key"] for m in matches if m and m["route"] in routes), "")


def _now(key: str, journal: ReadOnlyJournal) -> Case | None:
    found = journal.whole_case(key)
    return found.case if found else None


def _strange(
    pk: str, key: str, owner: KnownCase | None, case: Case | None, what: str, *, first: bool
) -> Iterator[Finding]:
    """Yield the finding of a job or item that the journal does not know."""
    if case is None or owner is None:
        if case is None:
            detail = f"the platform has {what} {pk} of it, and the journal has no such case"
            yield Finding(f"route {key.rpartition('-')[0]}", "", "missing", detail, key)
        return
    if owner.made or case.submission is not None or not first:
        yield owner.finding("doubled", f"the platform has another {what} of it, {pk}")
    elif case.ending == "failed":
        detail = f"it failed here, and the platform has a {what} of it, {pk}"
        yield owner.finding("different", detail)
    elif case.is_open and case.attempt is None:
        detail = f"the journal has not sent it yet, and the platform has a {what} of it, {pk}"
        yield owner.finding("different", detail)


def _images(values: Iterable[SocketValue]) -> list[str]:
    return [pk_of(value.image) for value in values if value.image]


def _names(values: Iterable[SocketValue], listing: PlatformListing) -> Iterator[str]:
    """Return the names of files and images, which begin with the case's key."""
    for value in values:
        if value.file:
            yield file_name(value.file)
        elif value.image and listing.kind == "algorithm":
            yield _image_name(value.image, listing.platform)


def _image_name(url: str, platform: GrandChallenge) -> str:
    try:
        return platform.image(url).name
    except Refused as error:
        if error.status in {403, 404}:
            return ""
        raise
