"""The users' rights: who may see, change and run what (platform 2.5)."""

from collections.abc import Iterator

from gcwatch.sandbox.content.catalogue import Algorithm, Archive, ReaderStudy
from gcwatch.sandbox.model import Answer, Case, Image, PlatformState, StoredFile, User, Value

Resource = Algorithm | ReaderStudy | Archive


def can_view(state: PlatformState, user: User | None, owned: Resource) -> bool:
    """Return whether a user may see a resource and the cases in it."""
    public = isinstance(owned, Archive) and owned.public
    return user is not None and (public or _has_right(state, user, owned, owned.viewers))


def can_change(state: PlatformState, user: User | None, owned: ReaderStudy | Archive) -> bool:
    """Return whether a user may add cases to a resource and change its cases."""
    return user is not None and _has_right(state, user, owned, owned.changers)


def can_execute(state: PlatformState, user: User | None, algorithm: Algorithm) -> bool:
    """Return whether a user may run an algorithm."""
    return user is not None and _has_right(state, user, algorithm, algorithm.executors)


def _has_right(state: PlatformState, user: User, owned: Resource, names: frozenset[str]) -> bool:
    return user.username in names and (owned.slug, user.username) not in state.revoked


def all_cases(state: PlatformState) -> Iterator[Case]:
    """Return all display sets and archive items."""
    yield from state.display_sets.values()
    yield from state.items.values()


def all_values(state: PlatformState) -> Iterator[Value]:
    """Return the values of all jobs and cases."""
    for job in state.jobs.values():
        yield from job.inputs
        yield from job.outputs
    for case in all_cases(state):
        yield from case.values.values()


def visible_values(state: PlatformState, user: User | None) -> Iterator[Value]:
    """Return the values of the jobs and cases that a user sees; only its creator sees a job."""
    for job in state.jobs.values():
        if job.creator is user:
            yield from job.inputs
            yield from job.outputs
    for case in all_cases(state):
        if can_view(state, user, case.parent):
            yield from case.values.values()


def visible_answers(state: PlatformState, user: User | None) -> Iterator[Answer]:
    """Return the answers that a user sees, by their creation: own ones, and those in own studies.

    Ground truth is seen by editors only (platform 14.5).
    """
    for answer in state.answers.values():
        own = answer.creator is user and not answer.is_ground_truth
        if own or can_change(state, user, answer.case.parent):
            yield answer


def visible_images(state: PlatformState, user: User | None) -> dict[str, Image]:
    """Return the images in the values that a user sees, by pk."""
    held = [each.image for each in visible_values(state, user)]
    masks = [each.image for each in visible_answers(state, user)]
    return {each.pk: each for each in (*held, *masks) if each}


def can_read_file(state: PlatformState, user: User | None, stored: StoredFile) -> bool:
    """Return whether a user may read a file."""
    if any(each.image and stored is each.image.file for each in visible_answers(state, user)):
        return True
    return any(
        stored is each.file or (each.image is not None and stored is each.image.file)
        for each in visible_values(state, user)
    )
