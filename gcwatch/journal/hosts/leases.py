"""Who works on what: of the hosts that share a journal, one at a time works on a case.

A lease is the right to work on something for some time. What its holder records is checked against
it, in the same transaction; the host renews it while the work goes on. If the host is gone, the
lease ends by itself, and another host goes on with the work.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from gcwatch.journal.databases.database import Connection, Values

RENEWALS: Final = 4.5
"""How often a lease is renewed in the time that it lasts."""
GRACE: Final = 1 / 9
"""By which part of a lease's time the host that worked on something last may go on with it earlier
than others: what it has prepared lies on its own disk."""


def elapsed_seconds() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the computer sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The right to work on something.

    Attributes:
        name: What on: the key of a case, or what else only one host does at a time.
        fence: A number that is higher for each new lease: who has an earlier one records nothing.
        ends: Until when it lasts at least, by `elapsed_seconds`.
        is_taken_over: Whether another host may have had it last.
    """

    def __init__(self, name: str, fence: int, ends: float, *, is_taken_over: bool = False) -> None:
        self.name, self.fence, self.ends = name, fence, ends
        self.is_taken_over = is_taken_over

    @property
    def is_over(self) -> bool:
        """Whether another host may work on it by now."""
        return elapsed_seconds() >= self.ends


class Leases(Protocol):
    """The leases of one journal, as one host sees them.

    All raise JournalUnavailable when the database can't be used at the moment.
    """

    is_shared: bool
    """Whether there may be other hosts."""
    seconds: float
    """How long a lease lasts from its last renewal: so long the work of a lost host waits."""

    def claim(self, name: str, *, at_once: bool = False) -> Lease | None:
        """Get a lease; None if another host has it or, unless *at_once*, has just had it."""

    def renew(self, leases: Iterable[Lease]) -> None:
        """Let leases last longer; one that another host has by now is over."""

    def extend(self, lease: Lease, seconds: float) -> None:
        """Let a lease last that many seconds at least; raise LeaseLost if another host has it."""

    def release(self, lease: Lease) -> None:
        """End a lease: any host may go on with the work, this one a little earlier than others."""

    def require(self, connection: Connection, lease: Lease) -> None:
        """In a transaction that records something, raise LeaseLost if another host has a lease."""

    def free(self, column: str) -> tuple[str, Values]:
        """Return the condition that no other host holds the lease that a column names."""

    def forget_ended(self) -> None:
        """Forget leases that ended a day ago: a million closed cases need none."""

    def owners(self, names: Sequence[str] | None = None) -> Mapping[str, str]:
        """Return the identities of the hosts that hold leases now, by the leases' names."""


class SoleLeases:
    """The leases of a journal that only one host uses: it gets all of them."""

    is_shared = False
    seconds = float("inf")

    def claim(self, name: str, *, at_once: bool = False) -> Lease | None:
        """Return a lease that never ends."""
        del at_once
        return Lease(name, 0, float("inf"))

    def renew(self, leases: Iterable[Lease]) -> None:
        """Do nothing."""

    def extend(self, lease: Lease, seconds: float) -> None:
        """Do nothing."""

    def release(self, lease: Lease) -> None:
        """Do nothing."""

    def require(self, connection: Connection, lease: Lease) -> None:
        """Do nothing."""

    def free(self, column: str) -> tuple[str, Values]:
        """Return a condition that always holds."""
        return f"{column} IS NOT NULL", {}

    def forget_ended(self) -> None:
        """Do nothing."""

    def owners(self, names: Sequence[str] | None = None) -> Mapping[str, str]:
        """Return nothing."""
        del names
        return {}
