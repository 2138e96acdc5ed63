"""The layout "flat": all images in one folder under their names, receipts in the hidden folder.

An image of several files (DICOM instances, a header with its voxels) is a folder, since its files
refer to each other by name. The receipt is written first, so that an image keeps its name; then
each image is published by one rename. If a file of a receipt does not exist, its item is fetched
again.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from gcwatch.core.case import Fetched, Output
from gcwatch.core.kinds import Kind
from gcwatch.files.atomic import FOLDER_MODE, let_group_read, sync_tree
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import remove_tree
from gcwatch.mirrors.receipts import Content, File, Held, Receipt, Wanted
from gcwatch.mirrors.storage import (
    HIDDEN,
    HiddenFolder,
    MakeStaging,
    Names,
    Seal,
    has_files,
    move_to_free_name,
    name_candidates,
    plain_name,
    read_mirror_receipt,
)
from gcwatch.outbox import publish
from gcwatch.outbox.outputs import Staging
from gcwatch.platform.models import Image


@dataclass(frozen=True)
class _Arrival:
    """A fetched image in its staging folder, its future name, and its entry in the receipt."""

    staged: SharePath
    name: str
    content: Content


class FlatLayout:
    """The layout "flat"; see `MirrorStorage`."""

    def __init__(self, hidden: HiddenFolder) -> None:
        self._hidden = hidden
        self._names = Names(())
        self._lock = threading.Lock()

    def list_held(self, kind: Kind, slug: str) -> dict[str, Held]:
        """Return the items on disk by pk."""
        receipts = map(read_mirror_receipt, self._hidden.receipt_paths())
        return {
            receipt.target.item: Held("", receipt, self._is_whole(receipt))
            for receipt in receipts
            if receipt is not None and receipt.target.is_in(kind, slug)
        }

    def _is_whole(self, receipt: Receipt) -> bool:
        return not receipt.superseded and has_files(self._hidden.folder, receipt.files())

    def choose_names(self, wanted: Sequence[tuple[Wanted, Held | None]]) -> None:
        """Collect the names that are taken, on disk or in receipts."""
        self._hidden.clear_staging(each for each, _ in wanted)
        held = [ours.receipt for _, ours in wanted if ours is not None]
        promised = (name for receipt in held for name in _entry_names(receipt.outputs))
        self._names = Names([*self._hidden.visible_names(), *promised])

    def store_item(self, wanted: Wanted, held: Held | None, make: MakeStaging, seal: Seal) -> None:
        """Fetch the images of an item that are not on disk, and publish each by a rename."""
        place = self._hidden.staging_place(wanted)
        staged = place.open()
        staging = make(staged)
        arrivals, contents = [], []
        for output in wanted.outputs:
            content = self._find_content(output, held)
            if content is None:
                arrivals.append(self._stage_image(output, held, staging))
                content = arrivals[-1].content
            contents.append(content)
        let_group_read(staged)
        sync_tree(staged)
        self._publish_images(seal("", tuple(contents)), arrivals, held)
        place.discard()

    def _find_content(self, output: Output, held: Held | None) -> Content | None:
        """Return an image's entry in the receipt, if all its files are on disk."""
        content = held.find_content(output.pk) if held else None
        if (
            content is None
            or not content.files
            or not has_files(self._hidden.folder, content.files)
        ):
            return None
        return content

    def _stage_image(self, output: Output, held: Held | None, staging: Staging) -> _Arrival:
        image = staging.platform.image(output.url)
        place = PurePosixPath(str(output.pk))
        files = staging.fetch_image(output, image, place)
        single = PurePosixPath(files[0].path) if len(files) == 1 else None
        name = self._choose_name(image, output, held, single.suffix if single else "")
        content = Content(
            socket=output.socket,
            carrier=output.carrier,
            pk=output.pk,
            url=output.url,
            files=tuple(
                _receipt_file(each, place, name, alone=single is not None) for each in files
            ),
        )
        return _Arrival(staging.folder / (single or place), name, content)

    def _choose_name(self, image: Image, output: Output, held: Held | None, suffix: str) -> str:
        """Return the name of an image: the one it has already, or an unused one."""
        before = held.find_content(output.pk) if held else None
        if before is not None and before.files:
            return _entry_name(before.files[0])
        name = plain_name(image.name or image.pk)
        stem = name[: -len(suffix)] if suffix and name.lower().endswith(suffix.lower()) else name
        with self._lock:
            # Several items are stored at the same time: two must not take one name.
            return self._names.take_free(stem or plain_name(image.pk), image.pk, suffix)

    def _publish_images(
        self, receipt: Receipt, arrivals: Iterable[_Arrival], held: Held | None
    ) -> None:
        left = self._superseded_names(receipt, held)
        receipt_path = self._receipt_path(receipt.target.item)
        publish.write_receipt(
            receipt_path, receipt.model_copy(update={"superseded": left or None}).to_json()
        )
        for arrival in arrivals:
            self._hidden.exchange_entry(arrival.staged, arrival.name)
        # After a crash here the receipt still has the old names, and the next run removes them.
        for name in left:
            remove_tree(self._hidden.folder / name)
        if left:
            publish.write_receipt(receipt_path, receipt.to_json())

    def _superseded_names(self, receipt: Receipt, held: Held | None) -> tuple[str, ...]:
        """Return the names of images in the old receipt that are not in the new one."""
        if held is None:
            return ()
        before = {*_entry_names(held.receipt.outputs), *(held.receipt.superseded or ())}
        return tuple(sorted(before - set(_entry_names(receipt.outputs))))

    def _receipt_path(self, item: str) -> SharePath:
        return self._hidden.receipts / f"{plain_name(item)}.json"

    def replace_receipt(self, held: Held, receipt: Receipt) -> None:
        """Replace an item's receipt."""
        publish.write_receipt(self._receipt_path(held.item), receipt.to_json())

    def move_item(self, held: Held, target: SharePath) -> None:
        """Move an item's images to another folder, and then its receipt."""
        for content in held.receipt.outputs:
            for name in dict.fromkeys(_entry_names([content])):
                source = self._hidden.folder / name
                if source.exists():
                    stem, suffix = _split_name(source)
                    move_to_free_name(
                        source,
                        target,
                        name_candidates(stem, held.item, suffix),
                        self._aside_path(name),
                    )
        receipt_path = self._receipt_path(held.item)
        (target / HIDDEN).mkdir(FOLDER_MODE, exist_ok=True)
        names = name_candidates(receipt_path.name.removesuffix(".json"), "again", ".json")
        move_to_free_name(receipt_path, target / HIDDEN, names, self._aside_path(receipt_path.name))

    def _aside_path(self, name: str) -> SharePath:
        return self._hidden.partial / name


def _receipt_file(fetched: Fetched, place: PurePosixPath, name: str, *, alone: bool) -> File:
    inside = PurePosixPath(fetched.path).relative_to(place)
    path = name if alone else str(PurePosixPath(name) / inside)
    return File(path=path, size=fetched.size, sha256=fetched.sha256)


def _entry_names(outputs: Iterable[Content]) -> Iterator[str]:
    """Return the names of images in the outbox."""
    return (_entry_name(file) for output in outputs for file in output.files)


def _entry_name(file: File) -> str:
    return PurePosixPath(file.path).parts[0]


def _split_name(path: SharePath) -> tuple[str, str]:
    if path.is_dir():
        return path.name, ""
    return path.name.removesuffix(path.suffix), path.suffix
