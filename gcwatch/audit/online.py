"""The platform against the journal: each case there once, holding what was sent.

Each algorithm, reader study and archive is listed once, completely. What can't be told: whether
somebody ran the same values, or the same DICOM series uploaded anew, once more; such a job bears
nothing of the case's.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from gcwatch.audit.finding import Finding, Known, Progress
from gcwatch.cases import Input, Kind, Target
from gcwatch.errors import Refused
from gcwatch.grandchallenge import GrandChallenge, Holder, Item, Job, SocketValue, pk_of

_HOLDERS: Final[Mapping[Kind, Holder]] = {
    "reader_study": "reader-studies/display-sets",
    "archive": "archives/items",
}
_CALLED: Final[Mapping[Kind, str]] = {
    "algorithm": "job",
    "reader_study": "display set",
    "archive": "archive item",
}
_RANDOM: Final = re.compile("(?<![a-z0-9])[2-9a-hjkmnp-z]{8}(?![a-z0-9])")
"""What the random part of a key looks like in a title or file name."""

Found = Job | Item


@dataclass(frozen=True)
class _Place:
    """An algorithm, reader study or archive as it is now, and whose its contents are by pk."""

    target: Target
    found: Mapping[str, Found]
    known: frozenset[str]
    platform: GrandChallenge


def submissions(
    records: Sequence[Known], platform: GrandChallenge, progress: Progress
) -> Iterator[Finding]:
    """Given all cases, compare those that were delivered with what they became.

    Raises:
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        NotYet: when a listing can't be had completely.
    """
    platform.me()
    yield from _shared(records)
    known = frozenset(pk for each in records for pk in each.made)
    for target, some in _by_target(records).items():
        progress(_shown(target), 0)
        found = _listed(target, platform)
        if found is None:
            for each in some:
                yield each.finding("unclear", f"this token does not see {_shown(target)} any more")
            continue
        place = _Place(target, found, known, platform)
        for count, each in enumerate(some):
            progress(_shown(target), count)
            yield from _case(each, place)
        yield from _doubled(some, place)


def _shared(records: Sequence[Known]) -> Iterator[Finding]:
    count = Counter(pk for each in records for pk in each.made)
    for each in records:
        if any(count[pk] > 1 for pk in each.made):
            yield each.finding("doubled", "another case of the journal became the same as this one")


def _by_target(records: Sequence[Known]) -> dict[Target, list[Known]]:
    """Return the delivered cases of each place; what is under way, failed or withdrawn may lack."""
    found: dict[tuple[Kind, str], tuple[Target, list[Known]]] = {}
    for each in records:
        target = each.case.target
        if target is not None and each.case.ending == "delivered":
            found.setdefault((target.kind, target.pk), (target, []))[1].append(each)
    return dict(found.values())


def _shown(target: Target) -> str:
    return f"{target.kind.replace('_', ' ')} {target.slug}"


def _listed(target: Target, platform: GrandChallenge) -> dict[str, Found] | None:
    """Return all that a place holds, by pk; None if it can't be seen, as then all would be gone."""
    if target.kind == "algorithm":
        if platform.algorithm(target.slug) is None:
            return None
        return {job.pk: job for job in platform.jobs(target.pk)}
    look_up = platform.archive if target.kind == "archive" else platform.reader_study
    if look_up(target.slug) is None:
        return None
    return {item.pk: item for item in platform.items(_HOLDERS[target.kind], target.pk)}


# --- what a case became --------------------------------------------------------------------------


def _case(each: Known, place: _Place) -> Iterator[Finding]:
    assert each.case.submission is not None, "what is delivered was submitted"
    what = _CALLED[place.target.kind]
    found = _of(each.case.submission.pk, place)
    if found is None:
        yield each.finding("missing", f"the platform does not have its {what} (any more)")
        return
    if isinstance(found, Job):
        yield from _job(each, found)
        held = found.inputs
    else:
        yield from _title(each, found, what)
        held = found.values
    yield from _held(each, {value.socket.slug: value for value in held}, what)


