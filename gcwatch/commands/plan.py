"""`gcwatch plan`: a dry run that shows what would be sent where, and what would be refused and why.

Every folder is judged as in the daemon (`steps.judgement`), de-identification included. The
bundles are made in a temporary folder, which is emptied after each. Nothing is sent, and nothing
is written into inbox, outbox or state directory.
"""

import math
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gcwatch import targets
from gcwatch.commands.removals import is_asked_for, require_known
from gcwatch.config import Route, Settings
from gcwatch.config.model import Unit
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
from gcwatch.inbox.listing import InboxEntry
from gcwatch.inbox.renames import find_renamed_case
from gcwatch.inbox.unused import unused_reasons
from gcwatch.journal.copies import copied_journal
from gcwatch.journal.journal import Journal
from gcwatch.platform.client import CachingGrandChallenge, GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.file_parts import sha256_state
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
    folders if files are the cases. `unused` says what becomes no case, with names.
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
        with copied_journal(settings) as journal:
            found: list[str] = []
            for route in settings.routes:
                known = _PlannedSoFar.of_route(route, journal)
                planned = _route(route, known, platform, names)
                found += [f"{route.name}/{folder.name}" for folder in planned.folders]
                yield _as_allowed(planned, route, platform)
    finally:
        platform.close()
    require_known(names, found)


@dataclass(frozen=True)
class _PlannedSoFar:
    """What is known of a route: its journal, its latest `cases` by folder, and their content.

    `sent` holds the cases by what they sent, and those that this plan would send; None if nothing
    is compared.
    """

    journal: Journal | None
    cases: Mapping[str, Case]
    sent: dict[str, Case] | None

    @classmethod
    def of_route(cls, route: Route, journal: Journal | None) -> "_PlannedSoFar":
        """Given a route and a copy of the journal, return what is known before the plan."""
        latest = journal.cases(newest=True) if journal else []
        cases = {case.folder: case for case in latest if case.route == route.name}
        if route.duplicates == "send":
            return cls(journal, cases, None)
        stands = (case for case in cases.values() if case.content and not case.gone)
        sent = {one.content: one for one in stands if one.is_open or one.ending == "delivered"}
        return cls(journal, cases, sent)

    def knows(self, pk: str) -> bool:
        """Whether a job or item belongs to a case of the journal."""
        return self.journal is not None and self.journal.knows(pk)

    def find_renamed(self, route: Route, name: str) -> Case | None:
        """Given an entry of the inbox, return the case that it had under another name, or None."""
        return find_renamed_case(route, name, self.journal) if self.journal else None


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


def _route(
    route: Route, known: _PlannedSoFar, platform: GrandChallenge, names: Sequence[str]
) -> RoutePlan:
    planned = RoutePlan(route.name, route.kind, route.target, cases=route.cases)
    box = inbox_of(route)
    try:
        listing = box.list_cases(patience=math.inf)
    except NotYet as error:
        return replace(planned, away=error.reason)
    folders = tuple(
        _folder(entry, route, known, platform)
        for entry in box.select_cases(listing, list(known.cases))
        if is_asked_for(f"{route.name}/{entry.name}", names)
    )
    empty = [folder.name for folder in folders if folder.verdict == "empty"]
    unused = unused_reasons(route.cases, listing, empty)
    return replace(
        planned, folders=folders, loose=listing.loose, links=listing.links, unused=unused
    )


def _folder(
    entry: InboxEntry, route: Route, known: _PlannedSoFar, platform: GrandChallenge
) -> FolderPlan:
    """Given a folder, return what the daemon's next scan would do with it."""
    box, case = inbox_of(route), known.cases.get(entry.name)
    if case and _is_over(case, entry, box):
        return FolderPlan(entry.name, "done", case=case.key, stage=stage(case), reason=case.failure)
    if case and case.is_open and case.inputs is not None:
        reason = case.wait.reason if case.wait else case.failure
        return FolderPlan(entry.name, "under way", case=case.key, stage=stage(case), reason=reason)
    if not box.holds_files(entry.name):
        return FolderPlan(entry.name, "empty")
    is_open = case is not None and case.is_open
    if not is_open and (renamed := known.find_renamed(route, entry.name)):
        verdict: Verdict = "under way" if renamed.is_open else "done"
        return FolderPlan(entry.name, verdict, case=renamed.key, stage=stage(renamed))
    folder = FolderPlan(entry.name, "send", case=case.key if case and is_open else "")
    try:
        return _planned(folder, route, known, platform, case if is_open else None)
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
    folder: FolderPlan,
    route: Route,
    known: _PlannedSoFar,
    platform: GrandChallenge,
    case: Case | None,
) -> FolderPlan:
    """Given a folder without a plan, do everything that comes before its first upload."""
    box = inbox_of(route)
    marked = box.is_marked(folder.name)
    seen = box.snapshot_case(folder.name)
    if seen.copies is not None:
        raise NotYet(copy_reason(seen.copies, (case and case.copying) or time.time()), 0)
    reason = why_incomplete(folder.name, route, marked=marked)
    if reason is not None:
        raise NotYet(reason, 0)
    ours = case or Case(f"{route.name}-{UNKNOWN}", route.name, folder.name, found=0, touched=0)
    ours = replace(ours, seen=seen)
    if adopted := find_earlier_result(ours, route, platform, known.knows):
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
        patient_key=secrets.token_bytes(16),
        is_real=False,
    )
    with tempfile.TemporaryDirectory(prefix="gcwatch-plan-") as spool:
        judgement = judge_folder(asked, context, Path(spool))
        if known.sent is not None:
            _require_new_content(judgement, ours, route, known.sent)
    planned, made = judgement.planned, judgement.bundles
    uploads = tuple(_upload(item, made.get(item.socket, ())) for item in planned.inputs)
    return replace(
        folder,
        parcels=uploads,
        left_out=_left_out(planned.inputs, uploads, files),
        why=planned.why,
        not_taken=planned.not_taken,
        warnings=(
            *judgement.warnings,
            *(reason for each in made.values() for one in each for reason in one.warnings),
        ),
    )


def _require_new_content(
    judgement: Judgement, case: Case, route: Route, sent: dict[str, Case]
) -> None:
    """Raise an error if another folder, one of `sent` (by content), has the same content.

    Otherwise the case becomes one of them: the daemon would send the first of two equal folders.
    """
    planned = judgement.planned
    receipt = inbox_of(route).read_receipt(case.folder)
    content = content_digest(planned.target, planned.inputs, judgement.bundles, _hash_file, receipt)
    twin = sent.setdefault(content, case)
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
