"""Where cases go: one file a kind of target, all with the same three steps."""

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
    """What can be done with a case of one kind."""

    def inspect(self, platform: GrandChallenge, route: Route) -> Inspection:
        """Look at what a route is for, without a folder.

        Raises:
            CannotSend: when the route's inputs don't fit.
            NotYet: when the target can't be seen.
        """

    def plan(self, context: TargetContext, dropped: DroppedFolder) -> Planned:
        """Given a folder, match its files to the target's sockets and check them.

        Raises:
            CannotSend: when the folder is not what the target takes.
            NotYet: when the target can't be seen.
        """

    def submit(self, case: Case, context: TargetContext) -> StepEvents:
        """Given a case whose uploads are complete, yield what leads to its one submission.

        Raises:
            NotYet: when the platform has to be waited for.
            UploadsGone: when the uploads expired before anything used them.
            CannotSend: when the platform does not accept the inputs.
        """

    def poll(self, case: Case, context: TargetContext) -> StepEvents:
        """Given a case that is submitted, ask once what has become of it."""


KINDS: Final[Mapping[Kind, TargetOperations]] = {
    "algorithm": ALGORITHM,
    "reader_study": READER_STUDY,
    "archive": ARCHIVE,
}


def target_for(what: Route | Target) -> TargetOperations:
    """Return what the cases of a route are sent to, or what a planned one is on its way to."""
    return KINDS[what.kind]
