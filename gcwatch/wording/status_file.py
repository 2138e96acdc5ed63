"""What a route's status file says: plain text for people who see only the share.

It holds folder names, like the share itself, but no token and no address other than links.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import local_time
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.status_facts import (
    ENDED,
    MAX_CASES,
    OLD_SECONDS,
    StatusFileFacts,
    first_line,
)

_WIDTH_CHARACTERS: Final = 88


def file_bytes(facts: StatusFileFacts, now: float) -> bytes:
    """Given facts and the time (seconds since the epoch), return the whole file.

    It has a byte order mark and CRLF line ends, so that every Windows editor shows it correctly.
    """
    body = [*_troubles(facts), _sum(facts), "", *_sections(facts)]
    text = "\n".join([first_line(facts.route), *_head(facts, now), "", *body]).rstrip() + "\n"
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode("utf-8", "backslashreplace")


def _head(facts: StatusFileFacts, now: float) -> Iterator[str]:
    moment = datetime.fromtimestamp(now).astimezone()
    if facts.is_over:
        yield f"gcwatch stopped at {moment:%H:%M} on {moment:%Y-%m-%d} ({moment:%Z})."
        yield "Nothing moves until it is started again."
        return
    yield f"As of {moment:%H:%M} on {moment:%Y-%m-%d} ({moment:%Z})."
    yield f"If this is older than {OLD_SECONDS / 60:.0f} minutes, gcwatch is not running or can't"
    yield "reach this share."
    yield from _wrapped(facts.hosts, "")


def _troubles(facts: StatusFileFacts) -> Iterator[str]:
    if facts.pause is not None:
        words = explain(facts.pause)
        yield from (*_wrapped(f"{words.plain} {_todo(words.advice, words.hint)}", ""), "")
    if facts.is_away:
        yield from ("The inbox can't be reached: gcwatch does not see new folders.", "")


def _sum(facts: StatusFileFacts) -> str:
    ended = [f"{facts.counts[stage]} {stage}" for stage in ENDED if facts.counts.get(stage)]
    return ", ".join([f"{facts.count_open()} waiting or under way", *ended]) + "."


def _sections(facts: StatusFileFacts) -> Iterator[str]:
    failed = [view for view in facts.views if view.stage == "failed"]
    odd = [view for view in facts.views if view.stage == "delivered"]
    now = [view for view in facts.views if view.stage not in ENDED]
    yield from _section("FAILED", failed, _failed)
    if failed:
        yield from _wrapped(_AGAIN, "")
        yield ""
    yield from _unused(facts.unused)
    yield from _section("WAITING OR UNDER WAY", now, _waiting)
    yield from _section("DELIVERED, WITH A WARNING", odd, _odd)


def _unused(reasons: Sequence[Reason]) -> Iterator[str]:
    if not reasons:
        return
    yield from ("NOT SENT", "")
    for words in map(explain, reasons):
        yield from _wrapped(words.plain, "")
        for sentence in (words.detail, _todo(words.advice, words.hint)):
            yield from _wrapped(sentence, "    ")
        yield ""


_AGAIN: Final = (
    "When a folder is corrected in the inbox, gcwatch tries it again by itself. Or take the folder "
    "out of the inbox, wait two minutes, and drop it again; or ask IT to try it again."
)


def _section(
    title: str, views: Sequence[CaseView], told: Callable[[CaseView], Iterable[str]]
) -> Iterator[str]:
    if not views:
        return
    yield title
    yield ""
    for view in views[:MAX_CASES]:
        yield f"{view.folder}   ({view.case})"
        for sentence in told(view):
            yield from _wrapped(sentence, "    ")
        yield ""
    if len(views) > MAX_CASES:
        yield from (f"and {len(views) - MAX_CASES} more", "")


def _waiting(view: CaseView) -> Iterator[str]:
    yield f"{view.stage} since {_moment(view.since)}"
    yield view.why
    if view.reason and view.hint:
        yield _todo(view.advice, view.hint)
    yield from (*view.warnings, *view.not_taken)


def _failed(view: CaseView) -> Iterator[str]:
    yield f"failed {_moment(view.since)}"
    yield view.why
    if view.advice or view.hint:
        yield _todo(view.advice, view.hint)
    yield f"Details: {view.folder}.failed.txt in the results folder."


def _todo(advice: str, hint: str) -> str:
    if advice:
        return f"What to do: {advice}"
    return f"For IT: {hint}" if hint else ""


def _odd(view: CaseView) -> Iterator[str]:
    yield f"delivered {_moment(view.since)} as {view.result}"
    yield from (*view.warnings, *view.not_taken)


def _moment(written: str) -> str:
    """Given a time in UTC as a view has it, return it in this machine's time zone."""
    return local_time(datetime.fromisoformat(written).timestamp())


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH_CHARACTERS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
