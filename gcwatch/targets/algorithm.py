"""The target `algorithm`: a case becomes exactly one job (platform 7, 9 and 10.4).

If an input is an image, gcwatch creates an upload session before the job. The platform accepts a
session only once, and its status tells whether a call with a lost reply created the job. Without
a session, gcwatch searches the algorithm's jobs for its own before it calls again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Target
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import CannotSend, NotYet, Refused, Unreachable, UploadsGone
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.outbox import outputs
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Algorithm, Interface, Job, UploadSession, pk_of
from gcwatch.targets import locating, sending, sockets
from gcwatch.targets.context import HOUR_SECONDS, DroppedFolder, Inspection, TargetContext
from gcwatch.targets.earlier_jobs import use_earlier_job
from gcwatch.targets.sending import IMPORT_LIMIT_SECONDS

MAX_JOBS: Final = 16
"""Jobs at a time that the platform allows an account."""
HELD_SECONDS: Final = 30.0
"""Time until the next try while that many jobs are running."""
JOB_LIMIT_SECONDS: Final = 54 * HOUR_SECONDS
"""A job that runs longer is reported as stalled."""


# --- planning: sockets to files ------------------------------------------------------------------


def find_algorithm(platform: GrandChallenge, slug: str) -> Algorithm:
    """Given a slug, return the algorithm; raise NotYet (`not_found`) if we can't see it."""
    algorithm = platform.algorithm(slug)
    if algorithm is None:
        raise NotYet(Reason("not_found", {"what": "Algorithm", "slug": slug}), HOUR_SECONDS)
    return algorithm


def fitting_interfaces(algorithm: Algorithm, route: Route) -> list[Interface]:
    """Given an algorithm and a route, return the interfaces that the route's sockets can fill.

    For a route without `inputs` this is the interface with one image and nothing else; an item of
    an archive may fill any.

    Raises:
        CannotSend: when there is none, or when a socket of the route is in none of them.
    """
    if route.inputs is None and route.source:
        return [*algorithm.interfaces]
    if route.inputs is None:
        fitting = [each for each in algorithm.interfaces if _is_one_image(each)][:1]
        useful: set[str] = set()
    else:
        fitting = [
            each for each in algorithm.interfaces if _socket_slugs(each) <= set(route.inputs)
        ]
        useful = set().union(*map(_socket_slugs, fitting))
    if not fitting or useful != set(route.inputs or ()):
        wanted = ", ".join(sorted(route.inputs)) if route.inputs else "one image"
        takes = _format_interfaces(algorithm.interfaces)
        facts = {"algorithm": algorithm.slug, "sockets": wanted, "takes": takes}
        raise CannotSend(Reason("mismatched_inputs", facts))
    return fitting


def _is_one_image(interface: Interface) -> bool:
    return [socket.super_kind for socket in interface.inputs] == ["Image"]


def _socket_slugs(interface: Interface) -> set[str]:
    return {socket.slug for socket in interface.inputs}


def _format_interfaces(given: Iterable[Interface]) -> str:
    return " or ".join("{" + ", ".join(sorted(_socket_slugs(each))) + "}" for each in given)


def choose_interface(
    fitting: Sequence[Interface], route: Route, dropped: DroppedFolder
) -> Interface:
    """Given the interfaces that a route can fill, return the one for the files in the folder.

    Raises:
        CannotSend: when no interface has exactly the sockets for which the folder has files.
    """
    if len(fitting) == 1:
        return fitting[0]
    wanted = {socket.slug: socket for each in fitting for socket in each.inputs}
    present = {
        slug
        for slug, socket in wanted.items()
        if sockets.source_is_present(sockets.source_of(route, socket), dropped)
    }
    for interface in fitting:
        if _socket_slugs(interface) == present:
            return interface
    if route.source:
        raise sockets.lacking_error(dropped, _format_interfaces(fitting))
    facts = {
        "present": ", ".join(sorted(present)) or "nothing",
        "takes": _format_interfaces(fitting),
    }
    raise CannotSend(Reason("mismatched_files", facts))


def _explain_choice(chosen: Interface, fitting: Sequence[Interface]) -> str:
    if len(fitting) == 1:
        return ""
    return f"{_format_interfaces([chosen])} of {_format_interfaces(fitting)}, by the files present"


