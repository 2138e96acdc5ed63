"""`gcwatch audit`: what does not agree as a table, and its progress."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Group
from rich.text import Text

from gcwatch.commands.audit import Finding as Comparison
from gcwatch.core.text import count_noun, printable_name
from gcwatch.views.terminal import console, plain_table


@dataclass
class AuditReport:
    """What an audit finds: all that does not agree, and how many cases and items do."""

    others: list[Comparison] = field(default_factory=list)
    agreeing: Counter[str] = field(default_factory=Counter)

    def collect(self, found: Iterable[Comparison]) -> Iterator[Comparison]:
        """Take each finding into the report, and yield it."""
        for each in found:
            if each.kind == "agrees":
                self.agreeing[_noun(each.where)] += 1
            else:
                self.others.append(each)
            yield each

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to do anything."""
        return all(each.is_fine for each in self.others)

    def counts(self) -> Counter[str]:
        """Return how many findings there are of each kind."""
        return +(Counter(agrees=self.agreeing.total()) + Counter(e.kind for e in self.others))

    def drawn(self) -> Group:
        """Return what does not agree as a table, and a summary."""
        table = plain_table("", "where", "name", "case", "result", "details")
        for each in self.others:
            mark = Text("▸", "cyan") if each.is_fine else Text("✗", "bold red")
            names = (
                Text(each.where),
                Text(printable_name(each.name)),
                Text(printable_name(each.case)),
            )
            table.add_row(mark, *names, Text(each.kind), Text(printable_name(each.detail)))
        return Group(*([table] if table.row_count else []), Text(self._summary()))

    def _summary(self) -> str:
        """Return how many cases and items were checked, and whether they agree."""
        # What agrees has one finding; what does not may have several.
        others = {(each.where, each.name, each.case) for each in self.others}
        subjects = self.agreeing + Counter(_noun(where) for where, _, _ in others)
        if not subjects:
            return "There is nothing to compare."
        nouns = [(subjects[noun], noun) for noun in ("case", "item") if subjects[noun]]
        checked = " and ".join(count_noun(count, noun) for count, noun in nouns)
        counts = self.counts()
        if counts.keys() == {"agrees"}:
            return f"{checked} checked, {'all agree' if subjects.total() > 1 else 'it agrees'}."
        kinds = ", ".join(f"{count} {_VERBS.get(kind, kind)}" for kind, count in counts.items())
        return f"{checked} checked: {kinds}."


def _noun(where: str) -> str:
    """Return what is compared there: items of a mirror, or cases."""
    return "item" if where.startswith("mirror ") else "case"


_VERBS = {"agrees": "agree"}


@contextmanager
def audit_progress() -> Iterator[Callable[[str, int], None]]:
    """Show what an audit is comparing; yield the function that gets its progress."""
    with console(stderr=True).status("") as drawn:
        yield lambda where, count: drawn.update(f"Comparing {where}: {count}")
