"""The inbox of `gcwatch send`: one case that a person names on the command line."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gcwatch.config import Route
from gcwatch.core.case import Name, Snapshot
from gcwatch.core.errors import NotYet, SourceVanished
from gcwatch.files.beneath import SharePath
from gcwatch.files.patterns import is_ignored
from gcwatch.files.snapshot import SourceFile, take_snapshot
from gcwatch.inbox.layouts import Inbox, inbox_of
from gcwatch.inbox.listing import InboxEntry, InboxListing, dropped_receipt
from gcwatch.inbox.tree import snapshot_folder, source_file, source_files


class SingleCaseRoute(Route, defer_build=True):
    """A route for exactly one case; it is not in any config file.

    The case's name is `folder`. If `whole`, its content is the one folder in `given`; otherwise its
    content is the files in `given`, which may be in different folders. Both are relative to the
    inbox.
    """

    folder: Name
    given: tuple[Name, ...]
    whole: bool


@dataclass(frozen=True)
class SingleCaseInbox(Inbox):
    """An inbox with the one case of a `SingleCaseRoute`; everything else in it is ignored."""

    is_watched: ClassVar[bool] = False

    folder: str = ""
    given: tuple[str, ...] = ()
    whole: bool = True

    def list_cases(self, patience: float = math.inf) -> InboxListing:
        """See `Inbox`."""
        del patience
        try:
            stamp = max(_named(self.root, each).lstat().st_ctime_ns for each in self.given)
        except (OSError, SourceVanished):
            return InboxListing(())
        return InboxListing((InboxEntry(self.folder, stamp),))

    def source_files(self, name: str) -> tuple[SourceFile, ...]:
        """See `Inbox`."""
        del name
        if self.whole:
            return source_files(self.root / self.given[0], self.ignore)
        files = (_source_file(self.root, each) for each in sorted(self.given))
        return tuple(file for file in files if not is_ignored(file.name, self.ignore))

    def snapshot_case(self, name: str, before: Snapshot | None = None) -> Snapshot:
        """See `Inbox`."""
        if self.whole:
            return snapshot_folder(self.root / self.given[0], self.ignore, before)
        files = self.source_files(name)
        return take_snapshot(files, max((file.ctime_ns for file in files), default=0), before)

    def holds_files(self, name: str) -> bool:
        """See `Inbox`."""
        return bool(self.source_files(name))

    def read_receipt(self, name: str) -> Mapping[str, Any]:
        """See `Inbox`."""
        del name
        return dropped_receipt(self.root / self.given[0]) if self.whole else {}


def _named(root: SharePath, name: str) -> SharePath:
    """Return what a person named, as a path without links: a link counts as what it leads to."""
    try:
        return SharePath.of(Path(os.path.realpath(str(root / name), strict=True)))
    except OSError as error:
        raise SourceVanished from error


def _source_file(root: SharePath, name: str) -> SourceFile:
    """Given a file that a person named, return it; SourceVanished if it is gone."""
    try:
        return source_file(_named(root, name), name)
    except NotYet as error:  # the folder around it is empty now
        raise SourceVanished from error


@inbox_of.register
def _(route: SingleCaseRoute) -> Inbox:
    return SingleCaseInbox(
        SharePath(route.inbox),
        tuple(route.ignore),
        folder=route.folder,
        given=route.given,
        whole=route.whole,
    )
