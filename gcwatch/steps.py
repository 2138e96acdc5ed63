"""The verbs: what a case needs next, what an event makes of it, and when it is due. Pure.

A case's stage is the first line of `CHECKLIST` whose fact is missing. `apply` is the only place
where facts are added; folding a case's events with it gives the case, at any time.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, assert_never

from gcwatch import cases
from gcwatch.cases import Case, Event, Wait
from gcwatch.reasons import CATALOGUE, Reason


class Step(StrEnum):
    """What can be done for a case."""

    SURVEY = "survey"
    UPLOAD = "upload"
    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"
    DELIVER = "deliver"
    REPORT = "report"


@dataclass(frozen=True)
class Line:
    """One line of the checklist: the stage in which a case lacks the fact, and the step for it."""

    stage: str
    step: Step
    lacking: Callable[[Case], bool]


def unsent(case: Case) -> tuple[cases.Input, ...]:
    """Given a planned case, return the inputs whose upload is not complete."""
    complete = Counter(upload.socket for upload in case.uploads if upload.completed)
    return tuple(
        item
        for item in case.inputs or ()
        if item.is_uploaded and complete[item.socket] < item.uploads
    )


def unfetched(case: Case) -> tuple[cases.Output, ...]:
    """Given a case whose outputs are known, return those that are not on disk yet."""
    present = {file.output for file in case.fetched}
    return tuple(output for output in case.outputs or () if output.pk not in present)


CHECKLIST = (
    Line("settling", Step.SURVEY, lambda case: case.settled is None),
    Line("uploading", Step.UPLOAD, lambda case: case.inputs is None or bool(unsent(case))),
    Line(
        "submitting",
        Step.SUBMIT,
        lambda case: case.submission is None or not case.submission.filled,
    ),
    Line("running", Step.POLL, lambda case: case.outputs is None),
    Line("fetching", Step.FETCH, lambda case: bool(unfetched(case))),
    Line("delivering", Step.DELIVER, lambda case: case.ending is None),
)
REPORTING = Line("reporting", Step.REPORT, lambda case: case.failure is not None)


def _line(case: Case) -> Line | None:
    """Given a case, return the line it is at, or None once it is closed."""
    if case.ending is not None:
        return None
    if REPORTING.lacking(case):
        return REPORTING
    return next(line for line in CHECKLIST if line.lacking(case))


def next_step(case: Case) -> Step | None:
    """Given a case, return the step for its first missing fact, or None once it is closed."""
    line = _line(case)
    return line.step if line else None


def stage(case: Case) -> str:
    """Given a case, return where it is: a stage of the checklist, or how it ended."""
    line = _line(case)
    return line.stage if line else str(case.ending)


# --- what events make of a case ------------------------------------------------------------------


def begin(key: str, event: cases.Found, now: float) -> Case:
    """Given the event of a new folder, return its case."""
    return Case(key=key, route=event.route, folder=event.folder, found=now, touched=now)


def fold(key: str, history: Iterable[tuple[float, Event]]) -> Case:
    """Given a case's events with their times, the first of which is Found, return the case."""
    events = iter(history)
    at, found = next(events)
    if not isinstance(found, cases.Found):
        raise TypeError(found)
    case = begin(key, found, at)
    for at, event in events:
        case = apply(case, event, at)
    return case


def _advance(case: Case, now: float, **facts: Any) -> Case:
    """Add facts; whatever the case waited for is over."""
    return replace(case, touched=now, attempts=0, wait=None, **facts)


def _start_over(case: Case, now: float, **facts: Any) -> Case:
    """Forget what was sent, keep what the folder looked like."""
    return _advance(
        case,
        now,
        settled=None,
        inputs=None,
        target=None,
        uploads=(),
        sessions={},
        attempt=None,
        warnings=(),
        **facts,
    )


def _retry(case: Case, now: float) -> Case:
    """A closed case starts a new round; an open one is simply due now."""
    if case.is_open:
        return _advance(case, now)
    return Case(
        key=case.key,
        route=case.route,
        folder=case.folder,
        found=case.found,
        touched=now,
        round=case.round + 1,
        submission=_empty_again(case),
    )


def _still_in_doubt(case: Case) -> cases.Attempt | None:
    """A job can't use uploads that are gone, nor an item be filled with them; to make it can do."""
    makes_item = case.target and case.target.kind != "algorithm" and case.submission is None
    return case.attempt if makes_item else None


