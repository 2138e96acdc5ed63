"""What can be said of a case to people in the building: where it is, why it waits, what happened.

The views made here are what `status` and `show` print, as tables and as JSON. Names are in them:
they go to a terminal or to a program beside it, never into a log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gcwatch import cases, log, steps
from gcwatch.cases import Case
from gcwatch.config import Cron
from gcwatch.journal import Recorded
from gcwatch.news import news
from gcwatch.reasons import CATALOGUE, Explanation, Reason, explain
from gcwatch.receipt import iso, readable
from gcwatch.steps import Pace

_OVERDUE = 120.0
"""Seconds after which a case that is due and does not move needs a word."""


@dataclass(frozen=True)
class View:
    """One case in words: `why` it does not move or what it is at, `detail` for an engineer."""

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


def view(case: Case, pace: Pace, now: float) -> View:
    """Given a case, its route's pace and the time, return the case in words."""
    reason = _reason(case)
    words = _words(case, reason, pace)
    due = steps.due(case, pace)
    return View(
        case=case.key,
        route=case.route,
        folder=printable(case.folder),
        stage=steps.stage(case),
        since=iso(_since(case)),
        why=words.plain,
        detail=" ".join(filter(None, (readable(words.detail), _overdue(due, now)))),
        hint=words.hint,
        reason=reason.code if reason else "",
        attempts=case.attempts,
        next=iso(due) if due is not None else "",
        files=case.seen.files if case.seen else 0,
        bytes=case.seen.bytes if case.seen else 0,
        link=case.submission.url if case.submission else "",
        result=printable(case.result),
        warnings=tuple(printable(explain(reason).detail) for reason in case.warnings),
    )


def _reason(case: Case) -> Reason | None:
    if case.wait is not None and case.is_open:
        return case.wait.reason
    return case.failure


def _words(case: Case, reason: Reason | None, pace: Pace) -> Explanation:
    return explain(reason) if reason else Explanation(_doing(case, pace), "", "")


def _since(case: Case) -> float:
    """Since when a case is at its stage, as far as its facts tell."""
    moments = {
        "settling": case.changed or case.touched,
        "uploading": case.settled,
        "submitting": case.attempt.at if case.attempt else None,
        "running": case.submission.submitted if case.submission else None,
    }
    return moments.get(steps.stage(case)) or case.touched


def _doing(case: Case, pace: Pace) -> str:
    """Given a case that nothing hinders, return what it is at."""
    if case.ending is not None:
        return _done(case)
    match steps.stage(case):
        case "settling":
            return f"Until the folder has not changed for {_span(pace.settle)}."
        case "uploading":
            done = sum(upload.completed for upload in case.uploads)
            of = sum(item.uploads for item in case.inputs or () if item.is_uploaded)
            return f"It is being sent: {done} of {of} uploads are complete." if of else "Due now."
        case "submitting":
            return "Everything is sent; the platform is asked to use it."
        case "running":
            return f"{_running(case)} {_asking(pace)}"
        case "fetching":
            done, of = len(case.outputs or ()) - len(steps.unfetched(case)), len(case.outputs or ())
            return f"The results are being fetched: {done} of {of}."
        case "delivering":
            return "The results are being put into the outbox."
        case _:
            return "Its failure is being written down in the outbox."


def _done(case: Case) -> str:
    """Given a closed case that did not fail, return how it ended."""
    if case.ending == "delivered":
        what = (
            "It is on the platform; the receipt stands" if _is_import(case) else "The results stand"
        )
        return f"{what} in the outbox as {printable(case.result)}."
    if case.gone:
        return "The folder was taken away before everything was sent."
    return "It was taken back; nothing more is done."


def _running(case: Case) -> str:
    if _is_import(case):
        return "Waiting for the platform's import."
    return f"The platform says: {case.status or 'Queued'}."


def _is_import(case: Case) -> bool:
    """Whether a case becomes a display set or archive item, which has no results."""
    return case.target is not None and case.target.kind != "algorithm"


def _asking(pace: Pace) -> str:
    if isinstance(pace.poll, Cron):
        return f"It is asked after at {pace.poll.expression}."
    seconds = getattr(pace.poll, "seconds", None)
    return f"It is asked after every {_span(seconds)} or so." if seconds else ""


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"


def _overdue(due: float | None, now: float) -> str:
    """Say so if a case could have been worked on long ago, as when the token is refused."""
    if due is None or now - due < _OVERDUE:
        return ""
    late = _span(round((now - due) / 60) * 60)
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
        f"| `{code}` | {entry.plain} | {_bare(entry.detail)} | {entry.hint} "
        f"| {entry.patience or '-'} |\n"
        for code, entry in CATALOGUE.items()
    )
    return page.partition(_TABLE)[0] + _TABLE + rows


def _bare(template: str) -> str:
    return template.replace("{", "*").replace("}", "*")
