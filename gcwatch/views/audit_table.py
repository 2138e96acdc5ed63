"""`gcwatch audit`: what does not agree as a table, and its progress."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.text import Text

from gcwatch.commands.audit import Finding as Comparison
from gcwatch.core.text import count_noun, printable_name
from gcwatch.views.terminal import console, plain_table


def audit_report(found: Sequence[Comparison]) -> Group:
    """Given an audit's findings, return those that do not agree as a table, and a summary."""
    table = plain_table("", "where", "name", "case", "result", "details")
    for each in found:
        if each.kind != "agrees":
            mark = Text("▸", "cyan") if each.is_fine else Text("✗", "bold red")
            names = (
                Text(each.where),
                Text(printable_name(each.name)),
                Text(printable_name(each.case)),
            )
            table.add_row(mark, *names, Text(each.kind), Text(printable_name(each.detail)))
    return Group(*([table] if table.row_count else []), Text(_summary(found)))


def counts_by_kind(found: Iterable[Comparison]) -> Mapping[str, int]:
    """Given an audit's findings, return how many there are of each kind."""
    return Counter(each.kind for each in found)


def _summary(found: Sequence[Comparison]) -> str:
    """Return how many cases and items were checked, and whether they agree."""
    if not found:
        return "There is nothing to compare."
    subjects = {(each.where, each.name, each.case) for each in found}
    items = sum(where.startswith("mirror ") for where, _, _ in subjects)
    nouns = ((len(subjects) - items, "case"), (items, "item"))
    checked = " and ".join(count_noun(count, noun) for count, noun in nouns if count)
    counts = counts_by_kind(found)
    if counts.keys() == {"agrees"}:
        return f"{checked} checked, {'all agree' if len(subjects) > 1 else 'it agrees'}."
    kinds = ", ".join(f"{count} {_VERBS.get(kind, kind)}" for kind, count in counts.items())
    return f"{checked} checked: {kinds}."


_VERBS = {"agrees": "agree"}


@contextmanager
def audit_progress() -> Iterator[Callable[[str, int], None]]:
    """Show what an audit is comparing; yield the function that gets its progress."""
    with console(stderr=True).status("") as drawn:
        yield lambda where, count: drawn.update(f"Comparing {where}: {count}")
