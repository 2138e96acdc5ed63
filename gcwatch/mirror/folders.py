"""The layout "items": one folder an item, laid out as results are, with its receipt in it.

An item appears by one rename; one that changed is exchanged for its new folder.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from gcwatch.core.case import Fetched, Output
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.names import take_free_name
from gcwatch.mirror.receipts import Held, Receipt, Wanted, contents, read
from gcwatch.mirror.storage import (
    HiddenFolder,
    MakeStaging,
    Names,
    Seal,
    candidates,
    carry,
    has,
    plain,
    reuse,
    take_over,
)
from gcwatch.outbox import outputs, publish


class ItemFolderLayout:
    """A shelf of folders, named by the items' titles or by their pks."""

    def __init__(self, places: HiddenFolder, named_by: Literal["title", "pk"]) -> None:
        self._places = places
        self._named_by = named_by
        self._names: dict[str, str] = {}

    def held(self, archive: str) -> dict[str, Held]:
        """Return the items that are here; of two folders with one item the first one counts."""
        found: dict[str, Held] = {}
        for name in self._places.visible():
            receipt = _receipt(self._places.folder / name)
            if receipt is not None and receipt.target.archive == archive:
                whole = has(self._places.folder / name, receipt.files())
                found.setdefault(receipt.target.item, Held(name, receipt, whole))
        return found

    def prepare(self, wanted: Sequence[tuple[Wanted, Held | None]]) -> None:
        """Give every new item a name, in the order of their pks; the first one of two wins."""
        self._places.clear(each for each, _ in wanted)
        names = Names(self._places.visible())
        for each, held in wanted:
            stem = self._stem(each)
            self._names[each.item] = held.name if held else names.take(stem, each.item)

    def _stem(self, wanted: Wanted) -> str:
        title = wanted.title.strip() if self._named_by == "title" else ""
        return plain(title or wanted.item)

    def store(self, wanted: Wanted, held: Held | None, make: MakeStaging, seal: Seal) -> None:
        """Fetch what is new of an item into its staging folder, and publish that."""
        staged = self._places.staged(wanted)
        staged.mkdir(mode=0o750, exist_ok=True)
        staging = make(staged)
        places = outputs.output_places(wanted.outputs)
        fetched = [
            file
            for output in wanted.outputs
            for file in self._taken_over(output, places[output.pk], held, staging)
            or staging.bring(output, places[output.pk])
        ]
        name = self._names[wanted.item]
        receipt = seal(name, contents(wanted.outputs, fetched))
        if held is not None:
            self._keep_what_people_added(held, staged)
        publish.seal_folder(staged, receipt.text())
        if held is None:
            take_free_name(staged, self._places.folder, name)
        else:
            self._places.exchange(staged, name)

    def _taken_over(
        self, output: Output, place: PurePosixPath, held: Held | None, staging: outputs.Staging
    ) -> tuple[Fetched, ...]:
        """Return the files of a value that had not changed; none if they are not as they were."""
        content = held.content(output.pk) if held else None
        if held is None or content is None or output.carrier == "value":
            return ()
        return reuse(self._places.folder / held.name, content, place, staging)

    def _keep_what_people_added(self, held: Held, staged: Path) -> None:
        """Files of the old folder that are none of ours are taken along."""
        old = self._places.folder / held.name
        ours = {file.path for file in held.receipt.files()} | {RECEIPT_NAME}
        for path in old.rglob("*"):
            relative = path.relative_to(old)
            target = staged / relative
            if path.is_file() and str(relative) not in ours and not os.path.lexists(target):
                take_over(path, target)

    def note(self, held: Held, receipt: Receipt) -> None:
        """Replace an item's receipt."""
        publish.write_receipt(self._places.folder / held.name / RECEIPT_NAME, receipt.text())

    def move(self, held: Held, target: Path) -> None:
        """Move an item's folder out."""
        aside = self._places.partial / held.name
        names = candidates(held.name, held.item, "")
        carry(self._places.folder / held.name, target, names, aside)


def _receipt(folder: Path) -> Receipt | None:
    try:
        return read((folder / RECEIPT_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
