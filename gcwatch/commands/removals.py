"""`gcwatch plan --show-removed`: what would be removed, replaced and kept of each file.

Every file is prepared as for the platform, written to a temporary file, and compared with its
original (`imaging.inventory`). Nothing is sent, and nothing is written elsewhere.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gcwatch import targets
from gcwatch.config import Column, Constant, Glob, JsonFile, Route, Settings
from gcwatch.core.case import Carrier, Input
from gcwatch.core.errors import (
    CannotSend,
    CaseError,
    Misused,
    NotYet,
    SourceChanged,
    SourceVanished,
)
from gcwatch.core.progress import no_progress
from gcwatch.core.reasons import Reason
from gcwatch.core.rules.region import Region, parse_region
from gcwatch.daemon.waking.uptime import read_uptime
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles.bundle import select_files
from gcwatch.imaging.bundles.members import Member
from gcwatch.imaging.dicom.headers import read_header
from gcwatch.imaging.inventory.files import FileChanges, compare_files
from gcwatch.imaging.inventory.parts import Change
from gcwatch.inbox.layouts import Inbox, inbox_of
from gcwatch.journal.read_only import read_only_journal
from gcwatch.platform.client import CachingGrandChallenge, GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.steps.judgement import FolderToJudge, outgoing_content
from gcwatch.steps.pseudonyms import example_key, find_pseudonym
from gcwatch.targets.context import DroppedFolder, TargetContext

Progress = Callable[[str, int, int], None]
"""Called with a case, as `route/name`, which of its files is compared now, and of how many."""

WhyNotSent = Literal["no input asks for it", "it is no part of the image", "label of a slide"]


@dataclass(frozen=True)
class FileGroup:
    """Files of one socket to which the same happens; `changes` have the values of the first.

    `refused` is why none of them can be sent.
    """

    socket: str
    carrier: Carrier
    form: str
    names: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    refused: Reason | None = None


@dataclass(frozen=True)
class FolderRemovals:
    """What would happen to the files of one case: groups of them, and those that stay here.

    `refused` is why nothing of the folder would be sent. `values` are the sockets that get a JSON
    value, `reused` those that get an image that is on the platform already.
    """

    route: str
    name: str
    groups: tuple[FileGroup, ...] = ()
    not_sent: Mapping[str, WhyNotSent] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()
    refused: Reason | None = None


def require_known(names: Sequence[str], found: Sequence[str]) -> None:
    """Raise Misused if a folder was asked for that is in no inbox."""
    for name in names:
        if not any(is_asked_for(each, [name]) for each in found):
            raise Misused(f"There is no {name} in an inbox.", "gcwatch plan lists the folders.")


def is_asked_for(case: str, names: Sequence[str]) -> bool:
    """Whether a case, as `route/name`, is one of those that were asked for; all are without names.

    Each name is that of a folder, with or without its route; of a patient's folder with several
    series it means all of them.
    """
    plain = case.partition("/")[2]
    asked = [name.rstrip("/") for name in names]
    return not names or any(
        each == name or each.startswith(f"{name}/") for each in (case, plain) for name in asked
    )


def show_removals(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    offline: bool = False,
    progress: Progress = no_progress,
) -> Iterator[FolderRemovals]:
    """Given settings and the names of folders, yield what would happen to the files of each.

    Without names, of all folders. With `offline` the platform is not asked what a socket takes:
    it takes what it took in the latest case, or else an image.

    Raises:
        Misused: when a folder is in no inbox.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        StateError: when the journal can't be read.
    """
    found: list[str] = []
    platform = None if offline else CachingGrandChallenge(connect(settings))
    try:
        for route in settings.routes:
            carriers = _known_carriers(settings, route) if offline else {}
            look = _Look(route, platform, carriers, example_key(settings), progress)
            for name in look.list_names():
                if is_asked_for(f"{route.name}/{name}", names):
                    found.append(f"{route.name}/{name}")
                    yield look.at(name)
    finally:
        if platform is not None:
            platform.close()
    require_known(names, found)


def _known_carriers(settings: Settings, route: Route) -> dict[str, Carrier]:
    """Return what each socket of a route took in its latest case."""
    with read_only_journal(settings) as journal:
        for case in journal.latest_cases(route.name):
            same = case.target and (case.target.kind, case.target.slug) == (
                route.kind,
                route.target,
            )
            if case.inputs and same:
                return {each.socket: each.carrier for each in case.inputs}
    return {}


@dataclass(frozen=True)
class _Look:
    """Looks at the folders of one route; without a platform, by what sockets took before."""

    route: Route
    platform: GrandChallenge | None
    carriers: Mapping[str, Carrier]
    secret_key: bytes
    progress: Progress

    @property
    def box(self) -> Inbox:
        return inbox_of(self.route)

    def list_names(self) -> list[str]:
        try:
            listing = self.box.list_cases(patience=math.inf)
        except NotYet:
            return []
        return [entry.name for entry in listing.cases if self.box.holds_files(entry.name)]

    def at(self, name: str) -> FolderRemovals:
        """Return what would happen to the files of a case."""
        nothing = FolderRemovals(self.route.name, name)
        self.progress(f"{self.route.name}/{name}", 0, 0)
        try:
            files = self.box.source_files(name)
            pseudonym = find_pseudonym(self.route, name, files)
            folder = FolderToJudge("", 1, name, files, pseudonym, self.secret_key)
            return self._compare(nothing, folder, self._inputs(name, files))
        except CaseError as error:
            return replace(nothing, refused=error.reason)
        except (SourceChanged, SourceVanished):
            return replace(nothing, refused=Reason("being_written"))

    def _inputs(self, name: str, files: Sequence[SourceFile]) -> Sequence[Input]:
        if self.platform is None:
            return list(self._guess_inputs(files))
        receipt = self.box.read_receipt(name) if self.route.reuse else {}
        dropped = DroppedFolder(
            f"{self.route.name}-????????", self.box.public_name(name), files, receipt
        )
        context = TargetContext(
            self.platform, self.route, time.time, read_uptime, lambda _: False, lambda: 0, doubt=0
        )
        return targets.target_for(self.route).plan(context, dropped).inputs

    def _guess_inputs(self, files: Sequence[SourceFile]) -> Iterator[Input]:
        """Yield what each socket gets, as far as the config and the folder tell."""
        if self.route.inputs is None:
            [(socket, carrier)] = list(self.carriers.items())[:1] or [("image", "image")]
            yield Input(socket, carrier, "**/*")
            return
        for socket, source in self.route.inputs.items():
            match source:
                case Constant() | Column():
                    yield Input(socket, "value")
                case JsonFile(pattern):
                    yield Input(socket, "value", pattern)
                case Glob(pattern):
                    if source.optional and not select_files(files, pattern):
                        continue
                    yield Input(socket, self.carriers.get(socket, "image"), pattern)
                case _:
                    yield Input(socket, "image", image="unknown")

    def _compare(
        self, nothing: FolderRemovals, folder: FolderToJudge, inputs: Sequence[Input]
    ) -> FolderRemovals:
        groups: list[FileGroup] = []
        files = folder.files
        used: set[str] = set()
        asked: set[str] = set()
        for item in inputs:
            chosen = select_files(files, item.pattern) if item.pattern else ()
            asked.update(file.name for file in chosen)
            if not item.is_uploaded:
                used.update(file.name for file in chosen)
                continue
            if not chosen:
                facts = {"socket": item.socket, "pattern": item.pattern}
                raise CannotSend(Reason("missing_file", facts))
            made = self._compare_input(item, folder, len(chosen))
            groups += made
            used.update(name for group in made for name in group.names)
        return replace(
            nothing,
            groups=tuple(groups),
            not_sent={
                file.name: self._why_not_sent(file, asked)
                for file in files
                if file.name not in used
            },
            values=tuple(item.socket for item in inputs if item.carrier == "value"),
            reused=tuple(item.socket for item in inputs if item.image),
        )

    def _compare_input(self, item: Input, folder: FolderToJudge, count: int) -> list[FileGroup]:
        try:
            content = outgoing_content(item, folder, self.route)
        except CannotSend as error:
            is_other = error.reason.code == "no_image" and count == 1
            if not (is_other and self.platform is None and item.socket not in self.carriers):
                raise
            item = replace(item, carrier="file")
            content = outgoing_content(item, folder, self.route)
        blank = tuple(map(parse_region, self.route.blank)) if self.route.deidentify else ()
        groups: dict[object, FileGroup] = {}
        for number, member in enumerate(content.members, start=1):
            self.progress(f"{self.route.name}/{folder.name}", number, len(content.members))
            made: FileChanges | Reason
            try:
                made = _compare_member(member, blank)
            except CannotSend as error:
                made = error.reason
            _add_to_groups(groups, item, member.file.name, made)
        return list(groups.values())

    @staticmethod
    def _why_not_sent(file: SourceFile, asked: set[str]) -> WhyNotSent:
        if file.name not in asked:
            return "no input asks for it"
        with open_unchanged(file) as stream:
            header = read_header(stream)
        return "label of a slide" if header and header.is_label else "it is no part of the image"


def _compare_member(member: Member, blank: Sequence[Region]) -> FileChanges:
    """Write one file as it would go out, and compare it with its original."""
    with open_unchanged(member.file) as original, tempfile.TemporaryFile() as copy:
        member.prepare(original).write(original, copy)
        return compare_files(original, copy, blank)


def _add_to_groups(
    groups: dict[object, FileGroup], item: Input, name: str, made: FileChanges | Reason
) -> None:
    if isinstance(made, Reason):
        key: object = (made.code, str(made.facts))
        group = FileGroup(item.socket, item.carrier, "", (), refused=made)
    else:
        key = (made.form, *((each.place, each.action, each.by) for each in made.changes))
        group = FileGroup(item.socket, item.carrier, made.form, (), made.changes)
    before = groups.get(key, group)
    groups[key] = replace(before, names=(*before.names, name))
