"""News of the other hosts that share a journal: one more reason to look for work at once."""

import threading
from collections.abc import Callable
from typing import Final

from gcwatch.core.errors import JournalUnavailable
from gcwatch.journal.hosts.hosts import Hosts
from gcwatch.threads.periodic import PeriodicThread

_WAIT_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 2.0


class HostNews(PeriodicThread):
    """Calls a function once other hosts have found, retried or withdrawn a case.

    Without it the same happens, a little later.

    Args:
        hosts: What tells it.
        wake: The function.
    """

    def __init__(self, hosts: Hosts, wake: Callable[[], None]) -> None:
        super().__init__("host news", 0.0, _STOP_SECONDS)
        self._hosts, self._wake = hosts, wake
        self._pause = threading.Event()

    def tick(self) -> None:
        """Wait for news for a moment; without the database, pause."""
        try:
            if self._hosts.wait_for_news(_WAIT_SECONDS):
                self._wake()
        except JournalUnavailable:
            self._pause.wait(_PAUSE_SECONDS)
