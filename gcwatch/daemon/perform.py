"""Given a step, do it: the only place where a step does anything outside the process.

Every step is a generator: the events that come of it go out to be recorded, and the case as
recorded comes back before the next line runs. So between two commits there is at most one write
to the platform that can't be repeated, and a crash anywhere leaves a case that its next step
continues: performing a step twice equals performing it once.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from gcwatch import targets
from gcwatch.config import Route
from gcwatch.core import checklist, events
from gcwatch.core.case import Case, Fetched, Input, Output, Source, Upload
from gcwatch.core.checklist import Step, StepEvents
from gcwatch.core.errors import (
    CaseError,
    NotYet,
    Refused,
    SourceChanged,
    SourceVanished,
    TryAgain,
    Unreachable,
    UploadsGone,
)
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.core.receipt import make_receipt
from gcwatch.core.timing import Pace
from gcwatch.daemon.step_context import StepContext
from gcwatch.files.atomic import disk_trouble
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile, listing_digest
from gcwatch.imaging import bundle
from gcwatch.imaging.bundle import Bundle
from gcwatch.inbox import dispose
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.outbox import outputs, publish
from gcwatch.outbox.failure_note import remove_failure_note, write_failure_note
from gcwatch.platform.file_parts import part_size
from gcwatch.platform.transfers import Moved
from gcwatch.platform.upload import FileUpload
from gcwatch.targets.context import DroppedFolder, TargetContext
from gcwatch.version import VERSION
from gcwatch.wording.failure_note import failure_note_text

UPLOADS_PAUSE: Final = 300.0
OFTEN_ENOUGH: Final = 3
FILES_AT_ONCE: Final = 24
"""Files of a DICOM image set that are sent between two records."""


def perform_step(
    step: Step, case: Case, route: Route, pace: Pace, context: StepContext
) -> StepEvents:
    """Given a case's next step, do it; what is known to go wrong becomes events, too.

    Raises:
        TokenRefused: all work has to stop.
        Stopped: the daemon is stopping.
    """
    try:
        yield from _translated(_perform(step, case, route, pace, context))
    except SourceChanged:
        yield from _translated(_look_again(case, route))


def _look_again(case: Case, route: Route) -> StepEvents:
    """The folder is not as it had settled: begin again with how it looks now."""
    yield events.FolderChanged(inbox_of(route).snapshot_case(case.folder, case.seen))


def _translated(work: StepEvents) -> StepEvents:
    """Given work, make events of the errors that have a remedy."""
    try:
        yield from work
    except SourceVanished:
        yield events.FolderVanished()
    except UploadsGone:
        yield events.UploadsExpired()
    except CaseError as error:
        yield _event_of(error)
    except Unreachable as error:
        yield events.AttemptFailed(error.reason)
    except Refused as error:
        yield events.AttemptFailed(_unexpected(error))


def _event_of(error: CaseError) -> Event:
    match error:
        case NotYet():
            return events.Postponed(error.reason, error.wait)
        case TryAgain():
            return events.AttemptFailed(error.reason)
        case _:
            return events.Rejected(error.reason)


def _unexpected(error: Refused) -> Reason:
    message = "; ".join(error.messages)[:500]
    facts = {"call": error.call, "status": error.status, "message": message}
    return Reason("unexpected", facts)


def _perform(step: Step, case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    match step:
        case Step.SURVEY:
            yield from _survey(case, route, pace, context)
        case Step.UPLOAD:
            yield from _upload(case, route, pace, context)
        case Step.SUBMIT:
            _refuse_late_changes(case, route)
            yield from targets.target_for(case.target or route).submit(
                case, context.for_target(route, pace)
            )
        case Step.POLL:
            yield from targets.target_for(case.target or route).poll(
                case, context.for_target(route, pace)
            )
        case Step.FETCH:
            yield from _fetch(case, route, context)
        case Step.DELIVER:
            yield from _deliver(case, route, context)
        case Step.REPORT:
            yield from _report(case, route, context)
        case _:
            assert_never(step)


# --- settling ------------------------------------------------------------------------------------


def _survey(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """The folder has settled once it is marked ready, or was the same for the settle time."""
    marked = inbox_of(route).is_marked(case.folder)
    seen = inbox_of(route).snapshot_case(case.folder, case.seen)
    if not seen.files:
        raise SourceVanished
    if case.seen is None or seen.digest != case.seen.digest:
        case = yield events.FolderChanged(seen)
    if marked:
        yield events.FolderSettled()
    elif route.ready:
        reason = Reason("waiting_for_marker", {"marker": route.ready})
        raise NotYet(reason, pace.survey)
    elif context.clock() >= case.changed + pace.settle:
        yield events.FolderSettled()


# --- uploading -----------------------------------------------------------------------------------


def _upload(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Plan what every socket gets, make all bundles, and only then send the first byte."""
    spool = _spool(case, context)
    files = inbox_of(route).source_files(case.folder)
    if case.seen is None or listing_digest(files) != case.seen.digest:
        raise SourceChanged
    if case.inputs is None:
        bundle.discard_spool(spool)
        case = yield _plan(case, files, route, context.for_target(route, pace))
    todo = [
        (item, _bundles(case, item, files, route, spool)) for item in checklist.unsent_inputs(case)
    ]
    for item, parcels in todo:
        case = yield from _warn(case, parcels)
        if item.carrier == "dicom":
            case = yield from _send_set(case, item, parcels, context)
        else:
            case = yield from _send(case, item, parcels[0], context)
    context.quota.release_uploads(case.key)


