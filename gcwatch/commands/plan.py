"""`gcwatch plan`: a dry run that shows what would be sent where, and what would be refused and why.

Every folder is judged as in the daemon (`steps.judgement`), de-identification included. The
bundles are made in a temporary folder, which is emptied after each. Nothing is sent, and nothing
is written into inbox, outbox or state directory.
"""

import math
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gcwatch import targets
from gcwatch.commands.removals import is_asked_for, require_known
from gcwatch.config import Route, Settings
from gcwatch.config.route_table import Unit
from gcwatch.core.case import Carrier, Case, Input
from gcwatch.core.checklist import stage
from gcwatch.core.errors import CannotSend, CaseError, NotYet, SourceChanged, SourceVanished
from gcwatch.core.kinds import Kind
from gcwatch.core.reasons import Reason
from gcwatch.daemon.waking.uptime import read_uptime
from gcwatch.files.safe_open import Readable
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.members import Bundle
from gcwatch.inbox.layouts import Inbox, inbox_of
from gcwatch.inbox.listing import InboxEntry, InboxListing
from gcwatch.inbox.renames import find_renamed_case
from gcwatch.inbox.unused import unused_reasons
from gcwatch.journal.read_only import ReadOnlyJournal, read_only_journal
from gcwatch.journal.rows import Known
from gcwatch.mirrors.run import MirrorContext, run_mirror
from gcwatch.platform.client import CachingGrandChallenge, GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.file_parts import sha256_state
from gcwatch.platform.transfers import Transfers
from gcwatch.steps.adopt import find_earlier_result
from gcwatch.steps.duplicates import content_digest, twin_error
from gcwatch.steps.judgement import FolderToJudge, Judgement, judge_folder
from gcwatch.steps.settle import copy_reason, why_incomplete
from gcwatch.targets.context import TargetContext

UNKNOWN = "????????"
"""Stands for the random part of a key that does not exist yet."""

Verdict = Literal["send", "refuse", "wait", "under way", "done", "empty"]
"""What would happen to a folder; `under way` and `done` have a case already."""


@dataclass(frozen=True)
class PlannedUpload:
    """What one socket would get: a number of files and bytes, a value, or a reused image."""

    socket: str
    carrier: Carrier
    files: int = 0
    bytes: int = 0
    left_out: int = 0
    is_reused: bool = False


@dataclass(frozen=True)
class FolderPlan:
    """What would happen to one folder of an inbox; its `name` may be a patient's."""

    name: str
    verdict: Verdict
    parcels: tuple[PlannedUpload, ...] = ()  # what programs read in the JSON
    left_out: int = 0
    reason: Reason | None = None
    case: str = ""
    stage: str = ""
    why: str = ""
    warnings: tuple[Reason, ...] = ()
    not_taken: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class RoutePlan:
    """What would happen to a route's inbox; `away` is why it can't be read.

    `kind` is what the `target` is: an algorithm, a reader study or an archive. `cases` is what
    one of the `folders` is: a folder, a file or a series. `loose` counts what is ignored: files, or
    folders if files are the cases. `unused` says what becomes no case, with names. `source` is the
    archive on the platform whose items are the cases, "" for an inbox.
    """

    route: str
    kind: Kind
    target: str
    folders: tuple[FolderPlan, ...] = ()
    loose: int = 0
    links: int = 0
    away: Reason | None = None
    cases: Unit = "folders"
    unused: tuple[Reason, ...] = ()
    source: str = ""

    def count(self, verdict: Verdict) -> int:
        """Return how many folders have this verdict."""
        return sum(folder.verdict == verdict for folder in self.folders)


def plan(settings: Settings, names: Sequence[str] = ()) -> Iterator[RoutePlan]:
    """Given settings, yield what would happen to each route's inbox, or to some folders of it.

    Raises:
        Misused: when one of the folders is in no inbox.
        TokenRefused: when the platform does not take the token.
        Unreachable: when the platform can't be asked.
        StateError: when the journal can't be read.
    """
    platform = CachingGrandChallenge(connect(settings))
    try:
        with read_only_journal(settings) as journal:
            found: list[str] = []
            for route in settings.own_routes:
                planned = _route_as_listed_now(route, journal, platform, names)
                found += [f"{route.name}/{folder.name}" for folder in planned.folders]
                yield _as_allowed(planned, route, platform)
    finally:
        platform.close()
    require_known(names, found)


