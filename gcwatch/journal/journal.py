"""What is known, on disk: cases and the events that made them, committed together.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a power cut. A case is
read, changed and written inside one immediate transaction, so any thread, and an operator's
command beside the daemon, may record; the row in `cases` is the fold of the rows in `events`.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gcwatch.core import folding
from gcwatch.core.case import Case
from gcwatch.core.events import (
    Event,
    FolderFound,
    RouteRenamed,
)
from gcwatch.core.timing import Pace
from gcwatch.files.lock import exclusive_lock
from gcwatch.journal import route_identity
from gcwatch.journal.reader import JournalReader
from gcwatch.journal.route_identity import RouteIdentities, RouteIdentity
from gcwatch.journal.rows import (
    case_row,
    decode_case,
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

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


class Journal(JournalReader):
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
        super().__init__(state / JOURNAL_FILE, clock)
        self._pace_of = pace_of
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

    # --- the file --------------------------------------------------------------------------------

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
