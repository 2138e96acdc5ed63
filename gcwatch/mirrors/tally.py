"""Counts what a run of a mirror has fetched, and reports its progress."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gcwatch.core.progress import MirrorProgress


@dataclass(frozen=True)
class TableCounts:
    """What the tables of a mirror hold: answers, and masks that are not on the platform."""

    answers: int = 0
    masks_missing: int = 0


class Tally:
    """Counts the work of all threads, and reports the progress."""

    def __init__(self, progress: MirrorProgress) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self.items = self.fetched = self.changed = self.failed = self.bytes = 0

    def add_bytes(self, count: int) -> None:
        """Count bytes that have arrived."""
        self._add(bytes=count)

    def report_progress(self) -> None:
        """Report that the run continues, though the counts are the same."""
        self._add()

    def count_stored(self, *, changed: bool) -> None:
        """Count an item that is stored."""
        self._add(changed=1) if changed else self._add(fetched=1)

    def count_failed(self) -> None:
        """Count an item that can't be fetched for now."""
        self._add(failed=1)

    def _add(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)
            done = self.fetched + self.changed + self.failed
            self._progress(done, self.items, self.bytes)


class ByteCount:
    """Counts the bytes of one item, and passes them on to the tally."""

    def __init__(self, further: Callable[[int], None]) -> None:
        self._further = further
        self.bytes = 0

    def __call__(self, more: int) -> None:
        """Count bytes that have arrived."""
        self.bytes += more
        self._further(more)
