"""What steps work with, and two things that several of them do with it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gcwatch.config import Route
from gcwatch.core.case import Case, Uptime
from gcwatch.core.progress import TransferProgress, no_progress
from gcwatch.core.timing import Pace
from gcwatch.imaging.bundles.several import SeveralBundles
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.transfers import Moved, Transfers
from gcwatch.targets.context import TargetContext
from gcwatch.targets.upload_quota import UploadQuota


@dataclass(frozen=True)
class StepContext:
    """What steps work with: the platform's transfers, the spool, the clock, the quota, and bundles.

    `clock` returns seconds since the epoch, `uptime` how long this machine has been on. `knows`
    tells whether a job or item (its pk) belongs to a case of the journal; `active` how many jobs
    are running; `twin` which earlier case sends or sent the same content as a case;
    `may_have_twin` whether there can be one, which is known before the content.
    `secret_key` returns the key of hashed PatientIDs and of new UIDs, which is never sent.
    """

    transfers: Transfers
    spool: Path
    clock: Callable[[], float]
    uptime: Callable[[], Uptime]
    knows: Callable[[str], bool]
    active: Callable[[], int]
    twin: Callable[[Case], Case | None]
    may_have_twin: Callable[[Case], bool]
    quota: UploadQuota
    bundles: SeveralBundles
    secret_key: Callable[[], bytes]
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
            uptime=self.uptime,
            knows=self.knows,
            active=self.active,
            doubt=pace.doubt,
        )


def spool_folder(case: Case, context: StepContext) -> Path:
    """Return where the bundles of a case's round are kept until they are sent."""
    return context.spool / f"{case.key}-{case.round}"


@contextmanager
def counted_transfer(key: str, total: int, context: StepContext) -> Generator[Moved, None, None]:
    """Yield a function that counts a transfer's bytes for `status`, until the block ends."""
    count = 0

    def moved(more: int) -> None:
        nonlocal count
        count += more
        context.progress(key, count, total)

    try:
        yield moved
    finally:
        context.progress(key, 0, 0)
