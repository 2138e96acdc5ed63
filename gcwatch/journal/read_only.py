"""The journal for commands that only look: nothing in the state directory changes."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from gcwatch.config import Settings
from gcwatch.core.case import Case
from gcwatch.journal.databases.database import Connection, Database, Values, listed
from gcwatch.journal.databases.opening import open_read_only
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, journal_problem, no_access_error
from gcwatch.journal.databases.sqlite_read_only import ReadOnlySqlite
from gcwatch.journal.hosts.leases import SoleLeases
from gcwatch.journal.journal import Journal
from gcwatch.journal.packing import EventRow, Json, Packed
from gcwatch.journal.reader import CASE_COLUMNS, JournalReader
from gcwatch.journal.route_identity import RouteIdentities, renamed_routes, route_identities
from gcwatch.journal.rows import unpack_case

_PAGE_CASES: Final = 200
_PAGE_OUTLINES: Final = 5000
_ASKED_AT_ONCE: Final = 500


class WholeCase(NamedTuple):
    """A case and its events, oldest first; `is_newest` if its folder has no later case."""

    row: int
    case: Case
    is_newest: bool
    events: Sequence[EventRow]

    @property
    def number(self) -> int:
        """The number of the last event: a later one says that something happened."""
        return self.events[-1].number if self.events else 0


class CaseOutline(NamedTuple):
    """What the columns of a case tell; `stage` is how it ended if it is not open."""

    key: str
    route: str
    folder: str
    stage: str
    is_open: bool


class ReadOnlyJournal(JournalReader):
    """The questions to a journal, by the names that routes have in the config.

    A route may have a new name there that the journal learns once gcwatch runs.
    """

    def __init__(self, database: Database, routes: RouteIdentities) -> None:
        super().__init__(database, SoleLeases())
        with database.reading() as connection:
            self._renamed = renamed_routes(self._read_routes(connection), routes)
        self._former = {new: old for old, new in self._renamed.items()}

    def _ask(self, query: str, values: Values | None = None) -> Sequence[Any]:
        """Return all rows that a query finds; the value `route` is a name of the config."""
        asked = dict(values or {})
        if "route" in asked:
            asked["route"] = self._recorded_name(asked["route"])
        return super()._ask(query, asked)

    def _recorded_name(self, route: str) -> str:
        """Return the name by which the journal knows a route of the config, "" if by none."""
        if route in self._former:
            return self._former[route]
        # Another route may have taken the name of one that was renamed.
        return "" if route in self._renamed else route

    def _case(self, route: str, record: Json, packed: bytes | None) -> Case:
        return super()._case(self._renamed.get(route, route), record, packed)

    # --- all cases, as an audit compares them ----------------------------------------------------

    def whole_cases(self) -> Iterator[WholeCase]:
        """Yield all cases with their events, oldest first, a few at a time: memory stays flat."""
        before, last = -1, 0
        while last != before:
            before = last
            for each in self._whole("rowid > :last", {"last": before}, _PAGE_CASES):
                last = each.row
                yield each

    def whole_case(self, key: str) -> WholeCase | None:
        """Given a key, return its case with its events, or None if there is none."""
        return next(self._whole("key = :key", {"key": key}, 1), None)

    def whole_cases_of(self, pk: str) -> list[WholeCase]:
        """Return the cases that became a job, display set or archive item."""
        return [*self._whole("submission = :pk", {"pk": pk}, _PAGE_CASES)]

    def whole_cases_in(self, route: str, folder: str) -> list[WholeCase]:
        """Return the cases of a folder of a route and of what is below it, oldest first."""
        name = os.fsencode(folder)
        where = "route = :route AND (folder = :a OR (folder > :b AND folder < :c))"
        values = {"route": self._recorded_name(route), "a": name, "b": name + b"/"}
        return [*self._whole(where, {**values, "c": name + b"0"}, _PAGE_CASES)]

    def _whole(self, where: str, values: Values, limit: int) -> Iterator[WholeCase]:
        """Yield the cases that a condition finds."""
        query = f"""SELECT rowid, key, newest, {CASE_COLUMNS} FROM cases
            WHERE {where} ORDER BY rowid LIMIT :limit"""  # noqa: S608 -- a condition of ours
        with self._database.reading() as connection:
            rows = connection.execute(query, {**values, "limit": limit}).fetchall()
            unpacked = [key for _, key, *_, packed in rows if packed is None]
            events = self._unpacked_events(connection, unpacked)
        # One after another: a page of decoded cases would keep the collector of garbage busy.
        for row, key, newest, route, record, packed in rows:
            content = Packed(record, events.get(key, ())) if packed is None else unpack_case(packed)
            case = self._case(route, content.record, None)
            yield WholeCase(row, case, bool(newest), content.events)

    def _unpacked_events(
        self, connection: Connection, keys: Sequence[str]
    ) -> dict[str, list[EventRow]]:
        names, values = listed("key", keys)
        query = f"SELECT key, id, at, kind, record FROM events WHERE key IN {names} ORDER BY id"  # noqa: S608 -- ours
        found: dict[str, list[EventRow]] = {}
        for key, *row in connection.execute(query, values):
            found.setdefault(key, []).append(EventRow(*row))
        return found

    def outlines(self) -> Iterator[CaseOutline]:
        """Yield what the columns of each case tell, oldest first: nothing is unpacked."""
        query = """SELECT rowid, key, route, folder, stage, open FROM cases
            WHERE rowid > :last ORDER BY rowid LIMIT :limit"""
        last = 0
        while found := self._ask(query, {"last": last, "limit": _PAGE_OUTLINES}):
            for _, key, route, folder, stage, is_open in found:
                now = self._renamed.get(route, route)
                yield CaseOutline(key, now, os.fsdecode(folder), stage, bool(is_open))
            last = found[-1][0]

    def unknown_keys(self, keys: Iterable[str]) -> set[str]:
        """Return those of some keys that no case has, not even one that was pruned."""
        return self._unknown("key", keys)

    def unknown_submissions(self, pks: Iterable[str]) -> set[str]:
        """Return those of some jobs and items that no case is, not even one that was pruned."""
        return self._unknown("submission", pks)

    def _unknown(self, column: Literal["key", "submission"], asked: Iterable[str]) -> set[str]:
        left = set(asked)
        others = iter([*left])
        while some := [*islice(others, _ASKED_AT_ONCE)]:
            names, values = listed("each", some)
            query = f"""SELECT {column} FROM cases WHERE {column} IN {names}
                UNION SELECT {column} FROM pruned WHERE {column} IN {names}"""  # noqa: S608 -- ours
            left -= {each for (each,) in self._ask(query, values)}
        return left

    def shared_submissions(self) -> frozenset[str]:
        """Return the jobs and items that several cases are."""
        rows = self._ask(
            """SELECT submission FROM cases WHERE submission IS NOT NULL
            GROUP BY submission HAVING count(*) > 1"""
        )
        return frozenset(pk for (pk,) in rows)


def has_journal(settings: Settings) -> bool:
    """Whether there is a journal: whether a gcwatch has ever worked by this config.

    A database of PostgreSQL has one, be it empty.

    Raises:
        StateError: when the state directory can't be read.
    """
    if settings.journal is not None:
        return True
    try:
        return (settings.state / JOURNAL_FILE).exists()
    except OSError as error:
        raise no_access_error(settings.state, error) from error


@contextmanager
def read_only_journal(
    settings: Settings, clock: Callable[[], float] = time.time
) -> Iterator[ReadOnlyJournal]:
    """Given settings, yield the journal as it is at each question; an empty one if there is none.

    Raises:
        StateError: when the journal can't be read.
        JournalUnavailable: when it can't be read at the moment; so does each question.
    """
    with _database_to_read(settings, clock) as database:
        yield ReadOnlyJournal(database, route_identities(settings.routes))


@contextmanager
def _database_to_read(settings: Settings, clock: Callable[[], float]) -> Iterator[Database]:
    """Yield a journal of this program's version: an older file is copied, and upgraded."""
    if settings.journal is not None:
        with closing(open_read_only(settings.journal, clock)) as shared:
            yield shared
        return
    if problem := journal_problem(settings.state):
        raise problem
    file = ReadOnlySqlite(settings.state, clock)
    exists = has_journal(settings)
    if exists and file.is_current():
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="gcwatch-") as aside:
        if exists:
            file.copy_to(Path(aside, JOURNAL_FILE))
        Journal(Path(aside)).close()
        yield ReadOnlySqlite(Path(aside), clock)
