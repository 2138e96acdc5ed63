"""The layout "flat": all images in one folder under their names, the receipts out of sight.

An image of several files (DICOM instances, a header with its voxels) is a folder: its files name
each other. The receipt is written first, so that names once given stay; then each image appears by
one rename. An item whose receipt tells of files that are not there is not whole, and is fetched.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gcwatch.core.case import Fetched, Output
from gcwatch.files.atomic import sync_tree
from gcwatch.mirror.receipts import Content, File, Held, Receipt, Wanted, read
from gcwatch.mirror.storage import (
    HIDDEN,
    HiddenFolder,
    MakeStaging,
    Names,
    Seal,
    candidates,
    carry,
    has,
    plain,
    remove,
)
from gcwatch.outbox import publish
from gcwatch.outbox.outputs import Staging
from gcwatch.platform.models import Image


@dataclass(frozen=True)
class _Arrival:
    """An image that is staged, the name that it is to bear, and what its receipt says."""

    staged: Path
    name: str
    content: Content


class FlatLayout:
    """A shelf of images."""

    def __init__(self, places: HiddenFolder) -> None:
        self._places = places
        self._names = Names(())
        self._lock = threading.Lock()

    def held(self, archive: str) -> dict[str, Held]:
        """Return the items that are here."""
        receipts = (read(path.read_bytes()) for path in sorted(self._places.papers.glob("*.json")))
        return {
            receipt.target.item: Held("", receipt, self._is_whole(receipt))
            for receipt in receipts
            if receipt is not None and receipt.target.archive == archive
        }

    def _is_whole(self, receipt: Receipt) -> bool:
        return not receipt.superseded and has(self._places.folder, receipt.files())

    def prepare(self, wanted: Sequence[tuple[Wanted, Held | None]]) -> None:
        """Learn which names are taken, on disk or in receipts."""
        self._places.clear(each for each, _ in wanted)
        held = [ours.receipt for _, ours in wanted if ours is not None]
        promised = (name for receipt in held for name in _entries(receipt.outputs))
        self._names = Names([*self._places.visible(), *promised])

    def store(self, wanted: Wanted, held: Held | None, make: MakeStaging, seal: Seal) -> None:
        """Fetch the images of an item that are not here, and let each appear by a rename."""
        staged = self._places.staged(wanted)
        staged.mkdir(mode=0o750, exist_ok=True)
        staging = make(staged)
        arrivals, contents = [], []
        for output in wanted.outputs:
            content = self._here(output, held)
            if content is None:
                arrivals.append(self._bring(output, held, staging))
                content = arrivals[-1].content
            contents.append(content)
        publish.let_group_read(staged)
        sync_tree(staged)
        self._publish(seal("", tuple(contents)), arrivals, held)
        remove(staged)

    def _here(self, output: Output, held: Held | None) -> Content | None:
        """Return what is held of an image, if all its files are there."""
        content = held.content(output.pk) if held else None
        if content is None or not content.files or not has(self._places.folder, content.files):
            return None
        return content

    def _bring(self, output: Output, held: Held | None, staging: Staging) -> _Arrival:
        image = staging.platform.image(output.url)
        place = PurePosixPath(str(output.pk))
        files = staging.bring_image(output, image, place)
        single = PurePosixPath(files[0].path) if len(files) == 1 else None
        name = self._name(image, output, held, single.suffix if single else "")
        content = Content(
            socket=output.socket,
            carrier=output.carrier,
            pk=output.pk,
            url=output.url,
            files=tuple(_file(each, place, name, alone=single is not None) for each in files),
        )
        return _Arrival(staging.folder / (single or place), name, content)

    def _name(self, image: Image, output: Output, held: Held | None, suffix: str) -> str:
        """Return the name that an image has, or one that nobody else has."""
        before = held.content(output.pk) if held else None
        if before is not None and before.files:
            return _entry(before.files[0])
        name = plain(image.name or image.pk)
        stem = name[: -len(suffix)] if suffix and name.lower().endswith(suffix.lower()) else name
        with self._lock:
            return self._names.take(stem or plain(image.pk), image.pk, suffix)

    def _publish(self, receipt: Receipt, arrivals: Iterable[_Arrival], held: Held | None) -> None:
        left = self._superseded(receipt, held)
        paper = self._paper(receipt.target.item)
        publish.write_receipt(paper, receipt.model_copy(update={"superseded": left or None}).text())
        for arrival in arrivals:
            self._places.exchange(arrival.staged, arrival.name)
        for name in left:
            remove(self._places.folder / name)
        if left:
            publish.write_receipt(paper, receipt.text())

    def _superseded(self, receipt: Receipt, held: Held | None) -> tuple[str, ...]:
        """Return which images of the old receipt have no place in the new one."""
        if held is None:
            return ()
        before = {*_entries(held.receipt.outputs), *(held.receipt.superseded or ())}
        return tuple(sorted(before - set(_entries(receipt.outputs))))

    def _paper(self, item: str) -> Path:
        return self._places.papers / f"{plain(item)}.json"

    def note(self, held: Held, receipt: Receipt) -> None:
        """Replace an item's receipt."""
        publish.write_receipt(self._paper(held.item), receipt.text())

    def move(self, held: Held, target: Path) -> None:
        """Move an item's images out, and its receipt after them."""
        for content in held.receipt.outputs:
            for name in dict.fromkeys(_entries([content])):
                source = self._places.folder / name
                if source.exists():
                    stem, suffix = _split(source)
                    carry(source, target, candidates(stem, held.item, suffix), self._aside(name))
        paper = self._paper(held.item)
        names = candidates(paper.stem, "again", paper.suffix)
        carry(paper, target / HIDDEN, names, self._aside(paper.name))

    def _aside(self, name: str) -> Path:
        return self._places.partial / name


def _file(fetched: Fetched, place: PurePosixPath, name: str, *, alone: bool) -> File:
    inside = PurePosixPath(fetched.path).relative_to(place)
    path = name if alone else str(PurePosixPath(name) / inside)
    return File(path=path, size=fetched.size, sha256=fetched.sha256)


def _entries(outputs: Iterable[Content]) -> Iterator[str]:
    """Return the names of images as they stand in the outbox."""
    return (_entry(file) for output in outputs for file in output.files)


def _entry(file: File) -> str:
    return PurePosixPath(file.path).parts[0]


def _split(path: Path) -> tuple[str, str]:
    return (path.name, "") if path.is_dir() else (path.stem, path.suffix)
