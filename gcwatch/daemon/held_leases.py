"""The leases of the work that is under way on this host."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from gcwatch import log
from gcwatch.core.errors import JournalUnavailable, LeaseLost
from gcwatch.journal.leases import Lease, Leases
from gcwatch.threads.heartbeats import only_while


class HeldLeases:
    """Holds the lease of each piece of work while it goes on.

    Args:
        leases: The leases of the journal.
        doubt: How many seconds a call that can't be repeated may take, and the platform may still
            work on it: so long its lease has to last when it begins.
        silent: Returns the work that has shown no progress for so long that it counts as hanging:
            its leases are left to end.
    """

    def __init__(self, leases: Leases, doubt: float, silent: Callable[[], Collection[str]]) -> None:
        self._leases = leases
        self._doubt, self._silent = doubt, silent
        self._held: dict[str, Lease] = {}
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, name: str, *, at_once: bool = False) -> Iterator[Lease | None]:
        """Yield the lease of some work, or None if another host has it; *at_once*: see `claim`.

        What this thread does in the body ends with LeaseLost once another host has taken over, and
        so does a call that can't be repeated before it begins.
        """
        lease = self._leases.claim(name, at_once=at_once)
        if lease is None:
            yield None
            return
        with self._lock:
            self._held[name] = lease
        try:
            with only_while(partial(_require, lease), partial(self._require_write, lease)):
                yield lease
        except LeaseLost:
            log.emit("lease.lost", name=name)
            raise
        finally:
            with self._lock:
                self._held.pop(name, None)
            # A lease that can't be released ends by itself.
            with suppress(JournalUnavailable):
                self._leases.release(lease)

    def renew(self) -> None:
        """Renew the leases of all work that is alive.

        Raises:
            JournalUnavailable: when the database can't be used at the moment.
        """
        with self._lock:
            held = dict(self._held)
        silent = self._silent()
        self._leases.renew([lease for name, lease in held.items() if name not in silent])

    def _require_write(self, lease: Lease) -> None:
        """Make sure that the lease lasts longer than any call; raise LeaseLost if it is lost."""
        _require(lease)
        self._leases.extend(lease, self._doubt)


def _require(lease: Lease) -> None:
    if lease.is_over:
        raise LeaseLost(lease.name)
