"""What steps work with, and its holder, which can exchange it while steps are under way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gcwatch.config import Route
from gcwatch.core.progress import TransferProgress, no_progress
from gcwatch.core.timing import Pace
from gcwatch.platform.transfer import Transfers
from gcwatch.targets.context import TargetContext
from gcwatch.targets.upload_quota import UploadQuota


@dataclass(frozen=True)
class StepContext:
    """What steps work with: the platform's transfers, the spool, the clock and the quota.

    `knows` tells whether a job or item (its pk) belongs to a case of the journal; `active` how many
    jobs are running.
    """

    transfers: Transfers
    spool: Path
    clock: Callable[[], float]
    knows: Callable[[str], bool]
    active: Callable[[], int]
    quota: UploadQuota
    progress: TransferProgress = field(default=no_progress)

    def for_target(self, route: Route, pace: Pace) -> TargetContext:
        """Return what a target works with."""
        return TargetContext(
            platform=self.transfers.platform,
            route=route,
            clock=self.clock,
            knows=self.knows,
            active=self.active,
            doubt=pace.doubt,
        )


@dataclass
class _Held:
    """A context, and how many steps work with it."""

    context: StepContext
    users: int = 0


class StepContextHolder:
    """The current context; a former one is closed when the last step has left it."""

    def __init__(self, context: StepContext) -> None:
        self._held = _Held(context)
        self._lock = threading.Lock()

    def replace(self, context: StepContext) -> None:
        """Steps that begin from now on work with another context."""
        with self._lock:
            former, self._held = self._held, _Held(context)
        self._close_unused(former)

    @contextmanager
    def use(self) -> Iterator[StepContext]:
        """Work with the current context; it stays open for as long as the block lasts."""
        with self._lock:
            held = self._held
            held.users += 1
        try:
            yield held.context
        finally:
            with self._lock:
                held.users -= 1
            self._close_unused(held)

    def close(self) -> None:
        """Close the current context: no step works any more."""
        self._held.context.transfers.close()

    def _close_unused(self, held: _Held) -> None:
        with self._lock:
            is_over = held is not self._held and not held.users
        if is_over:
            held.context.transfers.close()
