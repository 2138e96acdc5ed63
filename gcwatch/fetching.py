"""What the platform's values hold, brought into a folder as the official client lays it out."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from gcwatch import cases, outbox, results, transfer
from gcwatch.cases import Fetched, Output
from gcwatch.grandchallenge import Image, ImageFile, SocketValue
from gcwatch.transfer import Moved, Transfers

_DERIVED: Final = "DZI"


def output(value: SocketValue) -> Output:
    """Given what a socket holds, return it with the path that results have (contract 8)."""
    carrier: cases.Carrier = "image" if value.image else "file" if value.file else "value"
    return Output(
        pk=value.pk,
        socket=value.socket.slug,
        carrier=carrier,
        path=value.socket.relative_path or value.socket.slug,
        url=value.image or value.file or "",
        value=value.value,
    )


def places(outputs: Sequence[Output]) -> dict[int, PurePosixPath]:
    """Given outputs, return where each one's content goes; no two share a file (contract 8)."""
    found: dict[int, PurePosixPath] = {}
    taken: set[str] = set()
    for each in outputs:
        place = outbox.safe_relative(each.path, fallback=each.socket)
        if str(place).lower() in taken:
            place = place.with_name(f"{each.pk}-{place.name}")
        taken.add(str(place).lower())
        found[each.pk] = place
    return found


def image_name(image: Image, file: ImageFile) -> str:
    """`<image pk>.<ext>`: only the suffix is the server's, and only if it is a plain one."""
    suffix = PurePosixPath(urlsplit(file.file).path).suffix
    return str(outbox.safe_relative(f"{image.pk}{suffix}", fallback="image"))


def image_files(image: Image) -> Iterable[ImageFile]:
    """Given an image, return its files without those that the platform derives (contract 8)."""
    return (file for file in image.files if file.image_type != _DERIVED)


@dataclass(frozen=True)
class Staging:
    """A result folder in the making, hidden from people; what is there is not fetched again.

    `lenient` once an odd file came again and again: then it is what the algorithm wrote.
    """

    folder: Path
    transfers: Transfers
    moved: Moved
    lenient: bool = False

    def bring(self, output: Output, place: PurePosixPath) -> tuple[Fetched, ...]:
        """Given an output and its place, put its files there as the official client would."""
        if output.carrier == "value":
            return (self._write(output, place),)
        if output.carrier == "file":
            return (self._download(output, output.url, place),)
        image = self.transfers.platform.image(output.url)
        return tuple(
            self._download(output, file.file, place / image_name(image, file))
            for file in image_files(image)
        )

    def _write(self, output: Output, place: PurePosixPath) -> Fetched:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(output.value, indent=2))
        return self._fetched(output, place)

    def _download(self, output: Output, url: str, place: PurePosixPath) -> Fetched:
        path = self.folder / place
        if not path.exists():
            self.transfers.fetch(url, path, self.moved)
        if output.carrier == "file" and self.lenient:
            return self._fetched(output, place, results.oddity(path))
        results.check(path, output.socket)
        return self._fetched(output, place)

    def _fetched(self, output: Output, place: PurePosixPath, odd: str = "") -> Fetched:
        path = self.folder / place
        digest = transfer.sha256(path, self.transfers.stop)
        return Fetched(output.pk, str(place), path.stat().st_size, digest, odd)
