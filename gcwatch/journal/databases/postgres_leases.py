"""Leases as rows of a database that several hosts share, by the database's own time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gcwatch.core.errors import LeaseLost
from gcwatch.journal.databases.database import Connection, Values, listed
from gcwatch.journal.databases.postgres import NOW, PostgresDatabase
from gcwatch.journal.hosts.leases import GRACE, Lease, elapsed_seconds

_MAKE: Final = """INSERT INTO leases (name, owner, fence, until) VALUES (:name, '', 0, 0)
    ON CONFLICT (name) DO NOTHING"""
# A host that asks at the same moment does not wait: it has not got the lease.
_CLAIM: Final = f"""WITH free AS (
        SELECT name, owner FROM leases
        WHERE name = :name AND (owner = :owner OR until + :grace < {NOW})
        FOR UPDATE SKIP LOCKED
    )
    UPDATE leases SET owner = :owner, fence = nextval('fences'), until = {NOW} + :seconds
    FROM free WHERE leases.name = free.name RETURNING leases.fence, free.owner"""  # noqa: S608 -- ours
_KEPT_SECONDS: Final = 24 * 3600.0
_RENEW: Final = f"""UPDATE leases SET until = greatest(until, {NOW} + :seconds)
    WHERE name = :name AND fence = :fence RETURNING name"""  # noqa: S608 -- ours
_SHORTEN: Final = _RENEW.replace("greatest(until, ", "(")


class SharedLeases:
    """The leases of a journal on PostgreSQL; see `Leases`.

    Args:
        database: Where the journal is.
        owner: The identity of this host.
        seconds: How long a lease lasts from its last renewal.
    """

    is_shared = True

    def __init__(self, database: PostgresDatabase, owner: str, seconds: float) -> None:
        self._database = database
        self._owner = owner
        self.seconds = seconds

    def claim(self, name: str, *, at_once: bool = False) -> Lease | None:
        """Get a lease; None if another host has it or, unless *at_once*, has just had it."""
        ends = elapsed_seconds() + self.seconds
        values = {
            "name": name,
            "owner": self._owner,
            "seconds": self.seconds,
            "grace": 0.0 if at_once else GRACE * self.seconds,
        }
        with self._database.beside() as connection:
            connection.execute(_MAKE, {"name": name})
            found = connection.execute(_CLAIM, values).fetchone()
        if found is None:
            return None
        fence, before = found
        return Lease(name, fence, ends, is_taken_over=before != self._owner)

    def renew(self, leases: Iterable[Lease]) -> None:
        """Let leases last longer; one that another host has by now is over."""
        for lease in leases:
            ends = elapsed_seconds() + self.seconds
            with self._database.beside() as connection:
                is_ours = self._is_renewed(connection, lease, self.seconds)
            lease.ends = max(lease.ends, ends) if is_ours else 0.0

    def extend(self, lease: Lease, seconds: float) -> None:
        """Let a lease last that many seconds at least; raise LeaseLost if another host has it."""
        ends = elapsed_seconds() + seconds
        with self._database.beside() as connection:
            if not self._is_renewed(connection, lease, seconds):
                lease.ends = 0.0
                raise LeaseLost(lease.name)
        lease.ends = max(lease.ends, ends)

    def release(self, lease: Lease) -> None:
        """End a lease: any host may go on with the work, this one a little earlier than others."""
        end = f"UPDATE leases SET until = {NOW} WHERE name = :name AND fence = :fence"  # noqa: S608 -- ours
        with self._database.beside() as connection:
            connection.execute(end, {"name": lease.name, "fence": lease.fence})

    def require(self, connection: Connection, lease: Lease) -> None:
        """In a transaction that records something, raise LeaseLost if another host has a lease."""
        ends = elapsed_seconds() + self.seconds
        # What is recorded is the end of a call: the lease need not be as long as one any more.
        if not self._is_renewed(connection, lease, self.seconds, _SHORTEN):
            lease.ends = 0.0
            raise LeaseLost(lease.name)
        lease.ends = ends

    def free(self, column: str) -> tuple[str, Values]:
        """Return the condition that no other host holds the lease that a column names."""
        condition = f"""NOT EXISTS (
            SELECT 1 FROM leases WHERE leases.name = {column}
            AND leases.owner <> :lease_owner AND leases.until + :lease_grace >= {NOW})"""  # noqa: S608 -- ours
        return condition, {"lease_owner": self._owner, "lease_grace": GRACE * self.seconds}

    def forget_ended(self) -> None:
        """Forget leases that ended a day ago; a later one of the same name has a higher fence."""
        forget = f"DELETE FROM leases WHERE until < {NOW} - :seconds"  # noqa: S608 -- ours
        with self._database.beside() as connection:
            connection.execute(forget, {"seconds": _KEPT_SECONDS})

    def owners(self, names: Sequence[str] | None = None) -> Mapping[str, str]:
        """Return the identities of the hosts that hold leases now, by the leases' names."""
        some, values = listed("name", names or ())
        condition = "" if names is None else f"AND name IN {some}"
        query = f"SELECT name, owner FROM leases WHERE until >= {NOW} {condition}"  # noqa: S608 -- ours
        with self._database.reading() as connection:
            return dict(connection.execute(query, values).fetchall())

    @staticmethod
    def _is_renewed(
        connection: Connection, lease: Lease, seconds: float, statement: str = _RENEW
    ) -> bool:
        """Let a lease last longer; return whether it is still the one that was given."""
        values = {"name": lease.name, "fence": lease.fence, "seconds": seconds}
        return connection.execute(statement, values).fetchone() is not None
