"""Targets: how a case becomes a job, a display set or an archive item, one module for each kind.

Nothing about inboxes, the journal or the daemon may come in: a target gets a case and a context,
and yields events.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from gcwatch.config import Route
from gcwatch.core.case import Case, Target
from gcwatch.core.checklist import StepEvents
from gcwatch.core.events import Planned
from gcwatch.core.kinds import Kind
from gcwatch.platform.client import GrandChallenge
from gcwatch.targets.algorithm import TARGET as ALGORITHM
from gcwatch.targets.archive import TARGET as ARCHIVE
from gcwatch.targets.context import DroppedFolder, Inspection, TargetContext
from gcwatch.targets.reader_study import TARGET as READER_STUDY


class TargetOperations(Protocol):
    """The operations of one kind of target; a case's steps call `plan`, `submit` and `poll`."""

    def inspect(self, platform: GrandChallenge, route: Route) -> Inspection:
        """Given a route, return its target, its sockets and a missing right, without a folder.

        Raises:
            CannotSend: when the route's inputs don't fit.
            NotYet: when the target can't be seen.
        """

    def plan(self, context: TargetContext, dropped: DroppedFolder) -> Planned:
        """Given a folder, match its files to the target's sockets and check them.

        Raises:
            CannotSend: when the folder does not fit the target.
            NotYet: when the target can't be seen.
        """

    def submit(self, case: Case, context: TargetContext) -> StepEvents:
        """Given a case with complete uploads, submit it exactly once; yield events on the way.

        Raises:
            NotYet: when the platform must be waited for.
            UploadsGone: when the uploads expired before they were used.
            CannotSend: when the platform does not accept the inputs.
        """

    def poll(self, case: Case, context: TargetContext) -> StepEvents:
        """Given a submitted case, ask the platform once for its status; yield an event."""


KINDS: Final[Mapping[Kind, TargetOperations]] = {
    "algorithm": ALGORITHM,
    "reader_study": READER_STUDY,
    "archive": ARCHIVE,
}


def target_for(what: Route | Target) -> TargetOperations:
    """Given a route, or the target of a planned case, return the operations of its kind."""
    return KINDS[what.kind]
