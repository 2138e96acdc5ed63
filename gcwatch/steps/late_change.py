"""Step tell: a note beside the results says that their folder has changed since it was sent."""

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import CannotSend, TryAgain
from gcwatch.inbox.layouts import inbox_of
from gcwatch.outbox.notes import remove_change_note, write_change_note
from gcwatch.wording.late_change import change_note_text, late_change_reason


def tell_late_change(case: Case, route: Route) -> StepEvents:
    """Write `<folder>.changed.txt`, or remove it if the folder is again as it was sent.

    If the folder still changes, yield that: the note is written once it has settled.
    """
    assert case.late is not None, "only what changed is told"
    try:
        now = inbox_of(route).snapshot_case(case.folder, case.seen)
    except CannotSend as error:  # nothing is sent here: the case does not fail, its note waits
        raise TryAgain(error.reason) from error
    if now.digest != case.late.snapshot.digest:
        yield events.DeliveredFolderChanged(now)
        return
    if late_change_reason(case) is None:
        remove_change_note(route.outbox, case.folder)
    else:
        text = change_note_text(case, operator_files=route.operator_files)
        write_change_note(route.outbox, case.folder, text)
    yield events.LateChangeTold(now.digest)
