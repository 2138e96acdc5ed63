"""Who sees what, and who may change it (platform 2.5)."""

from collections.abc import Iterator

from gcwatch.sandbox.content.catalogue import Algorithm, Archive, ReaderStudy
from gcwatch.sandbox.model import Case, Image, PlatformState, StoredFile, User, Value

Resource = Algorithm | ReaderStudy | Archive


def can_view(state: PlatformState, user: User | None, owned: Resource) -> bool:
    """Whether a user sees this, and what is in it."""
    public = isinstance(owned, Archive) and owned.public
    return user is not None and (public or _has_right(state, user, owned, owned.viewers))


def can_change(state: PlatformState, user: User | None, owned: ReaderStudy | Archive) -> bool:
    """Whether a user may add cases to this, and change those that are there."""
    return user is not None and _has_right(state, user, owned, owned.changers)


def can_execute(state: PlatformState, user: User | None, algorithm: Algorithm) -> bool:
    """Whether a user may run an algorithm."""
    return user is not None and _has_right(state, user, algorithm, algorithm.executors)


def _has_right(state: PlatformState, user: User, owned: Resource, names: frozenset[str]) -> bool:
    return user.username in names and (owned.slug, user.username) not in state.revoked


def all_cases(state: PlatformState) -> Iterator[Case]:
    """All display sets and archive items."""
    yield from state.display_sets.values()
    yield from state.items.values()


def all_values(state: PlatformState) -> Iterator[Value]:
    """The values that anything holds."""
    for job in state.jobs.values():
        yield from job.inputs
        yield from job.outputs
    for case in all_cases(state):
        yield from case.values.values()


def visible_values(state: PlatformState, user: User | None) -> Iterator[Value]:
    """The values that are held by what a user sees; a job is its creator's alone (platform 2.5)."""
    for job in state.jobs.values():
        if job.creator is user:
            yield from job.inputs
            yield from job.outputs
    for case in all_cases(state):
        if can_view(state, user, case.parent):
            yield from case.values.values()


def visible_images(state: PlatformState, user: User | None) -> dict[str, Image]:
    """The images that a user sees, by pk: those that something holds which the user sees."""
    return {each.image.pk: each.image for each in visible_values(state, user) if each.image}


def can_read_file(state: PlatformState, user: User | None, stored: StoredFile) -> bool:
    """Whether a user may read a file."""
    return any(
        stored is each.file or (each.image is not None and stored is each.image.file)
        for each in visible_values(state, user)
    )