@dataclass(frozen=True)
class AlgorithmTarget:
    """The operations for cases that become jobs; see `TargetOperations`."""

    def inspect(self, platform: GrandChallenge, route: Route) -> Inspection:
        """Return the title of a route's algorithm, its sockets, and a missing right."""
        algorithm = find_algorithm(platform, route.target)
        asked = {s.slug: s for each in fitting_interfaces(algorithm, route) for s in each.inputs}
        target = Target(algorithm.pk, algorithm.api_url, algorithm.slug)
        right = (
            None
            if platform.may_run(algorithm.api_url)
            else sending.no_rights_reason("algorithm", target.slug)
        )
        return Inspection(algorithm.title, tuple(asked.values()), right)

    def plan(self, context: TargetContext, dropped: DroppedFolder) -> events.Planned:
        """Match the folder's files to the sockets of one interface."""
        algorithm = find_algorithm(context.platform, context.route.target)
        fitting = fitting_interfaces(algorithm, context.route)
        interface = choose_interface(fitting, context.route, dropped)
        inputs = tuple(
            sockets.fill_socket(socket, dropped, context)
            for socket in sorted(interface.inputs, key=lambda socket: socket.slug)
        )
        target = Target(algorithm.pk, algorithm.api_url, algorithm.slug, algorithm.average_duration)
        return events.Planned(inputs, target, _explain_choice(interface, fitting))

    def submit(self, case: Case, context: TargetContext) -> StepEvents:
        """Create the job, or find the one that an earlier attempt created."""
        yield from _submit_job(case, context)

    def poll(self, case: Case, context: TargetContext) -> StepEvents:
        """Ask once for the status of the job."""
        yield from _poll_job(case, context)


TARGET: Final = AlgorithmTarget()


# --- submitting: exactly one job -----------------------------------------------------------------


def _submit_job(case: Case, context: TargetContext) -> StepEvents:
    if case.attempt is None and sending.uploads_are_old(case, context.clock()):
        raise UploadsGone
    if case.attempt is not None:
        found = yield from locating.settle_attempt(case, case.attempt, context)
        if found:
            return
    if context.active() >= MAX_JOBS:
        raise NotYet(Reason("too_many_jobs", {"limit": MAX_JOBS}), HELD_SECONDS)
    case = yield from sending.create_sessions(case, context.platform)
    yield from _post_job(case, context)


def _post_job(case: Case, context: TargetContext) -> StepEvents:
    """Create the job by one call; the attempt is in the journal before."""
    target = sending.target_of(case)
    in_doubt = case.attempt is not None
    case = yield events.SubmissionAttempted(_jobs_before(case, context), uptime=context.uptime())
    inputs = [sending.input_body(case, item) for item in case.inputs or ()]
    try:
        job = context.platform.create_job(target.api_url, inputs)
    except Refused as error:
        if error.says("A result for these inputs"):
            yield from use_earlier_job(case, context, in_doubt=in_doubt)
        else:
            yield _interpret_refusal(error, case, context, in_doubt=in_doubt)
    except Unreachable as error:
        yield events.AttemptFailed(error.reason, undone=not error.doubt and not in_doubt)
    else:
        if context.knows(job.pk):  # an old answer to a new call: whose job it is, is not certain
            yield events.Rejected(sending.known_reason("job", job.pk))
            return
        yield locating.submitted_event(job.pk, target, context)


def _jobs_before(case: Case, context: TargetContext) -> int | None:
    """Return how many jobs we had before the first attempt; None if sessions identify the job."""
    if any(case.sessions.values()):
        return None
    if case.attempt is not None and case.attempt.jobs is not None:
        # The earlier attempt may have created a job since the last search: keep its count.
        return case.attempt.jobs
    return context.platform.count_jobs(sending.target_of(case).pk)


def _interpret_refusal(
    error: Refused, case: Case, context: TargetContext, *, in_doubt: bool
) -> Event:
    """Given the refusal of a job, return the event that follows (platform 7.2 and 11.1)."""
    target = sending.target_of(case)
    slug: dict[str, Any] = {"algorithm": target.slug}
    if error.says("too many active jobs"):
        reason = Reason("too_many_jobs", {"limit": MAX_JOBS})
        return events.Postponed(reason, wait=60, undone=True)
    if error.says("run out of algorithm credits"):
        return events.Postponed(Reason("no_credits", slug), wait=6 * HOUR_SECONDS, undone=True)
    if error.says("image is not ready"):
        return events.Postponed(Reason("not_ready", slug), wait=HOUR_SECONDS / 2, undone=True)
    if error.says("does not match any of the"):
        facts = {**slug, "sockets": "that were sent", "takes": sending.refusal_text(error)}
        return events.Rejected(Reason("mismatched_inputs", facts))
    if error.says("Object does not exist"):
        if _all_uploads_exist(case, context):  # so the algorithm is what we may not use
            return events.Postponed(
                sending.no_rights_reason("algorithm", target.slug),
                wait=HOUR_SECONDS,
                undone=not in_doubt,
            )
        # Either the earlier call used the inputs, which the next try finds out, or they expired.
        if in_doubt:
            return events.Postponed(Reason("importing", {"status": "used"}), wait=15)
        return events.UploadsExpired()
    return events.Rejected(sending.refused_reason(error))


