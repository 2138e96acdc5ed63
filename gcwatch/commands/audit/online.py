"""The platform compared with the journal: each case is there once, with what was sent.

Each algorithm, reader study and archive is listed once, completely. Cases that are open, failed or
withdrawn are compared as far as the journal knows their jobs and items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from gcwatch.commands.audit.contents import ContentCheck
from gcwatch.commands.audit.finding import Finding, KnownCase, Progress, known_case
from gcwatch.commands.audit.owners import Place, place_of
from gcwatch.config import Route
from gcwatch.core.case import Case, Input
from gcwatch.core.errors import Refused
from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.journal.read_only import ReadOnlyJournal
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Item, Job, SocketValue, pk_of

Found = Job | Item


@dataclass(frozen=True)
class PlatformListing:
    """An algorithm, reader study or archive, and what it holds, by pk."""

    kind: Kind
    slug: str
    found: Mapping[str, Found]
    platform: GrandChallenge

    @property
    def what(self) -> str:
        """What a case becomes here, as a noun."""
        return KIND_NAMES[self.kind].product


class PlatformAudit:
    """Compares cases with their jobs and items; each target is listed once, completely.

    With `contents`, bytes are downloaded and compared, too.

    Raises:
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        NotYet: when a listing is incomplete at the moment.
    """

    def __init__(
        self,
        platform: GrandChallenge,
        journal: ReadOnlyJournal,
        routes: Sequence[Route],
        contents: ContentCheck | None,
        progress: Progress,
    ) -> None:
        # Without a valid token the lists would be empty, and every case would seem to be missing.
        platform.me()
        self._platform, self._journal, self._contents = platform, journal, contents
        self._progress = progress
        self.routes: dict[str, Place] = {r.name: (r.kind, r.target) for r in routes}
        self._listings: dict[Place, PlatformListing | None] = {}
        for kind, slug in self.routes.values():
            self._listed(kind, slug)
        # Made by earlier rounds of cases: no column of the journal has them.
        self.earlier: set[str] = set()
        self._shared = journal.shared_submissions()
        self._owners: dict[str, list[KnownCase]] = {}

    @property
    def listings(self) -> list[PlatformListing]:
        """All targets that were listed."""
        return [each for each in self._listings.values() if each is not None]

    def compare(self, each: KnownCase) -> Iterator[Finding]:
        """Compare a case of one of the routes with what it became."""
        if not _has_earlier_job(each.case):
            for pk in each.made & self._shared | _earlier(each):
                self._owners.setdefault(pk, []).append(each)
        place = place_of(each.case, self.routes)
        if place is None:
            return
        listing = self._listed(*place)
        if listing is not None:
            yield from _case(each, listing, self._contents)
        elif each.made:
            yield each.finding("unclear", f"this token does not see {_shown(*place)} any more")

    def note_earlier(self, each: KnownCase) -> None:
        """Take what an earlier round of a case became for known."""
        self.earlier |= _earlier(each)

    def shared(self) -> Iterator[Finding]:
        """Yield, after all cases were compared, those that have the same job or item."""
        for pk, owners in self._owners.items():
            found = {each.case.key: each for each in owners}
            for each in map(known_case, self._journal.whole_cases_of(pk)):
                # The results of an earlier job may be delivered to several cases.
                if not _has_earlier_job(each.case):
                    found[each.case.key] = each
            if len(found) > 1:
                for each in found.values():
                    detail = "another case of the journal has the same job or item"
                    yield each.finding("doubled", detail)

    def _listed(self, kind: Kind, slug: str) -> PlatformListing | None:
        """Return what a target has; None if the token can't see it."""
        if (kind, slug) not in self._listings:
            self._progress(_shown(kind, slug), 0)
            found = _list(kind, slug, self._platform)
            self._listings[kind, slug] = (
                None if found is None else PlatformListing(kind, slug, found, self._platform)
            )
        return self._listings[kind, slug]


def _earlier(each: KnownCase) -> frozenset[str]:
    """Return the jobs and items of the earlier rounds of a case."""
    return each.made - {each.case.submission.pk if each.case.submission else ""}


def _has_earlier_job(case: Case) -> bool:
    return any(reason.code == "earlier_job" for reason in case.warnings)


def _shown(kind: Kind, slug: str) -> str:
    return f"{KIND_NAMES[kind].noun} {slug}"


def _list(kind: Kind, slug: str, platform: GrandChallenge) -> dict[str, Found] | None:
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
    each: KnownCase, place: PlatformListing, contents: ContentCheck | None
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


def _of(pk: str, place: PlatformListing) -> Found | None:
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
        return file_name(value.file or "") in names
    # The upload session proved which image was made of what was sent; the journal has it.
    image = item.image or each.case.images.get(item.socket, "")
    return value.image is not None and (not image or pk_of(value.image) == pk_of(image))


def file_name(url: str) -> str:
    """Return the name of the file at an address."""
    return PurePosixPath(urlsplit(url).path).name
