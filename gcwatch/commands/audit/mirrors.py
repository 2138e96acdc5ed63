"""Mirrors: each item's receipt against its files, and all receipts against the archive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gcwatch.commands.audit.finding import Finding, Kind, Progress, compare_files
from gcwatch.config import Mirror
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.mirror.receipts import Held, Receipt, Wanted, compare_listing, parse_receipt
from gcwatch.mirror.storage import HiddenFolder
from gcwatch.outbox.outputs import output_of
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Item

_DIFFERS: Final = "the archive's item holds other values than those that are here"


@dataclass(frozen=True)
class _Paper:
    """A receipt, the name of its folder ("" in the flat layout), and where its files are."""

    name: str
    receipt: Receipt
    folder: Path

    @property
    def shown(self) -> str:
        return self.name or self.receipt.title or self.receipt.target.item


def mirror(
    settings: Mirror, platform: GrandChallenge | None, begun: float, progress: Progress
) -> Iterator[Finding]:
    """Given a mirror, compare its receipts with its files, and with the archive's listing.

    Without a `platform` that is not asked. What came since the audit `begun` is not judged.

    Raises:
        TokenRefused, Unreachable, NotYet: as `submissions` does.
    """
    look = _Look(settings, HiddenFolder(settings.outbox), begun)
    try:
        papers = look.papers()
    except OSError as error:
        detail = f"the folder {settings.outbox} can't be read: {error.strerror}"
        yield Finding(look.where, "", "unclear", detail)
        return
    found = list(look.left_aside())
    for count, paper in enumerate(papers, 1):
        progress(look.where, count)
        found += look.item(paper)
    found += look.doubled(papers)
    if platform is not None:
        found += look.against_archive(papers, platform)
    yield from found
    told = {each.case for each in found}
    for paper in papers:
        if paper.receipt.target.item not in told:
            yield look.finding(paper, "agrees")


@dataclass(frozen=True)
class _Look:
    """One mirror's audit."""

    settings: Mirror
    hidden: HiddenFolder
    begun: float

    @property
    def where(self) -> str:
        return f"mirror {self.settings.name}"

    def finding(self, paper: _Paper, kind: Kind, detail: str = "") -> Finding:
        return Finding(self.where, paper.shown, kind, detail, paper.receipt.target.item)

    # --- on disk ---------------------------------------------------------------------------------

    def papers(self) -> list[_Paper]:
        """Return the receipts of the mirror's archive."""
        visible = self.hidden.visible_names()
        if self.settings.layout == "items":
            folders = [(name, self.settings.outbox / name) for name in visible]
            found = [(name, folder / RECEIPT_NAME, folder) for name, folder in folders]
        else:
            paths = sorted(self.hidden.receipts.glob("*.json"))
            found = [("", path, self.settings.outbox) for path in paths]
        read_ = ((name, _read(path), folder) for name, path, folder in found)
        return [
            _Paper(name, receipt, folder)
            for name, receipt, folder in read_
            if receipt is not None and receipt.target.archive == self.settings.archive
        ]

    def left_aside(self) -> Iterator[Finding]:
        """Tell of folders without a receipt, and of what a cut exchange set aside."""
        for path in self._bare():
            detail = "it stands in the mirror without a receipt that can be read"
            yield Finding(self.where, path.name, "half there", detail)
        if self.hidden.set_aside.is_dir():
            for path in sorted(self.hidden.set_aside.iterdir()):
                detail = "an exchange for its new content was cut; the next run ends it"
                yield Finding(self.where, path.name, "half there", detail)

    def _bare(self) -> Iterator[Path]:
        if self.settings.layout == "flat":
            return
        for name in self.hidden.visible_names():
            path = self.settings.outbox / name
            is_bare = path.is_dir() and _read(path / RECEIPT_NAME) is None
            if is_bare and path.stat().st_ctime <= self.begun:
                yield path

    def item(self, paper: _Paper) -> Iterator[Finding]:
        """Compare an item's files with its receipt."""
        files = [(file.path, file.size, file.sha256) for file in paper.receipt.files()]
        for kind, detail in compare_files(paper.folder, files):
            yield self.finding(paper, kind, detail)

    def doubled(self, papers: Sequence[_Paper]) -> Iterator[Finding]:
        """Tell of items that are here more than once."""
        names: dict[str, list[_Paper]] = {}
        for paper in papers:
            names.setdefault(paper.receipt.target.item, []).append(paper)
        for some in names.values():
            if len(some) > 1:
                shown = " and ".join(paper.shown for paper in some)
                yield self.finding(some[0], "doubled", f"it is here more than once: {shown}")

    # --- the archive -----------------------------------------------------------------------------

    def against_archive(
        self, papers: Sequence[_Paper], platform: GrandChallenge
    ) -> Iterator[Finding]:
        """Compare what is here with what the archive lists, completely."""
        archive = platform.archive(self.settings.archive)
        if archive is None:
            detail = f"this token does not see archive {self.settings.archive} (any more)"
            yield Finding(self.where, "", "unclear", detail)
            return
        listed = [self._wanted(item) for item in platform.items("archive", archive.pk)]
        here = {each.receipt.target.item: each for each in reversed(papers)}
        held = {pk: Held(each.name, each.receipt, whole=True) for pk, each in here.items()}
        difference = compare_listing(listed, held)
        if difference.short:
            detail = "the archive looks empty, which lost rights do, too"
            yield Finding(self.where, "", "unclear", detail)
        for each in difference.new:
            detail = "the archive has it, and it is not here; the next run fetches it"
            yield Finding(self.where, each.title, "missing", detail, each.item)
        for _, ours in difference.changed:
            yield self.finding(here[ours.item], "different", _DIFFERS)
        for ours in difference.gone:
            if not ours.is_gone:
                detail = "it is here, and not in the archive (any more); the next run notes it"
                yield self.finding(here[ours.item], "missing", detail)

    def _wanted(self, item: Item) -> Wanted:
        outputs = (output_of(value) for value in item.values)
        flat = self.settings.layout == "flat"
        chosen = tuple(each for each in outputs if each.carrier == "image" or not flat)
        return Wanted(item.pk, item.title, chosen)


def _read(path: Path) -> Receipt | None:
    try:
        return parse_receipt(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