def _of(pk: str, place: _Place) -> Found | None:
    """Return a job or item; one that the listing lacks is asked for by itself."""
    if pk in place.found:
        return place.found[pk]
    try:
        if place.target.kind == "algorithm":
            return place.platform.job(pk)
        return place.platform.item(_HOLDERS[place.target.kind], pk)
    except Refused as error:
        if error.status == 404:
            return None
        raise


def _job(each: Known, job: Job) -> Iterator[Finding]:
    if job.status != "Succeeded":
        yield each.finding("different", f"its job is {job.status}, though its result is here")
    here = {(output.socket, output.pk) for output in each.case.outputs or ()}
    if here != {(value.socket.slug, value.pk) for value in job.outputs}:
        yield each.finding("different", "its job has other outputs than those that are here")


def _title(each: Known, item: Item, what: str) -> Iterator[Finding]:
    title = each.case.target.title if each.case.target else ""
    if item.title != title:
        yield each.finding("different", f"its {what} is called {item.title!r}, not {title!r}")


def _held(each: Known, held: Mapping[str, SocketValue], what: str) -> Iterator[Finding]:
    for item in each.case.inputs or ():
        value = held.get(item.socket)
        if value is None:
            yield each.finding("half there", f"its {what} holds nothing in {item.socket}")
        elif not _is_as_sent(item, value, each):
            detail = f"its {what} does not hold in {item.socket} what was sent"
            yield each.finding("different", detail)


def _is_as_sent(item: Input, value: SocketValue, each: Known) -> bool:
    if item.carrier == "value" and not item.image:
        return bool(value.value == item.value)
    if item.carrier == "file":
        names = {upload.filename for upload in each.case.uploads if upload.socket == item.socket}
        return _name(value.file or "") in names
    # Which image became of what was sent was proved by its session, and is on record.
    image = item.image or each.case.images.get(item.socket, "")
    return value.image is not None and (not image or pk_of(value.image) == pk_of(image))


def _name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


# --- what nobody knows ---------------------------------------------------------------------------


def _doubled(some: Sequence[Known], place: _Place) -> Iterator[Finding]:
    """Look among what is no case's for what bears a case's title, file or image."""
    what = _CALLED[place.target.kind]
    ids = {each.case.key.rpartition("-")[2]: each for each in some}
    titles = {each.case.target.title: each for each in some if each.case.target}
    images = {pk_of(url): each for each in some for url in _own_images(each)}
    titles.pop("", None)
    for pk, found in place.found.items():
        if pk in place.known:
            continue
        values = found.inputs if isinstance(found, Job) else found.values
        title = "" if isinstance(found, Job) else found.title
        owner = titles.get(title) or _named([title, *_names(values, place)], ids)
        if owner is None and isinstance(found, Job):
            owner = next((images[i] for i in _images(values) if i in images), None)
        if owner is not None:
            yield owner.finding("doubled", f"the platform has another {what} of it, {pk}")


def _own_images(each: Known) -> Iterator[str]:
    """Return the images that were made of what was uploaded for a case; they are its alone."""
    sent = {item.socket for item in each.case.inputs or () if item.is_uploaded}
    return (url for socket, url in each.case.images.items() if socket in sent)


def _images(values: Iterable[SocketValue]) -> list[str]:
    return [pk_of(value.image) for value in values if value.image]


def _names(values: Iterable[SocketValue], place: _Place) -> Iterator[str]:
    """Return the names of files and images, which begin with the case's key."""
    for value in values:
        if value.file:
            yield _name(value.file)
        elif value.image and place.target.kind == "algorithm":
            yield _image_name(value.image, place.platform)


def _image_name(url: str, platform: GrandChallenge) -> str:
    try:
        return platform.image(url).name
    except Refused as error:
        if error.status in {403, 404}:
            return ""
        raise


def _named(texts: Iterable[str], ids: Mapping[str, Known]) -> Known | None:
    parts = (part for text in texts for part in _RANDOM.findall(text))
    return next((ids[part] for part in parts if part in ids), None)
