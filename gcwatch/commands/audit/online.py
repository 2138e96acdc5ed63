"""The platform compared with the journal: each case is there once, with what was sent.

Each algorithm, reader study and archive is listed once, completely. Cases that are open, failed or
withdrawn are compared as far as the journal knows their jobs and items. Then jobs and items that
the journal does not know are searched for a case's title, file or image.

Two things can't be found: that somebody ran the same values, or uploaded the same DICOM series,
once more, since such a job has nothing of the case; and, with `names = "keep"`, to which lost case
an item belongs.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from gcwatch.commands.audit.contents import ContentCheck
from gcwatch.commands.audit.finding import Finding, KnownCase, Progress
from gcwatch.config import Route
from gcwatch.core.case import Case, Input
from gcwatch.core.errors import Refused
from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.journal.journal import Journal
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Item, Job, SocketValue, pk_of

_RANDOM: Final = re.compile("(?<![a-z0-9])[2-9a-hjkmnp-z]{8}(?![a-z0-9])")
"""The random part of a key in a title or file name."""

_KEY: Final = re.compile(r"(?P<key>(?P<route>[a-z0-9-]+)-[2-9a-hjkmnp-z]{8})(-[0-9]+-[0-9]{2}.*)?")
"""A title, or the name of a file or image, that begins with a key."""

Found = Job | Item

Again = Callable[[], AbstractContextManager[Journal | None]]
"""Opens the journal as it is now, with what happened while the platform was listed."""


@dataclass(frozen=True)
class _PlatformListing:
    """An algorithm, reader study or archive, and what it holds, by pk.

    `known` are the pks of all that any case became.
    """

    kind: Kind
    slug: str
    found: Mapping[str, Found]
    known: frozenset[str]
    platform: GrandChallenge

    @property
    def what(self) -> str:
        """What a case becomes here, as a noun."""
        return KIND_NAMES[self.kind].product


@dataclass(frozen=True)
class PlatformAudit:
    """What the comparison needs; with `contents`, bytes are downloaded and compared, too."""

    platform: GrandChallenge
    again: Again
    contents: ContentCheck | None
    progress: Progress


def submissions(
    records: Sequence[KnownCase], routes: Sequence[Route], online: PlatformAudit
) -> Iterator[Finding]:
    """Given all cases and routes, compare them with their jobs and items on the platform.

    Raises:
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        NotYet: when a listing is incomplete at the moment.
    """
    # Without a valid token the lists would be empty, and every case would seem to be missing.
    online.platform.me()
    yield from _shared(records)
    known = frozenset(pk for each in records for pk in each.made)
    for (kind, slug), some in _by_place(records, routes).items():
        online.progress(_shown(kind, slug), 0)
        found = _listed(kind, slug, online.platform)
        if found is None:
            for each in some:
                if each.made:
                    detail = f"this token does not see {_shown(kind, slug)} any more"
                    yield each.finding("unclear", detail)
            continue
        place = _PlatformListing(kind, slug, found, known, online.platform)
        for count, each in enumerate(some):
            online.progress(_shown(kind, slug), count)
            yield from _case(each, place, online.contents)
        names = {route.name for route in routes if (route.kind, route.target) == (kind, slug)}
        yield from _unknown(some, names, place, online.again)


def _has_earlier_job(each: KnownCase) -> bool:
    return any(reason.code == "earlier_job" for reason in each.case.warnings)


def _shared(records: Sequence[KnownCase]) -> Iterator[Finding]:
    # The results of an earlier job may be delivered to several cases.
    owners = [each for each in records if not _has_earlier_job(each)]
    count = Counter(pk for each in owners for pk in each.made)
    for each in owners:
        if any(count[pk] > 1 for pk in each.made):
            yield each.finding("doubled", "another case of the journal has the same job or item")


def _by_place(
    records: Sequence[KnownCase], routes: Sequence[Route]
) -> dict[tuple[Kind, str], list[KnownCase]]:
    """Return the cases of each target that a route has now, or a case had."""
    places = {route.name: (route.kind, route.target) for route in routes}
    found: dict[tuple[Kind, str], list[KnownCase]] = {place: [] for place in places.values()}
    for each in records:
        target = each.case.target
        place = (target.kind, target.slug) if target else places[each.case.route]
        found.setdefault(place, []).append(each)
    return found


def _shown(kind: Kind, slug: str) -> str:
    return f"{KIND_NAMES[kind].noun} {slug}"


def _listed(kind: Kind, slug: str, platform: GrandChallenge) -> dict[str, Found] | None:
    """Return what a target has, by pk; None if the token can't see it."""
    if kind == "algorithm":
        algorithm = platform.algorithm(slug)
        return None if algorithm is None else {job.pk: job for job in platform.jobs(algorithm.pk)}
    place = (platform.archive if kind == "archive" else platform.reader_study)(slug)
    if place is None:
        return None
    return {item.pk: item for item in platform.items(kind, place.pk)}


