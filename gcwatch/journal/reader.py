"""The questions to the journal: which cases there are, which are due, what became of each."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gcwatch.core.case import Case
from gcwatch.core.events import AttemptFailed, ContentIdentified, Postponed, StillRunning
from gcwatch.journal.rows import Known, Recorded, decode_case, decode_event
from gcwatch.journal.schema import CASES, EVENTS, database_error

_UPLOADS_LAST_SECONDS = 25 * 3600.0
"""Seconds: a day, and at most an hour until the platform's next clean-up."""
_NO_PROGRESS = (AttemptFailed.kind, Postponed.kind, StillRunning.kind)
_PAGE_CASES = 500


class JournalReader:
    """What is known of all cases; `Journal` opens the file, and records."""

    _engine: sa.Engine

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.RLock()

    def case(self, key: str) -> Case:
        """Given a key, return its case; raise KeyError if there is none."""
        with self._transaction() as connection:
            return self._read(connection, key)

    def cases(self, *, newest: bool = False) -> list[Case]:
        """Return all cases, oldest first; with *newest*, only the latest of each folder."""
        where = CASES.c.newest if newest else sa.true()
        return self._select(where)

    def latest_of_route(self, route: str) -> Iterator[Case]:
        """Yield the latest case of each folder of a route, oldest first, a few at a time."""
        for first in count(0, _PAGE_CASES):
            where = (CASES.c.route == route) & CASES.c.newest
            found = self._select(where, limit=_PAGE_CASES, offset=first)
            yield from found
            if len(found) < _PAGE_CASES:
                return

    def open_cases(self) -> list[Case]:
        """Return the cases that are not closed, oldest first."""
        return self._select(CASES.c.open)

    def unfinished_cases(self) -> list[Case]:
        """Return the cases for which something is left to do, oldest first.

        These are the open ones, those whose command has to run, and those with a change after
        delivery that no note reports yet.
        """
        return self._select(CASES.c.due.is_not(None))

    def attention(self) -> list[Case]:
        """Return what somebody may have to look at, oldest first.

        That is what is open, what has failed, and what was delivered with a warning: closed cases
        only as long as their folder is in the inbox and has no later case. A case whose command
        failed is always among them.
        """
        stands = CASES.c.newest & ~CASES.c.gone
        return self._select(CASES.c.open | (CASES.c.notable & stands) | CASES.c.command_failed)

    def delivered(self, route: str, limit: int) -> list[Case]:
        """Return at most *limit* delivered cases of a route, the latest delivery first."""
        where = (CASES.c.route == route) & (CASES.c.stage == "delivered")
        return self._select(where, order=[CASES.c.touched.desc()], limit=limit)

    def called(self, name: str) -> list[Case]:
        """Return the cases that have this key, or whose folder has this name, oldest first."""
        return self._select((CASES.c.key == name) | (CASES.c.folder == os.fsencode(name)))

    def due(
        self,
        routes: Collection[str],
        now: float,
        limit: int,
        ranks: Mapping[str, int] | None = None,
    ) -> list[Case]:
        """Return at most *limit* cases of *routes* that are due, the longest due first.

        With *ranks* of routes, those of the routes with the lowest rank come first. Cases whose
        command has to run are not among them; see `due_commands`.
        """
        where = (CASES.c.due <= now) & _is_of(routes) & ~CASES.c.command
        first = [sa.case(dict(ranks), value=CASES.c.route)] if ranks else []
        return self._select(where, order=(*first, CASES.c.due), limit=limit)

    def due_commands(self, routes: Collection[str], now: float) -> dict[str, str]:
        """Return the key of the case whose command is longest due, by route, of *routes*."""
        # SQLite takes the other columns from the row that has the minimum (lang_select.html).
        longest_due = sa.func.min(CASES.c.due)
        query = (
            sa.select(CASES.c.route, CASES.c.key, longest_due)
            .where(CASES.c.command, CASES.c.due <= now, CASES.c.route.in_(routes))
            .group_by(CASES.c.route)
        )
        with self._transaction() as connection:
            return {route: key for route, key, _ in connection.execute(query)}

    def next_due(self, routes: Collection[str]) -> float | None:
        """Return when the next case of *routes* is due, or None if none has anything to do."""
        where = CASES.c.due.is_not(None) & _is_of(routes)
        with self._transaction() as connection:
            return connection.execute(sa.select(sa.func.min(CASES.c.due)).where(where)).scalar()

    def cases_with_listing(self, route: str, digest: str) -> list[Case]:
        """Return the cases of a route whose folder looked so (`Snapshot.digest`), oldest first."""
        return self._select((CASES.c.route == route) & (CASES.c.listing == digest))

    def twin(self, case: Case) -> Case | None:
        """Given a case whose content is known, return the first case that sends the same, or None.

        That is a case of the same route whose content was known earlier, that is open or delivered,
        and whose folder, another one, is still in the inbox.
        """
        # The order of the events decides: of two cases at the same time exactly one is the first.
        known_at = sa.func.max(EVENTS.c.id)
        same = (CASES.c.route == case.route) & (CASES.c.content == case.content)
        stands = CASES.c.newest & ~CASES.c.gone
        query = (
            sa.select(CASES.c.key)
            .join(EVENTS, (EVENTS.c.key == CASES.c.key) & (EVENTS.c.kind == ContentIdentified.kind))
            .where(same, CASES.c.open | (CASES.c.stage == "delivered"), stands)
            .group_by(CASES.c.key)
            .order_by(known_at)
        )
        with self._transaction() as connection:
            first = connection.execute(query).scalar()
            return self._read(connection, first) if first not in {None, case.key} else None

    def known(self, route: str) -> dict[str, Known]:
        """Given a route, return what is known of each folder, from its latest case, by folder."""
        facts = (CASES.c.key, CASES.c.open, CASES.c.stage, CASES.c.gone, CASES.c.stamp)
        query = sa.select(CASES.c.folder, *facts).where(CASES.c.route == route, CASES.c.newest)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return {os.fsdecode(folder): Known(*known) for folder, *known in rows}

    def count(self, stage: str, routes: Collection[str] | None = None) -> int:
        """Return how many cases are at a stage; with *routes*, how many of theirs."""
        where = CASES.c.stage == stage
        if routes is not None:
            where &= CASES.c.route.in_(routes)
        query = sa.select(sa.func.count()).select_from(CASES).where(where)
        with self._transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def counts(self, route: str | None = None) -> dict[str, int]:
        """Return how many cases are at each stage or ended so; with *route*, only its cases."""
        found: Counter[str] = Counter()
        for (of, stage), number in self.counts_by_route().items():
            found[stage] += number if route in {None, of} else 0
        return dict(+found)

    def counts_by_route(self) -> dict[tuple[str, str], int]:
        """Return how many cases are at each stage or ended so, by route and stage."""
        columns = (CASES.c.route, CASES.c.stage)
        query = sa.select(*columns, sa.func.count()).group_by(*columns)
        with self._transaction() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def last_progress(self) -> dict[str, float]:
        """Return for each open case, by key, when it last came further.

        Another try that failed, a wait, and a job that still runs are no progress.
        """
        query = (
            sa.select(EVENTS.c.key, sa.func.max(EVENTS.c.at))
            .join(CASES, CASES.c.key == EVENTS.c.key)
            .where(CASES.c.open, EVENTS.c.kind.not_in(_NO_PROGRESS))
            .group_by(EVENTS.c.key)
        )
        with self._transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def events_among(
        self, after: int, end: int, kinds: Collection[str]
    ) -> list[tuple[str, str, float, str, str]]:
        """Return the events of some kinds with numbers after *after* and up to *end*.

        Each with its case's key, the route of the case, its time, its kind and its record (JSON).
        """
        columns = (EVENTS.c.key, CASES.c.route, EVENTS.c.at, EVENTS.c.kind, EVENTS.c.record)
        query = (
            sa.select(*columns)
            .join(CASES, CASES.c.key == EVENTS.c.key)
            .where(EVENTS.c.id > after, EVENTS.c.id <= end, EVENTS.c.kind.in_(kinds))
            .order_by(EVENTS.c.id)
        )
        with self._transaction() as connection:
            return [(row[0], row[1], row[2], row[3], row[4]) for row in connection.execute(query)]

    def latest(self) -> int:
        """Return the number of the latest event; another number says that something happened."""
        with self._transaction() as connection:
            return int(connection.execute(sa.select(sa.func.max(EVENTS.c.id))).scalar() or 0)

    def uploads_held(self) -> dict[str, int]:
        """Return how many uploads each planned case holds that may still be using them, by key.

        The platform drops uploads after a day, also those that a case needs (platform 4.14).
        """
        oldest = self._clock() - _UPLOADS_LAST_SECONDS
        return {
            case.key: sum(upload.created > oldest for upload in case.uploads)
            for case in self.open_cases()
            if case.inputs is not None and case.outputs is None
        }

    def knows(self, pk: str) -> bool:
        """Return whether some case became this job, display set or archive item."""
        query = sa.select(sa.exists().where(CASES.c.submission == pk))
        with self._transaction() as connection:
            return bool(connection.execute(query).scalar_one())

    def history(self, key: str) -> list[Recorded]:
        """Given a key, return all its events, oldest first."""
        query = sa.select(EVENTS).where(EVENTS.c.key == key).order_by(EVENTS.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [decode_event(row.at, row.kind, row.record) for row in rows]

    def _select(
        self,
        where: Any,
        order: Sequence[Any] = (),
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Case]:
        query = sa.select(CASES.c.record).where(where).limit(limit).offset(offset)
        query = query.order_by(*(order or [sa.text("rowid")]))
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [decode_case(row.record) for row in rows]

    def _read(self, connection: sa.Connection, key: str) -> Case:
        query = sa.select(CASES.c.record).where(CASES.c.key == key)
        record = connection.execute(query).scalar()
        if record is None:
            raise KeyError(key)
        return decode_case(record)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is recorded in this process meanwhile: all that is read is of one moment."""
        with self._lock:
            yield

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """Raises JournalUnavailable if the file can't be used at the moment, or JournalDamaged."""
        try:
            with self._lock, self._engine.begin() as connection:
                yield connection
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
            raise  # a fault in gcwatch
        except sa.exc.DatabaseError as error:
            raise database_error(self.path, error.orig) from error


def _is_of(routes: Collection[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a case is of some routes, for queries that another index answers.

    Nearly all cases are of the routes that are asked for: an index of routes would find them all.
    A plus before a column keeps SQLite from using its index (sqlite.org/optoverview.html).
    """
    plus: sa.sql.operators.custom_op[str] = sa.sql.operators.custom_op("+")
    return sa.UnaryExpression(CASES.c.route, operator=plus, type_=sa.Text()).in_(routes)
