"""`gcwatch show`: the history of one case."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gcwatch.core.text import printable_name
from gcwatch.views.links import links_of, whole_line
from gcwatch.views.terminal import plain_table
from gcwatch.wording.case_view import CaseView, HistoryLine


def case_history(
    view: CaseView, history: Iterable[HistoryLine], files: Sequence[Path], *, clickable: bool
) -> Group:
    """Given a case in words, its history and the files that explain it, return them as tables.

    Its link and these files are whole lines between the tables.
    """
    facts = Table.grid(padding=(0, 2, 0, 0))
    rows = {
        "case": view.case,
        "folder": f"{view.folder} (route {view.route})",
        "stage": f"{view.stage} since {view.since}",
        "why": view.why,
        "detail": printable_name(view.detail),
        "what to do": view.hint,
        "next try": view.next,
        "warning": printable_name("\n".join(view.warnings)) if view.warnings else "",
    }
    for name, value in rows.items():
        if value:
            facts.add_row(Text(name, "dim"), Text(value, overflow="fold"))
    table = plain_table("time (UTC)", "event", "what happened")
    for each in history:
        words = Text(printable_name(each.sentence))
        moment = Text(each.time[:19].replace("T", " "))
        table.add_row(moment, Text(each.event, "cyan"), words)
    lines = [*links_of(view), *map(str, files)]
    return Group(facts, *(whole_line(each, clickable=clickable) for each in lines), Text(), table)
