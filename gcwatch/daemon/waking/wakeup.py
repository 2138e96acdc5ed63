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
        """Return the mirrors that it is time for; each stays requested until `mirror_started`."""
        with self._lock:
            return frozenset(self._mirrors)

    def mirror_started(self, name: str) -> None:
        """A mirror's run begins."""
        with self._lock:
            self._mirrors.discard(name)

    def wait(self, seconds: float) -> None:
        """Return at the next signal, or after *seconds*."""
        self._woken.wait(seconds)
        self._woken.clear()

    def is_scan_requested(self) -> bool:
        """Whether a scan is requested; it stays requested until `scan_started`."""
        return self._scan.is_set()

    def scan_started(self) -> None:
        """A scan begins: what happens from now on requests another one."""
        self._scan.clear()

    def take_upkeep_request(self) -> bool:
        """Return whether upkeep is requested, and take the request back."""
        if not self._upkeep.is_set():
            return False  # do not clear: another thread may set it at this moment
        self._upkeep.clear()
        return True
