"""Finds the job of an attempt whose reply was lost (platform 10.4)."""

from collections.abc import Generator, Iterable

from gcwatch.core import events
from gcwatch.core.case import Attempt, Case, Input, Target
from gcwatch.core.errors import CannotSend, NotYet, Refused, UploadsGone
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.platform.models import Job, SocketValue, UploadSession, pk_of
from gcwatch.targets import sending
from gcwatch.targets.context import TargetContext
from gcwatch.targets.sending import IMPORT_LIMIT_SECONDS


def submitted_event(pk: str, target: Target, context: TargetContext) -> events.Submitted:
    """Given a job's pk, return the event of its submission, with its page for people."""
    return events.Submitted(pk, sending.public_page(pk, target, context.platform))


def settle_attempt(
    case: Case, attempt: Attempt, context: TargetContext
) -> Generator[Event, Case, bool]:
    """Find out whether the attempt created a job; return True if the case's outcome is known.

    On False, no job was created and another attempt is safe.

    Raises:
        NotYet: while it is not certain.
        UploadsGone: when it is certain that no job was created, and the uploads have expired.
    """
    if any(case.sessions.values()):
        settled = yield from _settle_by_sessions(case, attempt, context)
    elif sending.session_inputs(case):
        settled = yield from _settle_by_uploads(case, attempt, context)
    else:
        settled = yield from _settle_by_jobs(case, attempt, context)
    return settled


def _settle_by_sessions(
    case: Case, attempt: Attempt, context: TargetContext
) -> Generator[Event, Case, bool]:
    """Settle by our upload sessions: if one is no longer Queued, a job exists (platform 10.4)."""
    sessions = [*sending.fetch_sessions(case, context.platform).values()]
    failed = next((session for session in sessions if session.status == "Failed"), None)
    if failed:
        yield events.Rejected(sending.import_failed_reason(failed))
        return True
    if all(session.status == "Queued" for session in sessions):
        if not all(session.uploads for session in sessions):
            raise UploadsGone
        sending.wait_out_doubt(attempt, context)
        return False
    job = _find_job_of_sessions(sessions, sending.target_of(case), context)
    if job is None:
        statuses = ", ".join(sorted({session.status for session in sessions}))
        _give_up_late(attempt, context, f"its upload session is {statuses}")
        raise NotYet(Reason("importing", {"status": statuses}), _wait_seconds(attempt, context))
    yield submitted_event(job.pk, sending.target_of(case), context)
    return True


def _find_job_of_sessions(
    sessions: Iterable[UploadSession], target: Target, context: TargetContext
) -> Job | None:
    """Return the job of the sessions' images: a new image belongs to exactly one job."""
    images = [image for session in sessions for image in session.image_set]
    return _find_job_with_image(images, target, context)


def _find_job_with_image(
    images: Iterable[str], target: Target, context: TargetContext
) -> Job | None:
    for image in images:
        try:
            found = list(context.platform.jobs(target.pk, pk_of(image)))
        except Refused as error:
            if error.status != 400:
                raise
            continue  # the filter does not accept the image yet
        if found:
            return found[0]
    return None


def _settle_by_uploads(
    case: Case, attempt: Attempt, context: TargetContext
) -> Generator[Event, Case, bool]:
    """Settle without our own sessions (platform 10.5).

    A session made by the platform with our upload, or an upload that was used, proves the job.
    """
    session = sending.find_session(case, context.platform)
    if session is not None:
        yield session
        raise NotYet(Reason("importing", {"status": "Queued"}), 0)
    if all(
        sending.uploads_exist(case, item, context.platform) for item in sending.session_inputs(case)
    ):
        sending.wait_out_doubt(attempt, context)
        return False
    names = [
        upload.filename
        for i in sending.session_inputs(case)
        for upload in sending.uploads_of(case, i.socket)
    ]
    images = [image.api_url for name in names for image in context.platform.images(name)]
    job = _find_job_with_image(images, sending.target_of(case), context)
    if job is None:
        _give_up_late(attempt, context, "its uploads were used, but no job of them is found")
        raise NotYet(Reason("importing", {"status": "used"}), _wait_seconds(attempt, context))
    yield submitted_event(job.pk, sending.target_of(case), context)
    return True


def _settle_by_jobs(
    case: Case, attempt: Attempt, context: TargetContext
) -> Generator[Event, Case, bool]:
    """Settle without images (platform 10.6): search the jobs created since the first attempt."""
    recent = _recent_jobs(case, context)
    ours = next((job for job in recent if has_our_inputs(job, case, context)), None)
    if ours:
        yield submitted_event(ours.pk, sending.target_of(case), context)
        return True
    sent = sending.uploaded_inputs(case)
    gone = not all(sending.uploads_exist(case, item, context.platform) for item in sent)
    unclear = any(job.status == "Validating inputs" for job in recent)
    if gone or unclear:
        _give_up_late(attempt, context, "it can't be distinguished from other jobs")
        raise NotYet(Reason("importing", {"status": "unclear"}), _wait_seconds(attempt, context))
    sending.wait_out_doubt(attempt, context)
    return False


def _recent_jobs(case: Case, context: TargetContext) -> list[Job]:
    """Return the jobs created since the first attempt that belong to no other case."""
    offset = (case.attempt.jobs if case.attempt else None) or 0
    jobs = context.platform.jobs(sending.target_of(case).pk, offset=offset)
    return [job for job in jobs if not context.knows(job.pk)]


def find_unknown_job(case: Case, context: TargetContext) -> Job | None:
    """Return the job that an attempt with a lost reply created, None if there is none."""
    return next(
        (job for job in _recent_jobs(case, context) if has_our_inputs(job, case, context)), None
    )


def has_our_inputs(job: Job, case: Case, context: TargetContext) -> bool:
    """Whether a job has the case's inputs: our unique file names and our values."""
    held = {value.socket.slug: value for value in job.inputs}
    return all(_is_ours(i, held.get(i.socket), case, context) for i in case.inputs or ())


def _is_ours(item: Input, held: SocketValue | None, case: Case, context: TargetContext) -> bool:
    if held is None:
        return False
    if item.image:
        return pk_of(held.image or "") == pk_of(item.image)
    if item.carrier == "dicom":
        name = context.platform.image(held.image).name if held.image else ""
        return name == sending.image_name(case, item)
    return sending.has_our_content(item, held, case)


def _wait_seconds(attempt: Attempt, context: TargetContext) -> float:
    """Return the seconds until the next try: a quarter of the attempt's age, at most 300."""
    return min(max(attempt.age(context.clock(), context.uptime()) / 4, 0.05), 300)


def _give_up_late(attempt: Attempt, context: TargetContext, problem: str) -> None:
    """Raise CannotSend (`job_lost`) after six hours: a person must check.

    Without certainty a second job is never created.
    """
    if attempt.age(context.clock(), context.uptime()) > IMPORT_LIMIT_SECONDS:
        raise CannotSend(Reason("job_lost", {"problem": problem}))
