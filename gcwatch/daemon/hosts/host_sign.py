"""This host's sign of life for the others that share its journal."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from gcwatch.core.errors import JournalUnavailable
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.journal.hosts.hosts import Host, Hosts
from gcwatch.journal.hosts.leases import RENEWALS
from gcwatch.journal.hosts.progress import DaemonProgress
from gcwatch.threads.periodic import PeriodicThread


class HostSign(PeriodicThread):
    """Tells at an interval that this host lives and what it does, and renews its leases.

    Args:
        hosts: Where it is told.
        held: The leases of the work under way.
        progress: Returns what this host does at the moment.
        pause: Returns the code of the reason for which all work is paused, or "".
        found: Called with the other hosts that live.
        seconds: How long a lease lasts without a renewal.
    """

    def __init__(
        self,
        hosts: Hosts,
        held: HeldLeases,
        progress: Callable[[], DaemonProgress],
        pause: Callable[[], str],
        found: Callable[[Sequence[Host]], None],
        *,
        seconds: float,
    ) -> None:
        super().__init__("host sign", seconds / RENEWALS)
        self._hosts = hosts
        self._held = held
        self._progress, self._pause, self._found = progress, pause, found

    def tick(self) -> None:
        """Renew the leases, tell what this host does, and look who else is there."""
        # Without the database nothing is renewed, and work ends when its lease does.
        with suppress(JournalUnavailable):
            self._held.renew()
            self._hosts.tell(self._progress(), self._pause())
            self._found(self._hosts.others())

    def on_stop(self) -> None:
        """Tell that this host does not work any more."""
        with suppress(JournalUnavailable):
            self._hosts.leave()
