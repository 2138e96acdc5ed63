"""Why a case does not move, or what it is at, in one sentence with its numbers. Pure.

Every state that a case can be in has its sentence here; what hinders a case, and why one failed,
has it in the catalogue of reasons.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gcwatch.config import Cron, Settings
from gcwatch.core import checklist
from gcwatch.core.case import Case
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import counted, data_size, readable_name, time_span
from gcwatch.core.timing import Pace, due_time
from gcwatch.journal.progress import NOTHING, DaemonProgress

_QUEUED: Final = frozenset({"", "Queued", "Re-Queued"})
"""Statuses of a job that does not run yet."""

_SOON: Final = 2.0
"""Seconds for which a case that is due may be without a worker before it counts as waiting."""


@dataclass(frozen=True)
class DaemonSnapshot:
    """What a case's waiting depends on besides the case.

    `is_running` tells whether anybody works, `pause` why nobody does all the same. `routes` are
    those of the config, None where any will do. `at_once` cases are worked on at a time; `ahead`
    tells of each case that is due how many others go first.
    """

    is_running: bool = True
    pause: Reason | None = None
    routes: frozenset[str] | None = None
    progress: DaemonProgress = NOTHING
    at_once: int = 0
    ahead: Mapping[str, int] = field(default_factory=dict)

    def among(
        self,
        settings: Settings,
        open_cases: Iterable[Case],
        pace_of: Callable[[str], Pace],
        now: float,
    ) -> "DaemonSnapshot":
        """Given settings, all open cases and the time, return this with what they tell."""
        routes = frozenset(route.name for route in settings.routes)
        ready = [
            (due, case.key)
            for case in open_cases
            if case.route in routes and case.key not in self.progress.working
            if (due := due_time(case, pace_of(case.route))) is not None and due <= now
        ]
        ahead = {key: place for place, (_, key) in enumerate(sorted(ready))}
        return replace(self, routes=routes, at_once=settings.limits.cases, ahead=ahead)


def why_waiting(case: Case, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    """Given a case, its route's pace, the time and what is around it, return the sentence."""
    if case.ending is not None:
        return explain(case.failure).plain if case.failure else _done(case)
    if around.routes is not None and case.route not in around.routes:
        return "Its route is not in the config any more, so nothing is done for it."
    if around.pause is not None:
        return explain(around.pause).plain
    if case.key in around.progress.transfers:
        return _transfer(case, *around.progress.transfers[case.key])
    if case.wait is not None:
        return _hindered(case, case.wait.reason, pace, now, around)
    return _queued(case, pace, now, around) or _doing(case, pace, now, around)


# --- what hinders --------------------------------------------------------------------------------


