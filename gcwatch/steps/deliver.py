"""Steps fetch, deliver and report: outputs brought, published, or a failure explained."""

from collections.abc import Mapping
from typing import Final

from gcwatch.config import Route
from gcwatch.core import checklist, events
from gcwatch.core.case import Case, Fetched, Output, Source
from gcwatch.core.checklist import StepEvents
from gcwatch.core.reasons import Reason
from gcwatch.core.receipt import make_receipt
from gcwatch.files.atomic import disk_trouble
from gcwatch.imaging.bundles.spool import discard_spool
from gcwatch.inbox import dispose
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.outbox import outputs, publish
from gcwatch.outbox.notes import remove_change_note, remove_failure_note, write_failure_note
from gcwatch.outbox.staging import StagingPlace
from gcwatch.steps.context import StepContext, counted_transfer, spool_folder
from gcwatch.version import VERSION
from gcwatch.wording.failure_note import failure_note_text

LENIENT_AFTER_TRIES: Final = 3


def fetch_outputs(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Fetch each output that is missing into the staging folder."""
    for output in checklist.unfetched_outputs(case):
        case = yield events.OutputFetched(_fetch_output(case, output, route, context))


def _staging(case: Case, route: Route, context: StepContext) -> StagingPlace:
    note = spool_folder(case, context) / "staging.json"
    return StagingPlace(route.outbox, case.key, note)


def _fetch_output(
    case: Case, output: Output, route: Route, context: StepContext
) -> tuple[Fetched, ...]:
    place = outputs.output_paths(case.outputs or ())[output.pk]
    folder = _staging(case, route, context).open()
    lenient = case.attempts >= LENIENT_AFTER_TRIES
    with disk_trouble("Writing results"), counted_transfer(case.key, 0, context) as moved:
        return outputs.Staging(folder, context.transfers, moved, lenient=lenient).fetch_output(
            output, place
        )


def _fetch_for_new_outbox(case: Case, route: Route, context: StepContext) -> None:
    """Fetch again what is in a former outbox: a reload may have given the route a new one."""
    if publish.published_name(route.outbox, case.key, case.folder):
        return
    folder = _staging(case, route, context).open()
    gone = {file.output for file in case.fetched if not (folder / file.path).exists()}
    for output in case.outputs or ():
        if output.pk in gone:
            _fetch_output(case, output, route, context)


def deliver_results(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Publish the results by one rename; only then move or delete the source folder."""
    _fetch_for_new_outbox(case, route, context)
    platform = context.platform.home
    receipt = make_receipt(case, platform, VERSION, context.clock())
    name = publish.publish_results(_staging(case, route, context), case.folder, receipt)
    renamed = Reason("result_renamed", {}, {"folder": case.folder, "result": name})
    if publish.is_renamed(case.folder, name) and renamed not in case.warnings:
        yield events.WarningFound(renamed)
    # Notes of an earlier round are no longer true.
    remove_failure_note(route.outbox, case.folder)
    remove_change_note(route.outbox, case.folder)
    # Only now: the results are on the disk, so the folder may go.
    source = _dispose_of_folder(case, route)
    discard_spool(spool_folder(case, context))
    yield events.Delivered(name, source, command=bool(route.on_delivered))


_SOURCE_AFTER: Final[Mapping[str, Source]] = {
    "keep": "kept",
    "move": "moved",
    "delete": "deleted",
}


def _dispose_of_folder(case: Case, route: Route) -> Source:
    assert case.seen is not None, "what was sent had been seen"
    box = inbox_of(route)
    done = dispose.dispose_of_source(box, case.folder, route.after, route.done, case.seen)
    return _SOURCE_AFTER[route.after] if done else "changed"


def report_failure(case: Case, route: Route, context: StepContext) -> StepEvents:
    """Write the failure note into the outbox, where the person who dropped the folder looks."""
    _staging(case, route, context).discard()
    once = isinstance(route, SingleCaseRoute)
    text = failure_note_text(case, once=once, operator_files=route.operator_files)
    write_failure_note(route.outbox, case.folder, text)
    discard_spool(spool_folder(case, context))
    yield events.FailureReported()
