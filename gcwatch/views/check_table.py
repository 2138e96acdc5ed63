"""`gcwatch check`: its findings as a table of ticks and crosses."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from gcwatch.commands.finding import Finding
from gcwatch.core.text import printable_name
from gcwatch.views.terminal import plain_table


def findings_table(found: Iterable[Finding]) -> Table:
    """Given the findings of a check, return them as a table of ticks and crosses."""
    table = plain_table("", "where", "checked", "result")
    for each in found:
        mark = Text("✓", "green") if each.is_fine else Text("✗", "bold red")
        detail = Text(printable_name(each.detail))
        if each.hint:
            detail.append(f"\n{each.hint}", "dim")
        table.add_row(mark, Text(each.where), Text(each.what), detail)
    return table
