"""What all uploads and downloads share: the platform, a thread pool, and the stop event."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, wait
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gcwatch.core.errors import Stopped
from gcwatch.files.safe_open import Readable, open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.file_parts import sha256_state

T = TypeVar("T")
R = TypeVar("R")

Moved = Callable[[int], None]
"""Called with the number of bytes that have been moved since the last call."""


_REMEMBERED_DIGESTS: Final = 256


@dataclass
class Transfers:
    """The platform, the threads for its uploads and downloads, and the event that stops them."""

    platform: GrandChallenge
    pool: Executor
    stop: threading.Event = field(default_factory=threading.Event)
    _digests: dict[SourceFile, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

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

        A file of an inbox is hashed once: whoever compares it with other cases and whoever sends
        it need the same number. Each checks that the file is still the one that was listed.

        Raises:
            SourceChanged: when the file is shorter than *size*, or was removed.
            Stopped: when the daemon is stopping.
        """
        if not isinstance(file, SourceFile) or size != file.size:
            return sha256_state(file, self.stop, size).hexdigest()
        known = self._digests.get(file)
        if known is None:
            known = sha256_state(file, self.stop, size).hexdigest()
        else:
            with open_unchanged(file):  # which compares
                pass
        with self._lock:  # several cases are hashed at the same time
            self._digests[file] = known
            while len(self._digests) > _REMEMBERED_DIGESTS:
                del self._digests[next(iter(self._digests))]
        return known

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
