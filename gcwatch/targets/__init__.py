"""Where cases go: one file a kind of target, all with the same three steps."""

from collections.abc import Mapping
from typing import Final, Protocol

from gcwatch import cases
from gcwatch.cases import Case, Kind, Planned
from gcwatch.config import Route
from gcwatch.grandchallenge import GrandChallenge
from gcwatch.steps import Work
from gcwatch.targets.algorithm import TARGET as ALGORITHM
from gcwatch.targets.archive import TARGET as ARCHIVE
from gcwatch.targets.context import Context, Dropped, Inspection
from gcwatch.targets.reader_study import TARGET as READER_STUDY


class Target(Protocol):
    """What can be done with a case of one kind."""

    def inspect(self, platform: GrandChallenge, route: Route) -> Inspection:
        """Look at what a route is for, without a folder.

        Raises:
            CannotSend: when the route's inputs don't fit.
            NotYet: when the target can't be seen.
        """

    def plan(self, context: Context, dropped: Dropped) -> Planned:
        """Given a folder, match its files to the target's sockets and check them.

        Raises:
            CannotSend: when the folder is not what the target takes.
            NotYet: when the target can't be seen.
        """

    def submit(self, case: Case, context: Context) -> Work:
        """Given a case whose uploads are complete, yield what leads to its one submission.

        Raises:
            NotYet: when the platform has to be waited for.
            UploadsGone: when the uploads expired before anything used them.
            CannotSend: when the platform does not accept the inputs.
        """

    def poll(self, case: Case, context: Context) -> Work:
        """Given a case that is submitted, ask once what has become of it."""


KINDS: Final[Mapping[Kind, Target]] = {
    "algorithm": ALGORITHM,
    "reader_study": READER_STUDY,
    "archive": ARCHIVE,
}


def of(what: Route | cases.Target) -> Target:
    """Return what the cases of a route are sent to, or what a planned one is on its way to."""
    return KINDS[what.kind]