@dataclass(frozen=True)
class _PlannedSoFar:
    """What is known of a route: the journal, and by content what this plan would send."""

    route: Route
    journal: ReadOnlyJournal
    sent: dict[str, Case] = field(default_factory=dict)

    def known(self, listing: InboxListing) -> Mapping[str, Known]:
        """Given the inbox, return the latest cases of what is in it, by folder."""
        names = [entry.name for entry in listing.cases]
        return self.journal.known(self.route.name, names)

    def case(self, known: Known | None) -> Case | None:
        """Return the case of an entry of the inbox, or None if it has none."""
        return self.journal.case(known.key) if known else None

    def first_with(self, content: str, case: Case) -> Case:
        """Return the first case that sends a content: *case*, if no other one does."""
        if content not in self.sent:
            first = self.journal.first_with_content(self.route.name, content)
            self.sent[content] = first or case
        return self.sent[content]

    def knows(self, pk: str) -> bool:
        """Whether a job or item belongs to a case of the journal."""
        return self.journal.knows(pk)

    def find_renamed(self, name: str) -> Case | None:
        """Given an entry of the inbox, return the case that it had under another name, or None."""
        return find_renamed_case(self.route, name, self.journal)


def _as_allowed(planned: RoutePlan, route: Route, platform: GrandChallenge) -> RoutePlan:
    """Return the plan as this token allows it: without the right, folders would wait."""
    try:
        no_right = targets.target_for(route).inspect(platform, route).no_right
    except CaseError:
        return planned  # each folder has the reason
    if no_right is None:
        return planned
    held = (
        replace(folder, verdict="wait", reason=no_right) if folder.verdict == "send" else folder
        for folder in planned.folders
    )
    return replace(planned, folders=tuple(held))


def _route_as_listed_now(
    route: Route, journal: ReadOnlyJournal, platform: GrandChallenge, names: Sequence[str]
) -> RoutePlan:
    """Plan a route; the archive of a route with a source is listed into a temporary folder."""
    if route.source is None:
        return _route(route, _PlannedSoFar(route, journal), platform, names)
    with tempfile.TemporaryDirectory(prefix="gcwatch-plan-") as folder:
        copy = route.model_copy(update={"inbox": Path(folder) / "items"})
        try:
            _list_source(route, copy, Path(folder), platform)
        except CaseError as error:
            return replace(_no_plan(route), away=error.reason)
        return _route(copy, _PlannedSoFar(copy, journal), platform, names)


def _list_source(route: Route, copy: Route, folder: Path, platform: GrandChallenge) -> None:
    """Bring the receipts of a route's source up to date, in the inbox of a copy of the route."""
    if route.inbox.is_dir():  # so that items keep the names that they have
        shutil.copytree(route.inbox, copy.inbox)
    mirror = copy.source_mirror()
    assert mirror is not None, "only a route with a source is listed"
    with ThreadPoolExecutor(1) as pool:
        run_mirror(mirror, MirrorContext(Transfers(platform, pool), folder, at_once=1, backoff=1.0))


def _no_plan(route: Route) -> RoutePlan:
    source = route.source.archive if route.source else ""
    return RoutePlan(route.name, route.kind, route.target, cases=route.cases, source=source)


def _route(
    route: Route, so_far: _PlannedSoFar, platform: GrandChallenge, names: Sequence[str]
) -> RoutePlan:
    planned = _no_plan(route)
    box = inbox_of(route)
    try:
        listing = box.list_cases(patience=math.inf)
    except NotYet as error:
        return replace(planned, away=error.reason)
    known = so_far.known(listing)
    folders = tuple(
        _folder(entry, so_far, platform, so_far.case(known.get(entry.name)))
        for entry in box.select_cases(listing, known)
        if is_asked_for(f"{route.name}/{entry.name}", names)
    )
    empty = [folder.name for folder in folders if folder.verdict == "empty"]
    unused = unused_reasons(route, listing, empty)
    return replace(
        planned, folders=folders, loose=listing.loose, links=listing.links, unused=unused
    )


