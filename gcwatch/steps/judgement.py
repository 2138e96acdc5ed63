"""Judges a folder: what it becomes at its target, or why it can't be sent.

`gcwatch plan`, `gcwatch send` and the daemon ask here and nowhere else, before the first call to
the platform that makes anything: what is refused leaves no upload and no empty item there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from gcwatch import targets
from gcwatch.config import Route
from gcwatch.core.case import Case, Input
from gcwatch.core.errors import CannotSend
from gcwatch.core.events import Planned
from gcwatch.core.reasons import Reason
from gcwatch.core.rules.procedure_format import parse_procedure
from gcwatch.core.rules.region import parse_region
from gcwatch.core.rules.series_rules import ALL_SERIES
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.members import Bundle, SpoolContent
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.bundles.outgoing import file_content, image_content, sanitise_name, set_content
from gcwatch.imaging.deidentification.deidentify import DicomRules
from gcwatch.inbox.case_tables import find_row
from gcwatch.inbox.layouts import inbox_of
from gcwatch.steps.context import StepContext
from gcwatch.steps.pseudonyms import find_pseudonym
from gcwatch.targets import reuse
from gcwatch.targets.context import DroppedFolder, TargetContext
from gcwatch.targets.titles import find_shortened
from gcwatch.targets.upload_quota import LIMIT_UPLOADS


class MakeImageBundle(Protocol):
    """What makes the upload of an image socket, as `bundle.image_bundle` does."""

    def __call__(
        self, files: Sequence[SourceFile], options: BundleOptions, *, spool: Path, stem: str
    ) -> Bundle:
        """Return the upload."""


@dataclass(frozen=True)
class FolderToJudge:
    """A complete folder of an inbox: its case's key and round, its name and its files.

    `pseudonym` is that of a planned case; `secret_key` the key of hashed PatientIDs and UIDs.
    `is_real` is False for a plan, of which nothing is sent.
    """

    key: str
    round: int
    name: str
    files: Sequence[SourceFile]
    pseudonym: str = ""
    secret_key: bytes = field(default=b"", repr=False)
    is_real: bool = True


def folder_of(case: Case, files: Sequence[SourceFile], context: StepContext) -> FolderToJudge:
    """Given a case and its files, return its folder, with what the case has been given."""
    key = context.secret_key()
    return FolderToJudge(case.key, case.round, case.folder, files, case.pseudonym, key)


@dataclass(frozen=True)
class Judgement:
    """A folder that can be sent: its plan, and the bundles of each socket that is uploaded.

    `warnings` are about the folder as a whole; those about its files are in the bundles.
    """

    planned: Planned
    bundles: Mapping[str, tuple[Bundle, ...]]
    warnings: tuple[Reason, ...] = ()


def require_sendable(folder: FolderToJudge, context: TargetContext) -> None:
    """Raise what `judge_folder` would, without writing what would be sent."""
    folder, _, planned = _plan(folder, context)
    for item in planned.inputs:
        if item.is_uploaded:
            outgoing_content(item, folder, context.route)


def judge_folder(
    folder: FolderToJudge,
    context: TargetContext,
    spool: Path,
    make: MakeImageBundle = bundle.image_bundle,
) -> Judgement:
    """Given a folder, match its files to sockets, check them, and make all bundles in *spool*.

    `make` makes those for image sockets.

    Raises:
        CannotSend: when the folder can't be sent as it is.
        NotYet: when the target can't be seen or used.
        SourceChanged: when a file changed since it was listed.
        TryAgain: when the spool can't be written.
    """
    route = context.route
    folder, dropped, planned = _plan(folder, context)
    bundles = make_bundles(planned.inputs, planned.inputs, folder, route, spool, make=make)
    # How many files of a DICOM image set can be de-identified is known only now.
    inputs = tuple(_with_uploads(item, bundles.get(item.socket, ())) for item in planned.inputs)
    _require_few_uploads(bundles)
    named = (reason for made in bundles.values() for each in made for reason in each.not_taken)
    not_taken = tuple({str(reason): reason for reason in named}.values())
    planned = replace(planned, inputs=inputs, pseudonym=folder.pseudonym, not_taken=not_taken)
    item = reuse.item_url(dropped.receipt) if route.source else ""
    planned = replace(planned, row=dropped.row.digest if dropped.row else "", item=item)
    title = planned.target.title
    shortened = find_shortened(route, dropped, title) if title else None
    return Judgement(planned, bundles, (shortened,) if shortened else ())


def _plan(
    folder: FolderToJudge, context: TargetContext
) -> tuple[FolderToJudge, DroppedFolder, Planned]:
    """Match a folder's files to sockets; return the folder with its pseudonym, and its plan."""
    route = context.route
    row = find_row(route, folder.name, settled=folder.is_real)
    folder = replace(folder, pseudonym=find_pseudonym(route, folder.name, folder.files))
    box = inbox_of(route)
    receipt = box.read_receipt(folder.name) if route.reuse else {}
    dropped = DroppedFolder(
        folder.key,
        box.public_name(folder.name),
        folder.files,
        receipt,
        again=folder.round > 1,
        pseudonym=folder.pseudonym,
        row=row,
    )
    return folder, dropped, targets.target_for(route).plan(context, dropped)


