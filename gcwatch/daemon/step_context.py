"""What steps work with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gcwatch.config import Route
from gcwatch.core.progress import TransferProgress, no_progress
from gcwatch.core.timing import Pace
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.transfers import Transfers
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

    @property
    def platform(self) -> GrandChallenge:
        """The platform that cases are sent to."""
        return self.transfers.platform

    def for_target(self, route: Route, pace: Pace) -> TargetContext:
        """Return what a target works with."""
        return TargetContext(
            platform=self.platform,
            route=route,
            clock=self.clock,
            knows=self.knows,
            active=self.active,
            doubt=pace.doubt,
        )