def _all_uploads_exist(case: Case, context: TargetContext) -> bool:
    """Whether all uploads and sessions of a job exist and are unused."""
    found = sending.fetch_sessions(case, context.platform).values()
    return all(session.status == "Queued" for session in found) and all(
        sending.uploads_exist(case, item, context.platform)
        for item in sending.uploaded_inputs(case)
    )


# --- polling -------------------------------------------------------------------------------------


def _poll_job(case: Case, context: TargetContext) -> StepEvents:
    submission = sending.submission_of(case)
    try:
        job = context.platform.job(submission.pk)
    except Refused as error:
        if error.status != 404:
            raise
        raise CannotSend(Reason("job_lost", {"problem": "the platform answers 404"})) from error
    if job.status == "Succeeded":
        yield from _finish_job(case, job, context)
    elif job.status == "Cancelled":
        yield events.Rejected(_cancelled_reason(case, job, context))
    elif job.status == "Failed":
        yield events.Rejected(_job_failed_reason(submission.url, job.status))
    else:
        age = context.clock() - submission.submitted
        limit = IMPORT_LIMIT_SECONDS if job.status == "Validating inputs" else JOB_LIMIT_SECONDS
        yield events.StillRunning(job.status, stalled=age > limit)


def _finish_job(case: Case, job: Job, context: TargetContext) -> StepEvents:
    images = {value.socket.slug: value.image for value in job.inputs if value.image}
    states = sending.fetch_sessions(case, context.platform)
    if other := _other_image(case, images, states, context) or _other_content(case, job):
        yield events.Rejected(other)
        return
    for event in sending.import_events(case, states, images, context):
        case = yield event
    if case.failure is not None:
        return
    if lacking := _lacking_outputs(job):
        yield events.WarningFound(lacking)
    held = [
        value for value in job.outputs if value.socket.super_kind == "Value" or not value.is_empty
    ]
    yield events.Succeeded(tuple(map(outputs.output_of, held)), images)


def _lacking_outputs(job: Job) -> Reason | None:
    """Return a reason if a job succeeded with less than people expect of it."""
    if not job.outputs:
        return Reason("no_outputs", {"url": job.url})
    empty = sorted(value.socket.slug for value in job.outputs if value.is_empty)
    if empty:
        return Reason("empty_outputs", {"sockets": ", ".join(empty), "count": len(empty)})
    return None


def _other_image(
    case: Case,
    held: Mapping[str, str],
    sessions: Mapping[str, UploadSession],
    context: TargetContext,
) -> Reason | None:
    """Return a reason if an input of a job holds another image than the one that was sent."""
    for item in case.inputs or ():
        found = pk_of(held.get(item.socket, ""))
        wanted = [item.image] if item.image else []
        if item.socket in sessions:
            wanted = [*sessions[item.socket].image_set]
        elif item.carrier == "dicom" and not item.image:
            name = context.platform.image(held[item.socket]).name if found else ""
            wanted = [found] if name == sending.image_name(case, item) else ["another"]
        if wanted and found not in map(pk_of, wanted):
            facts = {"what": f"input {item.socket} of the job", "found": found}
            return Reason("other_object", {**facts, "wanted": pk_of(wanted[0])})
    return None


def _other_content(case: Case, job: Job) -> Reason | None:
    """Return a reason if an input of a job has another value or file than the one that was sent."""
    held = {value.socket.slug: value for value in job.inputs}
    for item in case.inputs or ():
        if item.carrier in {"value", "file"} and not sending.has_our_content(
            item, held.get(item.socket), case
        ):
            what = f"input {item.socket} of the job"
            facts = {"what": what, "found": "another content", "wanted": "what was sent"}
            return Reason("other_object", facts)
    return None


def _cancelled_reason(case: Case, job: Job, context: TargetContext) -> Reason:
    """Return why a job was cancelled: the error of its failed session, if any (platform 7.7)."""
    for session in sending.fetch_sessions(case, context.platform).values():
        if session.status == "Failed":
            return sending.import_failed_reason(session)
    return _job_failed_reason(sending.submission_of(case).url, job.status)


def _job_failed_reason(url: str, status: str) -> Reason:
    return Reason("job_failed", {"status": status, "url": url})
