"""What gcwatch audit found, and how far it is."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.text import Text

from gcwatch.commands.audit import Finding as Comparison
from gcwatch.core.text import printable_name
from gcwatch.views.terminal import console, plain_table


def audit_report(found: Sequence[Comparison]) -> Group:
    """Given what an audit found, return what does not agree as a table, and all in a sentence."""
    table = plain_table("", "where", "name", "case", "what", "")
    for each in found:
        if each.kind != "agrees":
            mark = Text("▸", "cyan") if each.is_fine else Text("✗", "bold red")
            names = (
                Text(each.where),
                Text(printable_name(each.name)),
                Text(printable_name(each.case)),
            )
            table.add_row(mark, *names, Text(each.kind), Text(printable_name(each.detail)))
    return Group(*([table] if table.row_count else []), Text(_compared(found)))


def counts_by_kind(found: Iterable[Comparison]) -> Mapping[str, int]:
    """Given what an audit found, return how many findings of each kind there are."""
    return Counter(each.kind for each in found)


def _compared(found: Sequence[Comparison]) -> str:
    counts = counts_by_kind(found)
    if not counts:
        return "There is nothing to compare."
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    verdict = "All agree" if all(each.is_fine for each in found) else "Not all agree"
    return f"{verdict}: {told}."


@contextmanager
def audit_progress() -> Iterator[Callable[[str, int], None]]:
    """Draw what an audit compares at this moment; yield what to tell it."""
    with console(stderr=True).status("") as drawn:
        yield lambda where, count: drawn.update(f"Comparing {where}: {count}")
