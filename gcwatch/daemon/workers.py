"""Threads that do one piece of work each; what goes wrong in one never ends the daemon."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from gcwatch import log
from gcwatch.core.errors import ConfigError, JournalUnavailable, Stopped, TokenRefused
from gcwatch.daemon.platform_gate import PlatformGate
from gcwatch.daemon.waking.wakeup import Wakeup
from gcwatch.threads.heartbeats import Heartbeats

_MOST_WORKERS: Final = 1024
"""More than are ever needed: a thread is made when work is begun, and the loop decides on that."""


class Workers:
    """Does each piece of work in a thread, at most once at a time for each key.

    Args:
        heartbeats: Records that the work of a key makes progress.
        wakeup: Woken when some work has ended.
        gate: Pauses all work after a refused token, or on a full disk.
        on_crash: Called with the key and the error of work that ended in a fault of gcwatch.
    """

    def __init__(
        self,
        heartbeats: Heartbeats,
        wakeup: Wakeup,
        gate: PlatformGate,
        on_crash: Callable[[str, Exception], None],
    ) -> None:
        self._heartbeats = heartbeats
        self._wakeup = wakeup
        self._gate = gate
        self._on_crash = on_crash
        self._pool = ThreadPoolExecutor(_MOST_WORKERS, thread_name_prefix="step")
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def running(self) -> frozenset[str]:
        """Return the keys of all work under way."""
        with self._lock:
            return frozenset(self._running)

    def start(self, key: str, work: Callable[[], None]) -> None:
        """Begin some work, unless work of the same key is under way."""
        with self._lock:
            if key in self._running:
                return
            self._running.add(key)
        future = self._pool.submit(self._guarded, key, work)
        future.add_done_callback(_log_lost_error)

    def close(self) -> None:
        """Wait for what is under way; what has not begun never begins."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, key: str, work: Callable[[], None]) -> None:
        """Do some work; this is a worker's outermost line."""
        try:
            with self._heartbeats.of(key):
                work()
        except Stopped:
            pass  # the next start continues this work
        except (TokenRefused, ConfigError):
            self._gate.on_token_refused()
        except JournalUnavailable as error:
            self._gate.on_journal_unavailable(error)
        except Exception as error:  # noqa: BLE001 -- the one place: a fault must not end the daemon
            self._record_fault(key, error)
        finally:
            with self._lock:
                self._running.discard(key)
            # Only now: the loop that wakes must find the key free.
            self._wakeup.wake()

    def _record_fault(self, key: str, error: Exception) -> None:
        try:
            self._on_crash(key, error)
        except JournalUnavailable as unavailable:  # else the case would be tried without a pause
            self._gate.on_journal_unavailable(unavailable)


def _log_lost_error(future: Future[None]) -> None:
    """Log what even a worker's outermost line could not handle: a journal that is gone."""
    error = future.exception() if not future.cancelled() else None
    if error is not None:
        log.emit("step.crashed", step="worker", error=error)
