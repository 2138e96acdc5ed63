"""The target `algorithm`: a case becomes exactly one job (platform 7, 9 and 10.4).

Where an input is an image, the upload session made before the job is a one-time token: the
platform accepts it once, and its status tells whether a lost reply had an effect. Without one
there is no token; then the jobs of the algorithm are searched for ours before asking again.
"""

from collections.abc import Iterable, Sequence
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
from gcwatch.platform.models import Algorithm, Interface, Job
from gcwatch.targets import locating, sending, sockets
from gcwatch.targets.context import HOUR, DroppedFolder, Inspection, TargetContext
from gcwatch.targets.sending import IMPORT_LIMIT

MOST_JOBS: Final = 16
HELD_SECONDS: Final = 30.0
JOB_LIMIT: Final = 54 * HOUR


# --- planning: sockets to files ------------------------------------------------------------------


def look_up(platform: GrandChallenge, slug: str) -> Algorithm:
    """Given a slug, return the algorithm; raise NotYet if this token can't see it."""
    algorithm = platform.algorithm(slug)
    if algorithm is None:
        raise NotYet(Reason("not_found", {"what": "Algorithm", "slug": slug}), HOUR)
    return algorithm


def interfaces(algorithm: Algorithm, route: Route) -> list[Interface]:
    """Given an algorithm, return the interfaces that the route's sockets can make up.

    Without `inputs` the route means the interface that takes one image and nothing else.

    Raises:
        CannotSend: when there is none, or when no interface has use for one of the sockets.
    """
    if route.inputs is None:
        fitting = [each for each in algorithm.interfaces if _is_one_image(each)][:1]
        useful: set[str] = set()
    else:
        fitting = [each for each in algorithm.interfaces if _slugs(each) <= set(route.inputs)]
        useful = set().union(*map(_slugs, fitting))
    if not fitting or useful != set(route.inputs or ()):
        wanted = ", ".join(sorted(route.inputs)) if route.inputs else "one image"
        takes = _shown(algorithm.interfaces)
        facts = {"algorithm": algorithm.slug, "sockets": wanted, "takes": takes}
        raise CannotSend(Reason("mismatched_inputs", facts))
    return fitting


def _is_one_image(interface: Interface) -> bool:
    return [socket.super_kind for socket in interface.inputs] == ["Image"]


def _slugs(interface: Interface) -> set[str]:
    return {socket.slug for socket in interface.inputs}


def _shown(given: Iterable[Interface]) -> str:
    return " or ".join("{" + ", ".join(sorted(_slugs(each))) + "}" for each in given)


def choose(fitting: Sequence[Interface], route: Route, dropped: DroppedFolder) -> Interface:
    """Given the interfaces that a route can make up, return the one for the files present.

    Raises:
        CannotSend: when the folder holds something for other sockets than any of them takes.
    """
    if len(fitting) == 1:
        return fitting[0]
    named = route.inputs or {}
    present = {slug for slug, source in named.items() if sockets.is_there(source, dropped)}
    for interface in fitting:
        if _slugs(interface) == present:
            return interface
    facts = {"present": ", ".join(sorted(present)) or "nothing", "takes": _shown(fitting)}
    raise CannotSend(Reason("mismatched_files", facts))


def _why(chosen: Interface, fitting: Sequence[Interface]) -> str:
    if len(fitting) == 1:
        return ""
    return f"{_shown([chosen])} of {_shown(fitting)}, by the files present"


@dataclass(frozen=True)
class AlgorithmTarget:
    """The three steps of a case that becomes a job; see `targets.Target`."""

    def inspect(self, platform: GrandChallenge, route: Route) -> Inspection:
        """Return what a route's algorithm is, what it asks for, and a missing right."""
        algorithm = look_up(platform, route.target)
        asked = {s.slug: s for each in interfaces(algorithm, route) for s in each.inputs}
        target = Target(algorithm.pk, algorithm.api_url, algorithm.slug)
        right = (
            None
            if platform.may_run(algorithm.api_url)
            else sending.no_rights("algorithm", target.slug)
        )
        return Inspection(algorithm.title, tuple(asked.values()), right)

    def plan(self, context: TargetContext, dropped: DroppedFolder) -> events.Planned:
        """Match the folder's files to the sockets of one interface."""
        algorithm = look_up(context.platform, context.route.target)
        fitting = interfaces(algorithm, context.route)
        interface = choose(fitting, context.route, dropped)
        inputs = tuple(
            sockets.fill(socket, dropped, context)
            for socket in sorted(interface.inputs, key=lambda socket: socket.slug)
        )
        target = Target(algorithm.pk, algorithm.api_url, algorithm.slug, algorithm.average_duration)
        return events.Planned(inputs, target, _why(interface, fitting))

    def submit(self, case: Case, context: TargetContext) -> StepEvents:
        """Make the one job, or find the one that was made."""
        yield from _submit(case, context)

    def poll(self, case: Case, context: TargetContext) -> StepEvents:
        """Ask once what has become of the job."""
        yield from _poll(case, context)


TARGET: Final = AlgorithmTarget()


# --- submitting: exactly one job -----------------------------------------------------------------


