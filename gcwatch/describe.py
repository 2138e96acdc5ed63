"""What can be said of a case to people in the building: where it is, why it waits, what happened.

The views made here are what `status` and `show` print, as tables and as JSON. Names are in them:
they go to a terminal or to a program beside it, never into a log.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gcwatch import cases, log, steps, waiting
from gcwatch.cases import Case
from gcwatch.journal import Recorded
from gcwatch.news import news
from gcwatch.reasons import CATALOGUE, Explanation, Reason, explain
from gcwatch.receipt import iso, readable
from gcwatch.steps import Pace
from gcwatch.waiting import Around

_OVERDUE = 120.0
"""Seconds after which a case that is due and does not move needs a word."""


_ANY = Around()
"""Where it is not known what goes on around a case."""


@dataclass(frozen=True)
class View:
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
class Told:
    """One thing that happened: when, the log's name for it, a sentence, and its facts."""

    time: str
    event: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


def printable(name: str) -> str:
    """Given any file or folder name, return it without what a terminal would obey."""
    text = readable(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def view(case: Case, pace: Pace, now: float, around: Around = _ANY) -> View:
    """Given a case, its route's pace, the time and what is around it, return the case in words."""
    reason = _reason(case)
    words = explain(reason) if reason else Explanation("", "", "")
    due = steps.due(case, pace)
    moved, total = around.progress.transfers.get(case.key, (0, 0))
    return View(
        case=case.key,
        route=case.route,
        folder=printable(case.folder),
        stage=steps.stage(case),
        since=iso(_since(case)),
        why=printable(waiting.why(case, pace, now, around)),
        detail=" ".join(filter(None, (readable(words.detail), _overdue(due, now)))),
        hint=words.hint,
        reason=reason.code if reason else "",
        attempts=case.attempts,
        next=iso(due) if due is not None else "",
        files=case.seen.files if case.seen else 0,
        bytes=case.seen.bytes if case.seen else 0,
        status=case.status,
        moved=moved,
        total=total,
        link=case.submission.url if case.submission else "",
        result=printable(case.result),
        warnings=tuple(printable(explain(reason).detail) for reason in case.warnings),
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
    return moments.get(steps.stage(case)) or case.touched


def _overdue(due: float | None, now: float) -> str:
    """Say so if a case could have been worked on long ago, as when the token is refused."""
    if due is None or now - due < _OVERDUE:
        return ""
    late = waiting.span(now - due)
    return f"It has been due for {late}: others go first, or all work pauses (gcwatch check tells)."


# --- history -------------------------------------------------------------------------------------


def history(key: str, recorded: Sequence[Recorded]) -> Iterator[Told]:
    """Given a case's key and its events, return them in words; what is no news is passed over."""
    before: Case | None = None
    for each in recorded:
        if before is None:
            assert isinstance(each.event, cases.Found), "a history begins with a folder found"
            before = after = steps.begin(key, each.event, each.at)
        else:
            after = steps.apply(before, each.event, each.at)
        told = news(before, each.event, after)
        if told:
            yield _told(iso(each.at), each.event, *told)
        before = after


def _told(time: str, event: cases.Event, name: str, facts: Any) -> Told:
    kept = {key: value for key, value in facts.items() if key not in {"plain", "detail", "folder"}}
    reason = getattr(event, "reason", None)
    if isinstance(reason, Reason):
        words = explain(reason)
        return Told(time, name, f"{words.plain} {words.detail}", kept)
    return Told(time, name, log.CATALOGUE[name].meaning, kept)


# --- docs/troubleshooting.md ---------------------------------------------------------------------

_TABLE = "| code | reads | means | to do | gives up |\n|---|---|---|---|---|\n"


def with_reasons(page: str) -> str:
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
