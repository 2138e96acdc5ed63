"""The passage of time: imports, file checks, job statuses and expiry, as far as they are due.

Nothing runs in the background: before each answer the world is brought up to the clock.
"""

import logging

from gcwatch.sandbox import algorithms
from gcwatch.sandbox.content.catalogue import Archive
from gcwatch.sandbox.content.names import safe_filename
from gcwatch.sandbox.importer import attachments
from gcwatch.sandbox.importer.importer import Refused, assemble, import_session
from gcwatch.sandbox.importer.socket_fit import misfit
from gcwatch.sandbox.model import (
    DONE,
    ArchiveItem,
    DicomUpload,
    DisplaySet,
    Job,
    PlatformState,
    Session,
    Source,
    Upload,
    Value,
)
from gcwatch.sandbox.storage import dicom_sets

# What share of job_seconds must have passed for each status (platform 7.4).
_STAGES = ((1.0, "Succeeded"), (0.8, "Executed"), (0.4, "Executing"), (0.2, "Provisioned"))


def settle(world: PlatformState) -> None:
    """Do all that is due on the sandbox's clock. The caller holds the lock."""
    now = world.now()
    for session in world.sessions.values():
        _advance_session(world, session, now)
    for job in world.jobs.values():
        if job.status not in DONE:
            _advance_job(world, job, now)
    for source in world.copying:
        _take(world, source, now)
    world.copying = [each for each in world.copying if not (each.stuck or each.value)]
    expire(world, now - world.settings.upload_lifetime)


def expire(world: PlatformState, before: float) -> None:
    """Delete the uploads made before a time, whatever their status (platform 4.14)."""
    for upload in [each for each in world.uploads.values() if each.created <= before]:
        world.delete_upload(upload)


def _advance_session(world: PlatformState, session: Session, now: float) -> None:
    if session.started is None or session.settled:
        return
    seconds = world.settings.import_seconds
    if session.status == "Re-Queued" and now >= session.started + seconds:
        _import(world, session)
    # The attaching task comes after the import: a client may see Succeeded without a value.
    if session.status == "Succeeded" and now >= session.started + 1.2 * seconds:
        _attach(session, world, session.started + 1.2 * seconds)


def _import(world: PlatformState, session: Session) -> None:
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
    if source is None or isinstance(source.target, Archive):
        session.error_message = reason
        return
    session.error_message = (
        f"Image validation for socket {source.socket.title} failed with error: {reason}."
    )
    _cancel(source)


def _cancel(source: Source) -> None:
    """An input that is wrong ends its job; a case just stays without it."""
    if isinstance(source.target, Job) and source.target.status not in DONE:
        source.target.status = "Cancelled"


def _attach(session: Session, world: PlatformState, at: float) -> None:
    source = session.source
    if source is None or isinstance(source.target, Archive):
        _fill(session, world)
    elif len(session.images) > 1:
        _fail(session, "Image imports should result in a single image")
    elif isinstance(source.target, DisplaySet) and source.target.answers:
        _fail(session, "An unexpected error occurred")
    elif problem := misfit(source.socket, session.images[0]):
        _fail(session, problem)
    else:
        session.settled = True
        _deliver(source, world.value_of(source.socket, image=session.images[0]), at)


def _fill(session: Session, world: PlatformState) -> None:
    """Make an untitled item of an archive of every image (platform 9.9)."""
    session.settled = True
    source = session.source
    if source and isinstance(source.target, Archive):
        for image in session.images:
            item = ArchiveItem(source.target, "", world.now())
            item.values[source.socket.slug] = world.value_of(source.socket, image=image)
            world.items[item.pk] = item


def _deliver(source: Source, value: Value, at: float) -> None:
    """Attach a value to the socket it was made for; a finished job takes none."""
    target = source.target
    if isinstance(target, Job) and target.status in DONE:
        return
    source.value, source.attached = value, at
    if isinstance(target, DisplaySet | ArchiveItem):
        target.values[source.socket.slug] = value


def _advance_job(world: PlatformState, job: Job, now: float) -> None:
    for source in job.sources:
        _take(world, source, now)
    if job.status in DONE:
        return
    times = [source.attached for source in job.sources]
    if None in times:
        return
    validated = max([job.created, *filter(None, times)])
    seconds = world.settings.job_seconds
    share = (now - validated) / seconds if seconds else 1.0
    job.status = next((status for due, status in _STAGES if share >= due), "Queued")
    if job.status == "Succeeded":
        _finish(world, job)


def _take(world: PlatformState, source: Source, now: float) -> None:
    """Run the task that attaches files, once it is due and unless it was run before."""
    due = source.started + world.settings.import_seconds
    if source.value is not None or source.stuck or now < due:
        return
    if source.upload:
        _take_file(world, source, source.upload, due)
    elif source.dicom:
        _take_dicom(world, source, source.dicom, due)


def _take_dicom(world: PlatformState, source: Source, wanted: DicomUpload, due: float) -> None:
    """Import a DICOM Image Set; nobody is told that it failed (platform 3.10, 7.8)."""
    image = dicom_sets.import_set(world, wanted)
    if image is None or _is_answered(source):
        source.stuck = True
    else:
        _deliver(source, world.value_of(source.socket, image=image), due)


def _take_file(world: PlatformState, source: Source, upload: Upload, due: float) -> None:
    """Copy and check the content of a File socket (platform 3.6)."""
    if upload.pk not in world.uploads or upload.status != "Completed" or _is_answered(source):
        source.stuck = True
        return
    record = world.add_value(source.socket)
    stored = world.store(algorithms.file_key(record.pk, safe_filename(upload.filename)))
    assemble(upload, stored.path)
    try:
        attachments.check(source.socket, stored.path)
    except attachments.Unparsable:
        # The platform's task dies here while it stores the error: a job hangs for ever.
        source.stuck = True
        return
    except attachments.Unfit:
        source.stuck = True
        _cancel(source)
        return
    record.file = stored
    _deliver(source, record, due)
    world.delete_upload(upload)


def _is_answered(source: Source) -> bool:
    return isinstance(source.target, DisplaySet) and source.target.answers > 0


def _finish(world: PlatformState, job: Job) -> None:
    try:
        job.outputs = algorithms.run(world, job)
    except Exception:
        logging.getLogger(__name__).info("job %s failed", job.pk, exc_info=True)
        job.status = "Failed"
