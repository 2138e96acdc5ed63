"""What is known, on disk: cases and the events that made them, committed together.

A case is read, changed and written inside one transaction, and such transactions run one after
another. So any thread, an operator's command beside the daemon, and other hosts may record; the row
in `cases` is the fold of the rows in `events`.
"""

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.core import folding
from gcwatch.core.case import Case
from gcwatch.core.errors import LeaseLost
from gcwatch.core.events import (
    Event,
    FolderFound,
    RouteRenamed,
)
from gcwatch.core.timing import Pace
from gcwatch.journal import route_identity
from gcwatch.journal.databases.database import Connection, listed
from gcwatch.journal.databases.opening import open_database
from gcwatch.journal.hosts.leases import Lease
from gcwatch.journal.hosts.ownership import Owner
from gcwatch.journal.packing import pack
from gcwatch.journal.reader import CASE_COLUMNS, PRUNABLE, JournalReader
from gcwatch.journal.route_identity import RouteIdentities
from gcwatch.journal.rows import (
    CASE_TABLE,
    case_row,
    decode_case,
    encode,
    event_adapter,
)
from gcwatch.journal.totals import amount_of

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"

_INSERT_CASE: Final = """INSERT INTO cases (
        key, route, folder, newest, open, stage, gone, stamp, submission, due,
        record, notable, listing, bytes, content, touched, command, command_failed
    ) VALUES (
        :key, :route, :folder, 1, :open, :stage, :gone, :stamp, :submission, :due,
        :record, :notable, :listing, :bytes, :content, :touched, :command, :command_failed
    )"""
_UPDATE_CASE: Final = """UPDATE cases SET
        route = :route, folder = :folder, open = :open, stage = :stage, gone = :gone,
        stamp = :stamp, submission = :submission, due = :due, record = :record,
        notable = :notable, listing = :listing, bytes = :bytes, content = :content,
        touched = :touched, command = :command, command_failed = :command_failed
    WHERE key = :key"""
"""Given `case_row`."""

_ADD_TOTAL: Final = """INSERT INTO totals (route, what, reason, number, at)
    VALUES (:route, :what, :reason, :number, :at) ON CONFLICT (route, what, reason) DO UPDATE
    SET number = totals.number + excluded.number,
        at = CASE WHEN excluded.at > totals.at THEN excluded.at ELSE totals.at END"""

_MAX_PACKED_BYTES: Final = 1 << 20
_FIND_UNPACKED: Final = f"""SELECT {", ".join(CASE_TABLE)} FROM cases
    WHERE open = 0 AND packed IS NULL AND due IS NULL AND touched < :before
    AND length(record) < :bytes ORDER BY touched LIMIT :limit"""  # noqa: S608 -- columns of ours
_INSERT_ROW: Final = f"""INSERT INTO cases ({", ".join(CASE_TABLE)})
    VALUES ({", ".join(f":{column}" for column in CASE_TABLE)})"""  # noqa: S608 -- columns of ours


