"""What `gcwatch check` wants to know of a server of PostgreSQL; nothing is changed there."""

import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import psycopg

from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.core.errors import JournalUnavailable
from gcwatch.journal.databases.postgres import NOW, OLDEST_SERVER, connection_arguments, words_of
from gcwatch.journal.databases.postgres_connection import BoundedConnection
from gcwatch.journal.databases.postgres_upgrades import TABLES

_CONNECT_SECONDS: Final = 5
_SECONDS: Final = 15.0
_ROUNDS: Final = 5
_NEEDED: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

_SERVER: Final = """SELECT
    current_setting('server_version'), current_setting('server_version_num')::int / 10000,
    current_setting('server_encoding'), current_database(), current_user, current_schema(),
    current_setting('transaction_read_only')::bool OR pg_is_in_recovery(),
    (SELECT bool_or(encrypted) FROM pg_stat_gssapi WHERE pid = pg_backend_pid()),
    current_setting('fsync')::bool, current_setting('full_page_writes')::bool,
    current_setting('synchronous_standby_names') <> '',
    (SELECT count(*) FROM pg_stat_replication),
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"""
_LEFT: Final = """SELECT least(
    (SELECT current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int - sum(numbackends)
        FROM pg_stat_database),
    (SELECT nullif(datconnlimit, -1) - numbackends FROM pg_database
        JOIN pg_stat_database USING (datname) WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity
        WHERE usename = current_user) FROM pg_roles WHERE rolname = current_user))"""
_TABLES: Final = """SELECT relname, pg_get_userbyid(relowner),
        pg_has_role(current_user, relowner, 'USAGE'),
        (SELECT bool_and(has_table_privilege(pg_class.oid, needed)) FROM unnest(%s::text[]) needed)
    FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(current_schema()))
        AND relkind = 'r' AND relname = ANY(%s) ORDER BY relname"""


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """A server as one who connects to it sees it.

    Attributes:
        release: What the server calls its version.
        major: The first number of that.
        schema: Where tables would be; None if there is no such schema.
        encryption: TLS or Kerberos; "" if the connection is not encrypted.
        ahead_seconds: How far its clock is ahead of this host's.
        latency_seconds: How long a statement takes that does nothing, the median of some.
        connections_left: How many more connections this user may open.
        standbys: How many servers follow this one.
        version: Version of the journal's tables; 0 if there are none, None if it can't be read.
        moved: The state directory to which the journal was moved; "" if it is here.
        owner: Who may change these tables, if that is not this user.
        denied: Those tables that this user may not read and write.
    """

    oldest: ClassVar[int] = OLDEST_SERVER
    """The oldest server that is fit, by its first number."""

    release: str
    major: int
    encoding: str
    database: str
    user: str
    schema: str | None
    is_read_only: bool
    encryption: str
    syncs: bool
    writes_full_pages: bool
    waits_for_standby: bool
    standbys: int
    may_create: bool
    ahead_seconds: float
    latency_seconds: float
    connections_left: int
    version: int | None
    moved: str
    owner: str | None
    denied: tuple[str, ...]


def read_server_facts(address: JournalAddress) -> ServerFacts:
    """Given an address, return facts about its server.

    That takes 5 seconds for each server at most until it is connected, and 15 seconds then.

    Raises:
        JournalUnavailable: when it can't be asked.
        StateError: when the file of the password can't be used.
    """
    try:
        with closing(_connect(address)) as connection:
            return _read(connection)
    except psycopg.Error as error:
        raise JournalUnavailable(words_of(error)) from error


def _connect(address: JournalAddress) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the server that can be written; if there is none, to any."""
    arguments = connection_arguments(address)
    seconds = min(int(arguments["connect_timeout"]), _CONNECT_SECONDS)
    try:
        return _connect_by({**arguments, "connect_timeout": seconds})
    except psycopg.errors.ConnectionTimeout:
        raise
    except psycopg.OperationalError as error:
        try:
            return _connect_by(
                {**arguments, "connect_timeout": seconds, "target_session_attrs": "any"}
            )
        except psycopg.OperationalError:
            raise error from None


def _connect_by(arguments: dict[str, Any]) -> psycopg.Connection[tuple[Any, ...]]:
    # A database in no encoding would answer in bytes.
    found = BoundedConnection.connect(**arguments, client_encoding="UTF8", autocommit=True)
    found.longest_seconds = _SECONDS
    return found


def _read(connection: psycopg.Connection[tuple[Any, ...]]) -> ServerFacts:
    ahead, latency = _clocks(connection)
    server = _row(connection, _SERVER)
    [left] = _row(connection, _LEFT)
    tables = connection.execute(_TABLES, [list(_NEEDED), [*TABLES]]).fetchall()
    denied = tuple(name for name, *_, is_usable in tables if not is_usable)
    is_read = "meta" in {name for name, *_ in tables} and "meta" not in denied
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall()) if is_read else {}
    return ServerFacts(
        release=server[0],
        major=server[1],
        encoding=server[2],
        database=server[3],
        user=server[4],
        schema=server[5],
        is_read_only=server[6],
        encryption="TLS" if connection.pgconn.ssl_in_use else "Kerberos" if server[7] else "",
        syncs=server[8],
        writes_full_pages=server[9],
        waits_for_standby=server[10],
        standbys=server[11],
        may_create=server[12],
        ahead_seconds=ahead,
        latency_seconds=latency,
        connections_left=int(left),
        version=int(meta.get("version", 0)) if "meta" not in denied else None,
        moved=meta.get("moved", ""),
        owner=next((owner for _, owner, is_own, _ in tables if not is_own), None),
        denied=denied,
    )


def _clocks(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[float, float]:
    """Return how far the server's clock is ahead, by the fastest answer; and the median time."""
    found = []
    for _ in range(_ROUNDS):
        wall, begun = time.time(), time.monotonic()
        [there] = _row(connection, f"SELECT {NOW}")
        took = time.monotonic() - begun
        found.append((took, there - (wall + took / 2)))
    return min(found)[1], statistics.median(took for took, _ in found)


def _row(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None, "each of these queries has one row"
    return row
