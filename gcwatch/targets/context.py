"""What a target gets from its caller: platform, route, clock, and the dropped folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gcwatch.config import Route
from gcwatch.core.case import Uptime
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.case_table import CaseRow
from gcwatch.files.snapshot import SourceFile
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Socket

HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class TargetContext:
    """What a target needs besides the case.

    `clock` returns seconds since the epoch, `uptime` how long this machine has been on. `knows`
    tells whether a job or item (by pk) belongs to a case already, `active` how many jobs are
    running. `doubt` is for how many seconds the platform may still act on a call whose reply was
    lost.
    """

    platform: GrandChallenge
    route: Route
    clock: Callable[[], float]
    uptime: Callable[[], Uptime]
    knows: Callable[[str], bool]
    active: Callable[[], int]
    doubt: float


@dataclass(frozen=True)
class Inspection:
    """A target's title, the sockets that a route must fill, and a missing right as a reason."""

    title: str
    sockets: tuple[Socket, ...]
    no_right: Reason | None


@dataclass(frozen=True)
class DroppedFolder:
    """A complete folder: its case's key, its name, its files, and its gcwatch.json, if any.

    `again` tells that the case failed before and is sent once more. `pseudonym` is that
    of the table of its route, "" without one. `row` is its row in cases.csv, None without a table.
    """

    key: str
    name: str
    files: Sequence[SourceFile]
    receipt: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    pseudonym: str = ""
    row: CaseRow | None = None
