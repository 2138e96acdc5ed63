"""Step survey: whether a folder is complete."""

from typing import Final

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case, Copies
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import NotYet, SourceChanged, SourceVanished, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.core.text import local_time
from gcwatch.core.timing import Pace
from gcwatch.inbox.completeness import wrong_number
from gcwatch.inbox.layouts import inbox_of
from gcwatch.steps.context import StepContext

STOPPED_COPY_SECONDS: Final = 3600.0
"""A copy whose folder has not changed for so long has stopped; somebody should look."""

_SHORTEST_PAUSE_SECONDS: Final = 1.0
"""Between two looks at a copy that is under way, unless all folders are scanned more often."""


def settle_folder(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Yield FolderSettled if the folder is marked as ready, or has not changed for the settle time.

    With `ready`, both are needed if a file is newer than the marker. The settle time counts real
    seconds, whatever the machine's clock does in between.

    Raises:
        SourceVanished: when the folder is gone or holds no file.
        NotYet: while a copy into the folder is under way, or when the marker file is not there
            yet, or when the settle time is not over.
    """
    box, now = inbox_of(route), context.uptime()
    marked = box.marker_stamp(case.folder)  # first: what was there before it is in the snapshot
    seen = box.snapshot_case(case.folder, case.seen)
    if not seen.files and seen.copies is None:
        raise SourceVanished
    quiet = now.since(case.quiet_since)
    has_changed = quiet is None or not seen.looks_like(case.seen)
    if has_changed or quiet is None:
        case, quiet = (yield events.FolderChanged(seen, now)), 0.0
    if seen.copies is not None:
        pause = min(pace.survey, max(pace.settle, _SHORTEST_PAUSE_SECONDS))
        raise NotYet(_copy_reason(seen.copies, case, quiet), pause)
    reason = why_incomplete(case.folder, route, marked=bool(marked))
    if reason is not None:
        raise NotYet(reason, pace.survey)
    # A file that is newer than the marker came after it: the marker does not speak for that file.
    if (marked and marked >= seen.latest) or quiet >= pace.settle:
        yield events.FolderSettled()
    elif not has_changed:
        # The machine's clock was set: by that clock, the settle time is over.
        raise NotYet(Reason("settling", {"settle": pace.settle}), pace.settle - quiet)


def _copy_reason(copies: Copies, case: Case, quiet: float) -> Reason:
    """Given the copies into a case's folder, unchanged for `quiet` seconds, return what to say."""
    if quiet >= STOPPED_COPY_SECONDS:
        since = local_time(case.changed)
        return Reason("copy_stopped", {"since": since}, {"file": copies.name})
    return copy_reason(copies, case.copying or case.changed)


def copy_reason(copies: Copies, since: float) -> Reason:
    """Given copies that are under way since a time, return why the folder is not complete."""
    return Reason("copy_under_way", {"since": local_time(since)}, {"file": copies.name})


def why_incomplete(folder: str, route: Route, *, marked: bool) -> Reason | None:
    """Given a case's folder, return why it is not complete, however long nothing changes; or None.

    `marked` tells whether its marker is there. Raise as `completeness.wrong_number` does.
    """
    if route.ready and not marked:
        return Reason("waiting_for_marker", {"marker": route.ready})
    return wrong_number(route, folder)


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
    if not now.looks_like(case.seen):
        raise SourceChanged
