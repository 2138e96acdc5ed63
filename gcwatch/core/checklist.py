"""What a case needs next: its stage is the first line of `CHECKLIST` whose fact it lacks."""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum

from gcwatch.core.case import Case, Input, Output
from gcwatch.core.events import Event


class Step(StrEnum):
    """What gcwatch can do for a case; the values are in the log."""

    SURVEY = "survey"
    UPLOAD = "upload"
    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"
    DELIVER = "deliver"
    REPORT = "report"
    TELL = "tell"
    COMMAND = "command"


@dataclass(frozen=True)
class ChecklistLine:
    """One fact: the stage of a case that lacks it, the step that provides it, and its test."""

    stage: str
    step: Step
    lacking: Callable[[Case], bool]


def unsent_inputs(case: Case) -> tuple[Input, ...]:
    """Given a planned case, return the inputs whose upload is not complete."""
    complete = Counter(upload.socket for upload in case.uploads if upload.completed)
    return tuple(
        item
        for item in case.inputs or ()
        if item.is_uploaded and complete[item.socket] < item.uploads
    )


def unfetched_outputs(case: Case) -> tuple[Output, ...]:
    """Given a case whose outputs are known, return those that are not on disk yet."""
    present = {file.output for file in case.fetched}
    return tuple(output for output in case.outputs or () if output.pk not in present)


CHECKLIST = (
    ChecklistLine("settling", Step.SURVEY, lambda case: case.settled is None),
    ChecklistLine(
        "uploading", Step.UPLOAD, lambda case: case.inputs is None or bool(unsent_inputs(case))
    ),
    ChecklistLine(
        "submitting",
        Step.SUBMIT,
        lambda case: case.submission is None or not case.submission.filled,
    ),
    ChecklistLine("running", Step.POLL, lambda case: case.outputs is None),
    ChecklistLine("fetching", Step.FETCH, lambda case: bool(unfetched_outputs(case))),
    ChecklistLine("delivering", Step.DELIVER, lambda case: case.ending is None),
)
REPORTING = ChecklistLine("reporting", Step.REPORT, lambda case: case.failure is not None)

STAGES = (
    *(line.stage for line in (*CHECKLIST, REPORTING)),
    *("delivered", "failed", "withdrawn"),
)
"""Where a case can be, from the first stage to how it can end."""


def _checklist_line(case: Case) -> ChecklistLine | None:
    """Given a case, return the line it is at, or None once it is closed."""
    if case.ending is not None:
        return None
    if REPORTING.lacking(case):
        return REPORTING
    return next(line for line in CHECKLIST if line.lacking(case))


def next_step(case: Case) -> Step | None:
    """Given a case, return the step for its first missing fact.

    None once it is closed, unless its command has to run, or a change in its folder has to be
    reported. A command that has failed does not hold up that report.
    """
    is_untold = has_untold_change(case)
    if has_command_to_run(case) and not (is_untold and has_failed_command(case)):
        return Step.COMMAND
    if is_untold:
        return Step.TELL
    line = _checklist_line(case)
    return line.step if line else None


def has_untold_change(case: Case) -> bool:
    """Whether a closed case's folder differs from what the note beside its results says."""
    return case.late is not None and not case.late.told and not case.gone


def has_command_to_run(case: Case) -> bool:
    """Whether the command for a delivered case has to run, for the first time or again."""
    return case.command is not None and not case.command.given_up


def has_failed_command(case: Case) -> bool:
    """Whether the command for a delivered case failed, and has not run well since."""
    return case.command is not None and case.command.attempts > 0


def stage(case: Case) -> str:
    """Given a case, return its stage: a line of the checklist, or how the case ended."""
    line = _checklist_line(case)
    return line.stage if line else str(case.ending)


StepEvents = Generator[Event, Case, None]
"""A running step: it yields events, and gets back the case with each event recorded."""
