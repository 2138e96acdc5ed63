"""A journal in a database of PostgreSQL, for questions only: an older one is not upgraded."""

from gcwatch.core.errors import StateError
from gcwatch.journal.databases.postgres import PostgresDatabase, version_of


class ReadOnlyPostgres(PostgresDatabase):
    """As `PostgresDatabase`; an empty database gets its tables.

    Raises:
        StateError: also when the journal is older than this program.
    """

    def _upgrade(self) -> None:
        with self._engine.begin() as connection:
            found = version_of(connection)
        # Hosts that still have the older gcwatch would pause.
        if 0 < found < self.version:
            raise StateError(
                f"{self.place} was written by an older gcwatch (version {found}).",
                "Start gcwatch run, which upgrades it, or use that gcwatch.",
            )
        super()._upgrade()
