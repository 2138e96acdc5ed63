"""`gcwatch status`: tables for one look, a live screen, or lines of what has changed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcwatch.commands.status import Overview, view_without_times
from gcwatch.core.reasons import explain
from gcwatch.core.text import count_noun, iso_time, printable_name
from gcwatch.views.links import link_style, links_of, whole_line
from gcwatch.views.mirror_table import mirrors_table
from gcwatch.views.terminal import STAGE_STYLES, plain_table
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.host_view import host_sentence

_MARGIN_LINES = 4
"""Lines of the terminal that stay free below a live table."""


def status_tables(seen: Overview, *, clickable: bool = False) -> Group:
    """Given an overview, return all of it as tables, with hints and links.

    Where they are not *clickable*, links are whole lines below the table.
    """
    parts = [*_heading(seen)]
    for title, style, views in _sections(seen):
        if views:
            parts += [Text(title, style), _views(seen, views, clickable=clickable)]
            parts += _links(views, clickable=clickable)
    if seen.mirrors:
        parts += [Text(), mirrors_table(seen.mirrors, seen.runs)]
    return Group(*parts)


def live_status(seen: Overview, height: int) -> Group:
    """Given an overview and a terminal's height in lines, return what fits on it.

    Cases with a transfer under way come first; each case has one sentence.
    """
    parts: list[RenderableType] = [*_heading(seen), Text()]
    mirrors: list[RenderableType] = [Text()] * bool(seen.mirrors)
    mirrors += [mirrors_table(seen.mirrors, seen.runs)] if seen.mirrors else []
    taken = len(parts) + len(seen.mirrors) + len(mirrors) + _MARGIN_LINES
    order = [view for _, _, views in _sections(seen) for view in views]
    order.sort(key=lambda view: (view.stage == "failed", not view.moved))
    shown = order[: max(height - taken, 1)]
    parts += [_views(seen, shown, brief=True)] if shown else []
    if len(order) > len(shown):
        parts.append(Text(f"and {count_noun(len(order) - len(shown), 'more case')}", "dim"))
    return Group(*parts, *mirrors)


def _sections(seen: Overview) -> tuple[tuple[str, str, list[CaseView]], ...]:
    """Return the open cases, the failed ones, and those delivered with a warning."""
    open_ = [view for view in seen.views if view.stage not in {"failed", "delivered"}]
    failed = [view for view in seen.views if view.stage == "failed"]
    warned = [view for view in seen.views if view.stage == "delivered"]
    return (
        ("", "", open_),
        ("\nFailed", "bold red", failed),
        ("\nDelivered, with a warning", "yellow", warned),
    )


def _heading(seen: Overview) -> Iterator[RenderableType]:
    yield Text(_daemon(seen), "" if seen.daemon is not None else "yellow")
    for host in seen.hosts or ():
        is_odd = not host.alive or host.paused or host.away
        yield Text(f"  {host_sentence(host)}", "yellow" if is_odd else "")
    if seen.trouble:
        yield Text(seen.trouble, "yellow")
    if seen.pause is not None:
        words = explain(seen.pause)
        yield Text(f"{words.plain} {words.hint}", "bold red")
    for route in seen.away:
        yield Text(
            f"The inbox of route {route} can't be reached, so new folders are not seen.", "yellow"
        )
    for route, reasons in sorted(seen.unused.items()):
        for words in map(explain, reasons):
            yield Text(f"Route {route}: {words.plain} {words.detail} {words.hint}", "yellow")
    if seen.alerts_waiting:
        waiting = count_noun(seen.alerts_waiting, "alert")
        yield Text(f"{waiting} can't be delivered (gcwatch check --alert tries).", "yellow")
    yield Text(_counted(seen.counts))


def status_lines(
    before: Overview | None, seen: Overview, ended: Sequence[CaseView]
) -> Iterator[Text]:
    """Given the overview before and the one now, return a line for each change.

    `ended` are the cases that are no longer listed.
    """
    moment = Text(f"{iso_time(seen.at)[:19].replace('T', ' ')} UTC  ", "dim")
    old = before.without_times() if before else None
    if old is None or _state(old) != _state(seen):
        yield from (Text.assemble(moment, cast(Text, line)) for line in _heading(seen))
    known = {view.case: view for view in old.views} if old else {}
    for view in (*ended, *seen.views):
        if known.get(view.case) != view_without_times(view):
            words = (
                f"{view.case}  {view.folder}  ",
                (view.stage, _stage_style(view)),
                f"  {view.why}",
            )
            yield Text.assemble(moment, *words)


def _state(seen: Overview) -> tuple[object, ...]:
    """Return what an overview's heading says beside the counts."""
    hosts = [(each.host, each.alive, each.paused, each.away) for each in seen.hosts or ()]
    return seen.daemon, seen.pause, seen.away, seen.unused, seen.alerts_waiting, hosts


def _stage_style(view: CaseView) -> str:
    return STAGE_STYLES.get(view.stage, "cyan")


def _daemon(seen: Overview) -> str:
    if seen.daemon is None:
        where = "here" if seen.hosts is None else "on any host"
        return f"No gcwatch is running {where}, so nothing is sent: start gcwatch run."
    if seen.hosts:
        living = sum(each.alive for each in seen.hosts)
        return f"gcwatch is running on {count_noun(living, 'host')}."
    return f"gcwatch is running (process {seen.daemon})."


def _counted(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count} {stage}" for stage, count in counts.items())
    return parts or "No folder has been seen yet."


def _links(views: Sequence[CaseView], *, clickable: bool) -> list[Text]:
    """Return the links that are no click in the table, as lines that are never cut."""
    return [
        whole_line(link, before=f"{view.case}  ", clickable=clickable)
        for view in views
        for link in links_of(view)
        if not clickable or link != view.link
    ]


def _views(
    seen: Overview, views: Sequence[CaseView], *, brief: bool = False, clickable: bool = False
) -> Table:
    """Return cases as a table; a *brief* one has one line a case, with bars."""
    host = ["host"] if seen.hosts else []
    table = plain_table("case", "folder", "stage", "since (UTC)", *host, "why")
    for view in views:
        since = Text(view.since[:16].replace("T", " "))
        why = _bar(view) if brief else _why(view)
        key = Text(view.case, link_style(view.link) if clickable else "")
        works = [Text(seen.working.get(view.case, "")) for _ in host]
        stage = Text(view.stage, _stage_style(view))
        table.add_row(key, Text(view.folder), stage, since, *works, why)
    return table


def _bar(view: CaseView) -> RenderableType:
    """Return a case's sentence, after a bar if a transfer is under way."""
    if not view.moved and not view.total:
        return Text(view.why)
    bar = Table.grid(padding=(0, 2, 0, 0))
    drawn = ProgressBar(view.total or None, view.moved, width=12, pulse=not view.total)
    bar.add_row(drawn, Text(view.why))
    return bar


def _why(view: CaseView) -> Text:
    """Return a case's sentence with its detail, hint and warnings."""
    why = Text(view.why)
    if view.detail:
        why.append(f"\n{printable_name(view.detail)}", "dim")
    if view.stage == "failed" and view.hint:
        why.append(f"\n{view.hint}", "dim")
    for warning in view.warnings:
        why.append(f"\n{warning}", "yellow")
    return why
