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

from gcwatch.core.progress import MirrorProgress
from gcwatch.core.text import data_size, printable_name, time_span
from gcwatch.views.drawing import drawn
from gcwatch.views.mirror_table import items_bar
from gcwatch.views.terminal import STAGE_STYLES


def progress_line(done: int, total: int, left: float | None) -> str:
    """Return `7 of 20 done, about 3 min left`; without an estimate, only how many are done."""
    about = "" if left is None else f", about {time_span(max(left, 1.0))} left"
    return f"{done} of {total} done{about}"


class RateMeter:
    """Measures how fast cases or items end in this run; `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def progress(self, ended: int, open_: int) -> tuple[int, float | None]:
        """Given how many have ended and are open, return how many ended in this run, and the rest.

        The rest is about how many seconds the open ones take; None as long as none has ended.
        """
        began, before = self._first = self._first or (self._clock(), ended)
        done = ended - before
        left = (self._clock() - began) / done * open_ if done and open_ else None
        return done, left


class TransferMeter:
    """The progress of transfers; give it to `gcwatch.open` as `progress`.

    `name_of` returns the name of a case's folder, given its key.
    """

    def __init__(self) -> None:
        self.name_of: Callable[[str], str] = str
        self._rate = RateMeter()
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
        parts = [bars] if transfers else []
        ended = sum(count for stage, count in counts.items() if stage in STAGE_STYLES)
        open_ = sum(counts.values()) - ended
        done, left = self._rate.progress(ended, open_)
        return Group(*parts, line, Text(f"  {progress_line(done, done + open_, left)}", "bold"))


class _ItemMeter:
    """The progress of a mirror's run, in items and in bytes, and how long the rest takes."""

    def __init__(self) -> None:
        self._seen = (0, 0, 0)
        self._rate = RateMeter()

    def __call__(self, done: int, items: int, moved: int) -> None:
        """Note how many items are done, of how many, and how many bytes have moved."""
        self._seen = (done, items, moved)

    def show(self) -> Table:
        """Return it as a bar."""
        done, items, _ = self._seen
        _, left = self._rate.progress(done, items - done)
        return items_bar(*self._seen, left=left)


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
