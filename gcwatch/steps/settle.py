"""Step survey: whether a folder is complete."""

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import NotYet, SourceChanged, SourceVanished, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace
from gcwatch.inbox.layouts import inbox_of
from gcwatch.steps.context import StepContext


def settle_folder(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Yield FolderSettled if the folder is marked as ready, or has not changed for the settle time.

    With `ready`, both are needed if a file is newer than the marker.

    Raises:
        SourceVanished: when the folder is gone or holds no file.
        NotYet: when the marker file is not there yet.
    """
    marked = inbox_of(route).marker_stamp(case.folder)
    seen = inbox_of(route).snapshot_case(case.folder, case.seen)
    if not seen.files:
        raise SourceVanished
    if case.seen is None or seen.digest != case.seen.digest:
        case = yield events.FolderChanged(seen)
    # A file that is newer than the marker came after it: the marker does not speak for that file.
    if marked and marked >= seen.latest:
        yield events.FolderSettled()
    elif route.ready and not marked:
        reason = Reason("waiting_for_marker", {"marker": route.ready})
        raise NotYet(reason, pace.survey)
    elif context.clock() >= case.changed + pace.settle:
        yield events.FolderSettled()


def require_settled_folder(case: Case, route: Route) -> None:
    """Raise SourceChanged if the folder has changed since it was sent and nothing uses it yet.

    A folder that is gone was sent completely, as it had settled: its case continues.
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
