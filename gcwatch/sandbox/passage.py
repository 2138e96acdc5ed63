"""The passage of time: imports, file checks, job statuses and expiry, as far as they are due.

Nothing runs in the background: before each answer the world is brought up to the clock.
"""

import json
import logging
from pathlib import Path

from gcwatch.sandbox import programs
from gcwatch.sandbox.importer import Refused, assemble, import_session, show
from gcwatch.sandbox.model import DONE, Job, Session, Source, World
from gcwatch.sandbox.names import safe_filename

# What share of job_seconds must have passed for each status (contract 7).
_STAGES = ((1.0, "Succeeded"), (0.8, "Executed"), (0.4, "Executing"), (0.2, "Provisioned"))


def settle(world: World) -> None:
    """Do all that is due on the sandbox's clock. The caller holds the lock."""
    now = world.now()
    for session in world.sessions.values():
        _advance_session(world, session, now)
    for job in world.jobs.values():
        if job.status not in DONE:
            _advance_job(world, job, now)
    expire(world, now - world.settings.upload_lifetime)


def expire(world: World, before: float) -> None:
    """Delete the uploads made before a time, whatever their status (contract 4)."""
    for upload in [each for each in world.uploads.values() if each.created <= before]:
        world.delete_upload(upload)


def _advance_session(world: World, session: Session, now: float) -> None:
    if session.started is None or session.settled:
        return
    seconds = world.settings.import_seconds
    if session.status == "Re-Queued" and now >= session.started + seconds:
        _import(world, session)
    # The attaching task comes after the import: a client may see Succeeded without a value.
    if session.status == "Succeeded" and now >= session.started + 1.2 * seconds:
        _attach(session, world, session.started + 1.2 * seconds)


def _import(world: World, session: Session) -> None:
    try:
        found = import_session(world, session)
    except Refused as refusal:
        _fail(session, str(refusal))
        return
    session.images = found.images
    if not found.images:
        _fail(session, found.complaint)
        return
    session.status, session.error_message = "Succeeded", found.complaint
    for upload in list(session.uploads):
        world.delete_upload(upload)


def _fail(session: Session, reason: str) -> None:
    session.status, session.settled = "Failed", True
    source = session.source
    if source is None:
        session.error_message = reason
        return
    session.error_message = (
        f"Image validation for socket {source.socket.title} failed with error: {reason}."
    )
    if source.job and source.job.status not in DONE:
        source.job.status = "Cancelled"


def _attach(session: Session, world: World, at: float) -> None:
    if len(session.images) > 1:
        _fail(session, "Image imports should result in a single image")
        return
    session.settled = True
    show(session.images[0])
    source = session.source
    if source and source.job and source.job.status not in DONE:
        source.value = world.value_of(source.socket, image=session.images[0])
        source.attached = at


def _advance_job(world: World, job: Job, now: float) -> None:
    for source in job.sources:
        if source.upload and source.value is None and not source.stuck:
            _take_file(world, job, source, now)
    times = [source.attached for source in job.sources]
    if None in times:
        return
    validated = max([job.created, *filter(None, times)])
    seconds = world.settings.job_seconds
    share = (now - validated) / seconds if seconds else 1.0
    job.status = next((status for due, status in _STAGES if share >= due), "Queued")
    if job.status == "Succeeded":
        _finish(world, job)


def _take_file(world: World, job: Job, source: Source, now: float) -> None:
    """The task that copies and checks a File input (contract 3)."""
    upload = source.upload
    due = job.created + world.settings.import_seconds
    if upload is None or now < due:
        return
    if upload.pk not in world.uploads or upload.status != "Completed":
        source.stuck = True
        return
    record = world.add_value(source.socket)
    stored = world.store(programs.file_key(record.pk, safe_filename(upload.filename)), job.creator)
    assemble(upload, stored.path)
    if source.socket.holds_json and not _is_json(stored.path):
        # The platform's task dies here while it stores the error: the job hangs for ever.
        source.stuck = True
        return
    record.file, source.value, source.attached = stored, record, due
    world.delete_upload(upload)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _finish(world: World, job: Job) -> None:
    try:
        job.outputs = programs.run(world, job)
    except Exception:
        logging.getLogger(__name__).info("job %s failed", job.pk, exc_info=True)
        job.status = "Failed"
