"""The platform's background tasks: imports, file checks, job statuses and expiry of uploads.

No thread runs them: before each answer, the sandbox runs the tasks that are due on its clock.
"""

import logging

from gcwatch.sandbox import algorithms
from gcwatch.sandbox.content.catalogue import Archive
from gcwatch.sandbox.content.names import safe_filename
from gcwatch.sandbox.importer import attachments
from gcwatch.sandbox.importer.importer import ImportRefused, assemble_upload, import_session
from gcwatch.sandbox.importer.socket_fit import find_misfit
from gcwatch.sandbox.model import (
    FINAL_STATUSES,
    Answer,
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

# The share of job_seconds after which a job has each status (platform 7.4).
_STATUS_SHARES = ((1.0, "Succeeded"), (0.8, "Executed"), (0.4, "Executing"), (0.2, "Provisioned"))


def run_due_tasks(state: PlatformState) -> None:
    """Run all tasks that are due on the sandbox's clock. The caller holds the lock."""
    now = state.now()
    for session in state.sessions.values():
        _advance_session(state, session, now)
    for job in state.jobs.values():
        if job.status not in FINAL_STATUSES:
            _advance_job(state, job, now)
    for source in state.pending_sources:
        _attach_files(state, source, now)
    state.pending_sources = [
        each for each in state.pending_sources if not (each.stuck or each.value)
    ]
    expire_uploads(state, now - state.settings.upload_lifetime)


def expire_uploads(state: PlatformState, before: float) -> None:
    """Delete the uploads created before a time, in any status (platform 4.14)."""
    for upload in [each for each in state.uploads.values() if each.created <= before]:
        state.delete_upload(upload)


def _advance_session(state: PlatformState, session: Session, now: float) -> None:
    if session.started is None or session.finished:
        return
    seconds = state.settings.import_seconds
    if session.status == "Re-Queued" and now >= session.started + seconds:
        _import_images(state, session)
    # Images are attached some time after the import: a client may see Succeeded without a value.
    if session.status == "Succeeded" and now >= session.started + 1.2 * seconds:
        _attach_images(session, state, session.started + 1.2 * seconds)


def _import_images(state: PlatformState, session: Session) -> None:
    try:
        found = import_session(state, session)
    except ImportRefused as refusal:
        _fail_session(session, str(refusal))
        return
    session.images = found.images
    if not found.images:
        _fail_session(session, found.error_message)
        return
    session.status, session.error_message = "Succeeded", found.error_message
    for upload in list(session.uploads):
        state.delete_upload(upload)


def _fail_session(session: Session, reason: str) -> None:
    session.status, session.finished = "Failed", True
    source = session.source
    if source is None or isinstance(source.target, Archive):
        session.error_message = reason
        return
    if isinstance(source.target, Answer):
        session.error_message = f"{reason}."
        return
    session.error_message = (
        f"Image validation for socket {source.socket.title} failed with error: {reason}."
    )
    _cancel_job(source)


def _cancel_job(source: Source) -> None:
    """Cancel the job of an invalid input; a case stays without the value."""
    if isinstance(source.target, Job) and source.target.status not in FINAL_STATUSES:
        source.target.status = "Cancelled"


def _attach_images(session: Session, state: PlatformState, at: float) -> None:
    source = session.source
    if source is None or isinstance(source.target, Archive):
        _create_items(session, state)
    elif len(session.images) > 1:
        _fail_session(session, "Image imports should result in a single image")
    elif isinstance(source.target, DisplaySet) and source.target.answers:
        _fail_session(session, "An unexpected error occurred")
    elif problem := find_misfit(source.socket, session.images[0]):
        _fail_session(session, problem)
    else:
        session.finished = True
        if isinstance(source.target, Answer):
            source.target.image = session.images[0]
            return
        _attach_value(source, state.find_or_add_value(source.socket, image=session.images[0]), at)


def _create_items(session: Session, state: PlatformState) -> None:
    """Add an untitled item to the archive for each image (platform 9.9)."""
    session.finished = True
    source = session.source
    if source and isinstance(source.target, Archive):
        for image in session.images:
            item = ArchiveItem(source.target, "", state.now())
            item.values[source.socket.slug] = state.find_or_add_value(source.socket, image=image)
            state.items[item.pk] = item


def _attach_value(source: Source, value: Value, at: float) -> None:
    """Attach a value to its socket, unless the job has finished."""
    target = source.target
    if isinstance(target, Job) and target.status in FINAL_STATUSES:
        return
    source.value, source.attached = value, at
    if isinstance(target, DisplaySet | ArchiveItem):
        target.values[source.socket.slug] = value


def _advance_job(state: PlatformState, job: Job, now: float) -> None:
    for source in job.sources:
        _attach_files(state, source, now)
    if job.status in FINAL_STATUSES:
        return
    times = [source.attached for source in job.sources]
    if None in times:
        return
    validated = max([job.created, *filter(None, times)])
    seconds = state.settings.job_seconds
    share = (now - validated) / seconds if seconds else 1.0
    job.status = next((status for due, status in _STATUS_SHARES if share >= due), "Queued")
    if job.status == "Succeeded":
        _run_algorithm(state, job)


def _attach_files(state: PlatformState, source: Source, now: float) -> None:
    """Run the task that attaches files, when it is due and has not run before."""
    due = source.started + state.settings.import_seconds
    if source.value is not None or source.stuck or now < due:
        return
    if source.upload:
        _attach_file(state, source, source.upload, due)
    elif source.dicom:
        _attach_image_set(state, source, source.dicom, due)


def _attach_image_set(
    state: PlatformState, source: Source, wanted: DicomUpload, due: float
) -> None:
    """Import a DICOM Image Set; a failure is not reported (platform 3.10, 7.8)."""
    image = dicom_sets.import_image_set(state, wanted)
    if image is None or _has_answers(source):
        source.stuck = True
    else:
        _attach_value(source, state.find_or_add_value(source.socket, image=image), due)


def _attach_file(state: PlatformState, source: Source, upload: Upload, due: float) -> None:
    """Copy a File socket's content and check it (platform 3.6)."""
    if upload.pk not in state.uploads or upload.status != "Completed" or _has_answers(source):
        source.stuck = True
        return
    record = state.add_value(source.socket)
    stored = state.add_file(
        algorithms.component_file_key(record.pk, safe_filename(upload.filename))
    )
    assemble_upload(upload, stored.path)
    try:
        attachments.check_attachment(source.socket, stored.path)
    except attachments.InvalidJson:
        # The platform's task crashes here while it stores the error: a job is never finished.
        source.stuck = True
        return
    except attachments.InvalidContent:
        source.stuck = True
        _cancel_job(source)
        return
    record.file = stored
    _attach_value(source, record, due)
    state.delete_upload(upload)


def _has_answers(source: Source) -> bool:
    return isinstance(source.target, DisplaySet) and bool(source.target.answers)


def _run_algorithm(state: PlatformState, job: Job) -> None:
    try:
        job.outputs = algorithms.run_job(state, job)
    except Exception:
        logging.getLogger(__name__).info("job %s failed", job.pk, exc_info=True)
        job.status = "Failed"
