"""What a route's status file says: plain text for people who see only the share.

It holds folder names, like the share itself, but no token and no address other than links.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import local_time
from gcwatch.wording.case_view import CaseView

MARK: Final = "gcwatch, route "
"""The start of every status file; a file that starts differently belongs to somebody else."""

OLD_SECONDS: Final = 600.0
"""A status file that is older than this shows that gcwatch does not write it any more."""

MAX_CASES: Final = 200
"""Number of cases that one section lists."""

_WIDTH_CHARACTERS: Final = 88


@dataclass(frozen=True)
class StatusFileFacts:
    """What a status file shows of a route.

    `views` are the cases that are open, failed or have warnings; `counts` the numbers of cases by
    stage. `pause` is why all work is paused. `is_away`: the inbox can't be reached. `is_over`:
    gcwatch has stopped. `unused` says what is in the inbox but becomes no case.
    """

    route: str
    views: Sequence[CaseView] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    pause: Reason | None = None
    is_away: bool = False
    is_over: bool = False
    unused: Sequence[Reason] = ()


def file_body(facts: StatusFileFacts) -> str:
    """Given facts, return the status file without its head, which holds the time."""
    return "\n".join([*_troubles(facts), _sum(facts.counts), "", *_sections(facts)])


def file_bytes(facts: StatusFileFacts, body: str, now: float) -> bytes:
    """Given facts, their body and the time (seconds since the epoch), return the whole file.

    It has a byte order mark and CRLF line ends, so that every Windows editor shows it correctly.
    """
    lines = [MARK + facts.route, *_head(facts, now), "", body]
    text = "\n".join(lines).rstrip() + "\n"
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode("utf-8", "backslashreplace")


def is_status_file(beginning: bytes) -> bool:
    """Given the first bytes of a file, return whether it is a status file, or empty."""
    return not beginning or beginning.removeprefix(b"\xef\xbb\xbf").startswith(MARK.encode())


def _head(facts: StatusFileFacts, now: float) -> Iterator[str]:
    moment = datetime.fromtimestamp(now).astimezone()
    if facts.is_over:
        yield f"gcwatch stopped at {moment:%H:%M} on {moment:%Y-%m-%d} ({moment:%Z})."
        yield "Nothing moves until it is started again."
        return
    yield f"As of {moment:%H:%M} on {moment:%Y-%m-%d} ({moment:%Z})."
    yield f"If this is older than {OLD_SECONDS / 60:.0f} minutes, gcwatch is not running or can't"
    yield "reach this share."


def _troubles(facts: StatusFileFacts) -> Iterator[str]:
    if facts.pause is not None:
        words = explain(facts.pause)
        yield from (*_wrapped(f"{words.plain} {_todo(words.advice, words.hint)}", ""), "")
    if facts.is_away:
        yield from ("The inbox can't be reached: gcwatch does not see new folders.", "")


_ENDED: Final = ("delivered", "failed", "withdrawn")


def _sum(counts: Mapping[str, int]) -> str:
    waiting = sum(count for stage, count in counts.items() if stage not in _ENDED)
    ended = [f"{counts[stage]} {stage}" for stage in _ENDED if counts.get(stage)]
    return ", ".join([f"{waiting} waiting or under way", *ended]) + "."


def _sections(facts: StatusFileFacts) -> Iterator[str]:
    failed = [view for view in facts.views if view.stage == "failed"]
    odd = [view for view in facts.views if view.stage == "delivered"]
    now = [view for view in facts.views if view.stage not in _ENDED]
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
    yield from view.warnings


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
    yield from view.warnings


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
