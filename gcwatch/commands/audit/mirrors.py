"""Mirrors: receipts compared with their files and with the archive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gcwatch.commands.audit.finding import Finding, Kind, Progress, compare_files
from gcwatch.config import Mirror
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.beneath import SharePath
from gcwatch.mirror.receipts import Held, Receipt, Wanted, compare_listing
from gcwatch.mirror.storage import HiddenFolder, read_mirror_receipt
from gcwatch.outbox.outputs import output_of
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Item

_DIFFERS: Final = "the archive's item has other values than the mirror"


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
    """Given a mirror, compare its receipts with its files, and with the archive's listing.

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
        found += audit.compare_with_archive(items, platform)
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

    def finding(self, mirrored: _MirroredItem, kind: Kind, detail: str = "") -> Finding:
        return Finding(self.where, mirrored.shown, kind, detail, mirrored.receipt.target.item)

    # --- on disk ---------------------------------------------------------------------------------

    def read_items(self) -> list[_MirroredItem]:
        """Return the receipts of the mirror's archive."""
        visible = self.hidden.visible_names()
        if self.settings.layout == "items":
            folders = [(name, self.hidden.folder / name) for name in visible]
            found = [(name, folder / RECEIPT_NAME, folder) for name, folder in folders]
        else:
            found = [("", path, self.hidden.folder) for path in self.hidden.receipt_paths()]
        read_ = ((name, read_mirror_receipt(path), folder) for name, path, folder in found)
        return [
            _MirroredItem(name, receipt, folder)
            for name, receipt, folder in read_
            if receipt is not None and receipt.target.archive == self.settings.archive
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

    # --- the archive -----------------------------------------------------------------------------

    def compare_with_archive(
        self, items: Sequence[_MirroredItem], platform: GrandChallenge
    ) -> Iterator[Finding]:
        """Compare the mirror with the complete listing of the archive."""
        archive = platform.archive(self.settings.archive)
        if archive is None:
            detail = f"this token does not see archive {self.settings.archive} (any more)"
            yield Finding(self.where, "", "unclear", detail)
            return
        listed = [self._wanted(item) for item in platform.items("archive", archive.pk)]
        here = {each.receipt.target.item: each for each in reversed(items)}
        held = {pk: Held(each.name, each.receipt, whole=True) for pk, each in here.items()}
        difference = compare_listing(listed, held)
        if difference.short:
            detail = "the archive looks empty; perhaps the token has lost its right to it"
            yield Finding(self.where, "", "unclear", detail)
        for each in difference.new:
            detail = "it is in the archive, but not in the mirror; the next run downloads it"
            yield Finding(self.where, each.title, "missing", detail, each.item)
        for _, ours in difference.changed:
            yield self.finding(here[ours.item], "different", _DIFFERS)
        for ours in difference.gone:
            if not ours.is_gone:
                detail = "it is in the mirror, but not in the archive; the next run notes it"
                yield self.finding(here[ours.item], "missing", detail)

    def _wanted(self, item: Item) -> Wanted:
        outputs = (output_of(value) for value in item.values)
        flat = self.settings.layout == "flat"
        chosen = tuple(each for each in outputs if each.carrier == "image" or not flat)
        return Wanted(item.pk, item.title, chosen)