class Journal(JournalReader):
    """The journal of one state directory, or one that several hosts share.

    Args:
        place: The state directory, which is made if it is missing; or the address of a database.
        clock: Returns the time, in seconds since the epoch.
        host: This host, if the journal is one that several share.
        lease: How many seconds a host keeps its work without a sign of life.
        pace_of: Returns the pace of a route, by its name: it decides when a case is due.

    Raises:
        StateError: when it lies on a network file system, is newer than this program, or is
            damaged (JournalDamaged).
        JournalUnavailable: when its disk is full or read-only, or its database does not answer.
    """

    def __init__(
        self,
        place: Path | JournalAddress,
        clock: Callable[[], float] = time.time,
        pace_of: Callable[[str], Pace] = lambda _: Pace(),
        host: Owner | None = None,
        lease: float = Pace().lease,
    ) -> None:
        database, leases, self.hosts, self.limits = open_database(place, clock, host, lease)
        super().__init__(database, leases)
        self._pace_of = pace_of
        self.upgraded_from, self.version = database.upgraded_from, database.version

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def is_in_place(self) -> bool:
        """Whether this is still the journal that was opened, and not another one in its place.

        Raises:
            JournalUnavailable: when it does not answer.
            StateError: when it may not be read any more.
        """
        return self._database.is_in_place()

    # --- writing ---------------------------------------------------------------------------------

    def open_case(
        self,
        route: str,
        folder: str,
        *,
        even_if_same: bool = False,
        lease: Lease | None = None,
    ) -> Case:
        """Given a new folder, make a case with a new random key; return it.

        With *even_if_same* it is sent although another folder has the same content. With the
        *lease* of its inbox, raise LeaseLost if another host surveys that by now, or has given the
        route another name: all folders would seem to be new.
        """
        with self._database.writing() as connection:
            if lease is not None:
                self.leases.require(connection, lease)
                if self.leases.is_shared and not self._has_route(connection, route):
                    raise LeaseLost(route)
            found = FolderFound(route, folder, even_if_same)
            return self._insert_case(connection, found)

    def open_next_case(self, key: str, *, even_if_same: bool = False) -> Case | None:
        """Given a closed case, make another one for its folder as `open_case` does; return it.

        Return None if the folder has a later case already: threads may look at one change at once.
        """
        with self._database.writing() as connection:
            before = self._read(connection, key)
            is_latest = "SELECT 1 FROM cases WHERE key = :key AND newest = 1 AND open = 0"
            if connection.execute(is_latest, {"key": key}).fetchone() is None:
                return None
            found = FolderFound(before.route, before.folder, even_if_same)
            return self._insert_case(connection, found)

    def _insert_case(self, connection: Connection, event: FolderFound) -> Case:
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        now = self._database.now(connection)
        case = folding.new_case(f"{event.route}-{suffix}", event, now)
        # Before the insert: it takes the mark of the newest from all cases of the folder.
        _make_way(connection, case)
        connection.execute(_INSERT_CASE, self._row(case))
        self._append(connection, case.key, event, now)
        self._database.tell_news(connection)
        return case

    def record(
        self, key: str, event: Event, *, of_round: int | None = None, lease: Lease | None = None
    ) -> Case:
        """Given a case's key and an event, write the event and the case.

        An event that belongs to an earlier round than the case's is dropped.

        Returns:
            The case as it is now; unchanged if it was closed meanwhile.

        Raises:
            LeaseLost: when another host has taken over the work for which there is a *lease*.
        """
        with self._database.writing() as connection:
            if lease is not None:
                self.leases.require(connection, lease)
            before = self._read(connection, key)
            # A step that began before `gcwatch retry` must not change the new round.
            if of_round not in {None, before.round}:
                return before
            if lease is None:  # nobody's work: somebody may have some by it
                self._database.tell_news(connection)
            return self._write(connection, before, event)

    def record_unless_changed(self, case: Case, event: Event) -> Case | None:
        """Given a case that was read before, write an event if the case is still as it was then.

        Two threads may look at one folder; what they see there is recorded once.

        Returns:
            The case as it is now, or None if something else was recorded meanwhile.
        """
        with self._database.writing() as connection:
            if self._read(connection, case.key) != case:
                return None
            return self._write(connection, case, event)

    def _write(self, connection: Connection, before: Case, event: Event) -> Case:
        """Write an event and what it makes of its case; nothing if it changes nothing."""
        now = self._database.now(connection)
        after = folding.apply_event(before, event, now)
        if after != before:
            if after.folder != before.folder:
                _make_way(connection, after)
                newest = "UPDATE cases SET newest = 1 WHERE key = :key"
                connection.execute(newest, {"key": after.key})
            self._unpack(connection, after.key)
            connection.execute(_UPDATE_CASE, self._row(after))
            self._append(connection, after.key, event, now)
            if amount := amount_of(before, event):
                total = {"route": after.route, **amount._asdict(), "at": now}
                connection.execute(_ADD_TOTAL, total)
        return after

    def pack_closed_cases(self, before: float, limit: int) -> int:
        """Pack at most *limit* cases that closed *before* a time; return how many there were.

        What is recorded of one of them later unpacks it. A case with anything left to do, or with
        more than `_MAX_PACKED_BYTES` of records, stays as it is.
        """
        with self._database.writing() as connection:
            values = {"before": before, "bytes": _MAX_PACKED_BYTES, "limit": limit}
            found = connection.execute(_FIND_UNPACKED, values).fetchall()
            for columns in found:
                row = dict(zip(CASE_TABLE, columns, strict=True))
                key = {"key": row["key"]}
                packed = pack(row["record"], self._events(connection, row["key"]))
                connection.execute("DELETE FROM events WHERE key = :key", key)
                # Not an update: SQLite would leave the room of the record in the row's page, where
                # no other row comes.
                connection.execute("DELETE FROM cases WHERE key = :key", key)
                connection.execute(_INSERT_ROW, {**row, "packed": packed, "record": ""})
        return len(found)

    def _unpack(self, connection: Connection, key: str) -> None:
        """Give the events of a packed case their rows again, with the numbers that they had."""
        if events := self._packed_events(connection, key):
            insert = """INSERT INTO events (key, id, at, kind, record)
                VALUES (:key, :number, :at, :kind, :record)"""
            rows = [
                {"key": key, **each._asdict(), "record": json.dumps(each.record)} for each in events
            ]
            connection.executemany(insert, rows)
            unpacked = "UPDATE cases SET packed = NULL WHERE key = :key"
            connection.execute(unpacked, {"key": key})

    def drop(self, keys: Sequence[str], before: float) -> int:
        """Forget the events of some cases that are still prunable; return how many there were."""
        names, values = listed("key", keys)
        query = f"SELECT key, submission FROM cases WHERE key IN {names} AND {PRUNABLE}"  # noqa: S608 -- ours
        with self._database.writing() as connection:
            rows = connection.execute(query, {**values, "before": before}).fetchall()
            found = [{"key": key, "submission": submission} for key, submission in rows]
            for statement in (
                "INSERT INTO pruned (key, submission) VALUES (:key, :submission)",
                "DELETE FROM events WHERE key = :key",
                "DELETE FROM cases WHERE key = :key",
            ):
                connection.executemany(statement, found)
        return len(found)

    def size(self) -> int:
        """Return how many bytes the journal takes on the disk."""
        return self._database.size()

    def shrink(self) -> None:
        """Give the room of what was dropped back to the disk; takes seconds for each GB.

        Raises:
            JournalUnavailable: when another process uses the journal, or the disk has no room for a
                copy of it.
        """
        self._database.shrink()

    def _row(self, case: Case) -> dict[str, Any]:
        # By the name that the route has now: it may have been renamed while a step ran.
        return case_row(case, self._pace_of(case.route))

    def make_future_cases_due(self) -> None:
        """Make cases due now that wait for a time before the clock was set back.

        Those are open cases whose last event is later than now, and closed cases with something to
        tell: their step counts real seconds itself.
        """
        later = "UPDATE cases SET due = :now WHERE due IS NOT NULL AND (open = 0 OR touched > :now)"
        with self._database.writing() as connection:
            connection.execute(later, {"now": self._database.now(connection)})

    def _append(self, connection: Connection, key: str, event: Event, now: float) -> None:
        record = encode(event_adapter(event.kind), event)
        insert = "INSERT INTO events (key, at, kind, record) VALUES (:key, :at, :kind, :record)"
        connection.execute(insert, {"key": key, "at": now, "kind": event.kind, "record": record})

    def has_route(self, route: str) -> bool:
        """Whether a route still has this name: another host's config may give it another one."""
        with self._database.reading() as connection:
            return self._has_route(connection, route)

    @staticmethod
    def _has_route(connection: Connection, route: str) -> bool:
        query = "SELECT 1 FROM routes WHERE name = :route"
        return connection.execute(query, {"route": route}).fetchone() is not None

    def rename_routes(self, wanted: RouteIdentities) -> dict[str, str]:
        """Given the config's routes, let each find its cases; return new names by old.

        All of it happens at once, and where each route is now is remembered for the next time.
        """
        with self._database.writing() as connection:
            known = self._read_routes(connection)
            renamed = route_identity.renamed_routes(known, wanted)
            self._rename(connection, renamed)
            after = {renamed.get(name, name): place for name, place in known.items()} | dict(wanted)
            if after != known:
                places = [
                    {"name": name, "inbox": os.fsencode(at.inbox), "target": at.target}
                    for name, at in after.items()
                ]
                connection.execute("DELETE FROM routes", {})
                insert = "INSERT INTO routes (name, inbox, target) VALUES (:name, :inbox, :target)"
                connection.executemany(insert, places)
        return renamed

    def _rename(self, connection: Connection, renamed: Mapping[str, str]) -> None:
        """Give all cases of some routes their new names: by one statement, for names may swap."""
        if not renamed:
            return
        now = self._database.now(connection)
        for old, new in renamed.items():
            record = encode(event_adapter(RouteRenamed.kind), RouteRenamed(new))
            tell = """INSERT INTO events (key, at, kind, record)
                SELECT key, :now, :kind, :record FROM cases WHERE route = :old"""
            told = {"now": now, "kind": RouteRenamed.kind, "record": record, "old": old}
            connection.execute(tell, told)
        names, values = listed("old", renamed)
        whens = " ".join(f"WHEN :{name} THEN :to_{name}" for name in values)
        rename = f"UPDATE cases SET route = CASE route {whens} END WHERE route IN {names}"  # noqa: S608 -- ours
        after = {f"to_{name}": renamed[old] for name, old in values.items()}
        connection.execute(rename, {**values, **after})
        self._rename_totals(connection, renamed)

    def _rename_totals(self, connection: Connection, renamed: Mapping[str, str]) -> None:
        columns = ("route", "what", "reason", "number", "at")
        totals = connection.execute(
            f"SELECT {', '.join(columns)} FROM totals",  # noqa: S608 -- ours
            {},
        ).fetchall()
        connection.execute("DELETE FROM totals", {})
        for each in totals:
            total = dict(zip(columns, each, strict=True))
            total["route"] = renamed.get(total["route"], total["route"])
            connection.execute(_ADD_TOTAL, total)

    def reschedule(self) -> None:
        """Compute the due time of every case that has one again: routes may have another pace."""
        with self._database.writing() as connection:
            query = f"SELECT {CASE_COLUMNS} FROM cases WHERE due IS NOT NULL"  # noqa: S608 -- ours
            for row in connection.execute(query, {}).fetchall():
                connection.execute(_UPDATE_CASE, self._row(decode_case(*row)))


def _make_way(connection: Connection, case: Case) -> None:
    """Given a case that gets its folder's name, let no other case be the newest of that name."""
    same = {"route": case.route, "folder": os.fsencode(case.folder)}
    connection.execute(
        "UPDATE cases SET newest = 0 WHERE route = :route AND folder = :folder", same
    )
    # A change in the folder of an older case now belongs to this case: no note reports it.
    connection.execute(
        """UPDATE cases SET due = NULL
        WHERE route = :route AND folder = :folder AND open = 0 AND command = 0""",
        same,
    )
