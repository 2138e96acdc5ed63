"""What is known, on disk: cases and the events that made them, committed together.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a power cut. A case is
read, changed and written inside one immediate transaction, so any thread, and an operator's
command beside the daemon, may record; the row in `cases` is the fold of the rows in `events`.
"""

import os
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gcwatch.core import folding
from gcwatch.core.case import Case
from gcwatch.core.events import (
    AttemptFailed,
    ContentIdentified,
    Event,
    FolderFound,
    Postponed,
    RouteRenamed,
    StillRunning,
)
from gcwatch.core.timing import Pace
from gcwatch.files.lock import exclusive_lock
from gcwatch.journal import route_identity
from gcwatch.journal.route_identity import RouteIdentities, RouteIdentity
from gcwatch.journal.rows import (
    Known,
    Recorded,
    case_row,
    decode_case,
    decode_event,
    encode,
    event_adapter,
)
from gcwatch.journal.schema import (
    CASES,
    EVENTS,
    JOURNAL_FILE,
    ROUTES,
    VERSIONS,
    database_error,
    migrate,
    no_access_error,
    open_engine,
    refuse_network_folder,
    version_error,
)

_UPLOADS_LAST_SECONDS = 25 * 3600.0
"""Seconds: a day, and at most an hour until the platform's next clean-up."""
_NO_PROGRESS = (AttemptFailed.kind, Postponed.kind, StillRunning.kind)
_PAGE_CASES = 500
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


