"""A journal in a database of PostgreSQL (14 to 18), which several hosts share.

All that write take one lock of the database, as SQLite does it with its file: so the numbers of
events are the order of commits, and what one reads before it writes stays true. No session may hold
the lock for long: the server ends one that does nothing, be its host frozen or out of reach.
"""

import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import psycopg
import psycopg.errors
import sqlalchemy
import sqlalchemy.exc

from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.core.errors import DatabaseAway, JournalDamaged, JournalNewer, StateError
from gcwatch.journal.databases.database import Connection, Rows, Values
from gcwatch.journal.databases.postgres_connection import BoundedConnection
from gcwatch.journal.databases.postgres_upgrades import TABLES, VERSIONS

OLDEST_SERVER: Final = 14
NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
"""The database's time, in seconds since the epoch."""
NEWS: Final = "gcwatch"
"""The channel on which hosts tell each other to look for work."""

_LOCK: Final = 0x67637774  # "gcwt"
_TRUSTED_SECONDS: Final = 1.0
_POOL_CONNECTIONS: Final = 5
_MORE_CONNECTIONS: Final = 10
_POOL_SECONDS: Final = 20.0
_SESSION: Final = {
    # A commit that returned survives a power cut, whatever the server does for others.
    "synchronous_commit": "on",
    "lock_timeout": "20s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "10s",
}
_KEEPALIVE: Final = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A server that is out of reach is noticed in some 20 seconds."""

_DAMAGED: Final = (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)
_FOR_A_PERSON: Final = (
    psycopg.errors.InvalidPassword,
    psycopg.errors.InvalidAuthorizationSpecification,
    psycopg.errors.InvalidCatalogName,
    psycopg.errors.InsufficientPrivilege,
)


class PostgresConnection:
    """A transaction that is under way; `at` is the database's time when it began to write."""

    def __init__(self, connection: sqlalchemy.Connection, at: float = 0.0) -> None:
        self._connection = connection
        self.at = at

    def execute(self, statement: str, values: Values | None = None, /) -> Rows:
        """Run a statement."""
        return self._connection.execute(_text(statement), dict(values or {}))

    def executemany(self, statement: str, values: Iterable[Values], /) -> None:
        """Run a statement once for each of some values."""
        if rows := [dict(each) for each in values]:
            self._connection.execute(_text(statement), rows)


