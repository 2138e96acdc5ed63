"""Mirrors: receipts compared with their files and with its source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gcwatch.commands.audit.finding import Finding, Kind, Progress, compare_files
from gcwatch.config import Mirror
from gcwatch.core.errors import NotYet
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.reasons import explain
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.beneath import SharePath
from gcwatch.mirrors.receipts import Held, Receipt, compare_listing
from gcwatch.mirrors.source import open_source
from gcwatch.mirrors.storage import HiddenFolder, read_mirror_receipt
from gcwatch.platform.client import GrandChallenge

_DIFFERS: Final = "it has other values on the platform than in the mirror"


@dataclass(frozen=True)
class _MirroredItem:
    """A receipt, the name of its folder ("" in the flat layout), and where its files are."""

    name: str
    receipt: Receipt
    folder: SharePath

    @property
    def shown(self) -> str:
        return self.name or self.receipt.title or self.receipt.target.item


def mirror(
    settings: Mirror, platform: GrandChallenge | None, begun: float, progress: Progress
) -> Iterator[Finding]:
    """Given a mirror, compare its receipts with its files, and with the listing of its source.

    Without a `platform`, only files are compared. Items newer than `begun`, the start of the audit,
    are skipped.

    Raises:
        TokenRefused, Unreachable, NotYet: as `submissions` does.
    """
    audit = _MirrorAudit(settings, HiddenFolder(settings.outbox), begun)
    try:
        items = audit.read_items()
    except OSError as error:
        detail = f"the folder {settings.outbox} can't be read: {error.strerror}"
        yield Finding(audit.where, "", "unclear", detail)
        return
    found = list(audit.find_leftovers())
    for count, mirrored in enumerate(items, 1):
        progress(audit.where, count)
        found += audit.compare_item(mirrored)
    found += audit.find_doubled(items)
    if platform is not None:
        found += audit.compare_with_source(items, platform)
    yield from found
    seen = {each.case for each in found}
    for mirrored in items:
        if mirrored.receipt.target.item not in seen:
            yield audit.finding(mirrored, "agrees")


@dataclass(frozen=True)
class _MirrorAudit:
    """The audit of one mirror."""

    settings: Mirror
    hidden: HiddenFolder
    begun: float

    @property
    def where(self) -> str:
        return f"mirror {self.settings.name}"

    @property
    def noun(self) -> str:
        return KIND_NAMES[self.settings.kind].noun

    def finding(self, mirrored: _MirroredItem, kind: Kind, detail: str = "") -> Finding:
        return Finding(self.where, mirrored.shown, kind, detail, mirrored.receipt.target.item)

    # --- on disk ---------------------------------------------------------------------------------

    def read_items(self) -> list[_MirroredItem]:
        """Return the receipts of what the mirror is a copy of."""
        visible = self.hidden.visible_names()
        if self.settings.layout != "flat":
            folders = [(name, self.hidden.folder / name) for name in visible]
            found = [(name, folder / RECEIPT_NAME, folder) for name, folder in folders]
        else:
            found = [("", path, self.hidden.folder) for path in self.hidden.receipt_paths()]
        read_ = ((name, read_mirror_receipt(path), folder) for name, path, folder in found)
        return [
            _MirroredItem(name, receipt, folder)
            for name, receipt, folder in read_
            if receipt is not None and receipt.target.is_in(self.settings.kind, self.settings.slug)
        ]

    def find_leftovers(self) -> Iterator[Finding]:
        """Yield findings of folders without a receipt and of interrupted updates."""
        for path in self._without_receipt():
            detail = "it is in the mirror without a readable receipt"
            yield Finding(self.where, path.name, "half there", detail)
        if self.hidden.set_aside.is_dir():
            for name in self.hidden.set_aside.list_names():
                detail = "the update to its new content was interrupted; the next run completes it"
                yield Finding(self.where, name, "half there", detail)

    def _without_receipt(self) -> Iterator[SharePath]:
        if self.settings.layout == "flat":
            return
        for name in self.hidden.visible_names():
            path = self.hidden.folder / name
            is_without_receipt = path.is_dir() and read_mirror_receipt(path / RECEIPT_NAME) is None
            if is_without_receipt and path.lstat().st_ctime <= self.begun:
                yield path

    def compare_item(self, mirrored: _MirroredItem) -> Iterator[Finding]:
        """Compare an item's files with its receipt."""
        files = [(file.path, file.size, file.sha256) for file in mirrored.receipt.files()]
        for kind, detail in compare_files(mirrored.folder, files):
            yield self.finding(mirrored, kind, detail)

    def find_doubled(self, items: Sequence[_MirroredItem]) -> Iterator[Finding]:
        """Yield findings of items that are in the mirror more than once."""
        names: dict[str, list[_MirroredItem]] = {}
        for mirrored in items:
            names.setdefault(mirrored.receipt.target.item, []).append(mirrored)
        for some in names.values():
            if len(some) > 1:
                shown = " and ".join(mirrored.shown for mirrored in some)
                yield self.finding(
                    some[0], "doubled", f"it is in the mirror more than once: {shown}"
                )

    # --- the source ------------------------------------------------------------------------------

    def compare_with_source(
        self, items: Sequence[_MirroredItem], platform: GrandChallenge
    ) -> Iterator[Finding]:
        """Compare the mirror with the complete listing of its source."""
        here = {each.receipt.target.item: each for each in reversed(items)}
        held = {pk: Held(each.name, each.receipt, whole=True) for pk, each in here.items()}
        with open_source(self.settings, platform) as source:
            try:
                place = source.find_place()
            except NotYet as error:
                yield Finding(self.where, "", "unclear", explain(error.reason).detail)
                return
            difference = compare_listing(source.list_items(place, held.keys()), held)
        if difference.short:
            detail = f"the {self.noun} looks empty; perhaps the token has lost its right to it"
            yield Finding(self.where, "", "unclear", detail)
        for each in difference.new:
            detail = f"it is in the {self.noun}, but not in the mirror; the next run downloads it"
            yield Finding(self.where, each.title, "missing", detail, each.item)
        for _, ours in difference.changed:
            yield self.finding(here[ours.item], "different", _DIFFERS)
        for ours in difference.gone:
            if not ours.is_gone:
                detail = f"it is in the mirror, but not in the {self.noun}; the next run notes it"
                yield self.finding(here[ours.item], "missing", detail)