# --- what a case became --------------------------------------------------------------------------


def _case(
    each: KnownCase, place: _PlatformListing, contents: ContentCheck | None
) -> Iterator[Finding]:
    """Compare a case with what it became; a withdrawn one was left to people."""
    if each.case.submission is None or each.case.ending == "withdrawn":
        return
    found = _of(each.case.submission.pk, place)
    if found is None:
        if each.case.ending != "failed":  # for which it may be the very reason
            yield each.finding("missing", f"the platform does not have its {place.what} (any more)")
        return
    if isinstance(found, Item):
        yield from _title(each, found, place.what)
    if each.case.ending == "failed":
        yield from _failed(each, found, place.what)
    elif each.case.ending == "delivered":
        yield from _delivered(each, found, place.what)
        if contents is not None:
            yield from contents.compare(each, _held_by(found))


def _failed(each: KnownCase, found: Found, what: str) -> Iterator[Finding]:
    """Yield a finding if a failed case left more on the platform than its failure note says."""
    if each.case.failure is not None and each.case.failure.code in {"leftovers", "other_image"}:
        return
    if isinstance(found, Job):
        if found.status == "Succeeded":
            yield each.finding("different", "it failed here, and its job has Succeeded")
        return
    held = {value.socket.slug for value in found.values}
    absent = [item.socket for item in each.case.inputs or () if item.socket not in held]
    if absent:
        detail = f"it failed, and its {what} is there without {', '.join(absent)}"
        yield each.finding("half there", detail)


def _delivered(each: KnownCase, found: Found, what: str) -> Iterator[Finding]:
    if isinstance(found, Job):
        yield from _job(each, found)
    # Of an adopted case the journal knows nothing but its receipt's pk: no inputs, so no finding.
    yield from _held(each, _held_by(found), what)


def _held_by(found: Found) -> dict[str, SocketValue]:
    values = found.inputs if isinstance(found, Job) else found.values
    return {value.socket.slug: value for value in values}


def _of(pk: str, place: _PlatformListing) -> Found | None:
    """Return a job or item; one that the listing lacks is asked for by itself."""
    if pk in place.found:
        return place.found[pk]
    try:
        if place.kind == "algorithm":
            return place.platform.job(pk)
        return place.platform.item(place.kind, pk)
    except Refused as error:
        if error.status == 404:
            return None
        raise


def _job(each: KnownCase, job: Job) -> Iterator[Finding]:
    if job.status != "Succeeded":
        yield each.finding("different", f"its job is {job.status}, though its result is here")
    if each.case.adopted:  # the journal has not seen its outputs
        return
    here = {(output.socket, output.pk) for output in each.case.outputs or ()}
    if here != {(value.socket.slug, value.pk) for value in job.outputs}:
        yield each.finding("different", "its job has other outputs than those that are here")


def _title(each: KnownCase, item: Item, what: str) -> Iterator[Finding]:
    title = each.case.target.title if each.case.target else ""
    if item.title != title:
        yield each.finding("different", f"its {what} is called {item.title!r}, not {title!r}")


def _held(each: KnownCase, held: Mapping[str, SocketValue], what: str) -> Iterator[Finding]:
    for item in each.case.inputs or ():
        value = held.get(item.socket)
        if value is None:
            yield each.finding("half there", f"its {what} holds nothing in {item.socket}")
        elif not _is_as_sent(item, value, each):
            detail = f"its {what} does not hold in {item.socket} what was sent"
            yield each.finding("different", detail)


def _is_as_sent(item: Input, value: SocketValue, each: KnownCase) -> bool:
    if item.carrier == "value" and not item.image:
        return bool(value.value == item.value)
    if item.carrier == "file":
        names = {upload.filename for upload in each.case.uploads if upload.socket == item.socket}
        return _name(value.file or "") in names
    # The upload session proved which image was made of what was sent; the journal has it.
    image = item.image or each.case.images.get(item.socket, "")
    return value.image is not None and (not image or pk_of(value.image) == pk_of(image))