class PostgresDatabase:
    """The journal at an address; its tables are made if they are missing.

    Args:
        address: Where it is.
        clock: Returns this host's time, in seconds since the epoch.

    Raises:
        StateError: when it is newer than this program, or may not be used by it.
        JournalUnavailable: when the database does not answer.
    """

    version: int = len(VERSIONS)
    upgraded_from: int | None = None

    def __init__(self, address: JournalAddress, clock: Callable[[], float]) -> None:
        self.place = address.place
        self._address = address
        self.own_clock, self._ahead = clock, 0.0
        self._local = threading.local()
        self._writer = threading.Lock()
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=lambda: BoundedConnection.connect(**connection_arguments(address)),
            pool_size=_POOL_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            pool_timeout=_POOL_SECONDS,
            # The server may have been started again meanwhile.
            pool_pre_ping=True,
        )
        self._snapshots = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        with self.translated():
            try:
                self.upgraded_from = self._upgrade()
                self._identity = self.meta("identity")
            except BaseException:
                self.close()
                raise

    def connect(self) -> psycopg.Connection:
        """Return a new connection, whose statements are committed one by one."""
        return BoundedConnection.connect(**connection_arguments(self._address), autocommit=True)

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Let the body ask: all that it reads is of one moment; raise as `writing` does."""
        held: PostgresConnection | None = getattr(self._local, "snapshot", None)
        if held is not None:
            yield held
            return
        with self.translated(), self._snapshots.begin() as connection:
            yield PostgresConnection(connection)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Let all that this thread reads in the body be of one moment."""
        with self.reading() as connection:
            self._local.snapshot = connection
            try:
                yield
            finally:
                self._local.snapshot = None

    @contextmanager
    def writing(self) -> Iterator[PostgresConnection]:
        """Commit what the body does, or nothing of it if it raises.

        Raises:
            JournalUnavailable: when the database can't be used at the moment, also because a newer
                gcwatch has upgraded it; whether a commit was made may be unknown then.
            JournalDamaged: when it can't be read any more.
        """
        with self._alone_here(), self.beside() as connection:
            _lock(connection)
            query = f"SELECT value, {NOW} FROM meta WHERE name = 'version'"  # noqa: S608 -- ours
            begun = self.own_clock()
            version, connection.at = connection.execute(query).fetchone()
            self.note_time(connection.at, begun, self.own_clock())
            if int(version) != self.version:
                raise self._newer(version)
            yield connection

    @contextmanager
    def _alone_here(self) -> Iterator[None]:
        """Let one thread of this host at a time wait for the database's lock.

        If the host is cut off, the server serves what waits there one after another, and each may
        hold the lock until the server ends it: one is enough.
        """
        if not self._writer.acquire(timeout=_POOL_SECONDS):
            raise DatabaseAway(f"{self.place}: another record has not ended")
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def beside(self) -> Iterator[PostgresConnection]:
        """Commit what the body does beside other transactions; raise as `writing` does."""
        with self.translated(), self._engine.begin() as connection:
            yield PostgresConnection(connection)

    def now(self, connection: Connection) -> float:
        """Return the database's time at which something is recorded: hosts' clocks may differ."""
        assert isinstance(connection, PostgresConnection), "only what writes asks for it"
        return connection.at

    def clock(self) -> float:
        """Return this host's time, corrected as the last record showed that it has to be."""
        return self.own_clock() + self._ahead

    def note_time(self, at: float, before: float, after: float) -> None:
        """Note the database's time, which it had between two times of this host."""
        # A host that was frozen meanwhile knows nothing of that moment.
        if abs(after - before) < _TRUSTED_SECONDS:
            self._ahead = at - (before + after) / 2

    def tell_news(self, connection: Connection) -> None:
        """Let the other hosts look for work once this transaction is committed."""
        connection.execute(f"NOTIFY {NEWS}")

    def latest_event(self, connection: Connection) -> int:
        """Return the highest number that an event ever had."""
        query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq"
        return int(connection.execute(query, {}).fetchone()[0])

    def set_latest_event(self, connection: Connection, number: int) -> None:
        """After rows were copied here: let new ones have higher numbers than all before."""
        events = "SELECT setval('events_id_seq', greatest(:number, 1), :number > 0)"
        cases = "SELECT setval('cases_rowid_seq', max(rowid)) FROM cases HAVING max(rowid) > 0"
        connection.execute(events, {"number": number})
        connection.execute(cases)

    def meta(self, name: str) -> str:
        """Return what there is once by this name."""
        query = "SELECT value FROM meta WHERE name = :name"
        with self.reading() as connection:
            return str(connection.execute(query, {"name": name}).fetchone()[0])

    def shared_key(self) -> bytes | None:
        """Return the secret key, which is in the journal: a case may move to another host."""
        return bytes.fromhex(self.meta("key"))

    def set_meta(self, connection: Connection, values: Mapping[str, str]) -> None:
        """Replace what there is once, by name."""
        change = """INSERT INTO meta VALUES (:name, :value)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
        rows = [{"name": name, "value": value} for name, value in values.items()]
        connection.executemany(change, rows)

    def hosts_at_work(self) -> list[str]:
        """Return the names of the hosts that told something in the last minute."""
        query = f"SELECT name FROM hosts WHERE seen > {NOW} - 60 ORDER BY name"  # noqa: S608 -- ours
        with self.reading() as connection:
            return [name for (name,) in connection.execute(query, {})]

    def is_in_place(self) -> bool:
        """Whether this is the journal that was opened, and not another one at its address."""
        query = "SELECT name, value FROM meta WHERE name IN ('identity', 'version')"
        with self.reading() as connection:
            found = dict(connection.execute(query).fetchall())
        if int(found["version"]) != self.version:
            raise self._newer(found["version"])
        return bool(found["identity"] == self._identity)

    def _newer(self, version: str) -> JournalNewer:
        return JournalNewer(f"{self.place} was upgraded by a newer gcwatch (version {version})")

    def size(self) -> int:
        """Return how many bytes the tables of the journal take."""
        query = """SELECT sum(pg_total_relation_size(to_regclass(name)))
            FROM unnest(CAST(:tables AS text[])) AS name"""
        with self.reading() as connection:
            return int(connection.execute(query, {"tables": [*TABLES]}).fetchone()[0])

    def shrink(self) -> None:
        """Do nothing: the database's own upkeep (autovacuum) gives the room to new rows."""

    def _upgrade(self) -> int | None:
        """Make the tables, or bring them to this program's version; return an older version."""
        with self._engine.begin() as connection:
            _require_server(connection, self.place)
            _lock(PostgresConnection(connection))
            version = version_of(connection)
            if version and (moved := _moved_to(connection)):
                raise StateError(
                    f"The journal of {self.place} was moved to {moved}.",
                    "Take journal = … out of the config there, or name another database.",
                )
            if version > len(VERSIONS):
                raise StateError(
                    f"{self.place} was written by a newer gcwatch (version {version}).",
                    "Install that gcwatch on this host, too.",
                )
            for statements in VERSIONS[version:]:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            if version < len(VERSIONS):
                _write_version(connection)
        return version if 0 < version < len(VERSIONS) else None

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Let errors of the libraries be gcwatch's own; those that are a fault of it stay."""
        try:
            yield
        except sqlalchemy.exc.TimeoutError as error:
            raise DatabaseAway(f"{self.place}: no connection is free") from error
        except sqlalchemy.exc.DBAPIError as error:
            raise self._error_of(error.orig) from error
        except psycopg.Error as error:
            raise self._error_of(error) from error

    def _error_of(self, error: BaseException | None) -> BaseException:
        told = words_of(error)
        if isinstance(error, _DAMAGED):
            return JournalDamaged(self.place, told)
        if isinstance(error, _FOR_A_PERSON) or "password authentication failed" in told:
            return StateError(f"{self.place} can't be used: {told}.", "Run gcwatch check.")
        if isinstance(
            error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError
        ):
            return DatabaseAway(f"{self.place}: {told}")
        assert error is not None, "the library names what it met"
        return error


