"""Tables, trees and progress on a terminal; plain text of the same on a pipe."""

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.file_proxy import FileProxy
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from gcwatch.audit import Finding as Comparison
from gcwatch.check import Finding
from gcwatch.describe import Told, View, printable
from gcwatch.mirror import Report
from gcwatch.oneoff import Sent
from gcwatch.overview import Overview, gist
from gcwatch.plan import Folder, Parcel, RoutePlan, Verdict
from gcwatch.reasons import Reason, explain
from gcwatch.receipt import iso
from gcwatch.watch import Mirrored

_WIDE = 160
"""Columns on a pipe, which has no width of its own."""

_STYLES = {"delivered": "green", "failed": "bold red", "withdrawn": "dim"}


def console(*, stderr: bool = False) -> Console:
    """Return where to print: the terminal, or a pipe with room for whole sentences."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


# --- check ---------------------------------------------------------------------------------------


def findings(found: Iterable[Finding]) -> Table:
    """Given what a check found, return it as a table of ticks and crosses."""
    table = _table("", "where", "what", "")
    for each in found:
        mark = Text("✓", "green") if each.is_fine else Text("✗", "bold red")
        detail = Text(printable(each.detail))
        if each.hint:
            detail.append(f"\n{each.hint}", "dim")
        table.add_row(mark, Text(each.where), Text(each.what), detail)
    return table


# --- audit ---------------------------------------------------------------------------------------


def audit(found: Sequence[Comparison]) -> Group:
    """Given what an audit found, return what does not agree as a table, and all in a sentence."""
    table = _table("", "where", "name", "case", "what", "")
    for each in found:
        if each.kind != "agrees":
            mark = Text("▸", "cyan") if each.is_fine else Text("✗", "bold red")
            names = (Text(each.where), Text(printable(each.name)), Text(printable(each.case)))
            table.add_row(mark, *names, Text(each.kind), Text(printable(each.detail)))
    return Group(*([table] if table.row_count else []), Text(_compared(found)))


def kinds(found: Iterable[Comparison]) -> Mapping[str, int]:
    """Given what an audit found, return how many findings of each kind there are."""
    return Counter(each.kind for each in found)


def _compared(found: Sequence[Comparison]) -> str:
    counts = kinds(found)
    if not counts:
        return "There is nothing to compare."
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    verdict = "All agree" if all(each.is_fine for each in found) else "Not all agree"
    return f"{verdict}: {told}."


@contextmanager
def audit_live() -> Iterator[Callable[[str, int], None]]:
    """Draw what an audit compares at this moment; yield what to tell it."""
    with console(stderr=True).status("") as drawn:
        yield lambda where, count: drawn.update(f"Comparing {where}: {count}")


# --- plan ----------------------------------------------------------------------------------------

_VERDICTS = {
    "send": ("→", "green"),
    "refuse": ("✗", "bold red"),
    "wait": ("…", "yellow"),
    "under way": ("▸", "cyan"),
    "done": ("·", "dim"),
    "empty": ("·", "dim"),
}


def route_plan(planned: RoutePlan) -> Group:
    """Given what would become of a route's inbox, return it as a table and a sentence."""
    table = _table("", "folder", "what", "")
    for folder in planned.folders:
        if folder.verdict == "done":
            continue
        mark, style = _VERDICTS[folder.verdict]
        name = Text(printable(folder.name))
        table.add_row(Text(mark, style), name, Text(_stage(folder)), Text(_fate(folder)))
    heading = Text(f"route {planned.route}", "bold")
    rows = [table] if table.row_count else []
    return Group(heading, *rows, Text(_sum(planned)), Text())


def _stage(folder: Folder) -> str:
    return folder.stage or folder.verdict


def _fate(folder: Folder) -> str:
    if folder.reason is not None:
        words = explain(folder.reason)
        return f"{printable(words.detail)} {words.hint}".strip()
    if folder.verdict == "empty":
        return "no files in it: not a case yet"
    if folder.verdict in {"under way", "done"}:
        return f"case {folder.case}"
    if folder.verdict == "wait":
        return "it is changing at this moment"
    parts = [f"{parcel.socket}: {_content(parcel)}" for parcel in folder.parcels]
    if folder.left_out:
        parts.append(f"{_several(folder.left_out, 'file')} left out")
    if folder.why:
        parts.append(folder.why)
    parts += [f"warning: {printable(explain(reason).detail)}" for reason in folder.warnings]
    return "; ".join(parts)