def _name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


# --- jobs and items that the journal does not know -----------------------------------------------


@dataclass(frozen=True)
class _Stranger:
    """A job or item that no case is known to have, and the case that it seems to belong to."""

    pk: str
    key: str
    owner: KnownCase | None


def _unknown(
    some: Sequence[KnownCase], routes: set[str], place: _PlatformListing, again: Again
) -> Iterator[Finding]:
    """Find jobs and items that no case has, but that have a case's title, file or image."""
    strangers = list(_strangers(some, routes, place))
    if not strangers:
        return
    # Read again: a daemon may have made these while the platform was listed.
    with again() as journal:
        seen: set[str] = set()
        for each in strangers:
            if journal and (journal.knows(each.pk) or journal.is_of_pruned(each.pk)):
                continue
            yield from _strange(
                each, _now(each.key, journal), place.what, first=each.key not in seen
            )
            seen.add(each.key)


def _strangers(
    some: Sequence[KnownCase], routes: set[str], place: _PlatformListing
) -> Iterator[_Stranger]:
    ids = {each.case.key.rpartition("-")[2]: each for each in some}
    titles = {each.case.target.title: each for each in some if each.case.target}
    images = {pk_of(url): each for each in some for url in _own_images(each)}
    # Jobs have no title.
    titles.pop("", None)
    for pk, found in place.found.items():
        if pk in place.known:
            continue
        values = found.inputs if isinstance(found, Job) else found.values
        names = ["" if isinstance(found, Job) else found.title, *_names(values, place)]
        owner = titles.get(names[0]) or _named(names, ids)
        if owner is None and isinstance(found, Job):
            owner = next((images[i] for i in _images(values) if i in images), None)
        key = owner.case.key if owner else _lost_key(names, routes)
        if key:
            yield _Stranger(pk, key, owner)


def _lost_key(names: Iterable[str], routes: set[str]) -> str:
    """Return the key of a case of one of our routes that a name begins with."""
    matches = (_KEY.fullmatch(name) for name in names)
    return next((m["key"] for m in matches if m and m["route"] in routes), "")


def _now(key: str, journal: Journal | None) -> Case | None:
    try:
        return journal.case(key) if journal else None
    except KeyError:
        return None


def _strange(each: _Stranger, case: Case | None, what: str, *, first: bool) -> Iterator[Finding]:
    """Yield the finding of a job or item that the journal does not know."""
    if case is None or each.owner is None:
        if case is None:
            detail = f"the platform has {what} {each.pk} of it, and the journal has no such case"
            yield Finding(f"route {each.key.rpartition('-')[0]}", "", "missing", detail, each.key)
        return
    if each.owner.made or case.submission is not None or not first:
        yield each.owner.finding("doubled", f"the platform has another {what} of it, {each.pk}")
    elif case.ending == "failed":
        detail = f"it failed here, and the platform has a {what} of it, {each.pk}"
        yield each.owner.finding("different", detail)
    elif case.is_open and case.attempt is None:
        detail = f"the journal has not sent it yet, and the platform has a {what} of it, {each.pk}"
        yield each.owner.finding("different", detail)


def _own_images(each: KnownCase) -> Iterator[str]:
    """Return the images that were made from a case's uploads; no other case has them."""
    sent = {item.socket for item in each.case.inputs or () if item.is_uploaded}
    return (url for socket, url in each.case.images.items() if socket in sent)


def _images(values: Iterable[SocketValue]) -> list[str]:
    return [pk_of(value.image) for value in values if value.image]


def _names(values: Iterable[SocketValue], place: _PlatformListing) -> Iterator[str]:
    """Return the names of files and images, which begin with the case's key."""
    for value in values:
        if value.file:
            yield _name(value.file)
        elif value.image and place.kind == "algorithm":
            yield _image_name(value.image, place.platform)


def _image_name(url: str, platform: GrandChallenge) -> str:
    try:
        return platform.image(url).name
    except Refused as error:
        if error.status in {403, 404}:
            return ""
        raise


def _named(texts: Iterable[str], ids: Mapping[str, KnownCase]) -> KnownCase | None:
    parts = (part for text in texts for part in _RANDOM.findall(text))
    return next((ids[part] for part in parts if part in ids), None)
