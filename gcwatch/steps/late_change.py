"""Step tell: a note beside the results says that their folder has changed since it was sent."""

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import CannotSend, NotYet, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace
from gcwatch.inbox.layouts import inbox_of
from gcwatch.outbox.notes import remove_change_note, write_change_note
from gcwatch.steps.context import StepContext
from gcwatch.steps.settle import STOPPED_COPY_SECONDS, copy_reason
from gcwatch.wording.late_change import change_note_text, late_change_reason


def tell_late_change(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Write `<folder>.changed.txt`, or remove it if the folder is again as it was sent.

    If the folder still changes, yield that: the note is written once it has settled.

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
    if late_change_reason(case) is None:
        remove_change_note(route.outbox, case.folder)
    else:
        text = change_note_text(case, operator_files=route.operator_files)
        write_change_note(route.outbox, case.folder, text)
    yield events.LateChangeTold(now.digest)
