"""Step tell: a note beside the results says that their folder has changed since it was sent."""

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Snapshot
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import CannotSend, NotYet, SourceChanged, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace
from gcwatch.imaging.bundles.spool import discard_spool
from gcwatch.inbox.layouts import inbox_of
from gcwatch.outbox.notes import remove_change_note, write_change_note
from gcwatch.steps.context import StepContext, spool_folder
from gcwatch.steps.duplicates import content_digest
from gcwatch.steps.judgement import folder_of, make_bundles, planned_inputs
from gcwatch.steps.settle import STOPPED_COPY_SECONDS, copy_reason
from gcwatch.wording.late_change import change_note_text, late_change_reason


def tell_late_change(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Write `<folder>.changed.txt`, or remove it if the folder is again as it was sent.

    If the folder still changes, yield that: the note is written once it has settled. With
    `changed = "send"` a folder whose content was replaced is not told: it will be sent again.

    Raises:
        NotYet: while the settle time is not over, or a copy into the folder is under way.
    """
    assert case.late is not None, "only what changed is told"
    uptime = context.uptime()
    try:
        now = inbox_of(route).snapshot_case(case.folder, case.seen)
    except CannotSend as error:  # nothing is sent here: the case does not fail, its note waits
        raise TryAgain(error.reason) from error
    quiet = uptime.since(case.late.quiet_since)
    if quiet is None or now.digest != case.late.snapshot.digest:
        yield events.DeliveredFolderChanged(now, uptime)
        return
    # The machine's clock may have been set: by that clock, the settle time is over.
    if quiet < pace.settle:
        raise NotYet(Reason("settling", {"settle": pace.settle}), pace.settle - quiet)
    if now.copies is not None and quiet < STOPPED_COPY_SECONDS:
        raise NotYet(copy_reason(now.copies, case.late.at), max(pace.settle, pace.survey))
    if not case.late.replaced and _is_replaced(case, now, route, context):
        case = yield events.DeliveredFolderChanged(now, uptime, replaced=True)
    is_same = case.item != "" and _is_same_for_target(case, route, pace, context)
    if is_same or late_change_reason(case) is None:
        remove_change_note(route.outbox, case.folder)
    elif route.changed == "tell":
        text = change_note_text(case, operator_files=route.operator_files)
        write_change_note(route.outbox, case.folder, text)
    yield events.LateChangeTold(now.digest, is_same=is_same)


def _is_same_for_target(case: Case, route: Route, pace: Pace, context: StepContext) -> bool:
    """Whether a target would get the same of an archive's item as before.

    An item may get other sockets, such as the results of this route.
    """
    folder = folder_of(case, (), context)
    try:
        return planned_inputs(folder, context.for_target(route, pace)) == case.inputs
    except (CannotSend, NotYet):  # it lacks now what was sent
        return False


def _is_replaced(case: Case, now: Snapshot, route: Route, context: StepContext) -> bool:
    """Whether files with the names, sizes and times of those that were sent have other content.

    They are read only if their change times differ: then somebody wrote them, or granted a right.
    """
    before = case.seen
    if before is None or now.digest != before.digest or now.latest == before.latest:
        return False
    if not case.content or case.target is None or case.inputs is None:
        return False
    box = inbox_of(route)
    files = box.source_files(case.folder)
    folder = folder_of(case, files, context)
    spool, receipt = spool_folder(case, context), box.read_receipt(case.folder)
    try:
        bundles = make_bundles(case.inputs, case.inputs, folder, route, spool)
        read = context.transfers.hash_file
        return content_digest(case.target, case.inputs, bundles, read, receipt) != case.content
    except CannotSend:  # what was sent could be sent
        return True
    except SourceChanged as error:
        raise NotYet(Reason("being_written"), 1.0) from error
    finally:
        discard_spool(spool)