def _empty_again(case: Case) -> cases.Submission | None:
    """A display set or archive item is filled anew; after a job there will be another job."""
    if case.submission is None or case.target is None or case.target.kind == "algorithm":
        return None
    return replace(case.submission, filled=False)


def _planned(case: Case, event: cases.Planned, now: float) -> Case:
    """What the case became earlier counts only if it still belongs to the target."""
    kept = case.submission if _belongs(case.submission, event.target) else None
    return _advance(case, now, inputs=event.inputs, target=event.target, submission=kept)


def _belongs(submission: cases.Submission | None, target: cases.Target) -> bool:
    return submission is not None and submission.parent == target.api_url


def _submitted(case: Case, event: cases.Submitted, now: float) -> Case:
    parent = case.target.api_url if case.target else ""
    made = cases.Submission(event.pk, event.url, now, parent, event.filled)
    attempt = case.attempt if event.filled else None  # to fill it is another call
    return _advance(case, now, submission=made, attempt=attempt)


def _filled(case: Case, now: float) -> Case:
    assert case.submission is not None, "only what exists is filled"
    return _advance(case, now, submission=replace(case.submission, submitted=now, filled=True))


def _falter(case: Case, event: cases.Faltered, now: float) -> Case:
    """Count the attempt; when the reason's patience ends, the case fails with it."""
    attempts = case.attempts + 1
    attempt = None if event.undone else case.attempt
    patience = CATALOGUE[event.reason.code].patience
    if case.failure is None and patience is not None and attempts >= patience:
        # Whoever dropped the folder is told at once, not after one more pause.
        return _advance(case, now, failure=event.reason, attempt=attempt)
    wait = Wait(event.reason, until=0.0)
    return replace(case, touched=now, attempts=attempts, wait=wait, attempt=attempt)


def _completed(case: Case, event: cases.Uploaded) -> tuple[cases.Upload, ...]:
    return tuple(
        replace(upload, completed=True, sha256=event.sha256) if upload.pk == event.pk else upload
        for upload in case.uploads
    )


def _begun(case: Case, event: cases.Begun) -> tuple[cases.Upload, ...]:
    """A socket's new upload takes the place of an earlier one that the platform lost."""
    others = tuple(upload for upload in case.uploads if upload.socket != event.upload.socket)
    return (*others, event.upload)


def _running(case: Case, event: cases.StillRunning, now: float) -> Case:
    """An unchanged status still counts as news of the job, so that the next poll is later."""
    hours = round((now - case.submission.submitted) / 3600) if case.submission else 0
    url = case.submission.url if case.submission else ""
    is_job = case.target is None or case.target.kind == "algorithm"
    code = "job_stalled" if is_job else "import_stalled"
    stalled = Reason(code, {"status": event.status, "hours": hours, "url": url})
    wait = Wait(stalled, until=0.0) if event.stalled else None
    return replace(case, touched=now, attempts=0, status=event.status, wait=wait)


def _closed(case: Case, event: Event, now: float) -> Case:
    """A closed case only hears of its folder, and of an operator who wants it again."""
    match event:
        case cases.Retried():
            return _retry(case, now)
        case cases.Touched(snapshot):
            return replace(case, seen=snapshot, gone=False)
        case cases.Left():
            return replace(case, gone=True)
        case cases.Returned():
            return replace(case, gone=False)
        case cases.Renamed(route):
            return replace(case, route=route)
        case _:
            return case


