"""The layouts "items" and "receipts": one folder for each item, with its receipt.

A new item is published by one rename; the folder of a changed item is replaced by a new one.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal

from gcwatch.core.case import Fetched, Output
from gcwatch.core.kinds import Kind
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import take_free_name
from gcwatch.mirrors.receipts import Held, Receipt, Wanted, join_contents
from gcwatch.mirrors.storage import (
    HiddenFolder,
    MakeStaging,
    Names,
    Seal,
    has_files,
    link_or_copy,
    move_to_free_name,
    name_candidates,
    plain_name,
    read_mirror_receipt,
    reuse_files,
)
from gcwatch.outbox import outputs, publish

ITEM_FILE: Final = "item.json"
"""What the platform has of an item, in the layout "receipts"."""


class ItemFolderLayout:
    """The layout "items", with folders named by the items' titles or pks; see `MirrorStorage`.

    `reserved` are names of other files beside them.
    """

    def __init__(
        self,
        hidden: HiddenFolder,
        named_by: Literal["title", "pk"],
        reserved: Iterable[str] = (),
    ) -> None:
        self._hidden = hidden
        self._reserved = reserved
        self._named_by = named_by
        self._names: dict[str, str] = {}

    def list_held(self, kind: Kind, slug: str) -> dict[str, Held]:
        """Return the items on disk by pk; of two folders of one item, the first one counts."""
        found: dict[str, Held] = {}
        for name in self._hidden.visible_names():
            receipt = read_mirror_receipt(self._hidden.folder / name / RECEIPT_NAME)
            if receipt is not None and receipt.target.is_in(kind, slug):
                whole = has_files(self._hidden.folder / name, receipt.files())
                found.setdefault(receipt.target.item, Held(name, receipt, whole))
        return found

    def choose_names(self, wanted: Sequence[tuple[Wanted, Held | None]]) -> None:
        """Choose a name for each new item, in the order of their pks."""
        self._hidden.clear_staging(each for each, _ in wanted)
        names = Names([*self._hidden.visible_names(), *self._reserved])
        for each, held in wanted:
            stem = self._name_stem(each)
            self._names[each.item] = held.name if held else names.take_free(stem, each.item)

    def _name_stem(self, wanted: Wanted) -> str:
        title = wanted.title.strip() if self._named_by == "title" else ""
        return plain_name(title or wanted.item)

    def store_item(self, wanted: Wanted, held: Held | None, make: MakeStaging, seal: Seal) -> None:
        """Fetch the new values of an item into its staging folder, and publish the folder."""
        place = self._hidden.staging_place(wanted)
        staged = place.open()
        fetched = self._bring_files(wanted, held, make(staged))
        name = self._names[wanted.item]
        receipt = seal(name, join_contents(wanted.outputs, fetched))
        if held is not None:
            self._keep_added_files(held, staged)
        publish.seal_folder(staged, receipt.to_json())
        if held is None:
            take_free_name(staged, self._hidden.folder, name)
        else:
            self._hidden.exchange_entry(staged, name)
        place.discard()  # what is left of it is its note

    def _bring_files(
        self, wanted: Wanted, held: Held | None, staging: outputs.Staging
    ) -> list[Fetched]:
        """Bring the files of an item's values into its staging folder; return them."""
        places = outputs.output_paths(wanted.outputs)
        return [
            file
            for output in wanted.outputs
            for file in self._reuse_files(output, places[output.pk], held, staging)
            or staging.fetch_output(output, places[output.pk])
        ]

    def _reuse_files(
        self, output: Output, place: PurePosixPath, held: Held | None, staging: outputs.Staging
    ) -> tuple[Fetched, ...]:
        """Reuse the files of a value that is on disk; return none if they must be fetched."""
        content = held.find_content(output.pk) if held else None
        if held is None or content is None or output.carrier == "value":
            return ()
        return reuse_files(self._hidden.folder / held.name, content, place, staging)

    def _keep_added_files(self, held: Held, staged: SharePath) -> None:
        """Copy files that people added to the old folder to the new one."""
        old = self._hidden.folder / held.name
        ours = {file.path for file in held.receipt.files()} | {RECEIPT_NAME}
        for path in old.walk_files():
            relative = path.relative_to(old)
            target = staged / relative
            if path.is_file() and relative not in ours and not target.exists():
                link_or_copy(path, target)

    def replace_receipt(self, held: Held, receipt: Receipt) -> None:
        """Replace an item's receipt."""
        publish.write_receipt(self._hidden.folder / held.name / RECEIPT_NAME, receipt.to_json())

    def move_item(self, held: Held, target: SharePath) -> None:
        """Move an item's folder to another folder."""
        aside = self._hidden.partial / held.name
        names = name_candidates(held.name, held.item, "")
        move_to_free_name(self._hidden.folder / held.name, target, names, aside)


class ReceiptLayout(ItemFolderLayout):
    """The layout "receipts": what an item holds is written down, and nothing is downloaded."""

    def _bring_files(
        self, wanted: Wanted, held: Held | None, staging: outputs.Staging
    ) -> list[Fetched]:
        """Write what the platform has of an item, if it has anything; no file is of the item."""
        del held
        told = [{"socket": each.socket, "pk": each.pk, "url": each.url} for each in wanted.outputs]
        if told:
            content = {"item": wanted.item, "title": wanted.title, "values": told}
            publish.write_receipt(staging.folder / ITEM_FILE, json.dumps(content, indent=2))
        return []
