"""Keeps the tables of routes up to date: results.csv, items.csv and cases.status.csv.

A share may be away, and a spreadsheet may hold a table open. So a thread of its own updates each
table, and nothing waits for it; a problem is logged once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from gcwatch import log
from gcwatch.config import Route, Settings
from gcwatch.core.errors import JournalUnavailable, NotYet
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.case_table import CASES_STATUS, CaseTable
from gcwatch.core.tables.result_rows import TABLE_NAMES
from gcwatch.core.tables.table_cells import BYTE_ORDER_MARK, csv_line
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.files.atomic import error_text
from gcwatch.files.beneath import SharePath
from gcwatch.inbox.case_tables import read_case_table
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.hosts.leases import Lease
from gcwatch.journal.journal import Journal
from gcwatch.outbox.row_store import RowStore
from gcwatch.outbox.table_file import NotOurTable, replace_table, store_of
from gcwatch.outbox.tables import TablePlace, update_table
from gcwatch.threads.periodic import PeriodicThread
from gcwatch.wording.cases_status import STATUS_COLUMNS, by_folder, case_status, status_rows

_DUTY: Final = "table:"
"""The lease of a table begins so."""

_UPDATES_PER_SURVEY: Final = 6
"""How often a table is updated while events happen, within one survey interval."""

_REST_FACTOR: Final = 20.0
"""How many times an update's duration passes until the next one: a full outbox costs little."""

_STOP_PATIENCE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class _Table:
    """One table of a route. `update` is told whether the table is as the last update left it.

    `store` is the private file that knows what was written.
    """

    route: Route
    name: str
    store: Path
    update: Callable[[bool], str]

    @property
    def duty(self) -> str:
        """The name of the lease of writing it."""
        return f"{_DUTY}{self.route.name}:{self.name}"


@dataclass
class _TableState:
    """What is known of one table; times are on the monotonic clock."""

    due: float = float("-inf")
    event: int = -1
    lease: Lease | None = None
    is_current: bool = False
    problem: str = ""
    thread: threading.Thread | None = None

    def is_busy(self) -> bool:
        """Whether its thread works, or hangs, at this moment."""
        return self.thread is not None and self.thread.is_alive()


class TableWriter(PeriodicThread):
    """Keeps all tables that the settings ask for, from start to end.

    Args:
        journal: Tells whether anything happened, and what became of cases.
        settings: What the config says at this moment.
        stop: Whether somebody asked for a stop: then nothing waits for a slow share.
        survey: Seconds between two updates while nothing happens.
        leases: Which host writes which table, of those that share the journal.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Callable[[], Settings],
        stop: threading.Event,
        survey: float,
        leases: HeldLeases,
    ) -> None:
        super().__init__("tables", min(1.0, survey / _UPDATES_PER_SURVEY))
        self._journal, self._settings, self._stop = journal, settings, stop
        self._survey, self._leases = survey, leases
        self._states: dict[tuple[Path, str], _TableState] = {}

    def _tables(self) -> Iterator[_Table]:
        stores = self._settings().state / "tables"
        for route in self._settings().own_routes:
            if route.table:
                place = TablePlace(route.outbox, route.kind, stores)
                update = partial(update_table, place)
                yield _Table(route, TABLE_NAMES[route.kind], place.store, update)
            if route.cases_table:
                store = store_of(stores, route.outbox, CASES_STATUS)
                yield _Table(route, CASES_STATUS, store, partial(self._update_status, route, store))

    def tick(self) -> None:
        """Update every table that is due."""
        tables = list(self._tables())
        self._leases.drop_others(_DUTY, {table.duty for table in tables})
        if tables:
            with suppress(JournalUnavailable):  # the daemon logs it
                latest = self._journal.latest()
                for table in tables:
                    self._start_if_due(table, latest)

    def _start_if_due(self, table: _Table, latest: int) -> None:
        state, now = self._state(table), time.monotonic()
        wait = 0.0 if state.event != latest else self._survey * (1 - 1 / _UPDATES_PER_SURVEY)
        is_due = not state.is_busy() and now >= state.due + wait
        if is_due and (lease := self._leases.keep(table.duty)) is not None:
            state.event = latest
            self._start(table, state, lease)

    def _state(self, table: _Table) -> _TableState:
        return self._states.setdefault((table.route.outbox, table.name), _TableState())

    def _start(self, table: _Table, state: _TableState, lease: Lease) -> None:
        if lease is not state.lease:
            state.lease, state.is_current = lease, False
        state.thread = threading.Thread(
            target=self._update, args=(table, state), name="table", daemon=True
        )
        state.thread.start()

    def _update(self, table: _Table, state: _TableState) -> None:
        begun = time.monotonic()
        try:
            if state.lease is not None and state.lease.is_taken_over:
                # What this host knows of the table may be older than what another one wrote.
                with RowStore(table.store) as store:
                    store.forget_written()
                state.lease.is_taken_over = False
            problem = table.update(state.is_current)
        except JournalUnavailable:
            return
        except NotOurTable:
            problem = "it is not as gcwatch wrote it: somebody has changed it, or put it there"
        except OSError as error:
            problem = error_text(error)
        state.is_current = not problem
        self._tell(table, state, problem)
        now = time.monotonic()
        pause = max(self._survey / _UPDATES_PER_SURVEY, _REST_FACTOR * (now - begun))
        state.due = now + pause

    def _update_status(self, route: Route, place: Path, _is_current: bool) -> str:
        """Write what became of the rows of a route's table of cases; return ""."""
        table: CaseTable | Reason
        try:
            table = read_case_table(route, settled=False)
        except NotYet as error:
            table = error.reason
        file = SharePath(route.outbox) / CASES_STATUS
        if isinstance(table, Reason) and table.code == "cases_table_missing" and not file.exists():
            return ""  # nobody has begun with it
        box = inbox_of(route)
        cases = (
            (box.public_name(case.folder), case_status(case))
            for case in self._journal.latest_cases(route.name)
        )
        rows = [STATUS_COLUMNS, *status_rows(table, by_folder(cases, table))]
        lines = [BYTE_ORDER_MARK, *map(csv_line, rows)]
        with RowStore(place) as store:
            replace_table(file, STATUS_COLUMNS, lambda: lines, store)
        return ""

    def _tell(self, table: _Table, state: _TableState, problem: str) -> None:
        """Log a problem once, and its end; let another host write the table meanwhile."""
        if problem:
            self._leases.drop(table.duty)
        if problem and problem != state.problem:
            log.emit("table.failed", route=table.route.name, table=table.name, error=problem)
        elif state.problem and not problem:
            log.emit("table.returned", route=table.route.name, table=table.name)
        state.problem = problem

    def on_stop(self) -> None:
        """Update each table a last time; at the request of a stop, only as far as time allows."""
        self._wait()
        for table in self._tables():
            with suppress(JournalUnavailable):
                lease = self._leases.keep(table.duty)
                if lease is not None and not (state := self._state(table)).is_busy():
                    self._start(table, state, lease)
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + _STOP_PATIENCE_SECONDS
        for state in self._states.values():
            while state.is_busy() and (time.monotonic() < until or not self._stop.is_set()):
                assert state.thread is not None
                state.thread.join(_POLL_SECONDS)