def _content(parcel: Parcel) -> str:
    if parcel.is_reused:
        return "an image that is on the platform already"
    if parcel.carrier == "value":
        return "a value"
    each = ", one upload each" if parcel.carrier == "dicom" else ""
    return f"{_several(parcel.files, 'file')}, {decimal(parcel.bytes)}{each}"


def _several(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _because(planned: RoutePlan, verdict: Verdict) -> str:
    """Return why folders have a verdict, each reason once, the commonest first."""
    plain = Counter(
        explain(folder.reason).plain.rstrip(".") if folder.reason else "it is changing"
        for folder in planned.folders
        if folder.verdict == verdict
    )
    if len(plain) == 1:
        return f'"{next(iter(plain))}"'
    return " and ".join(f'"{words}" ({count})' for words, count in plain.most_common())


def _sum(planned: RoutePlan) -> str:
    if planned.away is not None:
        return explain(planned.away).detail
    counts = (
        (
            planned.count("send"),
            f"would be sent to {planned.kind.replace('_', ' ')} {planned.target}",
        ),
        (planned.count("refuse"), f"refused because {_because(planned, 'refuse')}"),
        (planned.count("wait"), f"would wait because {_because(planned, 'wait')}"),
        (planned.count("under way"), "under way"),
        (planned.count("done"), "done before"),
        (planned.count("empty"), "empty"),
    )
    parts = [f"{count} {what}" for count, what in counts if count]
    found = ", ".join([f"Found {_several(len(planned.folders), 'case')}", *parts])
    loose = "folder" if planned.cases == "files" else "file"
    beside = [
        f"{_several(count, what)} beside them ignored"
        for count, what in ((planned.loose, loose), (planned.links, "link"))
        if count
    ]
    return "; ".join([found, *beside]) + "."


# --- status and show -----------------------------------------------------------------------------


_MARGIN = 4
"""Lines of a terminal that a live table leaves free, so that its end is seen."""


def status(seen: Overview) -> Group:
    """Given what is going on, return it as tables: all of it, with hints and links."""
    parts = [*_heading(seen)]
    for title, style, views in _sections(seen):
        if views:
            parts += [Text(title, style), _views(views)]
    if seen.mirrors:
        parts += [Text(), mirrors_table(seen.mirrors, seen.runs)]
    return Group(*parts)


def status_live(seen: Overview, height: int) -> Group:
    """Given what is going on and a terminal's height in lines, return as much as fits on it.

    What moves comes first; each case has one sentence.
    """
    parts: list[RenderableType] = [*_heading(seen), Text()]
    mirrors: list[RenderableType] = [Text()] * bool(seen.mirrors)
    mirrors += [mirrors_table(seen.mirrors, seen.runs)] if seen.mirrors else []
    taken = len(parts) + len(seen.mirrors) + len(mirrors) + _MARGIN
    order = [view for _, _, views in _sections(seen) for view in views]
    order.sort(key=lambda view: (view.stage == "failed", not view.moved))
    shown = order[: max(height - taken, 1)]
    parts += [_views(shown, brief=True)] if shown else []
    if len(order) > len(shown):
        parts.append(Text(f"and {_several(len(order) - len(shown), 'more case')}", "dim"))
    return Group(*parts, *mirrors)


def _sections(seen: Overview) -> tuple[tuple[str, str, list[View]], ...]:
    """Return the cases that are open, those that failed, and those to be looked at all the same."""
    now = [view for view in seen.views if view.stage not in {"failed", "delivered"}]
    failed = [view for view in seen.views if view.stage == "failed"]
    odd = [view for view in seen.views if view.stage == "delivered"]
    return (
        ("", "", now),
        ("\nFailed", "bold red", failed),
        ("\nDelivered, with a warning", "yellow", odd),
    )


def _heading(seen: Overview) -> Iterator[RenderableType]:
    yield Text(_daemon(seen.daemon), "" if seen.daemon is not None else "yellow")
    if seen.trouble:
        yield Text(seen.trouble, "yellow")
    if seen.pause is not None:
        words = explain(seen.pause)
        yield Text(f"{words.plain} {words.hint}", "bold red")
    for route in seen.away:
        yield Text(f"The inbox of route {route} can't be reached: nothing new is seen.", "yellow")
    yield Text(_counted(seen.counts))


def status_lines(before: Overview | None, seen: Overview, ended: Sequence[View]) -> Iterator[Text]:
    """Given what was going on before and now, return what has changed, a line each.

    `ended` are the cases that are not listed any more.
    """
    moment = Text(f"{iso(seen.at)[:19].replace('T', ' ')} UTC  ", "dim")
    old = before.gist() if before else None
    if old is None or (old.daemon, old.pause, old.away) != (seen.daemon, seen.pause, seen.away):
        yield from (Text.assemble(moment, cast(Text, line)) for line in _heading(seen))
    known = {view.case: view for view in old.views} if old else {}
    for view in (*ended, *seen.views):
        if known.get(view.case) != gist(view):
            words = (f"{view.case}  {view.folder}  ", (view.stage, _style(view)), f"  {view.why}")
            yield Text.assemble(moment, *words)


def _style(view: View) -> str:
    return _STYLES.get(view.stage, "cyan")


def _daemon(daemon: int | None) -> str:
    if daemon is None:
        return "No gcwatch is running here, so nothing moves: start gcwatch run."
    return f"gcwatch is running (process {daemon})."


def _counted(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count} {stage}" for stage, count in counts.items())
    return parts or "No folder has been seen yet."


def _views(views: Sequence[View], *, brief: bool = False) -> Table:
    """Return cases as a table; a *brief* one has a line for each, and bars."""
    table = _table("case", "folder", "stage", "since (UTC)", "why")
    for view in views:
        since = Text(view.since[:16].replace("T", " "))
        why = _bar(view) if brief else _why(view)
        table.add_row(
            Text(view.case), Text(view.folder), Text(view.stage, _style(view)), since, why
        )
    return table


def _bar(view: View) -> RenderableType:
    """Return a case's sentence, behind a bar if a transfer is under way."""
    if not view.moved and not view.total:
        return Text(view.why)
    bar = Table.grid(padding=(0, 2, 0, 0))
    drawn = ProgressBar(view.total or None, view.moved, width=12, pulse=not view.total)
    bar.add_row(drawn, Text(view.why))
    return bar


def _why(view: View) -> Text:
    """Return a case's sentence, with all that helps whoever has to see to it."""
    why = Text(view.why)
    if view.detail:
        why.append(f"\n{printable(view.detail)}", "dim")
    if view.stage == "failed" and view.hint:
        why.append(f"\n{view.hint}", "dim")
    for warning in view.warnings:
        why.append(f"\n{warning}", "yellow")
    if view.link:
        why.append(f"\n{view.link}", "dim")
    return why


def case(view: View, told: Iterable[Told], files: Sequence[Path]) -> Group:
    """Given a case in words, its history and the files that tell of it, return all of it."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    rows = {
        "case": view.case,
        "folder": f"{view.folder} (route {view.route})",
        "stage": f"{view.stage} since {view.since}",
        "why": view.why,
        "detail": printable(view.detail),
        "what to do": view.hint,
        "next try": view.next,
        "link": view.link,
        "warning": printable("\n".join(view.warnings)) if view.warnings else "",
        "see": "\n".join(printable(str(file)) for file in files),
    }
    for name, value in rows.items():
        if value:
            facts.add_row(Text(name, "dim"), Text(value, overflow="fold"))
    happened = _table("time (UTC)", "event", "what happened")
    for each in told:
        words = Text(printable(each.sentence))
        words.append(f" {_facts(each.facts)}", "dim")
        moment = Text(each.time[:19].replace("T", " "))
        happened.add_row(moment, Text(each.event, "cyan"), words)
    return Group(facts, Text(), happened)


def _facts(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {_fact(key, value)}" for key, value in facts.items() if value)


def _fact(key: str, value: object) -> str:
    match value:
        case int() if key == "bytes":
            return decimal(value)
        case list():
            return " and ".join(str(each) for each in value)
        case _:
            return printable(str(value))


# --- mirrors -------------------------------------------------------------------------------------


def mirrors_table(
    mirrors: Iterable[Mirrored], runs: Mapping[str, tuple[int, int, int]] = {}
) -> Table:
    """Given what is known of mirrors, and how far those are that run now, return it as a table."""
    table = _table("mirror", "archive", "items", "gone", "last run (UTC)", "next", "")
    for each in mirrors:
        run = runs.get(each.mirror)
        told = _items_bar(*run) if run else _outcome(each)
        upcoming = Text("now") if run else Text(_minute(each.next))
        counts = (Text(str(each.items)), Text(str(each.gone)))
        names = (Text(each.mirror), Text(each.archive))
        table.add_row(*names, *counts, Text(_minute(each.ended)), upcoming, told)
    return table


def _outcome(mirror: Mirrored) -> Text:
    words = explain(Reason(mirror.reason)) if mirror.reason else None
    why = words.plain if words else f"{mirror.failed} could not be had" * bool(mirror.failed)
    return Text(why, "yellow")


def _items_bar(done: int, items: int, moved: int) -> Table:
    """Return how far a mirror's run is as a bar; at first nobody knows how many items it has."""
    bar = Table.grid(padding=(0, 2, 0, 0))
    drawn = ProgressBar(items or None, done, width=30, pulse=not items)
    words = f"{done} of {_several(items, 'item')}" if items else "comparing"
    bar.add_row(drawn, Text(words), Text(decimal(moved)))
    return bar


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def mirrored(report: Report) -> Text:
    """Given what came of a mirror's run, return it in a sentence."""
    counts = (
        (report.fetched, "fetched"),
        (report.changed, "changed"),
        (report.unchanged, "unchanged"),
        (report.gone, "gone from the archive"),
        (report.failed, "failed"),
    )
    parts = ", ".join(f"{count} {what}" for count, what in counts if count)
    moved = f"; {decimal(report.bytes)} in {report.seconds:.1f} s" if report.bytes else ""
    return Text(f"{report.mirror}: {_several(report.items, 'item')}, {parts or 'nothing'}{moved}.")


# --- folders -------------------------------------------------------------------------------------


def tree(folder: Path, title: str) -> Tree:
    """Given a folder, return it as a tree with the sizes of its files; what is hidden stays so."""
    root = Tree(Text(title, "bold"))
    _grow(root, folder)
    return root


def _grow(branch: Tree, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        name = Text(printable(path.name))
        if path.is_dir():
            _grow(branch.add(name.append("/")), path)
        else:
            branch.add(name.append(f"  {decimal(path.stat().st_size)}", "dim"))


# --- progress ------------------------------------------------------------------------------------


class Meter:
    """How far transfers are; give it to `gcwatch.open` as `progress`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transfers: dict[str, tuple[int, int]] = {}

    def __call__(self, key: str, moved: int, total: int) -> None:
        """Note that so many bytes of a case's transfer have moved; 0 of 0 is its end."""
        with self._lock:
            self._transfers[key] = (moved, total)
            if not moved and not total:
                del self._transfers[key]

    def show(self, counts: Mapping[str, int]) -> Group:
        """Given how many cases are where, return them and the transfers, to be drawn."""
        line = Text(" ")
        for stage, count in counts.items():
            line.append(f" {count} {stage} ", _STYLES.get(stage, "cyan"))
        with self._lock:
            transfers = dict(self._transfers)
        bars = Table.grid(padding=(0, 2, 0, 0))
        for key, (moved, total) in sorted(transfers.items()):
            bar = ProgressBar(total or None, moved, width=30, pulse=not total)
            size = f"{decimal(moved)} of {decimal(total)}" if total else decimal(moved)
            bars.add_row(Text(f"  {key}"), bar, Text(size))
        return Group(bars, line) if transfers else Group(line)


class _ItemMeter:
    """How far a mirror's run is, in items and in bytes."""

    def __init__(self) -> None:
        self._seen = (0, 0, 0)

    def __call__(self, done: int, items: int, moved: int) -> None:
        """Note that so many of so many items are done, and how many bytes have moved."""
        self._seen = (done, items, moved)

    def show(self) -> Table:
        """Return it as a bar."""
        return _items_bar(*self._seen)


@contextmanager
def items_live() -> Iterator[tuple[TextIO, Callable[[int, int, int], None]]]:
    """Draw a mirror's run below the log lines; yield the lines' stream and what to tell it."""
    meter, screen = _ItemMeter(), console(stderr=True)
    shown = Live(get_renderable=meter.show, console=screen, refresh_per_second=8, transient=True)
    with shown:
        yield cast(TextIO, FileProxy(screen, sys.stderr)), meter


@contextmanager
def live(meter: Meter, counts: Callable[[], Mapping[str, int]]) -> Iterator[TextIO]:
    """Draw a meter below the log lines while the context is open; yield the lines' stream.

    On a pipe nothing is drawn, and the stream is standard error itself.
    """
    if not sys.stderr.isatty():
        yield sys.stderr
        return
    screen = console(stderr=True)
    drawn = Live(
        get_renderable=lambda: meter.show(counts()),
        console=screen,
        refresh_per_second=8,
        transient=True,
    )
    with drawn:
        # Log lines are coloured already, and are longer than any terminal: they wrap.
        yield cast(TextIO, FileProxy(screen, sys.stderr))


# --- one-off sending -----------------------------------------------------------------------------

_MOST_DRAWN = 12


def sent(cases: Iterable[Sent]) -> Group:
    """Given what came of one-off cases, return a few lines for each; links and paths stay whole."""
    return Group(*(line for each in cases for line in _sent(each)))


def _sent(sent: Sent) -> Iterator[Text]:
    ending = sent.ending or "waiting"
    heading = Text(f"{printable(sent.folder)}  ", "bold")
    heading.append(ending, _STYLES.get(ending, "cyan"))
    yield heading.append(f"  {sent.case}", "dim")
    for fact in (sent.link, str(sent.result or "")):
        if fact:
            yield Text(f"  {printable(fact)}", no_wrap=True, overflow="ignore")
    if note := sent_note(sent):
        yield Text(note)


def sent_note(sent: Sent) -> str:
    """Given what came of a one-off case, return what has to be said of it, if anything."""
    name = printable(sent.folder)
    if sent.earlier:
        return f"{name}: already sent; nothing was sent now (--again would)."
    if sent.ending == "delivered":
        warnings = "; ".join(sent.warnings)
        return f"{name}: {printable(warnings)}" if warnings else ""
    goes_on = "" if sent.ending else " The same command goes on with it."
    return f"{name}: {printable(sent.why)} {sent.hint}".strip() + goes_on


@contextmanager
def cases_live(meter: Meter, views: Callable[[], Sequence[View]]) -> Iterator[None]:
    """Draw cases and their transfers while the context is open; on a pipe nothing is drawn."""
    if not sys.stderr.isatty():
        yield
        return
    drawn = Live(
        get_renderable=lambda: Group(_drawn(views()), meter.show({})),
        console=console(stderr=True),
        refresh_per_second=4,
        transient=True,
    )
    with drawn:
        yield


def _drawn(views: Sequence[View]) -> Table:
    """Return the cases that are not done as a table, as many as fit on a screen."""
    table = _table("case", "folder", "stage", "")
    under_way = [view for view in views if view.stage not in _STYLES]
    for view in under_way[:_MOST_DRAWN]:
        words = Text(view.why)
        table.add_row(Text(view.case), Text(view.folder), Text(view.stage, "cyan"), words)
    if len(under_way) > _MOST_DRAWN:
        table.add_row(Text(f"and {len(under_way) - _MOST_DRAWN} more", "dim"))
    return table
