"""Mirrors: their last run as a table, a run's summary as a line."""

from collections.abc import Iterable, Mapping

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcwatch.api import MirrorStatus
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import count_noun, data_size
from gcwatch.mirror import MirrorSummary
from gcwatch.views.terminal import plain_table


def mirrors_table(
    mirrors: Iterable[MirrorStatus], runs: Mapping[str, tuple[int, int, int]] = {}
) -> Table:
    """Given what is known of mirrors, and how far those are that run now, return it as a table."""
    table = plain_table("mirror", "archive", "items", "gone", "last run (UTC)", "next", "")
    for each in mirrors:
        run = runs.get(each.mirror)
        told = items_bar(*run) if run else _outcome(each)
        upcoming = Text("now") if run else Text(to_the_minute(each.next))
        counts = (Text(str(each.items)), Text(str(each.gone)))
        names = (Text(each.mirror), Text(each.archive))
        table.add_row(*names, *counts, Text(to_the_minute(each.ended)), upcoming, told)
    return table


def _outcome(mirror: MirrorStatus) -> Text:
    words = explain(Reason(mirror.reason)) if mirror.reason else None
    why = words.plain if words else f"{mirror.failed} could not be had" * bool(mirror.failed)
    return Text(why, "yellow")


def items_bar(done: int, items: int, moved: int) -> Table:
    """Return how far a mirror's run is as a bar; at first nobody knows how many items it has."""
    bar = Table.grid(padding=(0, 2, 0, 0))
    drawn = ProgressBar(items or None, done, width=30, pulse=not items)
    words = f"{done} of {count_noun(items, 'item')}" if items else "comparing"
    bar.add_row(drawn, Text(words), Text(data_size(moved)))
    return bar


def to_the_minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def mirror_summary(report: MirrorSummary) -> Text:
    """Given what came of a mirror's run, return it in a sentence."""
    counts = (
        (report.fetched, "fetched"),
        (report.changed, "changed"),
        (report.unchanged, "unchanged"),
        (report.gone, "gone from the archive"),
        (report.failed, "failed"),
    )
    parts = ", ".join(f"{count} {what}" for count, what in counts if count)
    moved = f"; {data_size(report.bytes)} in {report.seconds:.1f} s" if report.bytes else ""
    return Text(
        f"{report.mirror}: {count_noun(report.items, 'item')}, {parts or 'nothing'}{moved}."
    )