def _submit(case: Case, context: TargetContext) -> StepEvents:
    if case.attempt is None and sending.are_old(case, context.clock()):
        raise UploadsGone
    if case.attempt is not None:
        found = yield from locating.look(case, case.attempt, context)
        if found:
            return
    if context.active() >= MOST_JOBS:
        raise NotYet(Reason("too_many_jobs", {"limit": MOST_JOBS}), HELD_SECONDS)
    case = yield from sending.prepare(case, context.platform)
    yield from _post(case, context)


def _post(case: Case, context: TargetContext) -> StepEvents:
    """Ask for the job, once, with the intention on record."""
    target = sending.target_of(case)
    in_doubt = case.attempt is not None
    case = yield events.SubmissionAttempted(_jobs_before(case, context))
    inputs = [sending.body(case, item) for item in case.inputs or ()]
    try:
        job = context.platform.create_job(target.api_url, inputs)
    except Refused as error:
        yield _refusal(error, case, context, in_doubt=in_doubt)
    except Unreachable as error:
        yield events.AttemptFailed(error.reason, undone=not error.doubt and not in_doubt)
    else:
        yield locating.submitted(job.pk, target, context)


def _jobs_before(case: Case, context: TargetContext) -> int | None:
    """Return how many jobs stood before the first attempt, where only a search can find ours.

    An attempt in doubt may have come true since it was last looked for, so it keeps its count.
    """
    if any(case.sessions.values()):
        return None
    if case.attempt is not None and case.attempt.jobs is not None:
        return case.attempt.jobs
    return context.platform.count_jobs(sending.target_of(case).pk)


def _refusal(error: Refused, case: Case, context: TargetContext, *, in_doubt: bool) -> Event:
    """Given why a job was refused, return what that means (platform 7.2 and 11.1)."""
    target = sending.target_of(case)
    slug: dict[str, Any] = {"algorithm": target.slug}
    if error.says("too many active jobs"):
        reason = Reason("too_many_jobs", {"limit": MOST_JOBS})
        return events.Postponed(reason, wait=60, undone=True)
    if error.says("run out of algorithm credits"):
        return events.Postponed(Reason("no_credits", slug), wait=6 * HOUR, undone=True)
    if error.says("image is not ready"):
        return events.Postponed(Reason("not_ready", slug), wait=HOUR / 2, undone=True)
    if error.says("A result for these inputs"):
        job = locating.unknown_job(case, context) if in_doubt else None
        if job is not None:
            return locating.submitted(job.pk, target, context)
        return events.Rejected(Reason("duplicate", slug))
    if error.says("does not match any of the algorithm's interfaces"):
        facts = {**slug, "sockets": "that were sent", "takes": sending.text(error)}
        return events.Rejected(Reason("mismatched_inputs", facts))
    if error.says("Object does not exist"):
        if _all_stand(case, context):  # so it is the algorithm that we may not use
            return events.Postponed(
                sending.no_rights("algorithm", target.slug), wait=HOUR, undone=not in_doubt
            )
        # Either the earlier call used the inputs after all, which the next look finds, or they
        # have expired.
        if in_doubt:
            return events.Postponed(Reason("importing", {"status": "used"}), wait=15)
        return events.UploadsExpired()
    return events.Rejected(sending.refused(error))


def _all_stand(case: Case, context: TargetContext) -> bool:
    """Whether everything that a job would use is there, unused."""
    found = sending.sessions(case, context.platform).values()
    return all(session.status == "Queued" for session in found) and all(
        sending.is_there(case, item, context.platform) for item in sending.uploaded(case)
    )


# --- following -----------------------------------------------------------------------------------


def _poll(case: Case, context: TargetContext) -> StepEvents:
    submission = sending.submission_of(case)
    try:
        job = context.platform.job(submission.pk)
    except Refused as error:
        if error.status != 404:
            raise
        raise CannotSend(Reason("job_lost", {"problem": "the platform denies it"})) from error
    if job.status == "Succeeded":
        yield from _succeeded(case, job, context)
    elif job.status == "Cancelled":
        yield events.Rejected(_why_cancelled(case, job, context))
    elif job.status == "Failed":
        yield events.Rejected(_job_failed(submission.url, job.status))
    else:
        age = context.clock() - submission.submitted
        limit = IMPORT_LIMIT if job.status == "Validating inputs" else JOB_LIMIT
        yield events.StillRunning(job.status, stalled=age > limit)


def _succeeded(case: Case, job: Job, context: TargetContext) -> StepEvents:
    for event in sending.leftovers(sending.sessions(case, context.platform), context):
        case = yield event
    if case.failure is None:
        images = {value.socket.slug: value.image for value in job.inputs if value.image}
        yield events.Succeeded(tuple(map(outputs.output_of, job.outputs)), images)


def _why_cancelled(case: Case, job: Job, context: TargetContext) -> Reason:
    """The reason stands in the upload session that failed, if any (platform 7.7)."""
    for session in sending.sessions(case, context.platform).values():
        if session.status == "Failed":
            return sending.import_failed(session)
    return _job_failed(sending.submission_of(case).url, job.status)


def _job_failed(url: str, status: str) -> Reason:
    return Reason("job_failed", {"status": status, "url": url})
