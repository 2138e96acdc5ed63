"""Performs a step: gives it to the module that does it, and turns known errors into events.

Every step is a generator. It yields an event, the event is recorded, and the recorded case comes
back before the next line runs. So there is at most one write to the platform that must not be
repeated between two commits. After a crash the case continues with its next step: a step that is
performed twice has the same result as a step that is performed once.
"""

from typing import Final, assert_never

from gcwatch import targets
from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Case
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
from gcwatch.core.timing import Pace
from gcwatch.inbox.layouts import inbox_of
from gcwatch.steps.adopt import find_earlier_result
from gcwatch.steps.context import StepContext
from gcwatch.steps.deliver import deliver_results, fetch_outputs, report_failure
from gcwatch.steps.delivery_command import run_delivery_command
from gcwatch.steps.late_change import tell_late_change
from gcwatch.steps.settle import require_settled_folder, settle_folder
from gcwatch.steps.upload import upload_inputs

_UPLOADS_STAY_SECONDS: Final = 12 * 3600.0
"""The platform keeps uploads for a day (platform 4.14)."""
_LOSS_SECONDS: Final = 300.0


def perform_step(
    step: Step, case: Case, route: Route, pace: Pace, context: StepContext
) -> StepEvents:
    """Given a case's next step, perform it; yield its events. Known errors become events, too.

    Raises:
        TokenRefused: all work has to stop.
        Stopped: the daemon is stopping.
    """
    work = _errors_as_events(_start_step(step, case, route, pace, context))
    try:
        yield from _with_pause_after_loss(work, case, pace, context)
    except SourceChanged:
        yield from _errors_as_events(_restart_settling(case, route, context))


def _restart_settling(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Yield how the folder looks now: it has changed since it settled, so it settles again."""
    now = context.uptime()
    yield events.FolderChanged(inbox_of(route).snapshot_case(case.folder, case.seen), now)


def _with_pause_after_loss(
    work: StepEvents, case: Case, pace: Pace, context: StepContext
) -> StepEvents:
    """Yield a step's events, and a pause after uploads that were lost before they were old.

    Else a storage that loses each upload would get all that the platform allows in a minute.
    """
    event = next(work, None)
    while event is not None:
        begun = max((upload.created for upload in case.uploads), default=0.0)
        is_early = begun > context.clock() - _UPLOADS_STAY_SECONDS
        case = yield event
        if isinstance(event, events.UploadsExpired) and is_early:
            case = yield events.Postponed(Reason("uploads_lost"), min(pace.slowest, _LOSS_SECONDS))
        try:
            event = work.send(case)
        except StopIteration:
            return


def _errors_as_events(work: StepEvents) -> StepEvents:
    """Given a step's events, yield them; an error that has a remedy becomes the last event."""
    try:
        yield from work
    except SourceVanished:
        yield events.FolderVanished()
    except UploadsGone:
        yield events.UploadsExpired()
    except CaseError as error:
        yield _event_of_error(error)
    except (Unreachable, Refused) as error:
        yield events.AttemptFailed(error.reason)


def _event_of_error(error: CaseError) -> Event:
    match error:
        case NotYet():
            return events.Postponed(error.reason, error.wait)
        case TryAgain():
            return events.AttemptFailed(error.reason)
        case _:
            return events.Rejected(error.reason)


def _start_step(
    step: Step, case: Case, route: Route, pace: Pace, context: StepContext
) -> StepEvents:
    match step:
        case Step.SURVEY:
            yield from settle_folder(case, route, pace, context)
        case Step.UPLOAD:
            yield from upload_inputs(case, route, pace, context)
        case Step.SUBMIT:
            yield from _submit(case, route, pace, context)
        case Step.POLL:
            yield from targets.target_for(case.target or route).poll(
                case, context.for_target(route, pace)
            )
        case Step.FETCH:
            yield from fetch_outputs(case, route, context)
        case Step.DELIVER:
            yield from deliver_results(case, route, context)
        case Step.REPORT:
            yield from report_failure(case, route, context)
        case Step.TELL:
            yield from tell_late_change(case, route, pace, context)
        case Step.COMMAND:
            yield from run_delivery_command(case, route)
        case _:
            assert_never(step)


def _submit(case: Case, route: Route, pace: Pace, context: StepContext) -> StepEvents:
    """Use what was uploaded, unless the outbox says that an earlier journal did."""
    # The uploads took time: the folder may have changed since.
    require_settled_folder(case, route)
    if case.submission is None and (
        adopted := find_earlier_result(case, route, context.platform, context.knows)
    ):
        yield adopted
        return
    yield from targets.target_for(case.target or route).submit(
        case, context.for_target(route, pace)
    )
