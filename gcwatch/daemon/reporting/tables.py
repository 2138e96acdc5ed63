"""Keeps the tables of routes (results.csv, items.csv) up to date with their outboxes.

A share may be away, and a spreadsheet may hold a table open. So a thread of its own updates each
table, and nothing waits for it; a problem is logged once.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gcwatch import log
from gcwatch.config import Route, Settings
from gcwatch.core.errors import JournalUnavailable
from gcwatch.core.result_rows import TABLE_NAMES
from gcwatch.files.atomic import error_text
from gcwatch.journal.journal import Journal
from gcwatch.outbox.tables import NotOurTable, TablePlace, update_table
from gcwatch.threads.periodic import PeriodicThread

_UPDATES_PER_SURVEY: Final = 6
"""How often a table is updated while events happen, within one survey interval."""

_REST_FACTOR: Final = 20.0
"""How many times an update's duration passes until the next one: a full outbox costs little."""

_STOP_PATIENCE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05


@dataclass
class _TableState:
    """What is known of one table; times are on the monotonic clock."""

    due: float = float("-inf")
    event: int = -1
    is_current: bool = False
    problem: str = ""
    thread: threading.Thread | None = None

    def is_busy(self) -> bool:
        """Whether its thread works, or hangs, at this moment."""
        return self.thread is not None and self.thread.is_alive()


class TableWriter(PeriodicThread):
    """Keeps all tables that the settings ask for, from start to end.

    Args:
        journal: Tells whether anything happened.
        settings: What the config says at this moment.
        stop: Whether somebody asked for a stop: then nothing waits for a slow share.
        survey: Seconds between two updates while nothing happens.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Callable[[], Settings],
        stop: threading.Event,
        survey: float,
    ) -> None:
        super().__init__("tables", min(1.0, survey / _UPDATES_PER_SURVEY))
        self._journal, self._settings, self._stop = journal, settings, stop
        self._survey = survey
        self._states: dict[TablePlace, _TableState] = {}

    def tick(self) -> None:
        """Update every table that is due."""
        routes = [route for route in self._settings().routes if route.table]
        if routes:
            with suppress(JournalUnavailable):  # the daemon logs it
                latest = self._journal.latest()
                for route in routes:
                    self._start_if_due(route, latest)

    def _start_if_due(self, route: Route, latest: int) -> None:
        state, now = self._state(route), time.monotonic()
        wait = 0.0 if state.event != latest else self._survey * (1 - 1 / _UPDATES_PER_SURVEY)
        if not state.is_busy() and now >= state.due + wait:
            state.event = latest
            self._start(route, state)

    def _state(self, route: Route) -> _TableState:
        return self._states.setdefault(self._place(route), _TableState())

    def _place(self, route: Route) -> TablePlace:
        return TablePlace(route.outbox, route.kind, self._settings().state / "tables")

    def _start(self, route: Route, state: _TableState) -> None:
        state.thread = threading.Thread(
            target=self._update, args=(route, state), name="table", daemon=True
        )
        state.thread.start()

    def _update(self, route: Route, state: _TableState) -> None:
        begun = time.monotonic()
        try:
            problem = update_table(self._place(route), is_current=state.is_current)
            state.is_current = not problem
        except NotOurTable:
            problem = "it is not as gcwatch wrote it: somebody has changed it, or put it there"
        except OSError as error:
            problem = error_text(error)
        if problem:
            state.is_current = False
        self._tell(route, state, problem)
        now = time.monotonic()
        pause = max(self._survey / _UPDATES_PER_SURVEY, _REST_FACTOR * (now - begun))
        state.due = now + pause

    def _tell(self, route: Route, state: _TableState, problem: str) -> None:
        """Log a problem once, and its end."""
        file = TABLE_NAMES[route.kind]
        if problem and problem != state.problem:
            log.emit("table.failed", route=route.name, table=file, error=problem)
        elif state.problem and not problem:
            log.emit("table.returned", route=route.name, table=file)
        state.problem = problem

    def on_stop(self) -> None:
        """Update each table a last time; at the request of a stop, only as far as time allows."""
        self._wait()
        for route in self._settings().routes:
            if route.table and not (state := self._state(route)).is_busy():
                self._start(route, state)
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + _STOP_PATIENCE_SECONDS
        for state in self._states.values():
            while state.is_busy() and (time.monotonic() < until or not self._stop.is_set()):
                assert state.thread is not None
                state.thread.join(_POLL_SECONDS)
