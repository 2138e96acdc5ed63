"""Databases of a real PostgreSQL, as tests make and drop them."""

import secrets
import time
from pathlib import Path

import psycopg

from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.journal.databases.postgres import PostgresDatabase
from support.postgres import PASSWORD_USER, SUPERUSER

USER, PASSWORD = "gcwatch", "not-a-secret"
_TEMPLATE = "migrated"


class Databases:
    """The databases of a server, by the folder of its socket."""

    def __init__(self, folder):
        self.folder = folder
        self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def url(self, name):
        """The address of a database, as a config has it."""
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def create(self, *, is_empty=False):
        """Make a database, with a new journal's tables or *is_empty*; return its name."""
        name = f"test_{secrets.token_hex(6)}"
        # A copy of the files is much cheaper than one by the log.
        template = f"TEMPLATE {'template1' if is_empty else _TEMPLATE} STRATEGY file_copy"
        self.ask(f"CREATE DATABASE {name} OWNER {USER} {template}")
        return name

    def drop(self, name):
        """Drop a database, also while there are sessions."""
        self.ask(f"DROP DATABASE {name} WITH (FORCE)")

    def ask(self, statement, *values):
        """Run a statement as the superuser, who sees all databases' sessions; return its rows."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                host=str(self.folder), user=SUPERUSER, dbname="postgres", autocommit=True
            )
        cursor = self._connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def close(self):
        """Release the connection."""
        if self._connection is not None:
            self._connection.close()


class MovableClock:
    """The clock of a database, which goes right until a test moves it.

    Its sessions find a function of the same name before PostgreSQL's own.
    """

    def __init__(self, databases, name):
        place = {"host": str(databases.folder), "user": SUPERUSER, "dbname": name}
        self._connection = psycopg.connect(**place, autocommit=True)
        for statement in (
            "CREATE SCHEMA moved",
            f"GRANT USAGE ON SCHEMA moved TO {USER}",
            "CREATE TABLE moved.clock AS SELECT interval '0 s' AS ahead",
            f"GRANT SELECT ON moved.clock TO {USER}",
            """CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
                'SELECT pg_catalog.clock_timestamp() + ahead FROM moved.clock'""",
            f"ALTER DATABASE {name} SET search_path = moved, pg_catalog, public",
        ):
            self._connection.execute(statement)

    def advance(self, seconds):
        """Move it forward by some seconds."""
        move = "UPDATE moved.clock SET ahead = ahead + make_interval(secs => %s)"
        self._connection.execute(move, [seconds])

    def close(self):
        """Release the connection."""
        self._connection.close()


def prepare_databases(folder):
    """Make the user, and the template with a new journal's tables, on a new server."""
    with Databases(folder) as databases:
        for user in (USER, PASSWORD_USER):
            databases.ask(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
        databases.ask(f"CREATE DATABASE {_TEMPLATE} OWNER {USER} STRATEGY file_copy")
        address = parse_journal_address(databases.url(_TEMPLATE), Path())
        PostgresDatabase(address, time.time).close()
