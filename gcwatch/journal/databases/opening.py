"""Opens the database of a journal, with the leases that belong to it."""

from collections.abc import Callable
from pathlib import Path

from gcwatch.config.values.journal_address import JournalAddress
from gcwatch.core.errors import StateError
from gcwatch.journal.databases.database import Database
from gcwatch.journal.leases import Leases, SoleLeases


def open_database(
    place: Path | JournalAddress, clock: Callable[[], float], owner: str
) -> tuple[Database, Leases]:
    """Open a journal's database, and its leases; raise as `Journal` does."""
    # Each is imported only where it is used: nobody without PostgreSQL has its libraries.
    if isinstance(place, JournalAddress):
        require_libraries()
        from gcwatch.journal.databases.postgres import PostgresDatabase
        from gcwatch.journal.databases.postgres_leases import SharedLeases

        shared = PostgresDatabase(place, clock)
        return shared, SharedLeases(shared, owner)
    from gcwatch.journal.databases.sqlite import SqliteDatabase

    return SqliteDatabase(place, clock), SoleLeases()


def require_libraries() -> None:
    """Raise StateError if the libraries of a journal on PostgreSQL are not installed."""
    try:
        import psycopg  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise StateError(
            f"A journal on PostgreSQL needs {error.name or 'libraries'}, which can't be loaded.",
            "pip install 'gcwatch[postgres]'",
        ) from error