def _hindered(case: Case, reason: Reason, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    plain = explain(reason).plain
    if reason.code == "importing" and case.attempt is not None:
        plain = f"Waiting for the platform's import, {time_span(max(now - case.attempt.at, 0))}."
    when = _when(case, pace, now, around)
    if case.attempts:
        return f"Tried again {when} ({_nth(case.attempts + 1)} attempt): {plain}"
    return f"{plain} Looked at again {when}."


def _when(case: Case, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    if case.key in around.progress.working:
        return "at this moment"
    if not around.is_running:
        return "once gcwatch runs"
    left = (due_time(case, pace) or now) - now
    return f"in {time_span(left)}" if left > 0 else "as soon as a worker is free"


def _queued(case: Case, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    """Say so if the case could go on but for a worker; "" if it is worked on, or not due."""
    due = due_time(case, pace)
    if due is None or due > now or case.key in around.progress.working:
        return ""
    if not around.is_running:
        return f"{_NEXT[checklist.stage(case)]} once gcwatch runs."
    before, busy = around.ahead.get(case.key, 0), len(around.progress.working)
    if now - due < _SOON or busy + before < around.at_once or not around.at_once:
        return ""
    first = f"{counted(before, 'more case')} before it" if before else "it is the next one"
    return f"Waiting for its turn: {counted(busy, 'case')} being worked on, {first}."


_NEXT: Final[Mapping[str, str]] = {
    "settling": "Its files are looked at",
    "uploading": "It is sent",
    "submitting": "Everything is sent; the platform is asked to use it",
    "running": "It is on the platform; what became of it is asked",
    "fetching": "Its results are fetched",
    "delivering": "Its results are put into the outbox",
    "reporting": "It failed; that is written down in the outbox",
}
"""What comes next at each stage."""


# --- what it is at -------------------------------------------------------------------------------


def _doing(case: Case, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    """Given a case that nothing hinders, return what it is at."""
    match checklist.stage(case):
        case "settling":
            return _settling(case, pace, now, around)
        case "uploading":
            return _uploading(case, around)
        case "submitting":
            return "Everything is sent; the platform is asked to use it."
        case "running":
            return f"{_running(case, now)} {_asking(case, pace, now, around)}"
        case "fetching":
            return f"The results are being fetched: {_fetched(case)}."
        case "delivering":
            return "The results are being put into the outbox."
        case _:
            plain = explain(case.failure).plain if case.failure else ""
            return f"It failed; that is being written down in the outbox: {plain}"


def _settling(case: Case, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    seen = case.seen
    if seen is None:
        return "Its files are about to be looked at for the first time."
    quiet, left = time_span(pace.settle), case.changed + pace.settle - now
    rest = f"{time_span(left)} to go" if left > 0 else "it is looked at once more"
    rest = rest if around.is_running else "it is looked at once gcwatch runs"
    if seen.changing:
        ago = f"{time_span(max(now - case.changed, 0))} ago"
        return (
            f"Files still changing: {seen.changing} of {seen.files}, {ago}. "
            f"It is complete when nothing has changed for {quiet}: {rest}."
        )
    held = f"{counted(seen.files, 'file')}, {data_size(seen.bytes)}"
    return f"Until nothing in it has changed for {quiet}: {rest} ({held})."


def _uploading(case: Case, around: DaemonSnapshot) -> str:
    if case.inputs is None:
        return "Its files are being matched to what the platform asks for."
    done, of = _uploads(case)
    files = counted(case.seen.files, "file") if case.seen else "its files"
    if case.key in around.progress.working and done < of:
        return f"Being prepared for sending: {files} read, checked and packed."
    return f"It is being sent: {done} of {counted(of, 'upload')} complete."


def _uploads(case: Case) -> tuple[int, int]:
    """Return how many uploads are complete, and of how many."""
    done = sum(upload.completed for upload in case.uploads)
    return done, sum(item.uploads for item in case.inputs or () if item.is_uploaded)


def _transfer(case: Case, moved: int, total: int) -> str:
    share = f" ({100 * moved // total} %)" if total else ""
    amount = (
        f"{data_size(moved)} of {data_size(total)}{share}"
        if total
        else f"{data_size(moved)} so far"
    )
    if checklist.stage(case) == "fetching":
        return f"The results are being fetched: {amount}; {_fetched(case)}."
    done, of = _uploads(case)
    rest = f"; {done} of {of} uploads complete" if of > 1 else ""
    return f"It is being sent: {amount}{rest}."


def _fetched(case: Case) -> str:
    of = len(case.outputs or ())
    return f"{of - len(checklist.unfetched_outputs(case))} of {counted(of, 'output')} here"


def _running(case: Case, now: float) -> str:
    since = time_span(max(now - case.submission.submitted, 0)) if case.submission else "not long"
    if is_import(case) or case.status == "Validating inputs":
        return f"Waiting for the platform's import, {since}."
    if case.status in _QUEUED:
        return f"The job is queued on the platform, {since}."
    expected = case.target.expected if case.target else None
    average = f"; it takes {time_span(expected)} on average" if expected else ""
    return f"The job is running on the platform ({case.status}), {since}{average}."


def _asking(case: Case, pace: Pace, now: float, around: DaemonSnapshot) -> str:
    if not around.is_running:
        return "It is asked after once gcwatch runs."
    left = (due_time(case, pace) or now) - now
    if isinstance(pace.poll, Cron):
        return f"It is asked after at {pace.poll.expression}."
    return f"It is asked after in {time_span(left)}." if left > 0 else "It is being asked after."


def _done(case: Case) -> str:
    """Given a closed case that did not fail, return how it ended."""
    if case.ending == "delivered":
        what = (
            "It is on the platform; the receipt stands" if is_import(case) else "The results stand"
        )
        return f"{what} in the outbox as {readable_name(case.result)}."
    if case.gone:
        return "The folder was taken away before everything was sent."
    return "It was taken back; nothing more is done."


def is_import(case: Case) -> bool:
    """Whether a case becomes a display set or archive item, which has no results."""
    return case.kind != "algorithm"


# --- numbers -------------------------------------------------------------------------------------


def _nth(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 <= number % 100 <= 20 else suffix}"
