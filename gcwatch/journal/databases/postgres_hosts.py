"""The hosts that share a journal: each has a row of a table, and tells there what it does."""

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from pydantic import ValidationError

from gcwatch.core.errors import StateError
from gcwatch.core.reasons import CATALOGUE, Reason
from gcwatch.journal.databases.database import Connection
from gcwatch.journal.databases.postgres import NEWS, NOW, PostgresDatabase
from gcwatch.journal.hosts.hosts import Host
from gcwatch.journal.hosts.ownership import Owner
from gcwatch.journal.hosts.progress import NOTHING, DaemonProgress
from gcwatch.version import VERSION

_LOOK_SECONDS: Final = 0.5
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_TELL: Final = f"""INSERT INTO hosts (identity, name, machine, version, started, seen, told)
    VALUES (:identity, :name, :machine, :version, {NOW}, {NOW}, :told)
    ON CONFLICT (identity) DO UPDATE SET name = excluded.name, machine = excluded.machine,
        version = excluded.version, seen = excluded.seen, told = excluded.told,
        started = CASE WHEN :is_start = 1 THEN excluded.started ELSE hosts.started END
    RETURNING seen"""  # noqa: S608 -- ours


class HostTable:
    """The table of hosts of a journal on PostgreSQL.

    All methods raise JournalUnavailable when the database can't be used at the moment.

    Args:
        database: Where the journal is.
        host: This host: the identity of its state directory, its name, and where that is.
        seconds: For how long a host may be silent before it counts as gone.
    """

    def __init__(self, database: PostgresDatabase, host: Owner, seconds: float) -> None:
        self._database, self._seconds = database, seconds
        self._identity, self._name = host.identity, host.host
        self._machine = f"{socket.gethostname()} {_boot_id()} {host.state}"
        self._heard: psycopg.Connection | None = None

    def join(self) -> None:
        """Tell that this host begins to work.

        If a host with its identity was at work a moment ago, wait: this one may have been rebooted.

        Raises:
            StateError: when another computer with a copy of this state directory is at work.
        """
        first = self._last_sign()
        while (sign := self._last_sign()) is not None:
            if sign != first:
                raise StateError(
                    f"Another host works with the identity of this one, {self._name}: its state "
                    "directory is a copy.",
                    "Give this host a new, empty state directory.",
                )
            time.sleep(_LOOK_SECONDS)
        with self._database.writing() as connection:
            self._write(connection, NOTHING, "", is_start=True)

    def _last_sign(self) -> float | None:
        """Return when another computer gave a sign with this identity, if that counts as alive."""
        query = f"""SELECT seen FROM hosts WHERE identity = :identity
            AND machine <> :machine AND seen + :seconds > {NOW}"""  # noqa: S608 -- ours
        values = {"identity": self._identity, "machine": self._machine, "seconds": self._seconds}
        with self._database.reading() as connection:
            found = connection.execute(query, values).fetchone()
        return found[0] if found else None

    def wait_for_news(self, seconds: float) -> bool:
        """Wait until some host has found, retried or withdrawn a case; return whether one has."""
        with self._database.translated():
            if self._heard is None or self._heard.closed:
                self._heard = self._database.connect()
                self._heard.execute(f"LISTEN {NEWS}")
            try:
                return any(self._heard.notifies(timeout=seconds, stop_after=1))
            except psycopg.Error:
                self._heard.close()
                raise

    def tell(self, progress: DaemonProgress, pause: str) -> None:
        """Tell that this host lives, what it does, and the code of why all its work is paused."""
        with self._database.beside() as connection:
            before = self._database.own_clock()
            seen = self._write(connection, progress, pause, is_start=False)
            # This host's clock may have been set although nothing was recorded.
            self._database.note_time(seen, before, self._database.own_clock())

    def leave(self) -> None:
        """Tell that this host does not work any more."""
        with self._database.beside() as connection:
            connection.execute(
                "DELETE FROM hosts WHERE identity = :identity", {"identity": self._identity}
            )
        if self._heard is not None:
            self._heard.close()

    def all(self) -> Sequence[Host]:
        """Return all hosts that have begun to work and have not ended, by name."""
        query = f"""SELECT identity, name, version, started, {NOW} - seen, told
            FROM hosts ORDER BY name, identity"""  # noqa: S608 -- ours
        with self._database.reading() as connection:
            return [self._host_of(row) for row in connection.execute(query, {})]

    def others(self) -> Sequence[Host]:
        """Return the hosts beside this one that live."""
        return [each for each in self.all() if each.is_alive and each.identity != self._identity]

    def owner(self) -> Owner:
        """Return what this journal makes of all its hosts: one gcwatch, as inboxes see it."""
        return Owner(self._database.meta("identity"), "", self._database.place)

    def note(self, name: str) -> bytes:
        """Return a note; nothing if there is none."""
        query = "SELECT value FROM meta WHERE name = :name"
        with self._database.reading() as connection:
            found = connection.execute(query, {"name": f"note:{name}"}).fetchone()
        return found[0].encode() if found else b""

    def write_note(self, name: str, content: bytes) -> None:
        """Replace a note."""
        with self._database.beside() as connection:
            self._database.set_meta(connection, {f"note:{name}": content.decode()})

    def _write(
        self, connection: Connection, progress: DaemonProgress, pause: str, *, is_start: bool
    ) -> float:
        """Write the row of this host; return the database's time."""
        told = {"pause": pause, "progress": progress.model_dump(mode="json")}
        values = {
            "identity": self._identity,
            "name": self._name,
            "machine": self._machine,
            "version": VERSION,
            "told": json.dumps(told),
            "is_start": int(is_start),
        }
        return float(connection.execute(_TELL, values).fetchone()[0])

    def _host_of(self, row: Any) -> Host:
        identity, name, version, started, silent, told = row
        pause, progress = _told(told)
        return Host(
            identity,
            name,
            version,
            started,
            silent=max(silent, 0.0),
            longest=self._seconds,
            pause=pause,
            progress=progress,
        )


def _told(text: str) -> tuple[Reason | None, DaemonProgress]:
    """Return why a host pauses and what it does; nothing if a newer gcwatch tells it otherwise."""
    try:
        found = json.loads(text)
        code = str(found["pause"])
        progress = DaemonProgress.model_validate(found["progress"])
    except (ValueError, KeyError, TypeError, ValidationError):
        return None, NOTHING
    return Reason(code) if code in CATALOGUE else None, progress


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
