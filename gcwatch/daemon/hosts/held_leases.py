"""The leases of the work that is under way on this host."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from gcwatch import log
from gcwatch.core.errors import JournalUnavailable, LeaseLost
from gcwatch.journal.hosts.leases import RENEWALS, Lease, Leases, elapsed_seconds
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
        self._asked: dict[str, float] = {}
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

    def keep(self, name: str) -> Lease | None:
        """Return the lease of a duty, or None if another host has it.

        A host keeps a duty until it drops it. One thread at a time may ask for the same duty.

        Raises:
            JournalUnavailable: when the database can't be used at the moment.
        """
        with self._lock:
            lease = self._held.get(name)
        if lease is not None and not lease.is_over:
            return lease
        if elapsed_seconds() < self._asked.get(name, 0.0):
            return None
        lease = self._leases.claim(name, at_once=True)
        with self._lock:
            self._held.pop(name, None)
            if lease is not None:
                self._held[name] = lease
        if lease is None:
            self._pause(name)
        return lease

    def drop(self, name: str) -> None:
        """Let another host have a duty."""
        with self._lock:
            lease = self._held.pop(name, None)
        if lease is not None:
            self._pause(name)
            # What can't be released ends by itself.
            with suppress(JournalUnavailable):
                self._leases.release(lease)

    def _pause(self, name: str) -> None:
        """Let other hosts ask for a duty first, if there are any."""
        if self._leases.is_shared:
            self._asked[name] = elapsed_seconds() + self._leases.seconds / RENEWALS

    def drop_others(self, beginning: str, names: Collection[str]) -> None:
        """Of the duties whose names begin so, keep those with some names only."""
        with self._lock:
            former = [each for each in self._held if each.startswith(beginning)]
        for name in former:
            if name not in names:
                self.drop(name)

    def close(self) -> None:
        """Drop all duties: this host does not work any more."""
        with self._lock:
            names = [*self._held]
        for name in names:
            self.drop(name)

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