def _plan(
    case: Case, files: Sequence[SourceFile], route: Route, context: TargetContext
) -> events.Planned:
    box = inbox_of(route)
    receipt = box.read_receipt(case.folder) if route.reuse else {}
    dropped = DroppedFolder(
        case.key, box.public_name(case.folder), files, receipt, again=case.round > 1
    )
    return targets.target_for(route).plan(context, dropped)


def _warn(case: Case, parcels: Sequence[Bundle]) -> Generator[Event, Case, Case]:
    """Tell what is odd about what goes out, once."""
    for reason in (reason for parcel in parcels for reason in parcel.warnings):
        if reason not in case.warnings:
            case = yield events.WarningFound(reason)
    return case


def _spool(case: Case, context: StepContext) -> Path:
    return context.spool / f"{case.key}-{case.round}"


def _refuse_late_changes(case: Case, route: Route) -> None:
    """Before anything uses the uploads, a changed folder goes back to settling.

    A folder that is gone by now was sent whole as it had settled, so its case goes on.
    """
    if case.attempt is not None or case.sessions:
        return
    try:
        now = inbox_of(route).snapshot_case(case.folder)
    except NotYet as error:
        if error.reason.code == "being_written":
            raise
        return
    except (SourceVanished, TryAgain):
        return
    if case.seen is None or now.digest != case.seen.digest:
        raise SourceChanged


def _bundles(
    case: Case, item: Input, files: tuple[SourceFile, ...], route: Route, spool: Path
) -> tuple[Bundle, ...]:
    """Given an input, return what goes out for it: one file, but for DICOM image sets."""
    number = 1 + [other.socket for other in case.inputs or ()].index(item.socket)
    stem = f"{_public_name(case, route)}-{case.round}-{number:02}"
    chosen = bundle.select_files(files, item.pattern)
    return bundles(item, chosen, route, spool=spool, stem=stem)


def bundles(
    item: Input, chosen: Sequence[SourceFile], route: Route, *, spool: Path, stem: str
) -> tuple[Bundle, ...]:
    """Given an input and its files, make what goes out for it, in *spool* where need be.

    Raises:
        CannotSend: when the files are not what the socket takes; see `bundle`.
    """
    if item.carrier == "file":
        return (bundle.file_bundle(chosen[0], stem=stem),)
    if item.carrier == "dicom":
        return bundle.dicom_set(
            chosen,
            spool=spool,
            stem=stem,
            socket=item.socket,
            deidentify=route.deidentify,
            integrity=route.integrity,
            pattern=item.pattern,
        )
    made = bundle.image_bundle(
        chosen,
        spool=spool,
        stem=stem,
        socket=item.socket,
        deidentify=route.deidentify,
        keep_names=route.names == "keep",
        integrity=route.integrity,
        pattern=item.pattern,
    )
    return (made,)


def _public_name(case: Case, route: Route) -> str:
    """Return what the platform sees of a case: its key, or with it the folder's sanitised name."""
    if route.names == "opaque":
        return case.key
    title = inbox_of(route).public_name(case.folder)
    return f"{bundle.sanitise_name(title)[:60]}-{case.key.rpartition('-')[2]}"


def _send(
    case: Case, item: Input, parcel: Bundle, context: StepContext
) -> Generator[Event, Case, Case]:
    """Send one bundle, going on where an earlier try was cut."""
    upload = next((u for u in case.uploads if u.socket == item.socket), None)
    begun_before = upload is not None and upload.size == parcel.size
    if upload is None or not begun_before:
        upload = _begin(item, parcel, context)
        case = yield events.UploadStarted(upload)
    else:
        case = yield events.UploadResumed(upload.pk)
    with _counting(case.key, parcel.size, context) as moved:
        sha256 = FileUpload(context.transfers, parcel.path, upload, moved).send(
            begun_before=begun_before
        )
    _require_unchanged(parcel)
    return (yield events.UploadCompleted(upload.pk, sha256))


