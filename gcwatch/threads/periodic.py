"""A thread that calls a method at an interval."""

import threading
from types import TracebackType
from typing import Final, Self

_STEPS: Final = 20


class PeriodicThread:
    """Calls `tick` at an interval while the context is open, and `on_stop` at its end.

    Args:
        name: Name of the thread.
        seconds: Interval; the first call comes after one interval.
        patience: Seconds that the end waits for a `tick` under way; default: as long as it lasts.
            After a longer one `on_stop` is not called.
    """

    def __init__(self, name: str, seconds: float, patience: float | None = None) -> None:
        self._patience = patience
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
            self._wait_for_thread()
        if not self._thread.is_alive():
            self.on_stop()

    def _wait_for_thread(self) -> None:
        if self._patience is None:
            self._thread.join()
            return
        # In steps: when the machine has stalled, the thread still gets its turn.
        for _ in range(_STEPS):
            self._thread.join(self._patience / _STEPS)
            if not self._thread.is_alive():
                return

    def _go(self) -> None:
        while not self._end.wait(self._seconds):
            self.tick()

    def tick(self) -> None:
        """Do the work of one interval."""
        raise NotImplementedError

    def on_stop(self) -> None:
        """Do what is left after the last `tick`; by default nothing."""
