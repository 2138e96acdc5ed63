"""Creating a job: the platform's checks, in its order and with its messages (platform 3.8, 7.2)."""

from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import parse_hyperlink
from gcwatch.sandbox.api.socket_sources import DEAD_LINK, Errors, read_sources, start_source
from gcwatch.sandbox.content.catalogue import Algorithm, Interface
from gcwatch.sandbox.model import FINAL_STATUSES, Job, PlatformState, Source, User
from gcwatch.sandbox.server.reply import Refusal, json_refusal

CREDITS_PER_JOB = 20
_MONTH_SECONDS = 30 * 86_400.0


def create_job(state: PlatformState, user: User, data: dict[str, Any]) -> Job:
    """Check a job's POST and create the job; its sessions can't be used again (platform 7.2, 9.3).

    Raises:
        Refusal: 400, with the platform's body.
    """
    algorithm, sources = _read_fields(state, user, data)
    interface = _check_limits(state, user, algorithm, sources)
    _check_duplicates(state, algorithm, sources)
    job = Job(algorithm, interface, user, state.now(), sources)
    for source in sources:
        start_source(state, job, source)
    state.jobs[job.pk] = job
    return job


def _job_refusal(message: str) -> Refusal:
    return json_refusal(400, {"non_field_errors": [message]})


def _read_fields(
    state: PlatformState, user: User, data: dict[str, Any]
) -> tuple[Algorithm, list[Source]]:
    errors: Errors = {}
    algorithm = _find_algorithm(state, user, data, errors)
    sources: list[Source] = []
    if data.get("inputs") is None:
        errors["inputs"] = ["This field is required."]
    else:
        sources = read_sources(state, user, "inputs", data["inputs"], errors)
    if errors or algorithm is None:
        raise json_refusal(400, errors)
    return algorithm, sources


def _find_algorithm(
    state: PlatformState, user: User, data: dict[str, Any], errors: Errors
) -> Algorithm | None:
    if data.get("algorithm") is None:
        errors["algorithm"] = ["This field is required."]
        return None
    try:
        pk = parse_hyperlink(data["algorithm"], "algorithms/")
    except ValueError as error:
        errors["algorithm"] = [str(error)]
        return None
    for algorithm in state.catalogue.algorithms:
        if algorithm.pk == pk and permissions.can_execute(state, user, algorithm):
            return algorithm
    errors["algorithm"] = [DEAD_LINK]
    return None


def _check_limits(
    state: PlatformState, user: User, algorithm: Algorithm, sources: list[Source]
) -> Interface:
    if not (algorithm.ready and state.settings.images_ready):
        raise _job_refusal("Algorithm image is not ready to be used")
    mine = [job for job in state.jobs.values() if job.creator is user]
    recent = sum(job.created > state.now() - _MONTH_SECONDS for job in mine)
    if not algorithm.funded or (recent + 1) * CREDITS_PER_JOB > state.settings.credits:
        raise _job_refusal("You have run out of algorithm credits")
    if sum(job.status not in FINAL_STATUSES for job in mine) >= state.settings.active_jobs:
        raise _job_refusal(
            "You have too many active jobs, please try again after they have completed"
        )
    given = {source.socket.slug for source in sources}
    for interface in algorithm.interfaces:
        if {socket.slug for socket in interface.inputs} == given:
            return interface
    raise _job_refusal(
        "The set of inputs provided does not match any of the algorithm's interfaces. This "
        f"algorithm supports the following input combinations: {_format_combinations(algorithm)}"
    )


def _format_combinations(algorithm: Algorithm) -> str:
    return ", ".join(
        f"Interface {number}: {_format_inputs(interface)}"
        for number, interface in enumerate(algorithm.interfaces, 1)
    )


def _format_inputs(interface: Interface) -> str:
    names = [f"{socket.title} ({socket.kind})" for socket in interface.inputs]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _check_duplicates(state: PlatformState, algorithm: Algorithm, sources: list[Source]) -> None:
    """Refuse inputs that another job of the algorithm had, even a failed one (platform 7.6)."""
    if any(source.value is None for source in sources):
        return
    wanted = {id(source.value) for source in sources}
    for job in state.jobs.values():
        if job.algorithm is algorithm and {id(value) for value in job.inputs} == wanted:
            raise _job_refusal(
                "A result for these inputs with the current image and model already exists."
            )
