"""Fetches the content of sockets into a folder, with the official client's file layout."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from gcwatch.core.case import Carrier, Fetched, Output
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import safe_relative_path
from gcwatch.outbox import verify
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.download import download_file, download_signed, partial_names
from gcwatch.platform.models import Image, ImageFile, Instance, SocketValue
from gcwatch.platform.transfers import Moved, Transfers

_DERIVED_TYPE: Final = "DZI"


def value_text(value: Any) -> str:
    """Return a value as results have it in a file."""
    return json.dumps(value, indent=2)


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


def output_paths(outputs: Sequence[Output]) -> dict[int | str, PurePosixPath]:
    """Given outputs, return the path of each by pk; no two are the same (platform 8.7).

    Nor does one need as a folder what another has as a file. An image's path is a folder.
    """
    found: dict[int | str, PurePosixPath] = {}
    taken = _TakenPaths()
    for each in outputs:
        wanted = safe_relative_path(each.path, fallback=each.socket)
        is_image = each.carrier == "image"
        found[each.pk] = next(
            path for path in _numbered_paths(wanted, each.pk) if taken.take(path, is_image)
        )
    return found


class _TakenPaths:
    """The paths that outputs have, compared as by file systems that ignore case and accents' form.

    With a file go its `.part` and `.etag` files, which it has while it is downloaded.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._images: set[str] = set()
        self._folders: set[str] = set()

    def take(self, path: PurePosixPath, is_image: bool) -> bool:
        """Take a path, if it is free; return whether it was."""
        mine, parts = _comparable(path), map(path.with_name, partial_names(path.name))
        above = {_comparable(folder) for folder in path.parents}
        files = set() if is_image else {mine, *map(_comparable, parts)}
        if self._files & {mine, *files, *above} or (self._folders | self._images) & files:
            return False
        if mine in self._images:
            return False
        self._files |= files
        self._images |= {mine} - files
        self._folders |= above
        return True


def _comparable(path: PurePosixPath) -> str:
    """Return a path as it is compared: "é" has two forms, and "ß" is "SS" in capitals."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _numbered_paths(path: PurePosixPath, pk: int | str) -> Iterator[PurePosixPath]:
    """Yield a path, then others that tell it apart: by the pk, at the end and at the beginning."""
    first, *rest = path.parts
    yield path
    yield path.with_name(_with_prefix(f"{pk}-", path.name))
    yield PurePosixPath(_with_prefix(f"{pk}-", first), *rest)
    for number in count(2):
        yield PurePosixPath(_with_prefix(f"{pk}-{number}-", first), *rest)


def _with_prefix(prefix: str, name: str) -> str:
    """Return a name with a prefix, cut before its suffix if it gets too long."""
    return str(safe_relative_path(prefix + name, fallback=name))


def image_name(image: Image, file: ImageFile) -> str:
    """Return `<image pk><suffix>`; the suffix is the server's, made safe."""
    suffix = PurePosixPath(urlsplit(file.file).path).suffix
    return str(safe_relative_path(f"{image.pk}{suffix}", fallback="image"))


def named_files(image: Image) -> tuple[tuple[ImageFile, str], ...]:
    """Given an image, return its files with their names, without those made by the platform.

    Files with the same suffix are told apart by their pk.
    """
    files = tuple(image_files(image))
    names = Counter(image_name(image, file) for file in files)
    return tuple((file, _unique_name(image, file, names)) for file in files)


def _unique_name(image: Image, file: ImageFile, names: Mapping[str, int]) -> str:
    name = image_name(image, file)
    if names[name] == 1:
        return name
    return str(safe_relative_path(f"{file.pk}-{name}", fallback="image"))


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

    folder: SharePath
    transfers: Transfers
    moved: Moved
    lenient: bool = False

    @property
    def platform(self) -> GrandChallenge:
        """The platform that outputs come from."""
        return self.transfers.platform

    def hash_file(self, path: SharePath) -> str:
        """Return a file's SHA-256, in hex; raise Stopped if the daemon is stopping."""
        return self.transfers.hash_file(path, path.lstat().st_size)

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
        files = named_files(image)
        if not files and image.dicom_image_set is not None:
            fetched = self._fetch_instances(output, place)
        else:
            fetched = tuple(
                self._download_file(output, file.file, place / name) for file, name in files
            )
        if not fetched:  # else the step would be due again at once, without end
            facts = {"problem": "the image has no files"}
            raise TryAgain(Reason("download_incomplete", facts))
        return fetched

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
        path.make_parents()
        with path.create_file() as file:
            file.write(value_text(output.value).encode())
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
        return Fetched(output.pk, str(place), path.lstat().st_size, digest, odd)