def _send_set(
    case: Case, item: Input, parcels: Sequence[Bundle], context: StepContext
) -> Generator[Event, Case, Case]:
    """Send the files of a DICOM image set, many at once; what a crash cuts off is sent anew."""
    if len(parcels) != item.uploads:
        case = yield _recounted(case, item, len(parcels))
    context.quota.claim_uploads(
        case.key, sum(each.uploads for each in case.inputs or () if each.is_uploaded)
    )
    sent = {upload.filename for upload in case.uploads if upload.socket == item.socket}
    todo = [parcel for parcel in parcels if parcel.filename not in sent]
    with _counting(case.key, sum(parcel.size for parcel in todo), context) as moved:
        for first in range(0, len(todo), FILES_AT_ONCE):
            some = todo[first : first + FILES_AT_ONCE]
            send = partial(_send_whole, item, context=context, moved=moved)
            uploads = context.transfers.run_each(send, some)
            case = yield events.FilesUploaded(tuple(uploads))
    return case


def _recounted(case: Case, item: Input, uploads: int) -> events.Planned:
    """Plan for the files that are there: which have to be left out shows as they are spooled."""
    assert case.target is not None, "what is sent is planned"
    inputs = (replace(i, uploads=uploads) if i == item else i for i in case.inputs or ())
    return events.Planned(tuple(inputs), case.target)


def _send_whole(item: Input, parcel: Bundle, *, context: StepContext, moved: Moved) -> Upload:
    upload = replace(_begin(item, parcel, context), part_size=max(parcel.size, 1))
    sha256 = FileUpload(context.transfers, parcel.path, upload, moved).send_in_one_part()
    _require_unchanged(parcel)
    return replace(upload, completed=True, sha256=sha256)


def _require_unchanged(parcel: Bundle) -> None:
    """Raise SourceChanged if a file that goes out straight from the inbox is another by now."""
    if parcel.source is not None:
        with open_unchanged(parcel.source):
            pass


def _begin(item: Input, parcel: Bundle, context: StepContext) -> Upload:
    """Make the upload record; an orphan of an earlier crash fades by itself (platform 10.1)."""
    try:
        record = context.platform.create_upload(parcel.filename)
    except Refused as error:
        if error.says("too many uploads"):
            raise NotYet(Reason("too_many_uploads"), UPLOADS_PAUSE) from error
        raise
    return Upload(
        socket=item.socket,
        pk=record.pk,
        s3_upload_id=record.s3_upload_id,
        api_url=record.api_url,
        filename=record.filename,
        size=parcel.size,
        part_size=part_size(parcel.size),
        created=context.clock(),
        files=parcel.files,
        left_out=parcel.left_out,
    )


@contextmanager
def _counting(key: str, total: int, context: StepContext) -> Generator[Moved, None, None]:
    """Give what counts a transfer's bytes, and forget the count afterwards."""
    count = 0

    def moved(more: int) -> None:
        nonlocal count
        count += more
        context.progress(key, count, total)

    try:
        yield moved
    finally:
        context.progress(key, 0, 0)


# --- results -------------------------------------------------------------------------------------


def _fetch(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Bring each output into the staging folder; what is there already is not fetched again."""
    for output in checklist.unfetched_outputs(case):
        case = yield events.OutputFetched(_bring(case, output, route, context))


def _bring(case: Case, output: Output, route: Route, context: StepContext) -> tuple[Fetched, ...]:
    place = outputs.output_paths(case.outputs or ())[output.pk]
    folder = publish.staging_folder(route.outbox, case.key)
    lenient = case.attempts >= OFTEN_ENOUGH
    with disk_trouble("Writing results"), _counting(case.key, 0, context) as moved:
        return outputs.Staging(folder, context.transfers, moved, lenient=lenient).fetch_output(
            output, place
        )


def _bring_again(case: Case, route: Route, context: StepContext) -> None:
    """Bring what was fetched for another outbox: the route may have a new one since."""
    if publish.published_name(route.outbox, case.key, case.folder):
        return
    folder = publish.staging_folder(route.outbox, case.key)
    gone = {file.output for file in case.fetched if not (folder / file.path).exists()}
    for output in case.outputs or ():
        if output.pk in gone:
            _bring(case, output, route, context)


def _deliver(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Publish by one rename; then, and only then, the source may be moved or deleted."""
    _bring_again(case, route, context)
    platform = context.platform.home
    paper = make_receipt(case, platform, VERSION, context.clock())
    name = publish.publish_results(route.outbox, case.key, case.folder, paper)
    remove_failure_note(route.outbox, case.folder)
    source = _dispose(case, route)
    bundle.discard_spool(_spool(case, context))
    yield events.Delivered(name, source)


_DISPOSED: Final[Mapping[str, Source]] = {
    "keep": "kept",
    "move": "moved",
    "delete": "deleted",
}


def _dispose(case: Case, route: Route) -> Source:
    assert case.seen is not None, "what was sent had been seen"
    box = inbox_of(route)
    done = dispose.dispose_of_source(box, case.folder, route.after, route.done, case.seen)
    return _DISPOSED[route.after] if done else "changed"


def _report(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Write down why the case failed, where whoever dropped the folder will look."""
    publish.discard_staging(route.outbox, case.key)
    text = failure_note_text(case, once=isinstance(route, SingleCaseRoute))
    write_failure_note(route.outbox, case.folder, text)
    bundle.discard_spool(_spool(case, context))
    yield events.FailureReported()
