"""A journal is copied from one database to another: all of it, or nothing."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from gcwatch.core import folding
from gcwatch.core.errors import StateError
from gcwatch.journal.databases.database import Connection, Database
from gcwatch.journal.packing import EventRow
from gcwatch.journal.rows import CASE_TABLE, decode_case, decode_event, unpack_case

_ROWS_AT_ONCE: Final = 500


class _Table(NamedTuple):
    """A table, the column that orders its rows, and all its columns."""

    name: str
    order: str
    columns: Sequence[str]


_CASES: Final = _Table("cases", "rowid", CASE_TABLE)
_EVENTS: Final = _Table("events", "id", ["id", "key", "at", "kind", "record"])
_SMALL: Final = (
    _Table("routes", "name", ["name", "inbox", "target"]),
    _Table("totals", "route", ["route", "what", "reason", "number", "at"]),
)
_PRUNED: Final = _Table("pruned", "key", ["key", "submission"])
"""The counts of cases are not copied: they are counted again as rows come."""


def copy_journal(
    source: Database,
    target: Database,
    copied: Callable[[int], None],
    finish: Callable[[Connection], None],
) -> int:
    """Copy all cases from one journal to another, an empty one; return how many there are.

    Each case in the copy is compared with what its events make of it. *copied* is told from time
    to time how many cases are copied; *finish* does what belongs to the copy.

    Raises:
        StateError: when the other journal has cases, or the copy differs; nothing is copied then.
        JournalUnavailable, JournalDamaged: when one of them can't be used; nothing is copied then.
    """
    with source.reading() as old, target.writing() as new:
        if new.execute("SELECT 1 FROM cases LIMIT 1", {}).fetchone() is not None:
            raise StateError(
                f"{target.place} has cases already.",
                "A journal is only copied to an empty one: name another database.",
            )
        count = 0
        for rows in _pages(old, _CASES, first=0):
            _insert(new, _CASES, rows)
            count += len(rows)
            copied(count)
        for rows in _pages(old, _EVENTS, first=0):
            _insert(new, _EVENTS, rows)
        for rows in _pages(old, _PRUNED, first=""):
            _insert(new, _PRUNED, rows)
        for table in _SMALL:
            new.execute(f"DELETE FROM {table.name}", {})  # noqa: S608 -- ours
            _insert(new, table, old.execute(_select(table), {}).fetchall())
        target.set_latest_event(new, source.latest_event(old))
        _check(old, new, target.place)
        finish(new)
    return count


def _select(table: _Table) -> str:
    return f"SELECT {', '.join(table.columns)} FROM {table.name}"  # noqa: S608 -- ours


def _pages(connection: Connection, table: _Table, first: Any) -> Iterator[Sequence[Any]]:
    """Yield the rows of a table, some at a time, in the order of a column that is unique."""
    query = f"{_select(table)} WHERE {table.order} > :last ORDER BY {table.order} LIMIT :limit"
    place, last = table.columns.index(table.order), first
    while rows := connection.execute(query, {"last": last, "limit": _ROWS_AT_ONCE}).fetchall():
        yield rows
        last = rows[-1][place]


def _insert(connection: Connection, table: _Table, rows: Sequence[Any]) -> None:
    places = ", ".join(f":{column}" for column in table.columns)
    insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({places})"  # noqa: S608 -- ours
    connection.executemany(insert, [dict(zip(table.columns, row, strict=True)) for row in rows])


# --- whether the copy is right ------------------------------------------------------------------


def _check(old: Connection, new: Connection, place: str) -> None:
    """Compare each case in the copy with the original, and with what its events make of it."""
    for table in (_CASES, _EVENTS):
        if _count(old, table) != _count(new, table):
            raise _differs(place, f"the table {table.name} has another number of rows")
    for rows in _pages(new, _CASES, first=0):
        for row in rows:
            _check_case(new, dict(zip(_CASES.columns, row, strict=True)), place)


def _check_case(new: Connection, row: dict[str, Any], place: str) -> None:
    key, packed = row["key"], row["packed"]
    query = "SELECT id, at, kind, record FROM events WHERE key = :key ORDER BY id"
    rows = [EventRow(*each) for each in new.execute(query, {"key": key})]
    events = [*(unpack_case(packed).events if packed is not None else ()), *rows]
    case = decode_case(row["route"], row["record"], packed)
    told = (decode_event(each.at, each.kind, each.record) for each in events)
    if folding.fold_events(key, ((each.at, each.event) for each in told)) != case:
        raise _differs(place, f"case {key} is not what its events make of it")


def _count(connection: Connection, table: _Table) -> int:
    query = f"SELECT count(*) FROM {table.name}"  # noqa: S608 -- ours
    return int(connection.execute(query, {}).fetchone()[0])


def _differs(place: str, problem: str) -> StateError:
    return StateError(
        f"The copy at {place} would differ: {problem}. Nothing was copied.",
        "Run gcwatch audit on the journal as it is, and report what it finds.",
    )