def connection_arguments(address: JournalAddress) -> dict[str, Any]:
    """Given an address, return how psycopg connects to it, with a cap on every wait."""
    return {
        "application_name": "gcwatch",
        "prepare_threshold": None,
        **_KEEPALIVE,
        **address.connect_arguments(_SESSION),
    }


def words_of(error: BaseException | None) -> str:
    """Return what libpq says, on one line, without its advice to do without certificates."""
    return re.sub(r" Either provide the file.*?verification\.", "", " ".join(str(error).split()))


@lru_cache(maxsize=512)
def _text(statement: str) -> sqlalchemy.TextClause:
    return sqlalchemy.text(statement)


def _lock(connection: PostgresConnection) -> None:
    """Wait until no other transaction writes to this journal; the end of this one lets others."""
    query = "SELECT pg_advisory_xact_lock(:lock, hashtext(current_schema()))"
    connection.execute(query, {"lock": _LOCK})


def _require_server(connection: sqlalchemy.Connection, place: str) -> None:
    found = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
    version = int(found) // 10_000
    if version < OLDEST_SERVER:
        raise StateError(
            f"{place} is PostgreSQL {version}; gcwatch needs {OLDEST_SERVER} or newer.",
            "Use a newer server.",
        )


def version_of(connection: sqlalchemy.Connection) -> int:
    """Return the version of the journal's tables; 0 if there are none."""
    if connection.exec_driver_sql("SELECT to_regclass('meta')").scalar_one() is None:
        return 0
    query = "SELECT value FROM meta WHERE name = 'version'"
    return int(connection.exec_driver_sql(query).scalar_one())


def _moved_to(connection: sqlalchemy.Connection) -> str | None:
    query = "SELECT value FROM meta WHERE name = 'moved'"
    return connection.exec_driver_sql(query).scalar_one_or_none()


def _write_version(connection: sqlalchemy.Connection) -> None:
    """Write the version, and what a new journal gets once: an identity and a secret key."""
    once = "INSERT INTO meta VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"
    for name in ("identity", "key"):
        connection.execute(_text(once), {"name": name, "value": secrets.token_hex(32)})
    write = f"""INSERT INTO meta VALUES ('version', '{len(VERSIONS)}')
        ON CONFLICT (name) DO UPDATE SET value = excluded.value"""  # noqa: S608 -- ours
    connection.exec_driver_sql(write)
