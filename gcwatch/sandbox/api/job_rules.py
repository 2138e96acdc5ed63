"""When a job may be created: the platform's checks, in its order and words (platform 3.8, 7.2)."""

from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import linked
from gcwatch.sandbox.api.socket_sources import DEAD_LINK, Errors, read_sources, start
from gcwatch.sandbox.content.catalogue import Algorithm, Interface
from gcwatch.sandbox.model import DONE, Job, PlatformState, Source, User
from gcwatch.sandbox.server.reply import Refusal, refuse

CREDITS_PER_JOB = 20
_MONTH = 30 * 86_400.0


def create_job(world: PlatformState, user: User, data: dict[str, Any]) -> Job:
    """Check a job's POST and create the job; a session named in it is used up (platform 7.2, 9.3).

    Raises:
        Refusal: 400, with the platform's body.
    """
    algorithm, sources = _fields(world, user, data)
    interface = _checked(world, user, algorithm, sources)
    _check_duplicates(world, algorithm, sources)
    job = Job(algorithm, interface, user, world.now(), sources)
    for source in sources:
        start(world, job, source)
    world.jobs[job.pk] = job
    return job


def _no(message: str) -> Refusal:
    return refuse(400, {"non_field_errors": [message]})


def _fields(
    world: PlatformState, user: User, data: dict[str, Any]
) -> tuple[Algorithm, list[Source]]:
    errors: Errors = {}
    algorithm = _algorithm(world, user, data, errors)
    sources: list[Source] = []
    if data.get("inputs") is None:
        errors["inputs"] = ["This field is required."]
    else:
        sources = read_sources(world, user, "inputs", data["inputs"], errors)
    if errors or algorithm is None:
        raise refuse(400, errors)
    return algorithm, sources


def _algorithm(
    world: PlatformState, user: User, data: dict[str, Any], errors: Errors
) -> Algorithm | None:
    if data.get("algorithm") is None:
        errors["algorithm"] = ["This field is required."]
        return None
    try:
        pk = linked(data["algorithm"], "algorithms/")
    except ValueError as error:
        errors["algorithm"] = [str(error)]
        return None
    for algorithm in world.catalogue.algorithms:
        if algorithm.pk == pk and permissions.executes(world, user, algorithm):
            return algorithm
    errors["algorithm"] = [DEAD_LINK]
    return None


def _checked(
    world: PlatformState, user: User, algorithm: Algorithm, sources: list[Source]
) -> Interface:
    if not (algorithm.ready and world.settings.images_ready):
        raise _no("Algorithm image is not ready to be used")
    mine = [job for job in world.jobs.values() if job.creator is user]
    recent = sum(job.created > world.now() - _MONTH for job in mine)
    if not algorithm.funded or (recent + 1) * CREDITS_PER_JOB > world.settings.credits:
        raise _no("You have run out of algorithm credits")
    if sum(job.status not in DONE for job in mine) >= world.settings.active_jobs:
        raise _no("You have too many active jobs, please try again after they have completed")
    given = {source.socket.slug for source in sources}
    for interface in algorithm.interfaces:
        if {socket.slug for socket in interface.inputs} == given:
            return interface
    raise _no(
        "The set of inputs provided does not match any of the algorithm's interfaces. "
        f"This algorithm supports the following input combinations: {_combinations(algorithm)}"
    )


def _combinations(algorithm: Algorithm) -> str:
    return ", ".join(
        f"Interface {number}: {_enumerated(interface)}"
        for number, interface in enumerate(algorithm.interfaces, 1)
    )


def _enumerated(interface: Interface) -> str:
    names = [f"{socket.title} ({socket.kind})" for socket in interface.inputs]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _check_duplicates(world: PlatformState, algorithm: Algorithm, sources: list[Source]) -> None:
    """Refuse equal existing images and values, even after a failed job (platform 7.6)."""
    if any(source.value is None for source in sources):
        return
    wanted = {id(source.value) for source in sources}
    for job in world.jobs.values():
        if job.algorithm is algorithm and {id(value) for value in job.inputs} == wanted:
            raise _no("A result for these inputs with the current image and model already exists.")
