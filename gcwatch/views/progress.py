"""Progress bars below the log lines of `once`, `mirror` and `send`."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcwatch.core.progress import MirrorProgress, seconds_left
from gcwatch.core.text import data_size, printable_name
from gcwatch.views.drawing import drawn
from gcwatch.views.mirror_table import items_bar
from gcwatch.views.terminal import STAGE_STYLES


class TransferMeter:
    """The progress of transfers; give it to `gcwatch.open` as `progress`.

    `name_of` returns the name of a case's folder, given its key.
    """

    def __init__(self) -> None:
        self.name_of: Callable[[str], str] = str
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
            bars.add_row(Text(f"  {printable_name(self.name_of(key))}"), bar, Text(size))
        return Group(bars, line) if transfers else Group(line)


class _ItemMeter:
    """The progress of a mirror's run, in items and in bytes, and how long the rest takes."""

    def __init__(self) -> None:
        self._seen = (0, 0, 0)
        self._began: float | None = None

    def __call__(self, done: int, items: int, moved: int) -> None:
        """Note how many items are done, of how many, and how many bytes have moved."""
        self._began = time.monotonic() if self._began is None else self._began
        self._seen = (done, items, moved)

    def show(self) -> Table:
        """Return it as a bar."""
        done, items, _ = self._seen
        passed = 0.0 if self._began is None else time.monotonic() - self._began
        each = [passed / done] if done else []
        return items_bar(*self._seen, left=seconds_left(each, [0.0] * (items - done), 1))


@contextmanager
def mirror_progress() -> Iterator[tuple[TextIO, MirrorProgress]]:
    """Draw a bar below the log lines; yield the stream for lines, and the function for progress."""
    meter = _ItemMeter()
    with drawn(meter.show) as stream:
        yield stream, meter


@contextmanager
def transfer_progress(
    meter: TransferMeter, counts: Callable[[], Mapping[str, int]]
) -> Iterator[TextIO]:
    """Draw a meter below the log lines while the context is open; yield the lines' stream."""
    with drawn(lambda: meter.show(counts())) as stream:
        yield stream
