"""Who sees what, and who may change it (platform 2.5)."""

from collections.abc import Iterator

from gcwatch.sandbox.content.catalogue import Algorithm, Archive, ReaderStudy
from gcwatch.sandbox.model import Case, Image, PlatformState, Stored, User, Value

Owned = Algorithm | ReaderStudy | Archive


def sees(world: PlatformState, user: User | None, owned: Owned) -> bool:
    """Whether a user sees this, and what is in it."""
    public = isinstance(owned, Archive) and owned.public
    return user is not None and (public or _is_among(world, user, owned, owned.viewers))


def changes(world: PlatformState, user: User | None, owned: ReaderStudy | Archive) -> bool:
    """Whether a user may add cases to this, and change those that are there."""
    return user is not None and _is_among(world, user, owned, owned.changers)


def executes(world: PlatformState, user: User | None, algorithm: Algorithm) -> bool:
    """Whether a user may run an algorithm."""
    return user is not None and _is_among(world, user, algorithm, algorithm.executors)


def _is_among(world: PlatformState, user: User, owned: Owned, names: frozenset[str]) -> bool:
    return user.username in names and (owned.slug, user.username) not in world.revoked


def all_cases(world: PlatformState) -> Iterator[Case]:
    """All display sets and archive items."""
    yield from world.display_sets.values()
    yield from world.items.values()


def all_values(world: PlatformState) -> Iterator[Value]:
    """The values that anything holds."""
    for job in world.jobs.values():
        yield from job.inputs
        yield from job.outputs
    for case in all_cases(world):
        yield from case.values.values()


def seen_values(world: PlatformState, user: User | None) -> Iterator[Value]:
    """The values that are held by what a user sees; a job is its creator's alone (platform 2.5)."""
    for job in world.jobs.values():
        if job.creator is user:
            yield from job.inputs
            yield from job.outputs
    for case in all_cases(world):
        if sees(world, user, case.parent):
            yield from case.values.values()


def seen_images(world: PlatformState, user: User | None) -> dict[str, Image]:
    """The images that a user sees, by pk: those that something holds which the user sees."""
    return {each.image.pk: each.image for each in seen_values(world, user) if each.image}


def may_read(world: PlatformState, user: User | None, stored: Stored) -> bool:
    """Whether a user may read a file."""
    return any(
        stored is each.file or (each.image is not None and stored is each.image.stored)
        for each in seen_values(world, user)
    )