def _folder(
    entry: InboxEntry, so_far: _PlannedSoFar, platform: GrandChallenge, case: Case | None
) -> FolderPlan:
    """Given a folder and its latest case, return what the daemon's next scan would do with it."""
    box = inbox_of(so_far.route)
    if case and _is_over(case, entry, box):
        return FolderPlan(entry.name, "done", case=case.key, stage=stage(case), reason=case.failure)
    if case and case.is_open and case.inputs is not None:
        reason = case.wait.reason if case.wait else case.failure
        return FolderPlan(entry.name, "under way", case=case.key, stage=stage(case), reason=reason)
    if not box.holds_files(entry.name):
        return FolderPlan(entry.name, "empty")
    is_open = case is not None and case.is_open
    if not is_open and (renamed := so_far.find_renamed(entry.name)):
        verdict: Verdict = "under way" if renamed.is_open else "done"
        return FolderPlan(entry.name, verdict, case=renamed.key, stage=stage(renamed))
    folder = FolderPlan(entry.name, "send", case=case.key if case and is_open else "")
    try:
        return _planned(folder, so_far, platform, case if is_open else None)
    except CannotSend as error:
        return replace(folder, verdict="refuse", reason=error.reason)
    except CaseError as error:
        return replace(folder, verdict="wait", reason=error.reason)
    except (SourceChanged, SourceVanished):
        return replace(folder, verdict="wait")


def _is_over(case: Case, entry: InboxEntry, box: Inbox) -> bool:
    """Whether the folder's case is closed; a folder that was removed and dropped again is new."""
    stamp = case.seen.stamp if case.seen else 0
    return not case.is_open and not (case.gone and box.has_changed(stamp, entry.stamp))


def _planned(
    folder: FolderPlan, so_far: _PlannedSoFar, platform: GrandChallenge, case: Case | None
) -> FolderPlan:
    """Given a folder without a plan, do everything that comes before its first upload."""
    route, box = so_far.route, inbox_of(so_far.route)
    marked = box.is_marked(folder.name)
    seen = box.snapshot_case(folder.name)
    if seen.copies is not None:
        raise NotYet(copy_reason(seen.copies, (case and case.copying) or time.time()), 0)
    reason = why_incomplete(folder.name, route, marked=marked)
    if reason is not None:
        raise NotYet(reason, 0)
    ours = case or Case(f"{route.name}-{UNKNOWN}", route.name, folder.name, found=0, touched=0)
    ours = replace(ours, seen=seen)
    if adopted := find_earlier_result(ours, route, platform, so_far.knows):
        return replace(folder, verdict="done", case=adopted.receipt, stage="delivered")
    files = box.source_files(folder.name)
    # Only a submission asks for other cases and jobs, and a plan submits nothing.
    context = TargetContext(
        platform, route, time.time, read_uptime, lambda _: False, lambda: 0, doubt=0
    )
    asked = FolderToJudge(
        ours.key,
        ours.round,
        folder.name,
        files,
        secret_key=secrets.token_bytes(16),
        is_real=False,
    )
    with tempfile.TemporaryDirectory(prefix="gcwatch-plan-") as spool:
        judgement = judge_folder(asked, context, Path(spool))
        if route.duplicates != "send":
            _require_new_content(judgement, ours, so_far)
    planned, made = judgement.planned, judgement.bundles
    uploads = tuple(_upload(item, made.get(item.socket, ())) for item in planned.inputs)
    return replace(
        folder,
        parcels=uploads,
        left_out=0 if route.source else _left_out(planned.inputs, uploads, files),
        why=planned.why,
        not_taken=planned.not_taken,
        warnings=(
            *judgement.warnings,
            *(reason for each in made.values() for one in each for reason in one.warnings),
        ),
    )


def _require_new_content(judgement: Judgement, case: Case, so_far: _PlannedSoFar) -> None:
    """Raise an error if another folder has the same content: the daemon sends the first of them."""
    planned = judgement.planned
    receipt = inbox_of(so_far.route).read_receipt(case.folder)
    content = content_digest(planned.target, planned.inputs, judgement.bundles, _hash_file, receipt)
    twin = so_far.first_with(content, case)
    if twin.folder != case.folder and not case.even_if_same:
        raise twin_error(twin, 0)


def _hash_file(file: Readable, size: int) -> str:
    return sha256_state(file, threading.Event(), size).hexdigest()


def _upload(item: Input, made: Sequence[Bundle]) -> PlannedUpload:
    return PlannedUpload(
        item.socket,
        item.carrier,
        sum(each.files for each in made),
        sum(each.size for each in made),
        sum(each.left_out for each in made),
        is_reused=bool(item.image),
    )


def _left_out(
    inputs: Sequence[Input], uploads: Sequence[PlannedUpload], files: Sequence[SourceFile]
) -> int:
    """Return how many of a folder's files no input takes, by its pattern or by their content."""
    taken = {
        file.name
        for item in inputs
        if item.pattern
        for file in bundle.select_files(files, item.pattern)
    }
    return len(files) - len(taken) + sum(upload.left_out for upload in uploads)
