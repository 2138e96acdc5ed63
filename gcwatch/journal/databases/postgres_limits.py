"""Limits of an account as rows of a database that several hosts share, by the database's time."""

import threading
from collections.abc import Callable
from typing import Final

from gcwatch.journal.databases.database import Connection
from gcwatch.journal.databases.postgres import NOW, PostgresDatabase
from gcwatch.journal.hosts.limits import REMEMBERED_SECONDS, AllLimits, Limit

_LOCK: Final = 0x6763776C  # "gcwl"
_ADD: Final = f"""INSERT INTO limits (name, until, value) VALUES (:name, {NOW} + :seconds, :value)
    ON CONFLICT (name) DO UPDATE SET"""  # noqa: S608 -- ours
_SET: Final = f"{_ADD} until = greatest(limits.until, excluded.until)"
_TAKE: Final = f"{_ADD} until = excluded.until WHERE limits.until <= {NOW} RETURNING name"
_DECIDE: Final = f"{_ADD} until = excluded.until, value = excluded.value"


class SharedLimits:
    """The limits of an account whose journal is on PostgreSQL; see `AccountLimits`."""

    is_shared = True

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._deciding = threading.Lock()

    def all(self) -> AllLimits:
        """Return all limits that are known."""
        with self._database.reading() as connection:
            return _all(connection)

    def set(self, name: str, seconds: float) -> None:
        """Let a limit hold for some seconds at least."""
        with self._database.beside() as connection:
            connection.execute(_SET, _values(name, seconds))

    def take(self, name: str, seconds: float) -> bool:
        """Set a limit if it does not hold; return whether: only one of several gets it."""
        with self._database.beside() as connection:
            return connection.execute(_TAKE, _values(name, seconds)).fetchone() is not None

    def remove(self, name: str) -> None:
        """Forget a limit."""
        with self._database.beside() as connection:
            connection.execute("DELETE FROM limits WHERE name = :name", {"name": name})

    def decide(self, name: str, seconds: float, number: Callable[[AllLimits], int]) -> None:
        """Let a limit have the number that a function makes of all limits, or what that raises."""
        old = f"DELETE FROM limits WHERE until < {NOW} - :seconds"  # noqa: S608 -- ours
        lock = "SELECT pg_advisory_xact_lock(:lock, hashtext(current_schema()))"
        # One thread of a host waits in the database: the function needs a connection, too. It may
        # read for seconds, so that this is not the lock of those who record.
        with self._deciding, self._database.beside() as connection:
            connection.execute(lock, {"lock": _LOCK})
            decided = number(_all(connection))
            connection.execute(_DECIDE, _values(name, seconds, decided))
            connection.execute(old, {"seconds": REMEMBERED_SECONDS})


def _all(connection: Connection) -> AllLimits:
    query = f"SELECT name, value, until - {NOW} FROM limits"  # noqa: S608 -- ours
    found = connection.execute(query, {}).fetchall()
    return {name: Limit(int(value), left) for name, value, left in found}


def _values(name: str, seconds: float, number: int = 0) -> dict[str, str | float]:
    return {"name": name, "seconds": seconds, "value": str(number)}
