"""Step upload: the folder is judged, and what each socket gets is sent."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from gcwatch.config import Route
from gcwatch.core import checklist, events
from gcwatch.core.case import Case, Input, Upload
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import NotYet, Refused, SourceChanged
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace
from gcwatch.files.snapshot import listing_digest
from gcwatch.imaging.bundles.members import Bundle
from gcwatch.imaging.bundles.spool import discard_spool
from gcwatch.inbox.layouts import inbox_of
from gcwatch.platform.file_parts import part_size
from gcwatch.platform.transfers import Moved
from gcwatch.platform.upload import FileUpload
from gcwatch.steps.adopt import find_earlier_result
from gcwatch.steps.context import StepContext, counted_transfer, spool_folder
from gcwatch.steps.duplicates import HashFile, is_compared_under_way, require_new_content
from gcwatch.steps.judgement import folder_of, judge_folder, make_bundles

UPLOADS_PAUSE_SECONDS: Final = 300.0


Compare = Callable[[Case, HashFile], Generator[Event, Case, Case]]
"""Makes sure that no other case sends what a case sends, whose bundle is hashed so."""

FILES_PER_RECORD: Final = 24
"""Files of a DICOM image set that are sent before the next event is recorded."""


def upload_inputs(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Judge the folder, then send what every socket gets.

    All bundles are made first: what is refused is refused before the first byte is sent. So is what
    another folder has sent before, or at the latest before it could be used (`duplicates`).
    """
    spool = spool_folder(case, context)
    files = inbox_of(route).source_files(case.folder)
    if case.seen is None or listing_digest(files) != case.seen.digest:
        raise SourceChanged
    folder = folder_of(case, files, context)
    # Also with a plan: a journal from a backup may be older than the outbox at any step.
    if case.submission is None and (
        adopted := find_earlier_result(case, route, context.platform, context.knows)
    ):
        yield adopted
        return
    # Without a plan nothing was sent yet; with one, a crash or an error ended an earlier try.
    if case.inputs is None:
        discard_spool(spool)
        target = context.for_target(route, pace)
        judgement = judge_folder(folder, target, spool, context.bundles.image_bundle)
        # Before the plan: with a plan, the folder is not judged again after a crash.
        case = yield from _record_warnings(case, judgement.warnings)
        case, bundles = (yield judgement.planned), judgement.bundles
    else:
        unsent, make = checklist.unsent_inputs(case), context.bundles.image_bundle
        bundles = make_bundles(unsent, case.inputs, folder, route, spool, make=make)

    def compare(of: Case, hash_file: HashFile) -> Generator[Event, Case, Case]:
        return require_new_content(of, bundles, route, pace, context, hash_file=hash_file)

    is_comparable = route.duplicates == "hold" and case.attempt is None
    under_way = is_comparable and is_compared_under_way(case, bundles, context)
    if is_comparable and not under_way and (case.content or not case.uploads):
        case = yield from compare(case, context.transfers.hash_file)
    for item in checklist.unsent_inputs(case):
        parcels = bundles[item.socket]
        case = yield from _record_warnings(case, (w for each in parcels for w in each.warnings))
        if item.carrier == "dicom":
            case = yield from _send_dicom_set(case, item, parcels, context)
        else:
            compared = compare if under_way else None
            case = yield from _send_bundle(case, item, parcels[0], context, compared)
    if any(each.carrier == "dicom" for each in case.inputs or ()):
        context.quota.release_uploads(case.key)


def _record_warnings(case: Case, warnings: Iterable[Reason]) -> Generator[Event, Case, Case]:
    """Record each warning about what is sent, once."""
    for reason in warnings:
        if reason not in case.warnings:
            case = yield events.WarningFound(reason)
    return case


def _send_bundle(
    case: Case, item: Input, parcel: Bundle, context: StepContext, compare: Compare | None
) -> Generator[Event, Case, Case]:
    """Send one bundle; continue where an earlier try was interrupted.

    The case is compared, if it has not been, once the bundle's SHA-256 is known.
    """
    upload = next((u for u in case.uploads if u.socket == item.socket), None)
    begun_before = upload is not None and upload.size == parcel.size
    if upload is None or not begun_before:
        upload = _create_upload(item, parcel, context)
        case = yield events.UploadStarted(upload)
    else:
        case = yield events.UploadResumed(upload.pk)
    with counted_transfer(case.key, parcel.size, context) as moved:
        sending = FileUpload(context.transfers, parcel.file, upload, moved, parcel.growth)
        with sending.under_way(begun_before=begun_before) as sha256:
            if compare:
                case = yield from compare(case, lambda _file, _size: sha256)
    return (yield events.UploadCompleted(upload.pk, sha256))


def _send_dicom_set(
    case: Case, item: Input, parcels: Sequence[Bundle], context: StepContext
) -> Generator[Event, Case, Case]:
    """Send the files of a DICOM image set, many at a time; after a crash, send the rest."""
    if len(parcels) != item.uploads:
        case = yield _planned_again(case, item, len(parcels))
    context.quota.claim_uploads(
        case.key, sum(each.uploads for each in case.inputs or () if each.is_uploaded)
    )
    sent = {upload.filename for upload in case.uploads if upload.socket == item.socket}
    todo = [parcel for parcel in parcels if parcel.filename not in sent]
    with counted_transfer(case.key, sum(parcel.size for parcel in todo), context) as moved:
        for first in range(0, len(todo), FILES_PER_RECORD):
            some = todo[first : first + FILES_PER_RECORD]
            send = partial(_send_file_of_set, item, context=context, moved=moved)
            uploads = context.transfers.run_each(send, some)
            case = yield events.FilesUploaded(tuple(uploads))
    return case


def _planned_again(case: Case, item: Input, uploads: int) -> events.Planned:
    """Return the plan for so many files: other ones are left out since a reload of the config."""
    assert case.target is not None, "what is sent is planned"
    inputs = (replace(i, uploads=uploads) if i == item else i for i in case.inputs or ())
    return events.Planned(
        tuple(inputs),
        case.target,
        pseudonym=case.pseudonym,
        not_taken=case.not_taken,
        row=case.row,
        item=case.item,
    )


def _send_file_of_set(item: Input, parcel: Bundle, *, context: StepContext, moved: Moved) -> Upload:
    upload = replace(_create_upload(item, parcel, context), part_size=max(parcel.size, 1))
    sha256 = FileUpload(context.transfers, parcel.file, upload, moved).send_in_one_part()
    return replace(upload, completed=True, sha256=sha256)


def _create_upload(item: Input, parcel: Bundle, context: StepContext) -> Upload:
    """Create the upload record; the platform removes one that a crash left (platform 10.1)."""
    try:
        record = context.platform.create_upload(parcel.filename)
    except Refused as error:
        if error.says("too many uploads"):
            raise NotYet(Reason("too_many_uploads"), UPLOADS_PAUSE_SECONDS) from error
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
        # The platform tells no order of slices, and the journal keeps only what is compared.
        forecast=replace(parcel.forecast, order=()),
    )
