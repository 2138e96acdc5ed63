"""The progress of `send`: how many cases are done, how long the rest takes, and the open ones."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcwatch.commands.send.send import SendSession
from gcwatch.core.progress import seconds_left
from gcwatch.core.text import data_size
from gcwatch.views.drawing import drawn
from gcwatch.views.progress import progress_line
from gcwatch.views.terminal import STAGE_STYLES, plain_table
from gcwatch.wording.case_view import CaseView

_MOST_ROWS = 12
_PLATFORM_WORKS = "running"
"""The stage at which the platform works on a case, not gcwatch."""


@dataclass
class WorkMeter:
    """Measures how long the cases of this run take, to say how long the rest will.

    A case takes the time in which it is worked on, here or on the platform; while it waits for its
    turn, it takes none. `clock` returns monotonic seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _at: float | None = None
    _spent: dict[int, float] = field(default_factory=dict)
    _ended: list[float] = field(default_factory=list)
    _busy: frozenset[int] = frozenset()
    _at_once: int = 0

    def seconds_left(self, open_cases: Collection[int], busy: Collection[int]) -> float | None:
        """Given the open cases, by number, and those that are worked on, return how long is left.

        None as long as no case has ended in this run.
        """
        now = self.clock()
        passed, self._at = (0.0 if self._at is None else now - self._at), now
        for key in self._spent.keys() - {*open_cases}:
            self._ended.append(self._spent.pop(key) + passed * (key in self._busy))
        for key in open_cases:
            self._spent[key] = self._spent.get(key, 0.0) + passed * (key in self._busy)
        self._busy = frozenset(busy)
        self._at_once = max(self._at_once, len(busy))
        return seconds_left(self._ended, [*self._spent.values()], self._at_once)


class _Drawing:
    """Draws a session as it is at the moment."""

    def __init__(self, session: SendSession) -> None:
        self._session = session
        self._meter = WorkMeter()

    def show(self) -> Group:
        """Return the counts, the estimate, and the open cases with their transfers."""
        views, working = self._session.progress()
        # By their places: a case that has not begun has no key yet.
        under_way = {
            place: view for place, view in enumerate(views) if view.stage not in STAGE_STYLES
        }
        busy = [
            place
            for place, view in under_way.items()
            if view.case in working or (view.stage == _PLATFORM_WORKS and not view.reason)
        ]
        left = self._meter.seconds_left(under_way, busy)
        line = progress_line(len(views) - len(under_way), len(views), left)
        table = [_open_cases([*under_way.values()])] if under_way else []
        return Group(Text(line, "bold"), *table)


@contextmanager
def send_progress(session: SendSession) -> Iterator[None]:
    """In a notebook or on a terminal, draw how far a session is while the context is open."""
    with drawn(_Drawing(session).show):
        yield


def _open_cases(views: list[CaseView]) -> Table:
    """Return the open cases as a table, as many as fit on a screen; transfers come first."""
    table = plain_table("folder", "stage", "")
    views.sort(key=lambda view: not view.moved)
    for view in views[:_MOST_ROWS]:
        table.add_row(Text(view.folder), Text(view.stage, "cyan"), _state(view))
    if len(views) > _MOST_ROWS:
        table.add_row(Text(f"and {len(views) - _MOST_ROWS} more", "dim"))
    return table


def _state(view: CaseView) -> RenderableType:
    """Return a bar if a transfer is under way, else the sentence of a case."""
    if not view.moved and not view.total:
        return Text(view.why, no_wrap=True, overflow="ellipsis")
    bar = Table.grid(padding=(0, 2, 0, 0))
    size = f"{data_size(view.moved)} of {data_size(view.total)}" if view.total else ""
    drawn = ProgressBar(view.total or None, view.moved, width=20, pulse=not view.total)
    bar.add_row(drawn, Text(size or data_size(view.moved)))
    return bar
