"""Why a case waits, or what gcwatch does for it, in one sentence with numbers.

Every stage of a case has its sentence here; the catalogue of reasons has those for a case that
can't go on or has failed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gcwatch.config import Cron, Route, Settings
from gcwatch.core import checklist
from gcwatch.core.case import Case
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.rules.priority import RANKS
from gcwatch.core.text import count_noun, data_size, readable_name, time_span
from gcwatch.core.timing import Pace, due_time
from gcwatch.journal.hosts.progress import NOTHING, DaemonProgress
from gcwatch.log.sentences import name_activity
from gcwatch.wording.host_view import HostView

_QUEUED: Final = frozenset({"", "Queued", "Re-Queued"})
"""Statuses of a job that has not started yet."""

_SOON_SECONDS: Final = 2.0
"""A due case without a worker counts as waiting for its turn only after this time."""


@dataclass(frozen=True)
class DaemonSnapshot:
    """What the daemon does at this moment, as far as the waiting of a case depends on it.

    `is_running`: a daemon is there. `pause`: why all work is paused. `routes`: the names in the
    config; None: unknown. `hosts`: those that share the journal. `at_once`: the number of cases
    that are worked on at a time. `ahead`: for each due case, the number of cases that go first.
    """

    is_running: bool = True
    pause: Reason | None = None
    routes: frozenset[str] | None = None
    progress: DaemonProgress = NOTHING
    hosts: tuple[HostView, ...] = ()
    at_once: int = 0
    ahead: Mapping[str, int] = field(default_factory=dict)

    def among(
        self,
        settings: Settings,
        open_cases: Iterable[Case],
        pace_of: Callable[[str], Pace],
        now: float,
    ) -> "DaemonSnapshot":
        """Given settings, all open cases and the time, return this with routes and queue."""
        ranks = {route.name: RANKS[route.priority] for route in _worked_on(settings)}
        ready = [
            (ranks[case.route], due, case.key)
            for case in open_cases
            if case.route in ranks and case.key not in self.progress.working
            if (due := due_time(case, pace_of(case.route))) is not None and due <= now
        ]
        ahead = {key: place for place, (_, _, key) in enumerate(sorted(ready))}
        living = sum(host.alive for host in self.hosts) or 1
        at_once = living * settings.limits.cases
        return replace(self, routes=frozenset(ranks), at_once=at_once, ahead=ahead)


def _worked_on(settings: Settings) -> tuple[Route, ...]:
    """Return the routes on which this host or another one works."""
    return settings.own_routes if settings.journal is None else settings.routes


def why_waiting(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    """Given a case, its route's pace, the time and the daemon's state, return the sentence."""
    if case.ending is not None:
        return explain(case.failure).plain if case.failure else _done(case)
    if snapshot.routes is not None and case.route not in snapshot.routes:
        return (
            "Its route is not in the config any more, or for other hosts: nothing is done for it."
        )
    if snapshot.pause is not None:
        return explain(snapshot.pause).plain
    if case.key in snapshot.progress.transfers:
        return _transfer(case, *snapshot.progress.transfers[case.key])
    if case.wait is not None:
        return _hindered(case, case.wait.reason, pace, now, snapshot)
    return _queued(case, pace, now, snapshot) or _doing(case, pace, now, snapshot)


# --- cases that can't go on ----------------------------------------------------------------------


def _hindered(case: Case, reason: Reason, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    plain = explain(reason).plain
    if reason.code == "importing" and case.attempt is not None:
        plain = _importing(now - case.attempt.at)
    if case.attempts:
        activity = name_activity(checklist.next_step(case) or "")
        plain = f"{activity} failed (attempt {case.attempts}): {plain}"
    return f"{plain} Next try {_when(case, pace, now, snapshot)}."


def _when(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    if case.key in snapshot.progress.working:
        return "now"
    if not snapshot.is_running:
        return "once gcwatch runs"
    left = (due_time(case, pace) or now) - now
    return f"in {time_span(left)}" if left > 0 else "as soon as a worker is free"


def _queued(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    """Return a sentence if a due case lacks a worker; "" if it has one, or is not due."""
    due = due_time(case, pace)
    if due is None or due > now or case.key in snapshot.progress.working:
        return ""
    if not snapshot.is_running:
        return f"{_NEXT[checklist.stage(case)]} once gcwatch runs."
    before, busy = snapshot.ahead.get(case.key, 0), len(snapshot.progress.working)
    if now - due < _SOON_SECONDS or busy + before < snapshot.at_once or not snapshot.at_once:
        return ""
    first = f"{count_noun(before, 'more case')} before it" if before else "it is next"
    return f"Waiting for its turn: {count_noun(busy, 'case')} in work, {first}."


_NEXT: Final[Mapping[str, str]] = {
    "settling": "Its files are checked",
    "uploading": "It is sent",
    "submitting": "Everything is sent; gcwatch asks the platform to use it",
    "running": "It is on the platform; gcwatch asks for its status",
    "fetching": "Its results are fetched",
    "delivering": "Its results are put into the outbox",
    "reporting": "It failed; gcwatch writes the failure note",
}
"""What comes next at each stage."""


# --- cases in work --------------------------------------------------------------------------------


def _doing(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    """Given a case that can go on, return what gcwatch does for it."""
    match checklist.stage(case):
        case "settling":
            return _settling(case, pace, now, snapshot)
        case "uploading":
            return _uploading(case, snapshot)
        case "submitting":
            return f"{_NEXT['submitting']}."
        case "running":
            return f"{_running(case, now)} {_next_check(case, pace, now, snapshot)}"
        case "fetching":
            return f"Fetching the results: {_fetched(case)}."
        case "delivering":
            return "Putting the results into the outbox."
        case _:
            plain = explain(case.failure).plain if case.failure else ""
            return f"{_NEXT['reporting']}: {plain}"


def _settling(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    seen = case.seen
    if seen is None:
        return "Waiting to be checked."
    quiet, left = time_span(pace.settle), case.changed + pace.settle - now
    left = min(left, pace.settle)  # the clock may have been set back since
    rest = f"{time_span(left)} to go" if left > 0 else "last check now"
    rest = rest if snapshot.is_running else "last check once gcwatch runs"
    complete = f"Complete when nothing has changed for {quiet}: {rest}"
    if seen.changing:
        ago = f"{time_span(max(now - case.changed, 0))} ago"
        return f"Files still changing: {seen.changing} of {seen.files}, {ago}. {complete}."
    return f"{complete} ({count_noun(seen.files, 'file')}, {data_size(seen.bytes)})."


def _uploading(case: Case, snapshot: DaemonSnapshot) -> str:
    if case.inputs is None:
        return "Matching its files to the inputs that the platform asks for."
    done, of = _uploads(case)
    files = count_noun(case.seen.files, "file") if case.seen else "its files"
    if case.key in snapshot.progress.working and done < of:
        return f"Preparing: reading, checking and packing {files}."
    return f"Sending: {done} of {count_noun(of, 'upload')} complete."


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
        return f"Fetching the results: {amount}; {_fetched(case)}."
    done, of = _uploads(case)
    rest = f"; {done} of {of} uploads complete" if of > 1 else ""
    return f"Sending: {amount}{rest}."


def _fetched(case: Case) -> str:
    of = len(case.outputs or ())
    return f"{of - len(checklist.unfetched_outputs(case))} of {count_noun(of, 'output')} complete"


def _running(case: Case, now: float) -> str:
    seconds = max(now - case.submission.submitted, 0) if case.submission else 0
    if is_import(case) or case.status == "Validating inputs":
        return _importing(seconds)
    if case.status in _QUEUED:
        return f"The job has been queued on the platform for {time_span(seconds)}."
    expected = case.target.expected if case.target else None
    average = f"; the average is {time_span(expected)}" if expected else ""
    duration = time_span(seconds)
    return f"The job has been running on the platform for {duration} ({case.status}){average}."


def _importing(seconds: float) -> str:
    return f"Waiting for the platform's import: {time_span(max(seconds, 0))} so far."


def _next_check(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot) -> str:
    if not snapshot.is_running:
        return "Next check once gcwatch runs."
    left = (due_time(case, pace) or now) - now
    if isinstance(pace.poll, Cron):
        return f"Next check by the schedule {pace.poll.expression}."
    return f"Next check in {time_span(left)}." if left > 0 else "Next check now."


def _done(case: Case) -> str:
    """Given a closed case that did not fail, return how it ended."""
    if case.adopted:
        result = readable_name(case.result)
        return f"It was sent before: the outbox holds {result} with its receipt. Nothing was sent."
    if case.ending == "delivered":
        what = "It is on the platform; the receipt is" if is_import(case) else "The results are"
        return f"{what} in the outbox as {readable_name(case.result)}."
    if case.gone:
        return "The folder was removed before everything was sent."
    return "It was withdrawn; gcwatch does nothing more with it."


def is_import(case: Case) -> bool:
    """Whether a case becomes a display set or archive item, which has no results."""
    return case.kind != "algorithm"
