"""A thread of its own that looks after something at equal distances, from start to end."""

import threading
from types import TracebackType
from typing import Self


class PeriodicThread:
    """Calls `tick` every so many seconds while the context is open, and `on_stop` at its end.

    Args:
        name: Of the thread.
        seconds: Between two turns; the first comes after as many.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._seconds = seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self.on_stop()

    def _go(self) -> None:
        while not self._end.wait(self._seconds):
            self.tick()

    def tick(self) -> None:
        """What is done each time."""
        raise NotImplementedError

    def on_stop(self) -> None:
        """What is left to do when no turn is under way any more: here nothing."""
