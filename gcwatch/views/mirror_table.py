"""`gcwatch status`: mirrors with their last run, and bars of those that run now."""

from collections.abc import Iterable, Mapping

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcwatch.api import MirrorStatus
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import count_noun, data_size, time_span
from gcwatch.views.terminal import plain_table


def mirrors_table(
    mirrors: Iterable[MirrorStatus], runs: Mapping[str, tuple[int, int, int]] = {}
) -> Table:
    """Given the state of mirrors, and the progress of those that run now, return a table."""
    table = plain_table(
        "mirror", "copy of", "items", "gone", "last run (UTC)", "next run (UTC)", "result"
    )
    for each in mirrors:
        run = runs.get(each.mirror)
        told = items_bar(*run) if run else _outcome(each)
        upcoming = Text("now") if run else Text(to_the_minute(each.next))
        held = count_noun(each.answers, "answer") if each.reader_study else str(each.items)
        counts = (Text(held), Text(str(each.gone)))
        names = (Text(each.mirror), Text(each.archive or each.reader_study or each.algorithm))
        table.add_row(*names, *counts, Text(to_the_minute(each.ended)), upcoming, told)
    return table


def _outcome(mirror: MirrorStatus) -> Text:
    words = explain(Reason(mirror.reason)) if mirror.reason else None
    counts = (
        (mirror.failed, f"{mirror.failed} could not be downloaded"),
        (mirror.masks_missing, f"{count_noun(mirror.masks_missing, 'mask')} not on the platform"),
    )
    why = words.plain if words else ", ".join(told for count, told in counts if count)
    return Text(why, "yellow")


def items_bar(done: int, items: int, moved: int, *, left: float | None = None) -> Table:
    """Return a bar of a mirror's run; the number of items is 0 until its source is listed.

    `left` is about how many seconds the rest takes, None if that can't be known.
    """
    bar = Table.grid(padding=(0, 2, 0, 0))
    drawn = ProgressBar(items or None, done, width=30, pulse=not items)
    words = f"{done} of {count_noun(items, 'item')}" if items else "comparing"
    about = "" if left is None else f"about {time_span(max(left, 1.0))} left"
    bar.add_row(drawn, Text(words), Text(data_size(moved)), Text(about))
    return bar


def to_the_minute(moment: str) -> str:
    """Given a time as ISO 8601, return it as `2026-09-01 09:41`."""
    return moment[:16].replace("T", " ")
