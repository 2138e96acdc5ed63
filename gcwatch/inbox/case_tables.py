"""The table in an inbox that gives the values of cases (cases.csv): read when it is complete."""

import threading
import time
from dataclasses import dataclass
from typing import Final

from gcwatch.config import Column, Route
from gcwatch.core.errors import NotYet
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.case_table import (
    CASES_TABLE,
    ORDER,
    TITLE,
    CaseRow,
    CaseTable,
    TableColumns,
    parse_case_table,
    shows_folder,
)
from gcwatch.files.atomic import error_text
from gcwatch.files.beneath import SharePath
from gcwatch.files.safe_open import read_small_file
from gcwatch.inbox.layouts import inbox_of

MOST_BYTES: Final = 16 << 20
_WAIT_SECONDS: Final = 60.0
"""Until the table is looked at again if it is missing or wrong."""

_SHORTEST_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True)
class _Seen:
    """What a table was like, since when (monotonic), and what came of reading it."""

    stamp: tuple[int, ...]
    columns: TableColumns
    since: float
    table: CaseTable | Reason | None = None


_seen: dict[SharePath, _Seen] = {}
_locks: dict[SharePath, threading.Lock] = {}
"""One for each table: a share that hangs must not hold up others."""


def columns_of(route: Route) -> TableColumns:
    """Return the columns that a route's table may have."""
    sources = (route.inputs or {}).values()
    values = frozenset(each.column for each in sources if isinstance(each, Column))
    others = {"reader_study": {TITLE, ORDER}, "archive": {TITLE}}.get(route.kind, set())
    # All series of a patient would have the title of the patient's row.
    return TableColumns(values, frozenset(others - ({TITLE} if route.cases == "series" else set())))


def read_case_table(route: Route, *, settled: bool = True) -> CaseTable:
    """Return the table in a route's inbox.

    With *settled*, it must not have changed for the route's settle time while this process ran: a
    table that is still being copied may end within a number.

    Raises:
        NotYet: `cases_table_missing`, `cases_table_wrong` or `cases_table_changing`.
    """
    place, columns = SharePath(route.inbox) / CASES_TABLE, columns_of(route)
    with _locks.setdefault(place, threading.Lock()):  # several cases ask at the same time
        stamp, now = _stamp(place), time.monotonic()
        seen = _seen.get(place)
        if seen is None or (seen.stamp, seen.columns) != (stamp, columns):
            seen = _seen[place] = _Seen(stamp, columns, now)
        left = seen.since + route.settle - now
        if settled and left > 0:
            pause = max(left, _SHORTEST_PAUSE_SECONDS)
            raise NotYet(Reason("cases_table_changing", {"settle": route.settle}), pause)
        if seen.table is None:
            table = _read(place, columns)
            if _stamp(place) != stamp:
                del _seen[place]
                raise NotYet(Reason("cases_table_changing", {"settle": route.settle}), 1.0)
            seen = _seen[place] = _Seen(stamp, columns, seen.since, table)
    if isinstance(seen.table, CaseTable):
        return seen.table
    assert seen.table is not None, "it was read just now"
    raise NotYet(seen.table, _WAIT_SECONDS)


def _stamp(place: SharePath) -> tuple[int, ...]:
    try:
        status = place.lstat()
    except FileNotFoundError as error:
        _seen.pop(place, None)
        raise NotYet(Reason("cases_table_missing"), _WAIT_SECONDS) from error
    except OSError as error:
        raise NotYet(_wrong(f"can't be read: {error_text(error)}"), _WAIT_SECONDS) from error
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(place: SharePath, columns: TableColumns) -> CaseTable | Reason:
    try:
        content = read_small_file(place, MOST_BYTES)
        if content is None:
            most = MOST_BYTES >> 20
            raise ValueError(f"is no plain file of at most {most} MiB")  # noqa: TRY301 - as below
        return parse_case_table(content, columns)
    except OSError as error:
        return _wrong(f"can't be read: {error_text(error)}")
    except ValueError as error:
        return _wrong(str(error))


def _wrong(problem: str) -> Reason:
    # A table without a first line of its own has a patient's values in place of columns.
    return Reason("cases_table_wrong", {}, {"problem": problem})


def find_row(route: Route, name: str, *, settled: bool = True) -> CaseRow | None:
    """Given a case's name, return its row; None if its route has no table.

    Raise as `read_case_table`, and NotYet (`no_table_row`) if the table does not have all of it.
    """
    if not route.cases_table:
        return None
    folder = inbox_of(route).public_name(name)
    row = read_case_table(route, settled=settled).find(folder)
    problem = "has no row for it" if row is None else _lacks(row, route)
    if problem:
        reason = Reason("no_table_row", {"problem": problem}, {"folder": folder})
        raise NotYet(reason, _WAIT_SECONDS)
    return row


def _lacks(row: CaseRow, route: Route) -> str:
    for source in (route.inputs or {}).values():
        if isinstance(source, Column) and not source.optional and source.column not in row.cells:
            return f"has no value for {source.column} in line {row.line}"
    if route.names == "opaque" and shows_folder(row):
        return f"has a title with the name of the folder in line {row.line}"
    return ""
