"""Fetches the content of sockets into a folder, with the official client's file layout."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from gcwatch.core.case import Carrier, Fetched, Output
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.names import safe_relative_path
from gcwatch.outbox import verify
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.download import download_file, download_signed
from gcwatch.platform.models import Image, ImageFile, Instance, SocketValue
from gcwatch.platform.transfers import Moved, Transfers

_DERIVED_TYPE: Final = "DZI"


def output_of(value: SocketValue) -> Output:
    """Given the content of a socket, return it as an output with its path (platform 8.7)."""
    carrier: Carrier = "image" if value.image else "file" if value.file else "value"
    return Output(
        pk=value.pk,
        socket=value.socket.slug,
        carrier=carrier,
        path=value.socket.relative_path or value.socket.slug,
        url=value.image or value.file or "",
        value=value.value,
    )


def output_paths(outputs: Sequence[Output]) -> dict[int, PurePosixPath]:
    """Given outputs, return the path of each by pk; no two are the same (platform 8.7)."""
    found: dict[int, PurePosixPath] = {}
    taken: set[str] = set()
    for each in outputs:
        place = safe_relative_path(each.path, fallback=each.socket)
        if str(place).lower() in taken:
            place = place.with_name(f"{each.pk}-{place.name}")
        taken.add(str(place).lower())
        found[each.pk] = place
    return found


def image_name(image: Image, file: ImageFile) -> str:
    """Return `<image pk><suffix>`; the suffix is the server's, made safe."""
    suffix = PurePosixPath(urlsplit(file.file).path).suffix
    return str(safe_relative_path(f"{image.pk}{suffix}", fallback="image"))


def instance_name(instance: Instance) -> str:
    """Return `<SOP instance UID>.dcm`, made safe."""
    name = f"{instance.sop_instance_uid.replace('/', '_')}.dcm"
    return str(safe_relative_path(name, fallback="instance.dcm"))


def image_files(image: Image) -> Iterable[ImageFile]:
    """Given an image, return its files without those made by the platform (platform 8.2)."""
    return (file for file in image.files if file.image_type != _DERIVED_TYPE)


@dataclass(frozen=True)
class Staging:
    """The hidden folder that collects results; files that are there are not fetched again.

    If `lenient`, damaged files of results are kept: after several downloads with the same damage,
    the algorithm wrote them so.
    """

    folder: Path
    transfers: Transfers
    moved: Moved
    lenient: bool = False

    @property
    def platform(self) -> GrandChallenge:
        """The platform that outputs come from."""
        return self.transfers.platform

    def hash_file(self, path: Path) -> str:
        """Return a file's SHA-256, in hex; raise Stopped if the daemon is stopping."""
        return self.transfers.hash_file(path)

    def fetch_output(self, output: Output, place: PurePosixPath) -> tuple[Fetched, ...]:
        """Given an output and its path, fetch its files; return what was fetched."""
        if output.carrier == "value":
            return (self._write_value(output, place),)
        if output.carrier == "file":
            return (self._download_file(output, output.url, place),)
        return self.fetch_image(output, self.platform.image(output.url), place)

    def fetch_image(
        self, output: Output, image: Image, place: PurePosixPath
    ) -> tuple[Fetched, ...]:
        """Given an output's image and a folder for it, fetch its files; return what was fetched."""
        files = tuple(image_files(image))
        if not files and image.dicom_image_set is not None:
            return self._fetch_instances(output, place)
        return tuple(
            self._download_file(output, file.file, place / image_name(image, file))
            for file in files
        )

    def _fetch_instances(self, output: Output, place: PurePosixPath) -> tuple[Fetched, ...]:
        """Fetch each DICOM instance of an image set.

        Raise TryAgain (`download_incomplete`) if the storage refuses new signatures.
        """
        # The signatures in a list expire within minutes. If one is refused, get a new list and
        # continue with the instances that are still missing.
        found: dict[PurePosixPath, Fetched] = {}
        while True:
            before = len(found)
            for instance in self.platform.instances(output.url):
                where = place / instance_name(instance)
                fetched = found.get(where) or self._fetch_instance(output, instance, where)
                if fetched is None:
                    break
                found[where] = fetched
            else:
                return tuple(found.values())
            if len(found) == before:
                facts = {"problem": "the storage refuses a new signature"}
                raise TryAgain(Reason("download_incomplete", facts))

    def _fetch_instance(
        self, output: Output, instance: Instance, place: PurePosixPath
    ) -> Fetched | None:
        """Fetch one instance; return None if its signature has expired."""
        path = self.folder / place
        if path.exists():
            return self._describe_file(output, place)
        digest = download_signed(self.transfers, instance.get_instance, path, self.moved)
        return self._describe_file(output, place, digest) if digest else None

    def _write_value(self, output: Output, place: PurePosixPath) -> Fetched:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(output.value, indent=2))
        return self._describe_file(output, place)

    def _download_file(self, output: Output, url: str, place: PurePosixPath) -> Fetched:
        path = self.folder / place
        digest = "" if path.exists() else download_file(self.transfers, url, path, self.moved)
        if output.carrier == "file" and self.lenient:
            return self._describe_file(output, place, digest, verify.find_damage(path))
        verify.require_whole(path, output.socket)
        return self._describe_file(output, place, digest)

    def _describe_file(
        self, output: Output, place: PurePosixPath, digest: str = "", odd: str = ""
    ) -> Fetched:
        path = self.folder / place
        digest = digest or self.hash_file(path)
        return Fetched(output.pk, str(place), path.stat().st_size, digest, odd)
