"""A folder of patients' folders, given to `gcwatch send`: what is in it, and that it is no case."""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gcwatch.core.errors import CannotSend, CaseError, Misused, SourceChanged, SourceVanished
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import count_noun, printable_name
from gcwatch.daemon.waking.uptime import read_uptime
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.images import recognise_images
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.listing import InboxListing, holds_files, list_folders
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.platform.client import GrandChallenge
from gcwatch.steps.judgement import FolderToJudge, require_sendable
from gcwatch.targets.context import TargetContext

_SHOWN: Final = 3
"""Folders that are named in a sentence."""


@dataclass(frozen=True)
class ParentFolder:
    """A folder whose folders are cases: their paths, and in words what else it holds, or ""."""

    path: Path
    folders: tuple[Path, ...]
    left_out: str = ""


class SeveralCases(Misused):
    """A folder can't be sent as one case, but the folders in it could be cases of their own.

    `parents` are these folders; `paths` is all that was to be sent, with their folders in place of
    them.
    """

    def __init__(
        self, parents: Sequence[ParentFolder], paths: Sequence[Path], reason: Reason
    ) -> None:
        first = parents[0]
        name, words = printable_name(first.path.name), explain(reason)
        super().__init__(
            f"{name} holds {count_noun(len(first.folders), 'folder')} ({_some(first.folders)}). "
            f"It can't be sent as one case: {words.plain}",
            "To send each of its folders as a case of its own, use the same command with --each.",
        )
        self.parents = tuple(parents)
        self.paths = tuple(paths)


def _some(folders: Sequence[Path]) -> str:
    names = [printable_name(folder.name) for folder in folders[:_SHOWN]]
    return ", ".join([*names, *["…"] * (len(folders) > _SHOWN)])


def read_parent(path: Path, ignore: Sequence[str] = ()) -> ParentFolder:
    """Given a folder, return the folders in it that hold files; raise Misused if there is none."""
    listing = _list(path, ignore)
    found = [each.name for each in listing.cases]
    full = [name for name in found if holds_files(SharePath(path, name), ignore)]
    if not full:
        message = f"{printable_name(path.name)} holds no folder with files."
        raise Misused(message, "Without --each, it is sent as one case.")
    others = (
        (len(found) - len(full), "empty folder"),
        (listing.loose, "file"),
        (listing.links, "link"),
    )
    told = " and ".join(count_noun(count, noun) for count, noun in others if count)
    left_out = f"Not sent from {printable_name(path.name)}: {told}." if told else ""
    return ParentFolder(path, tuple(path / name for name in full), left_out)


def _list(path: Path, ignore: Sequence[str]) -> InboxListing:
    try:
        return list_folders(SharePath(path), ignore)
    except CaseError as error:
        words = explain(error.reason)
        raise Misused(f"{printable_name(str(path))}: {words.detail}", words.hint) from error


def find_parents(routes: Sequence[SingleCaseRoute]) -> Iterator[SingleCaseRoute]:
    """Yield the routes of folders that hold several folders, and no image beside them."""
    for route in routes:
        if route.whole and len(_list(_path(route), route.ignore).cases) > 1:
            yield route


def require_cases(
    routes: Sequence[SingleCaseRoute],
    suspects: Sequence[SingleCaseRoute],
    platform: GrandChallenge,
) -> None:
    """Given what is to be sent, raise SeveralCases if some folders are parents of cases.

    A patient's folder with several folders is none, if it can be sent as it is.
    """
    refused = {
        _path(route): reason for route in suspects if (reason := _why_refused(route, platform))
    }
    if not refused:
        return
    parents = [read_parent(path, routes[0].ignore) for path in refused]
    inside = {parent.path: parent.folders for parent in parents}
    paths = [
        path for route in routes for each in _paths(route) for path in inside.get(each, [each])
    ]
    raise SeveralCases(parents, paths, next(iter(refused.values())))


def _path(route: SingleCaseRoute) -> Path:
    return route.inbox / route.given[0]


def _paths(route: SingleCaseRoute) -> Sequence[Path]:
    return [route.inbox / each for each in route.given]


def _why_refused(route: SingleCaseRoute, platform: GrandChallenge) -> Reason | None:
    """Return why a folder can't be sent as one case, if it has no image directly in it."""
    # Only a submission asks for other cases and jobs.
    context = TargetContext(
        platform, route, time.time, read_uptime, lambda _: False, lambda: 0, doubt=0
    )
    try:
        files = inbox_of(route).source_files(route.folder)
        key = secrets.token_bytes(16)
        asked = FolderToJudge("", 1, route.folder, files, secret_key=key, is_real=False)
        require_sendable(asked, context)
    except CannotSend as error:
        refused = error.reason
    except (CaseError, SourceChanged, SourceVanished):
        return None  # the work itself tells
    else:
        return None
    beside = [file for file in files if "/" not in file.name]
    try:
        has_images = bool(beside) and bool(recognise_images(beside)[0])
    except (CannotSend, SourceChanged):
        has_images = True
    return None if has_images else refused
