"""Step command: once the results are in the outbox, the command of the route runs.

It runs at least once: after a crash between its end and the record of that, it runs again.
"""

from gcwatch.config import Route
from gcwatch.config.values.command import fill_arguments
from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import disk_trouble
from gcwatch.files.beneath import SharePath
from gcwatch.outbox.delivery_command import CommandResult, run_command


def run_delivery_command(case: Case, route: Route) -> StepEvents:
    """Run the command for a delivered case, and yield how it ended."""
    if not route.on_delivered:
        yield events.CommandDropped()
        return
    try:
        result = _run(case, route)
    except TryAgain as error:
        yield events.CommandFailed(error.reason)
        return
    if result.problem:
        facts, names = {"problem": result.problem}, {"output": result.output}
        yield events.CommandFailed(Reason("command_failed", facts, names))
    else:
        yield events.CommandCompleted(result.seconds)


def _run(case: Case, route: Route) -> CommandResult:
    """Raise TryAgain (`disk`) if the outbox can't be read."""
    with disk_trouble("reading the outbox"):
        if not (SharePath(route.outbox) / case.result).is_dir():
            return CommandResult(0.0, "can't be run: the results are not in the outbox any more")
    values = {
        "folder": str(route.outbox / case.result),
        "key": case.key,
        "route": route.name,
    }
    return run_command(fill_arguments(route.on_delivered, values))
