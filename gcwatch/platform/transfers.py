"""What all uploads and downloads share: the platform, a thread pool, and the stop event."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from gcwatch.core.errors import Stopped
from gcwatch.files.safe_open import Readable
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.file_parts import sha256_state

T = TypeVar("T")
R = TypeVar("R")

Moved = Callable[[int], None]
"""Called with the number of bytes that have been moved since the last call."""


@dataclass
class Transfers:
    """The platform, the threads for its uploads and downloads, and the event that stops them."""

    platform: GrandChallenge
    pool: Executor
    stop: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        """Wait for all threads to finish, and close the connections."""
        self.pool.shutdown(wait=True)
        self.platform.close()

    def require_running(self) -> None:
        """Raise Stopped if the daemon is stopping."""
        if self.stop.is_set():
            raise Stopped

    def hash_file(self, file: Readable, size: int) -> str:
        """Given a file, return the SHA-256 of its first *size* bytes, in hex.

        Raises:
            SourceChanged: when the file is shorter than *size*, or was removed.
            Stopped: when the daemon is stopping.
        """
        return sha256_state(file, self.stop, size).hexdigest()

    def run_each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Call *work* for each item in the pool; return the results in the order of the items.

        The first error is raised after all running calls have ended.
        """
        running = [self.pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in running]
        finally:
            for future in running:
                future.cancel()
            wait(running)
