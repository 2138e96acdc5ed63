"""A case in words: its stage, why it waits, and its history.

`status` and `show` print these views as tables and as JSON. They hold names of folders and files,
so they go to a terminal or to a program on this machine, never into the log.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gcwatch.core import checklist, events, folding
from gcwatch.core.attention import reason_of
from gcwatch.core.case import Case
from gcwatch.core.reasons import CATALOGUE, Explanation, Reason, explain
from gcwatch.core.text import count_noun, iso_time, printable_name, readable_name, time_span
from gcwatch.core.timing import Pace, due_time
from gcwatch.journal.rows import Recorded
from gcwatch.log.case_events import log_entry
from gcwatch.log.sentences import event_sentence
from gcwatch.wording import why_waiting
from gcwatch.wording.late_change import late_change_reason
from gcwatch.wording.why_waiting import DaemonSnapshot

_OVERDUE_SECONDS = 120.0
"""If a case is due for longer than this and does not move, `detail` says so."""

_UNKNOWN = DaemonSnapshot()
"""Stands for the daemon if nothing is known about it."""


@dataclass(frozen=True)
class CaseView:
    """One case in words.

    `why` says why it waits or what gcwatch does for it; `detail` and `hint` are for IT, `advice` is
    for whoever dropped the folder. Of the running transfer, `moved` bytes of `total` (0: unknown)
    are done. `not_taken` names series that the route does not take. `status` is the platform's word
    for the job or import. Times are ISO 8601, UTC.
    """

    case: str
    route: str
    folder: str
    stage: str
    since: str
    why: str
    detail: str = ""
    hint: str = ""
    advice: str = ""
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
    not_taken: tuple[str, ...] = ()


@dataclass(frozen=True)
class HistoryLine:
    """One event of a case: its time, its name in the log, a sentence, and its facts."""

    time: str
    event: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


def case_view(case: Case, pace: Pace, now: float, snapshot: DaemonSnapshot = _UNKNOWN) -> CaseView:
    """Given a case, its route's pace, the time and the daemon's state, return the case in words."""
    reason = reason_of(case)
    words = explain(reason) if reason else Explanation("", "", "")
    due = due_time(case, pace)
    moved, total = snapshot.progress.transfers.get(case.key, (0, 0))
    return CaseView(
        case=case.key,
        route=case.route,
        folder=printable_name(case.folder),
        stage=checklist.stage(case),
        since=iso_time(_since(case)),
        why=printable_name(why_waiting.why_waiting(case, pace, now, snapshot)),
        detail=readable_name(
            " ".join(filter(None, (words.detail, _command_output(case), _overdue(due, now))))
        ),
        hint=printable_name(words.hint),
        advice=printable_name(words.advice),
        reason=reason.code if reason else "",
        attempts=case.command.attempts if case.command else case.attempts,
        next=iso_time(due) if due is not None else "",
        files=case.seen.files if case.seen else 0,
        bytes=case.seen.bytes if case.seen else 0,
        status=case.status,
        moved=moved,
        total=total,
        link=case.submission.url if case.submission else "",
        result=printable_name(case.result),
        warnings=tuple(printable_name(each) for each in _warnings(case)),
        not_taken=tuple(printable_name(explain(reason).detail) for reason in case.not_taken),
    )


def _warnings(case: Case) -> Iterator[str]:
    change = late_change_reason(case) if case.is_to_check else None
    if change is not None:
        yield f"To check: {explain(change).plain}"
    if checklist.has_failed_command(case):
        yield _failed_command(case)
    for reason in case.warnings:
        yield explain(reason).detail


def _failed_command(case: Case) -> str:
    """Given a delivered case whose command failed, say so, and whether it is tried again."""
    assert case.command is not None, "it failed"
    assert case.command.problem is not None, "it failed"
    words = explain(case.command.problem)
    tries = count_noun(case.command.attempts, "attempt")
    after = "it is not tried again" if case.command.given_up else "it is tried again"
    return f"To check: {words.plain} {words.detail} After {tries}, {after}."


def _command_output(case: Case) -> str:
    """Return what a failed command wrote last, as a sentence; "" if it wrote nothing."""
    problem = case.command.problem if case.command else None
    output = problem.names.get("output", "") if problem else ""
    return f"It wrote: {output}" if output else ""


def _since(case: Case) -> float:
    """Return the time since when a case is at its stage, as far as its facts show."""
    moments = {
        "settling": case.changed or case.touched,
        "uploading": case.settled,
        "submitting": case.attempt.at if case.attempt else None,
        "running": case.submission.submitted if case.submission else None,
    }
    return moments.get(checklist.stage(case)) or case.touched


def _overdue(due: float | None, now: float) -> str:
    """Return a sentence if the case should have moved long ago; "" otherwise."""
    if due is None or now - due < _OVERDUE_SECONDS:
        return ""
    late = time_span(now - due)
    return (
        f"It has been due for {late}: other cases go first, or all work is paused (gcwatch check)."
    )


# --- history -------------------------------------------------------------------------------------


def history_lines(key: str, recorded: Sequence[Recorded]) -> Iterator[HistoryLine]:
    """Given the key and the events of a case, return its history in words, without repetitions."""
    before: Case | None = None
    for each in recorded:
        if before is None:
            assert isinstance(each.event, events.FolderFound), "a history starts with FolderFound"
            before = after = folding.new_case(key, each.event, each.at)
        else:
            after = folding.apply_event(before, each.event, each.at)
        told = log_entry(before, each.event, after)
        if told:
            yield _history_line(iso_time(each.at), each.event, *told)
        before = after


def _history_line(time: str, event: events.Event, name: str, facts: Any) -> HistoryLine:
    kept = {key: value for key, value in facts.items() if key not in {"plain", "detail", "folder"}}
    reason = getattr(event, "reason", None)
    if isinstance(reason, Reason):
        words = explain(reason)
        sentence = f"{event_sentence(name, facts)} {words.plain} {words.detail}"
        return HistoryLine(time, name, sentence, kept)
    return HistoryLine(time, name, event_sentence(name, facts), kept)


# --- docs/troubleshooting.md ---------------------------------------------------------------------

_TABLE = "| code | what is wrong | what to do | for IT | gives up |\n|---|---|---|---|---|\n"


def page_with_reasons(page: str) -> str:
    """Given docs/troubleshooting.md, return it with its last table, of all reasons, renewed."""
    rows = "".join(
        f"| `{code}` | {_readable(entry.plain)} | {_readable(entry.advice)} "
        f"| {_readable(f'{entry.detail} {entry.hint}'.strip())} | {entry.patience or '-'} |\n"
        for code, entry in CATALOGUE.items()
    )
    return page.partition(_TABLE)[0] + _TABLE + rows


def _readable(template: str) -> str:
    """Return a template with the names of its facts in italics, and its words in the plural."""
    plural = re.sub(r"{\w+:[^|}]*\|([^}]*)}", r"\1", template)
    named = re.sub(r"(?<!{){(\w+)(?::\w+)?}(?!})", r"*\1*", plural)
    return named.replace("{{", "{").replace("}}", "}")
