"""What targets work with: the platform, the route, the clock, and the folder that was dropped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gcwatch.config import Route
from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Socket

HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class TargetContext:
    """What a target works with.

    `knows` tells whether a job or item is some case's already, `active` how many jobs are running;
    `doubt` is for how many seconds the platform may still act on a call whose reply was lost.
    """

    platform: GrandChallenge
    route: Route
    clock: Callable[[], float]
    knows: Callable[[str], bool]
    active: Callable[[], int]
    doubt: float


@dataclass(frozen=True)
class Inspection:
    """What a target is called, the sockets that it asks a route for, and why we may not use it."""

    title: str
    sockets: tuple[Socket, ...]
    no_right: Reason | None


@dataclass(frozen=True)
class DroppedFolder:
    """A folder that has settled: its case's key, its name, its files, and its receipt, if any.

    `again` once it was sent before and failed.
    """

    key: str
    name: str
    files: Sequence[SourceFile]
    receipt: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
