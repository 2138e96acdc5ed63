"""What is known, on disk: cases and the events that made them, committed together.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a power cut. A case is
read, changed and written inside one immediate transaction, so any thread, and an operator's
command beside the daemon, may record; the row in `cases` is the fold of the rows in `events`.
"""

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
from gcwatch.journal.packing import pack
from gcwatch.journal.reader import CASE_COLUMNS, PRUNABLE, JournalReader
from gcwatch.journal.route_identity import RouteIdentities, RouteIdentity
from gcwatch.journal.rows import (
    case_row,
    decode_case,
    encode,
    event_adapter,
)
from gcwatch.journal.schema import (
    JOURNAL_FILE,
    VERSIONS,
    database_error,
    migrate,
    no_access_error,
    open_database,
    refuse_network_folder,
    transaction,
    version_error,
)
from gcwatch.journal.totals import amount_of

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"

_INSERT_CASE: Final = """INSERT INTO cases (
        key, route, folder, newest, open, stage, gone, stamp, submission, due,
        record, notable, listing, content, touched, command, command_failed
    ) VALUES (
        :key, :route, :folder, 1, :open, :stage, :gone, :stamp, :submission, :due,
        :record, :notable, :listing, :content, :touched, :command, :command_failed
    )"""
_UPDATE_CASE: Final = """UPDATE cases SET
        route = :route, folder = :folder, open = :open, stage = :stage, gone = :gone,
        stamp = :stamp, submission = :submission, due = :due, record = :record,
        notable = :notable, listing = :listing, content = :content, touched = :touched,
        command = :command, command_failed = :command_failed
    WHERE key = :key"""
"""Given `case_row`."""

_ADD_TOTAL: Final = """INSERT INTO totals (route, what, reason, number, at)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET number = number + excluded.number, at = max(at, excluded.at)"""

_MAX_PACKED_BYTES: Final = 1 << 20
_FIND_UNPACKED: Final = """SELECT key, record FROM cases
    WHERE open = 0 AND packed IS NULL AND due IS NULL AND touched < ? AND length(record) < ?
    ORDER BY touched LIMIT ?"""

_RECORD_NAMES: Final = """INSERT INTO events (key, at, kind, record)
    SELECT cases.key, :now, :kind, json_object('route', names.value)
    FROM cases JOIN json_each(:names) AS names ON names.key = cases.route"""
_RENAME_ROUTES: Final = """UPDATE cases
    SET route = names.value,
        record = CASE WHEN packed IS NULL THEN json_set(record, '$.route', names.value) ELSE '' END
    FROM json_each(:names) AS names WHERE names.key = cases.route"""