class Journal:
    """The journal of one state directory.

    Args:
        state: The state directory; made if it is missing.
        clock: Returns the time, in seconds since the epoch.
        pace_of: Returns the pace of a route, by its name: it decides when a case is due.

    Raises:
        StateError: when it lies on a network file system, is newer than this program, or is
            damaged (JournalDamaged).
        JournalUnavailable: when its disk is full or read-only.
    """

    def __init__(
        self,
        state: Path,
        clock: Callable[[], float] = time.time,
        pace_of: Callable[[str], Pace] = lambda _: Pace(),
    ) -> None:
        self.path = state / JOURNAL_FILE
        self._clock = clock
        self._pace_of = pace_of
        self._lock = threading.RLock()
        refuse_network_folder(state)
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite does not wait while another process makes the file WAL.
            with exclusive_lock(state, wait_seconds=None):
                self._engine = open_engine(self.path)
                self.upgraded_from = self._upgrade()
                self._identity = _identity_of(self.path)
        except OSError as error:
            raise no_access_error(state, error) from error
        self.version = len(VERSIONS)

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    # --- writing ---------------------------------------------------------------------------------

    def open_case(self, route: str, folder: str, *, even_if_same: bool = False) -> Case:
        """Given a new folder, make a case with a new random key; return it.

        With *even_if_same* it is sent although another folder has the same content.
        """
        with self._transaction() as connection:
            found = FolderFound(route, folder, even_if_same)
            return self._insert_case(connection, found)

    def open_next_case(self, key: str, *, even_if_same: bool = False) -> Case | None:
        """Given a closed case, make another one for its folder as `open_case` does; return it.

        Return None if the folder has a later case already: threads may look at one change at once.
        """
        with self._transaction() as connection:
            before = self._read(connection, key)
            is_latest = (CASES.c.key == key) & CASES.c.newest & ~CASES.c.open
            if not connection.execute(sa.select(sa.exists().where(is_latest))).scalar_one():
                return None
            found = FolderFound(before.route, before.folder, even_if_same)
            return self._insert_case(connection, found)

    def _insert_case(self, connection: sa.Connection, event: FolderFound) -> Case:
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        now = self._clock()
        case = folding.new_case(f"{event.route}-{suffix}", event, now)
        # Before the insert: it takes the mark of the newest from all cases of the folder.
        _make_way(connection, case)
        connection.execute(CASES.insert().values(**self._row(case), newest=True))
        self._append(connection, case.key, event, now)
        return case

    def record(self, key: str, event: Event, *, of_round: int | None = None) -> Case:
        """Given a case's key and an event, write the event and the case.

        An event that belongs to an earlier round than the case's is dropped.

        Returns:
            The case as it is now; unchanged if it was closed meanwhile.
        """
        with self._transaction() as connection:
            before = self._read(connection, key)
            # A step that began before `gcwatch retry` must not change the new round.
            if of_round not in {None, before.round}:
                return before
            return self._write(connection, before, event)

    def record_unless_changed(self, case: Case, event: Event) -> Case | None:
        """Given a case that was read before, write an event if the case is still as it was then.

        Two threads may look at one folder; what they see there is recorded once.

        Returns:
            The case as it is now, or None if something else was recorded meanwhile.
        """
        with self._transaction() as connection:
            if self._read(connection, case.key) != case:
                return None
            return self._write(connection, case, event)

    def _write(self, connection: sa.Connection, before: Case, event: Event) -> Case:
        """Write an event and what it makes of its case; nothing if it changes nothing."""
        now = self._clock()
        after = folding.apply_event(before, event, now)
        if after != before:
            row = self._row(after)
            if after.folder != before.folder:
                _make_way(connection, after)
                row["newest"] = True
            connection.execute(CASES.update().where(CASES.c.key == after.key).values(**row))
            self._append(connection, after.key, event, now)
        return after

    def _row(self, case: Case) -> dict[str, Any]:
        # By the name that the route has now: it may have been renamed while a step ran.
        return case_row(case, self._pace_of(case.route))

    def make_future_cases_due(self) -> None:
        """Make cases due now that wait for a time before the clock was set back.

        Those are open cases whose last event is later than now, and closed cases with something to
        tell: their step counts real seconds itself.
        """
        now = self._clock()
        later = CASES.c.due.is_not(None) & (~CASES.c.open | (CASES.c.touched > now))
        with self._transaction() as connection:
            connection.execute(CASES.update().where(later).values(due=now))

    def _append(self, connection: sa.Connection, key: str, event: Event, now: float) -> None:
        kind = event.kind
        record = encode(event_adapter(kind), event)
        connection.execute(EVENTS.insert().values(key=key, at=now, kind=kind, record=record))

    # --- reading ---------------------------------------------------------------------------------

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

    def rename_routes(self, wanted: RouteIdentities) -> dict[str, str]:
        """Given the config's routes, let each find its cases; return new names by old.

        All of it happens at once, and where each route is now is remembered for the next time.
        """
        with self._transaction() as connection:
            rows = connection.execute(sa.select(ROUTES)).all()
            known = {
                row.name: RouteIdentity(Path(os.fsdecode(row.inbox)), row.target) for row in rows
            }
            renamed = route_identity.renamed_routes(known, wanted)
            self._rename(connection, renamed)
            after = {renamed.get(name, name): place for name, place in known.items()} | dict(wanted)
            if after != known:
                connection.execute(ROUTES.delete())
                connection.execute(ROUTES.insert(), [_row_of(*each) for each in after.items()])
        return renamed

    def _rename(self, connection: sa.Connection, renamed: Mapping[str, str]) -> None:
        """Give all cases of some routes their new names: by one statement, for names may swap."""
        if not renamed:
            return
        name = sa.case(renamed, value=CASES.c.route)
        concerned = CASES.c.route.in_(renamed)
        record = sa.func.json_set(CASES.c.record, "$.route", name)
        now, kind = sa.literal(self._clock()), sa.literal(RouteRenamed.kind)
        told = sa.func.json_object("route", name)
        events = sa.select(CASES.c.key, now, kind, told).where(concerned)
        connection.execute(EVENTS.insert().from_select(["key", "at", "kind", "record"], events))
        connection.execute(CASES.update().where(concerned).values(route=name, record=record))

    def reschedule(self) -> None:
        """Compute the due time of every case that has one again: routes may have another pace."""
        with self._transaction() as connection:
            for (record,) in connection.execute(
                sa.select(CASES.c.record).where(CASES.c.due.is_not(None))
            ).all():
                case = decode_case(record)
                rescheduled = CASES.update().where(CASES.c.key == case.key)
                connection.execute(rescheduled.values(**self._row(case)))

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

    # --- the file --------------------------------------------------------------------------------

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

    def is_in_place(self) -> bool:
        """Whether the journal's file still lies where it was opened, and not another one.

        Raises:
            JournalUnavailable: when its disk does not answer.
            StateError: when its folder may not be entered any more.
        """
        try:
            return _identity_of(self.path) == self._identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise no_access_error(self.path.parent, error) from error

    def _upgrade(self) -> int | None:
        """Bring the file to this program's version; a copy of an older one is kept beside it.

        Returns:
            The version it had, if it was an older journal.
        """
        try:
            with self._engine.begin() as connection:
                version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
                if error := version_error(self.path, version):
                    raise error
                if 0 < version < len(VERSIONS):
                    self._copy(version)
                migrate(connection, version)
        except sa.exc.DatabaseError as error:
            raise database_error(self.path, error.orig) from error
        return version if 0 < version < len(VERSIONS) else None

    def _copy(self, version: int) -> None:
        copy = self.path.with_suffix(f".v{version}")
        copy.touch(mode=0o600)
        with sqlite3.connect(self.path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close()
        target.close()


def _is_of(routes: Collection[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a case is of some routes, for queries that another index answers.

    Nearly all cases are of the routes that are asked for: an index of routes would find them all.
    A plus before a column keeps SQLite from using its index (sqlite.org/optoverview.html).
    """
    plus: sa.sql.operators.custom_op[str] = sa.sql.operators.custom_op("+")
    return sa.UnaryExpression(CASES.c.route, operator=plus, type_=sa.Text()).in_(routes)


def _identity_of(path: Path) -> tuple[int, int]:
    """Return device and inode of a file: another file at the same path has others."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _make_way(connection: sa.Connection, case: Case) -> None:
    """Given a case that gets its folder's name, let no other case be the newest of that name."""
    same = (CASES.c.route == case.route) & (CASES.c.folder == os.fsencode(case.folder))
    connection.execute(CASES.update().where(same).values(newest=False))
    # A change in the folder of an older case now belongs to this case: no note reports it.
    closed = ~CASES.c.open & ~CASES.c.command
    connection.execute(CASES.update().where(same & closed).values(due=None))


def _row_of(name: str, place: RouteIdentity) -> dict[str, Any]:
    return {"name": name, "inbox": os.fsencode(place.inbox), "target": place.target}
