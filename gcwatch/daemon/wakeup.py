"""One signal that wakes the daemon's loop, and what it is woken for."""

import threading


class Wakeup:
    """Wakes the daemon; remembers what for."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._scan = threading.Event()
        self._upkeep = threading.Event()
        self._mirrors: set[str] = set()
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Something is done or due."""
        self._woken.set()

    def request_scan(self) -> None:
        """The inboxes may hold something new."""
        self._scan.set()
        self._woken.set()

    def request_upkeep(self) -> None:
        """It is time for upkeep."""
        self._upkeep.set()
        self._woken.set()

    def request_mirror(self, name: str) -> None:
        """It is time to run a mirror."""
        with self._lock:
            self._mirrors.add(name)
        self._woken.set()

    def requested_mirrors(self) -> frozenset[str]:
        """Return the mirrors that it is time for; keeps each wish until `mirroring`."""
        with self._lock:
            return frozenset(self._mirrors)

    def mirror_started(self, name: str) -> None:
        """A mirror's run begins."""
        with self._lock:
            self._mirrors.discard(name)

    def wait(self, seconds: float) -> None:
        """Return at the next ring, or after *seconds*."""
        self._woken.wait(seconds)
        self._woken.clear()

    def is_scan_requested(self) -> bool:
        """Whether to look at the inboxes; keeps the wish until `looked`."""
        return self._scan.is_set()

    def scan_started(self) -> None:
        """The look begins: what comes from now on is news again."""
        self._scan.clear()

    def take_upkeep_request(self) -> bool:
        """Whether upkeep was rung for, once a ring."""
        if not self._upkeep.is_set():
            return False  # and nothing to clear: it may be rung for at this very moment
        self._upkeep.clear()
        return True