"""Given new names by old, as JSON. Each name is changed once, for names may swap."""


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
                self.upgraded_from = self._open()
                self._identity = _identity_of(self.path)
        except OSError as error:
            raise no_access_error(state, error) from error
        self.version = len(VERSIONS)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

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
            is_latest = "SELECT 1 FROM cases WHERE key = ? AND newest = 1 AND open = 0"
            if connection.execute(is_latest, [key]).fetchone() is None:
                return None
            found = FolderFound(before.route, before.folder, even_if_same)
            return self._insert_case(connection, found)

    def _insert_case(self, connection: sqlite3.Connection, event: FolderFound) -> Case:
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        now = self._clock()
        case = folding.new_case(f"{event.route}-{suffix}", event, now)
        # Before the insert: it takes the mark of the newest from all cases of the folder.
        _make_way(connection, case)
        connection.execute(_INSERT_CASE, self._row(case))
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

    def _write(self, connection: sqlite3.Connection, before: Case, event: Event) -> Case:
        """Write an event and what it makes of its case; nothing if it changes nothing."""
        now = self._clock()
        after = folding.apply_event(before, event, now)
        if after != before:
            if after.folder != before.folder:
                _make_way(connection, after)
                connection.execute("UPDATE cases SET newest = 1 WHERE key = ?", [after.key])
            self._unpack(connection, after.key)
            connection.execute(_UPDATE_CASE, self._row(after))
            self._append(connection, after.key, event, now)
            if amount := amount_of(before, event):
                connection.execute(_ADD_TOTAL, (after.route, *amount, now))
        return after

    def pack_closed_cases(self, before: float, limit: int) -> int:
        """Pack at most *limit* cases that closed *before* a time; return how many there were.

        What is recorded of one of them later unpacks it. A case with anything left to do, or with
        more than `_MAX_PACKED_BYTES` of records, stays as it is.
        """
        with self._transaction() as connection:
            values = (before, _MAX_PACKED_BYTES, limit)
            found = connection.execute(_FIND_UNPACKED, values).fetchall()
            for key, record in found:
                packed = pack(record, self._events(connection, key))
                changed = "UPDATE cases SET packed = ?, record = '' WHERE key = ?"
                connection.execute(changed, (packed, key))
                connection.execute("DELETE FROM events WHERE key = ?", [key])
        return len(found)

    def _unpack(self, connection: sqlite3.Connection, key: str) -> None:
        """Give the events of a packed case their rows again, with the numbers that they had."""
        if events := self._packed_events(connection, key):
            insert = "INSERT INTO events (key, id, at, kind, record) VALUES (?, ?, ?, ?, ?)"
            connection.executemany(insert, ((key, *each) for each in events))
            connection.execute("UPDATE cases SET packed = NULL WHERE key = ?", [key])

    def drop(self, keys: Sequence[str], before: float) -> int:
        """Forget the events of some cases that are still prunable; return how many there were."""
        query = f"SELECT key, submission FROM cases WHERE key = ? AND {PRUNABLE}"  # noqa: S608 -- ours
        with self._transaction() as connection:
            found = [
                row for key in keys for row in connection.execute(query, (key, before)).fetchall()
            ]
            dropped = [(key,) for key, _ in found]
            connection.executemany("INSERT INTO pruned VALUES (?, ?)", found)
            connection.executemany("DELETE FROM events WHERE key = ?", dropped)
            connection.executemany("DELETE FROM cases WHERE key = ?", dropped)
        return len(found)

    def shrink(self) -> None:
        """Give the room of what was dropped back to the disk; takes seconds for each GB.

        Raises:
            JournalUnavailable: when another process uses the journal, or the disk has no room for a
                copy of it.
        """
        try:
            with self._lock:
                self._connection.execute("VACUUM")
        except sqlite3.DatabaseError as error:
            raise database_error(self.path, error) from error

    def _row(self, case: Case) -> dict[str, Any]:
        # By the name that the route has now: it may have been renamed while a step ran.
        return case_row(case, self._pace_of(case.route))

    def make_future_cases_due(self) -> None:
        """Make cases due now that wait for a time before the clock was set back.

        Those are open cases whose last event is later than now, and closed cases with something to
        tell: their step counts real seconds itself.
        """
        later = "UPDATE cases SET due = :now WHERE due IS NOT NULL AND (open = 0 OR touched > :now)"
        with self._transaction() as connection:
            connection.execute(later, {"now": self._clock()})

    def _append(self, connection: sqlite3.Connection, key: str, event: Event, now: float) -> None:
        record = encode(event_adapter(event.kind), event)
        insert = "INSERT INTO events (key, at, kind, record) VALUES (?, ?, ?, ?)"
        connection.execute(insert, (key, now, event.kind, record))

    def rename_routes(self, wanted: RouteIdentities) -> dict[str, str]:
        """Given the config's routes, let each find its cases; return new names by old.

        All of it happens at once, and where each route is now is remembered for the next time.
        """
        with self._transaction() as connection:
            rows = connection.execute("SELECT name, inbox, target FROM routes")
            known = {
                name: RouteIdentity(Path(os.fsdecode(inbox)), target)
                for name, inbox, target in rows
            }
            renamed = route_identity.renamed_routes(known, wanted)
            self._rename(connection, renamed)
            after = {renamed.get(name, name): place for name, place in known.items()} | dict(wanted)
            if after != known:
                places = ((name, os.fsencode(at.inbox), at.target) for name, at in after.items())
                connection.execute("DELETE FROM routes")
                connection.executemany("INSERT INTO routes VALUES (?, ?, ?)", places)
        return renamed

    def _rename(self, connection: sqlite3.Connection, renamed: Mapping[str, str]) -> None:
        """Give all cases of some routes their new names: by one statement, for names may swap."""
        if not renamed:
            return
        values = {"now": self._clock(), "kind": RouteRenamed.kind, "names": json.dumps(renamed)}
        connection.execute(_RECORD_NAMES, values)
        connection.execute(_RENAME_ROUTES, values)
        totals = connection.execute("SELECT route, what, reason, number, at FROM totals").fetchall()
        connection.execute("DELETE FROM totals")
        for route, *total in totals:
            connection.execute(_ADD_TOTAL, (renamed.get(route, route), *total))

    def reschedule(self) -> None:
        """Compute the due time of every case that has one again: routes may have another pace."""
        with self._transaction() as connection:
            query = f"SELECT {CASE_COLUMNS} FROM cases WHERE due IS NOT NULL"  # noqa: S608 -- ours
            for row in connection.execute(query).fetchall():
                connection.execute(_UPDATE_CASE, self._row(decode_case(*row)))

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

    def _open(self) -> int | None:
        """Open the file; return the version it had, if it was an older journal."""
        try:
            self._connection = open_database(self.path)
            try:
                return self._upgrade()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.DatabaseError as error:
            raise database_error(self.path, error) from error

    def _upgrade(self) -> int | None:
        """Bring the file to this program's version; a copy of an older one is kept beside it."""
        with transaction(self._connection) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if error := version_error(self.path, version):
                raise error
            if 0 < version < len(VERSIONS):
                self._copy(version)
            migrate(connection, version)
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


def _make_way(connection: sqlite3.Connection, case: Case) -> None:
    """Given a case that gets its folder's name, let no other case be the newest of that name."""
    same = (case.route, os.fsencode(case.folder))
    connection.execute("UPDATE cases SET newest = 0 WHERE route = ? AND folder = ?", same)
    # A change in the folder of an older case now belongs to this case: no note reports it.
    connection.execute(
        """UPDATE cases SET due = NULL
        WHERE route = ? AND folder = ? AND open = 0 AND command = 0""",
        same,
    )
