"""What a route's report says: a plain text file for people who have only the share. Pure.

It names folders, as the share does that it lies on; it holds no token and no address but links.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gcwatch.core.reasons import Reason, explain
from gcwatch.explain.case_view import CaseView

MARK: Final = "gcwatch, route "
"""How every report begins; what begins otherwise is somebody else's file."""

OLD: Final = 600.0
"""Seconds after which a report tells that nobody keeps it."""

MOST: Final = 200
"""Cases that are listed in one section."""

_WIDTH: Final = 88


@dataclass(frozen=True)
class StatusFileFacts:
    """What is known of a route: its cases that are open, failed or odd, and how many are where.

    `pause` is why all work pauses; `is_away` tells whether the inbox can't be reached, `is_over`
    whether gcwatch has stopped.
    """

    route: str
    views: Sequence[CaseView] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    pause: Reason | None = None
    is_away: bool = False
    is_over: bool = False


def file_body(facts: StatusFileFacts) -> str:
    """Given facts, return all of the report but its head, which tells the time."""
    return "\n".join([*_troubles(facts), _sum(facts.counts), "", *_sections(facts)])


def file_bytes(facts: StatusFileFacts, told: str, now: float) -> bytes:
    """Given facts, the body made of them and the time, return the file.

    With a byte order mark and CRLF, so that every Windows editor shows it as it is.
    """
    lines = [MARK + facts.route, *_head(facts, now), "", told]
    text = "\n".join(lines).rstrip() + "\n"
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode("utf-8", "backslashreplace")


def is_status_file(beginning: bytes) -> bool:
    """Given how a file begins, return whether it is a report, or nothing at all."""
    return not beginning or beginning.removeprefix(b"\xef\xbb\xbf").startswith(MARK.encode())


def _head(facts: StatusFileFacts, now: float) -> Iterator[str]:
    moment = datetime.fromtimestamp(now).astimezone()
    if facts.is_over:
        yield f"gcwatch stopped at {moment:%H:%M} on {moment:%Y-%m-%d} ({moment:%Z})."
        yield "Nothing moves until it is started again."
        return
    yield f"As of {moment:%H:%M} on {moment:%Y-%m-%d} ({moment:%Z})."
    yield f"If this is older than {OLD / 60:.0f} minutes, gcwatch is not running or can't reach"
    yield "this share."


def _troubles(facts: StatusFileFacts) -> Iterator[str]:
    if facts.pause is not None:
        words = explain(facts.pause)
        yield from (*_wrapped(f"{words.plain} {words.hint}", ""), "")
    if facts.is_away:
        yield from ("The inbox can't be reached: new folders are not seen.", "")


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
    yield from _section("WAITING OR UNDER WAY", now, _waiting)
    yield from _section("DELIVERED, WITH A WARNING", odd, _odd)


_AGAIN: Final = (
    "When the cause is mended: take the folder out of the inbox, wait two minutes and drop it "
    "again; or ask whoever runs gcwatch to retry it."
)


def _section(
    title: str, views: Sequence[CaseView], told: Callable[[CaseView], Iterable[str]]
) -> Iterator[str]:
    if not views:
        return
    yield title
    yield ""
    for view in views[:MOST]:
        yield f"{view.folder}   ({view.case})"
        for sentence in told(view):
            yield from _wrapped(sentence, "    ")
        yield ""
    if len(views) > MOST:
        yield from (f"and {len(views) - MOST} more", "")


def _waiting(view: CaseView) -> Iterator[str]:
    yield f"{view.stage} since {_moment(view.since)}"
    yield view.why
    if view.reason and view.hint:
        yield f"What helps: {view.hint}"
    yield from view.warnings


def _failed(view: CaseView) -> Iterator[str]:
    yield f"failed {_moment(view.since)}"
    yield view.why
    if view.hint:
        yield f"What to do: {view.hint}"
    yield f"More stands in the outbox, in {view.folder}.failed.txt"


def _odd(view: CaseView) -> Iterator[str]:
    yield f"delivered {_moment(view.since)} as {view.result}"
    yield from view.warnings


def _moment(written: str) -> str:
    """Given a time in UTC as a view has it, return it on this machine's clock."""
    return f"{datetime.fromisoformat(written).astimezone():%Y-%m-%d %H:%M}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
