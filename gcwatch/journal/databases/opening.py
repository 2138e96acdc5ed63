"""Opens the database of a journal, with the leases, hosts and limits that belong to it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.core.errors import StateError
from gcwatch.journal.databases.database import Database
from gcwatch.journal.hosts.hosts import Hosts, SoleHost
from gcwatch.journal.hosts.leases import Leases, SoleLeases
from gcwatch.journal.hosts.limits import AccountLimits, SoleLimits
from gcwatch.journal.hosts.ownership import Owner

if TYPE_CHECKING:
    from gcwatch.journal.databases.postgres import PostgresDatabase


def open_database(
    place: Path | JournalAddress, clock: Callable[[], float], host: Owner | None, lease: float
) -> tuple[Database, Leases, Hosts, AccountLimits]:
    """Open a journal's database, and what tells of its hosts; raise as `Journal` does."""
    # Each is imported only where it is used: nobody without PostgreSQL has its libraries.
    if isinstance(place, JournalAddress):
        shared = open_shared(place, clock)
        from gcwatch.journal.databases.postgres_hosts import HostTable
        from gcwatch.journal.databases.postgres_leases import SharedLeases
        from gcwatch.journal.databases.postgres_limits import SharedLimits

        assert host is not None, "who shares a journal has an identity"
        hosts = HostTable(shared, host, lease)
        leases = SharedLeases(shared, host.identity, lease)
        return shared, leases, hosts, SharedLimits(shared)
    from gcwatch.journal.databases.sqlite import SqliteDatabase

    return SqliteDatabase(place, clock), SoleLeases(), SoleHost(place), SoleLimits()


def open_shared(address: JournalAddress, clock: Callable[[], float]) -> "PostgresDatabase":
    """Open a database that several hosts share; raise as `Journal` does."""
    require_libraries()
    from gcwatch.journal.databases.postgres import PostgresDatabase

    return PostgresDatabase(address, clock)


def open_read_only(address: JournalAddress, clock: Callable[[], float]) -> Database:
    """Open a database that several hosts share for questions; raise as `Journal` does."""
    require_libraries()
    from gcwatch.journal.databases.postgres_read_only import ReadOnlyPostgres

    return ReadOnlyPostgres(address, clock)


def require_libraries() -> None:
    """Raise StateError if the libraries of a journal on PostgreSQL are not installed."""
    try:
        import psycopg  # noqa: F401 -- whether it can be loaded is all
        import sqlalchemy  # noqa: F401 -- whether it can be loaded is all
    except ImportError as error:
        raise StateError(
            f"A journal on PostgreSQL needs {error.name or 'libraries'}, which can't be loaded.",
            "pip install 'gcwatch[postgres]'",
        ) from error
