"""What can be said of a case to people in the building: where it is, why it waits, what happened.

The views made here are what `status` and `show` print, as tables and as JSON. Names are in them:
they go to a terminal or to a program beside it, never into a log.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gcwatch import log
from gcwatch.core import checklist, events
from gcwatch.core.case import Case
from gcwatch.core.reasons import CATALOGUE, Explanation, Reason, explain
from gcwatch.core.text import iso_time, printable_name, readable_name, time_span
from gcwatch.core.timing import Pace, due_time
from gcwatch.explain import why_waiting
from gcwatch.explain.why_waiting import DaemonSnapshot
from gcwatch.journal.journal import Recorded
from gcwatch.log.case_events import log_entry

_OVERDUE = 120.0
"""Seconds after which a case that is due and does not move needs a word."""


_ANY = DaemonSnapshot()
"""Where it is not known what goes on around a case."""


@dataclass(frozen=True)
class CaseView:
    """One case in words: `why` it does not move or what it is at, `detail` for an engineer.

    `moved` bytes of `total` (0: unknown) are through of the transfer under way; `status` is the
    platform's word for the job or import.
    """

    case: str
    route: str
    folder: str
    stage: str
    since: str
    why: str
    detail: str = ""
    hint: str = ""
    reason: str = ""
    attempts: int = 0
    next: str = ""
    files: int = 0
    bytes: int = 0
    status: str = ""
    moved: int = 0
    total: int = 0
    link: str = ""
    result: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class HistoryLine:
    """One thing that happened: when, the log's name for it, a sentence, and its facts."""

    time: str
    event: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


def case_view(case: Case, pace: Pace, now: float, around: DaemonSnapshot = _ANY) -> CaseView:
    """Given a case, its route's pace, the time and what is around it, return the case in words."""
    reason = _reason(case)
    words = explain(reason) if reason else Explanation("", "", "")
    due = due_time(case, pace)
    moved, total = around.progress.transfers.get(case.key, (0, 0))
    return CaseView(
        case=case.key,
        route=case.route,
        folder=printable_name(case.folder),
        stage=checklist.stage(case),
        since=iso_time(_since(case)),
        why=printable_name(why_waiting.why_waiting(case, pace, now, around)),
        detail=" ".join(filter(None, (readable_name(words.detail), _overdue(due, now)))),
        hint=words.hint,
        reason=reason.code if reason else "",
        attempts=case.attempts,
        next=iso_time(due) if due is not None else "",
        files=case.seen.files if case.seen else 0,
        bytes=case.seen.bytes if case.seen else 0,
        status=case.status,
        moved=moved,
        total=total,
        link=case.submission.url if case.submission else "",
        result=printable_name(case.result),
        warnings=tuple(printable_name(explain(reason).detail) for reason in case.warnings),
    )


def _reason(case: Case) -> Reason | None:
    if case.wait is not None and case.is_open:
        return case.wait.reason
    return case.failure


def _since(case: Case) -> float:
    """Since when a case is at its stage, as far as its facts tell."""
    moments = {
        "settling": case.changed or case.touched,
        "uploading": case.settled,
        "submitting": case.attempt.at if case.attempt else None,
        "running": case.submission.submitted if case.submission else None,
    }
    return moments.get(checklist.stage(case)) or case.touched


def _overdue(due: float | None, now: float) -> str:
    """Say so if a case could have been worked on long ago, as when the token is refused."""
    if due is None or now - due < _OVERDUE:
        return ""
    late = time_span(now - due)
    return f"It has been due for {late}: others go first, or all work pauses (gcwatch check tells)."


# --- history -------------------------------------------------------------------------------------


def history_lines(key: str, recorded: Sequence[Recorded]) -> Iterator[HistoryLine]:
    """Given a case's key and its events, return them in words; what is no news is passed over."""
    before: Case | None = None
    for each in recorded:
        if before is None:
            assert isinstance(each.event, events.FolderFound), (
                "a history begins with a folder found"
            )
            before = after = checklist.new_case(key, each.event, each.at)
        else:
            after = checklist.apply(before, each.event, each.at)
        told = log_entry(before, each.event, after)
        if told:
            yield _told(iso_time(each.at), each.event, *told)
        before = after


def _told(time: str, event: events.Event, name: str, facts: Any) -> HistoryLine:
    kept = {key: value for key, value in facts.items() if key not in {"plain", "detail", "folder"}}
    reason = getattr(event, "reason", None)
    if isinstance(reason, Reason):
        words = explain(reason)
        return HistoryLine(time, name, f"{words.plain} {words.detail}", kept)
    return HistoryLine(time, name, log.CATALOGUE[name].meaning, kept)


# --- docs/troubleshooting.md ---------------------------------------------------------------------

_TABLE = "| code | reads | means | to do | gives up |\n|---|---|---|---|---|\n"


def page_with_reasons(page: str) -> str:
    """Given docs/troubleshooting.md, return it with its table of reasons, the last, made anew."""
    rows = "".join(
        f"| `{code}` | {_bare(entry.plain)} | {_bare(entry.detail)} | {_bare(entry.hint)} "
        f"| {entry.patience or '-'} |\n"
        for code, entry in CATALOGUE.items()
    )
    return page.partition(_TABLE)[0] + _TABLE + rows


def _bare(template: str) -> str:
    """Return a template with the names of its facts in italics."""
    return re.sub(r"(?<!{){(\w+)}(?!})", r"*\1*", template).replace("{{", "{").replace("}}", "}")