def planned_inputs(folder: FolderToJudge, context: TargetContext) -> tuple[Input, ...]:
    """Given a folder, return what its target would get; nothing is prepared.

    Raises as `judge_folder`.
    """
    return _plan(folder, context)[2].inputs


def _with_uploads(item: Input, bundles: Sequence[Bundle]) -> Input:
    return replace(item, uploads=len(bundles)) if bundles else item


def _require_few_uploads(bundles: Mapping[str, Sequence[Bundle]]) -> None:
    count = sum(map(len, bundles.values()))
    if count > LIMIT_UPLOADS:
        raise CannotSend(Reason("set_too_large", {"count": count, "limit": LIMIT_UPLOADS}))


def make_bundles(
    wanted: Iterable[Input],
    inputs: Sequence[Input],
    folder: FolderToJudge,
    route: Route,
    spool: Path,
    *,
    make: MakeImageBundle = bundle.image_bundle,
) -> dict[str, tuple[Bundle, ...]]:
    """Given some of a case's *inputs*, return the bundles of those that are uploaded, by socket.

    Bundles that are in *spool* for the same files are used again. Raises as `judge_folder`.
    """
    made = {}
    for number, item in enumerate(inputs, start=1):
        if item in wanted and item.is_uploaded:
            stem = f"{_public_name(folder, route)}-{folder.round}-{number:02}"
            made[item.socket] = _bundles_of(item, folder, route, spool, stem, make=make)
    return made


def _bundles_of(
    item: Input,
    folder: FolderToJudge,
    route: Route,
    spool: Path,
    stem: str,
    *,
    make: MakeImageBundle,
) -> tuple[Bundle, ...]:
    """Return the bundles of an input: one, or one a file for a DICOM image set."""
    chosen, options = bundle.select_files(folder.files, item.pattern), _options(item, folder, route)
    if item.carrier == "file":
        return (bundle.file_bundle(chosen[0], stem=stem),)
    if item.carrier == "dicom":
        return bundle.dicom_set(chosen, options, spool=spool, stem=stem)
    return (make(chosen, options, spool=spool, stem=stem),)


def outgoing_content(item: Input, folder: FolderToJudge, route: Route) -> SpoolContent:
    """Given an input of a folder, return what goes out of its files, without writing it.

    Raise CannotSend if they can't be sent.
    """
    chosen = bundle.select_files(folder.files, item.pattern)
    if item.carrier == "file":
        return file_content(chosen[0])
    options = _options(item, folder, route)
    if item.carrier == "dicom":
        return set_content(chosen, options, stem="")
    return image_content(chosen, options)


def _options(item: Input, folder: FolderToJudge, route: Route) -> BundleOptions:
    return BundleOptions(
        socket=item.socket,
        pattern=item.pattern,
        deidentify=route.deidentify,
        keep_names=route.names == "keep",
        integrity=route.integrity,
        rules=_dicom_rules(route, folder),
        unscrubbed=route.unscrubbed,
    )


def _dicom_rules(route: Route, folder: FolderToJudge) -> DicomRules:
    own = parse_procedure(route.procedure.read_bytes()) if route.procedure else None
    blank = tuple(map(parse_region, route.blank))
    return DicomRules(
        own,
        route.burned_in,
        blank,
        folder.pseudonym,
        folder.secret_key,
        f"{folder.key}-{folder.round}",
        route.only or ALL_SERIES,
    )


def _public_name(folder: FolderToJudge, route: Route) -> str:
    """Return a case's name on the platform: its key, or the sanitised folder name with the key."""
    if route.names == "opaque":
        return folder.key
    title = inbox_of(route).public_name(folder.name)
    return f"{sanitise_name(title)[:60]}-{folder.key.rpartition('-')[2]}"
