"""Progress bars below the log lines of `once`, `mirror` and `send`."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO, cast

from rich.console import Group
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcwatch.core.text import data_size
from gcwatch.views.mirror_table import items_bar
from gcwatch.views.terminal import STAGE_STYLES, console, plain_table
from gcwatch.wording.case_view import CaseView


class TransferMeter:
    """The progress of transfers; give it to `gcwatch.open` as `progress`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transfers: dict[str, tuple[int, int]] = {}

    def __call__(self, key: str, moved: int, total: int) -> None:
        """Note how many bytes of a case's transfer have moved; 0 of 0 ends the transfer."""
        with self._lock:
            self._transfers[key] = (moved, total)
            if not moved and not total:
                del self._transfers[key]

    def show(self, counts: Mapping[str, int]) -> Group:
        """Given how many cases are at each stage, return them in a line, below the transfers."""
        line = Text(" ")
        for stage, count in counts.items():
            line.append(f" {count} {stage} ", STAGE_STYLES.get(stage, "cyan"))
        with self._lock:
            transfers = dict(self._transfers)
        bars = Table.grid(padding=(0, 2, 0, 0))
        for key, (moved, total) in sorted(transfers.items()):
            bar = ProgressBar(total or None, moved, width=30, pulse=not total)
            size = f"{data_size(moved)} of {data_size(total)}" if total else data_size(moved)
            bars.add_row(Text(f"  {key}"), bar, Text(size))
        return Group(bars, line) if transfers else Group(line)


class _ItemMeter:
    """The progress of a mirror's run, in items and in bytes."""

    def __init__(self) -> None:
        self._seen = (0, 0, 0)

    def __call__(self, done: int, items: int, moved: int) -> None:
        """Note how many items are done, of how many, and how many bytes have moved."""
        self._seen = (done, items, moved)

    def show(self) -> Table:
        """Return it as a bar."""
        return items_bar(*self._seen)


@contextmanager
def mirror_progress() -> Iterator[tuple[TextIO, Callable[[int, int, int], None]]]:
    """Draw a bar below the log lines; yield the stream for lines, and the function for progress."""
    meter, screen = _ItemMeter(), console(stderr=True)
    shown = Live(get_renderable=meter.show, console=screen, refresh_per_second=8, transient=True)
    with shown:
        yield cast(TextIO, FileProxy(screen, sys.stderr)), meter


@contextmanager
def transfer_progress(
    meter: TransferMeter, counts: Callable[[], Mapping[str, int]]
) -> Iterator[TextIO]:
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


_MAX_ROWS = 12


@contextmanager
def send_progress(meter: TransferMeter, views: Callable[[], Sequence[CaseView]]) -> Iterator[None]:
    """On a terminal, draw cases and their transfers while the context is open."""
    if not sys.stderr.isatty():
        yield
        return
    drawn = Live(
        get_renderable=lambda: Group(_open_cases(views()), meter.show({})),
        console=console(stderr=True),
        refresh_per_second=4,
        transient=True,
    )
    with drawn:
        yield


def _open_cases(views: Sequence[CaseView]) -> Table:
    """Return the open cases as a table, as many as fit on a screen."""
    table = plain_table("case", "folder", "stage", "")
    under_way = [view for view in views if view.stage not in STAGE_STYLES]
    for view in under_way[:_MAX_ROWS]:
        words = Text(view.why)
        table.add_row(Text(view.case), Text(view.folder), Text(view.stage, "cyan"), words)
    if len(under_way) > _MAX_ROWS:
        table.add_row(Text(f"and {len(under_way) - _MAX_ROWS} more", "dim"))
    return table