def apply(case: Case, event: Event, now: float) -> Case:  # noqa: C901, PLR0912 -- one match is the point
    """Given a case, an event and its time, return the case with the facts that the event adds."""
    if not case.is_open:
        return _closed(case, event, now)
    match event:
        case cases.Changed(snapshot):
            return _start_over(case, now, seen=snapshot, changed=now)
        case cases.Settled():
            return _advance(case, now, settled=now)
        case cases.Vanished():
            # Whatever stands there later is new, even the same folder: nothing of it was sent.
            return _advance(case, now, ending="withdrawn", gone=True, seen=None)
        case cases.Planned():
            return _planned(case, event, now)
        case cases.Begun():
            return _advance(case, now, uploads=_begun(case, event))
        case cases.Resumed():
            return replace(case, touched=now, wait=None)  # a try, no success: tries are counted on
        case cases.Uploaded():
            return _advance(case, now, uploads=_completed(case, event))
        case cases.FilesUploaded(uploads):
            return _advance(case, now, uploads=(*case.uploads, *uploads))
        case cases.UploadsExpired():
            return _advance(case, now, uploads=(), sessions={}, attempt=_still_in_doubt(case))
        case cases.Prepared(socket, session):
            return _advance(case, now, sessions={**case.sessions, socket: session})
        case cases.Attempted(jobs, images):
            return replace(case, touched=now, wait=None, attempt=cases.Attempt(now, jobs, images))
        case cases.Submitted():
            return _submitted(case, event, now)
        case cases.Filled():
            return _filled(case, now)
        case cases.StillRunning():
            return _running(case, event, now)
        case cases.Warned(reason):
            known = reason in case.warnings
            return case if known else replace(case, warnings=(*case.warnings, reason))
        case cases.Succeeded(outputs, images):
            return _advance(case, now, outputs=outputs, images=images)
        case cases.OutputFetched(files):
            return _advance(case, now, fetched=(*case.fetched, *files))
        case cases.Delivered(folder, source):
            gone = source in {"moved", "deleted"}
            return _advance(case, now, ending="delivered", result=folder, gone=gone)
        case cases.Rejected(reason):
            return _advance(case, now, failure=reason)
        case cases.Reported():
            return _advance(case, now, ending="failed")
        case cases.Faltered():
            return _falter(case, event, now)
        case cases.Postponed(reason, wait, undone):
            attempt = None if undone else case.attempt
            until = now + wait
            return replace(case, touched=now, wait=Wait(reason, until), attempt=attempt)
        case cases.Retried():
            return _retry(case, now)
        case cases.Withdrawn():
            return _advance(case, now, ending="withdrawn")
        case cases.Renamed(route):
            return replace(case, route=route)
        case cases.Found() | cases.Touched() | cases.Left() | cases.Returned():
            return case
        case _:
            assert_never(event)


Work = Generator[Event, Case, None]
"""A step under way: events go out to be recorded, the case as recorded comes back."""


# --- when a case is due --------------------------------------------------------------------------


class Poll(Protocol):
    """When to ask again: every so often, or at the times of a cron expression."""

    def after(self, now: float) -> float:
        """Given a time, return the next one."""


@dataclass(frozen=True)
class Every:
    """Again and again, `seconds` apart."""

    seconds: float

    def after(self, now: float) -> float:
        """Given a time (seconds since the epoch), return the next time after it."""
        return now + self.seconds


@dataclass(frozen=True)
class Pace:
    """How fast things go, in seconds; tests choose other numbers than hospitals.

    `doubt` is how long the platform may go on working on a call whose reply was lost
    (contract 10.1); `slowest` bounds the pauses between two tries or two polls of an old job;
    `hung` is for how long work may show no progress before it counts as hanging.
    """

    settle: float = 30.0
    poll: Poll = Every(60.0)
    survey: float = 60.0
    backoff: float = 5.0
    slowest: float = 900.0
    doubt: float = 180.0
    upkeep: float = 3600.0
    refused: float = 60.0
    hung: float = 900.0


def _backoff(case: Case, pace: Pace) -> float:
    """Doubling from `backoff` to `slowest`, spread by up to a fifth so that cases drift apart."""
    spread = zlib.crc32(f"{case.key}/{case.attempts}".encode()) % 1000 / 5000
    wait = float(pace.backoff * 2 ** min(case.attempts - 1, 16))
    return min(wait * (1 + spread), pace.slowest)


def _poll_due(case: Case, submission: cases.Submission, pace: Pace) -> float:
    """First after three quarters of the algorithm's average, then at the route's pace, then slower.

    A twentieth of the submission's age is added once that exceeds the route's own pace.
    """
    expected = case.target.expected if case.target else None
    first = submission.submitted + 0.75 * (expected or 0.0)
    if case.touched < first:
        return first
    aged = case.touched + min((case.touched - submission.submitted) / 20, pace.slowest)
    return max(pace.poll.after(case.touched), aged)


def due(case: Case, pace: Pace) -> float | None:
    """Given a case, return when its next step may start, or None once it is closed."""
    if case.ending is not None:
        return None
    if case.wait and case.wait.until:
        return case.wait.until
    if case.attempts:
        return case.touched + _backoff(case, pace)
    if case.failure is None and case.settled is None and case.seen is not None:
        return case.changed + pace.settle
    if stage(case) == "running" and case.submission:
        return _poll_due(case, case.submission, pace)
    return case.touched
