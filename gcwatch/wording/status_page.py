"""A route's status file as a page: one HTML file that shows all, for people who look.

It loads nothing: style and script are inside, and its policy forbids everything else. Like the
text, it holds names of folders, and no token.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gcwatch.core.attention import ATTENTIONS, Attention, attention_at
from gcwatch.core.reasons import Explanation, Reason, explain, is_normal
from gcwatch.core.text import local_time, printable_name
from gcwatch.pictures.drawings import Picture
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.status_facts import MAX_CASES, OLD_SECONDS, StatusFileFacts, first_line

if TYPE_CHECKING:
    from jinja2 import Template

REFRESH_SECONDS: Final = 60
"""How often a page that is open in a browser is read again."""

_PARTS: Final = Path(__file__).with_name("page")


@dataclass(frozen=True)
class Moment:
    """A time for people, in this machine's time zone, and for programs (ISO 8601)."""

    text: str
    iso: str

    @property
    def day(self) -> str:
        """The day with its name."""
        return f"{datetime.fromisoformat(self.iso):%A, %Y-%m-%d}"

    @property
    def clock(self) -> str:
        """The time of day."""
        return self.text.rpartition(" ")[2]


@dataclass(frozen=True)
class Row:
    """One case, or one thing that is not sent, as the page shows it.

    `label` is its status in words, `at` since when it has that. `name` and `key` are empty for what
    is no case. `link` leads to the platform, `folder` to what is in the outbox, which is called
    `folder_name`.
    """

    label: str
    why: str
    name: str = ""
    key: str = ""
    at: Moment | None = None
    todo: str = ""
    for_it: str = ""
    warnings: Sequence[str] = ()
    link: str = ""
    folder: str = ""
    folder_name: str = ""
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Section:
    """The cases of one kind: at most MAX_CASES, in groups with a heading, and how many more."""

    groups: Sequence[tuple[str, Sequence[Row]]]
    count: int
    more: int = 0
    notes: Sequence[str] = field(default=())


def page_bytes(facts: StatusFileFacts, now: float) -> bytes:
    """Given facts and the time (seconds since the epoch), return the page."""
    style, script = _part("status.css"), _part("status.js")
    text = _template().render(
        first_line=first_line(facts.route, page=True),
        policy=_policy(style, script),
        style=style,
        script=script,
        refresh_seconds=REFRESH_SECONDS,
        old_seconds=OLD_SECONDS,
        route=facts.route,
        now=_moment(now),
        zone=f"{datetime.fromtimestamp(now).astimezone():%Z}",
        is_over=facts.is_over,
        hosts=facts.hosts,
        troubles=list(_troubles(facts)),
        urgent=_urgent(facts),
        waiting=_waiting(facts),
        delivered=_delivered(facts),
        table=facts.table,
        withdrawn=facts.counts.get("withdrawn", 0),
    )
    return text.encode("utf-8", "backslashreplace")


# --- what it shows --------------------------------------------------------------------------------


def _troubles(facts: StatusFileFacts) -> Iterator[Row]:
    if facts.pause is not None:
        yield _row_of_reason("All work is paused", facts.pause)
    if facts.is_away:
        away = "The inbox can't be reached: gcwatch does not see new folders."
        yield Row("Inbox away", away)


def _row_of_reason(label: str, reason: Reason) -> Row:
    words = explain(reason)
    return Row(label, words.plain, todo=words.advice, for_it=_for_it(words))


def _unused_row(words: Explanation) -> Row:
    # Whoever dropped them has to know which: the detail is not for IT alone.
    return Row("Not sent", words.plain, todo=words.advice, warnings=[words.detail])


def _for_it(words: Explanation | CaseView) -> str:
    """Return what IT needs to know beyond the advice."""
    return " ".join(each for each in (words.detail, words.hint) if each and each != words.advice)


_AGAIN: Final = (
    "When a folder is corrected in the inbox, gcwatch tries it again by itself. Or take the folder "
    "out of the inbox, wait two minutes, and drop it again; or ask IT to try it again."
)


def _urgent(facts: StatusFileFacts) -> Section:
    """Return what needs somebody; `gcwatch health` counts the same."""
    needing: dict[Attention, list[CaseView]] = {need: [] for need in ATTENTIONS}
    for view in facts.views:
        if (need := _attention(view)) is not None:
            needing[need].append(view)
    rows = [
        *(_row("Failed", view, facts) for view in needing["failed"]),
        *(_row("Waits for somebody", view, facts) for view in needing["stuck"]),
        *(_unused_row(explain(each)) for each in facts.unused if not is_normal(each)),
        *(_row("Delivered, to check", view, facts) for view in needing["to_check"]),
    ]
    return _section(rows, len(rows), notes=[_AGAIN] if needing["failed"] else [])


def _attention(view: CaseView) -> Attention | None:
    return attention_at(view.stage, view.reason)


def _waiting(facts: StatusFileFacts) -> Section:
    views = [view for view in facts.views if _attention(view) is None]
    rows = [_row(view.stage.capitalize(), view, facts) for view in views]
    rows += [_unused_row(explain(each)) for each in facts.unused if is_normal(each)]
    return _section(rows, len(rows))


def _delivered(facts: StatusFileFacts) -> Section:
    """Return the latest deliveries by day, without those that somebody has to check."""
    odd = {view.case for view in facts.views if view.stage == "delivered"}
    views = [view for view in facts.delivered if view.case not in odd][:MAX_CASES]
    rows = [_row("Delivered", view, facts) for view in views]
    days = [(day, list(group)) for day, group in groupby(rows, key=_day)]
    count = max(facts.counts.get("delivered", 0) - len(odd), len(rows))
    return Section(days, count, count - len(rows))


def _section(rows: Sequence[Row], count: int, notes: Sequence[str] = ()) -> Section:
    shown = rows[:MAX_CASES]
    return Section([("", shown)] if shown else [], count, len(rows) - len(shown), notes)


def _row(label: str, view: CaseView, facts: StatusFileFacts) -> Row:
    is_told = view.stage != "delivered" and bool(view.reason)
    return Row(
        label,
        view.why,
        view.folder,
        view.case,
        _moment(datetime.fromisoformat(view.since).timestamp()),
        todo=view.advice if is_told else "",
        for_it=_for_it(view) if is_told else "",
        warnings=(*view.warnings, *view.not_taken),
        link=_web_link(view.link),
        folder=facts.links.get(view.case, ""),
        folder_name="Failure note" if view.stage == "failed" else "Results",
        pictures=facts.pictures.get(view.case, ()),
    )


def _day(row: Row) -> str:
    return row.at.day if row.at else ""


def _web_link(address: str) -> str:
    """Return an address that a browser may open; "" for any other, such as javascript:."""
    return address if urlsplit(address).scheme in {"http", "https"} else ""


def _moment(at: float) -> Moment:
    iso = datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")
    return Moment(local_time(at), iso)


# --- how it is made -------------------------------------------------------------------------------


@cache
def _part(name: str) -> str:
    return (_PARTS / name).read_text("utf-8")


@cache
def _template() -> "Template":
    import jinja2  # noqa: PLC0415 -- late, for a fast start of what makes no page

    environment = jinja2.Environment(
        autoescape=True,
        finalize=_printable,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(_part("status.html"))


def _printable(value: Any) -> Any:
    """Return a text without control characters: some turn the order of what follows around."""
    # What is marked as safe is the page's own.
    return printable_name(value) if type(value) is str else value


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: this style and this script, and pictures inside."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
