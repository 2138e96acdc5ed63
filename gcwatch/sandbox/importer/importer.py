"""What the platform's importer makes of the files of an upload session (platform 13)."""

import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gcwatch.sandbox import metaimage
from gcwatch.sandbox.importer import dicom, formats, slides, socket_fit, tomography
from gcwatch.sandbox.metaimage import Unreadable, Volume
from gcwatch.sandbox.model import Image, PlatformState, Session, Upload, User, new_pk

_NEVER_UNPACKED = {".DS_Store", "desktop.ini"}


class Refused(Exception):
    """The files cannot be imported at all; the message is the platform's."""


@dataclass
class Found:
    """What an import came to.

    Attributes:
        images: The new images, not yet visible.
        leftovers: Files that became part of no image.
    """

    images: list[Image]
    leftovers: int

    @property
    def complaint(self) -> str:
        """The platform's words for the leftovers, "" if there are none."""
        files = "file" if self.leftovers == 1 else "files"
        return f"{self.leftovers} {files} could not be imported" if self.leftovers else ""


def import_session(world: PlatformState, session: Session) -> Found:
    """Import a session's uploads.

    Raises:
        Refused: The uploads are not fit for an import.
    """
    names = [upload.filename for upload in session.uploads]
    if any(upload.status != "Completed" for upload in session.uploads):
        message = "An unexpected error occurred"
        raise Refused(message)
    if len(set(names)) < len(names):
        message = "Duplicate files uploaded, please try again with a unique set of files"
        raise Refused(message)
    with TemporaryDirectory(dir=world.folder) as folder:
        try:
            return _imported(world, session, Path(folder))
        except Exception as error:
            # The platform says no more than this of an importer that breaks down.
            logging.getLogger(__name__).info("import of %s broke down", session.pk, exc_info=True)
            message = "An unexpected error occurred"
            raise Refused(message) from error


def _imported(world: PlatformState, session: Session, folder: Path) -> Found:
    files, work = folder / "files", folder / "work"
    files.mkdir()
    work.mkdir()
    for upload in session.uploads:
        assemble(upload, files / upload.filename)
    _unpack(files)
    return _converted(world, session, files, work)


def assemble(upload: Upload, path: Path) -> None:
    """Write a completed upload's bytes as one file."""
    pieces = [upload.parts[number].path for number in sorted(upload.parts)]
    if len(pieces) == 1:
        os.link(pieces[0], path)
        return
    with path.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as data:
                shutil.copyfileobj(data, out, metaimage.CHUNK)


def _unpack(folder: Path) -> None:
    """Replace every zip, whatever its name, by a folder of its content."""
    for path in list(folder.iterdir()):
        if path.is_file() and zipfile.is_zipfile(path):
            packed = path.rename(path.with_name(f"{new_pk()}.zip"))
            path.mkdir()
            _extract(packed, path)
            packed.unlink()
        if path.is_dir():
            _unpack(path)


def _extract(packed: Path, folder: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        for member in archive.infolist():
            parts = Path(member.filename).parts
            unwanted = "__MACOSX" in parts or _NEVER_UNPACKED & set(parts[-1:])
            if not member.is_dir() and not unwanted:
                archive.extract(member, folder)


def _converted(world: PlatformState, session: Session, files: Path, work: Path) -> Found:
    images: list[Image] = []
    used: set[Path] = set()
    for folder in _inner_first(files):
        for volume, consumed in _volumes(folder, work, used):
            image = add_image(world, session.creator, volume)
            image.origin = session
            images.append(image)
            used |= consumed
    there = {path for path in files.rglob("*") if path.is_file()}
    return Found(images, len(there - used))


def _inner_first(folder: Path) -> Iterator[Path]:
    """A folder and all below it, in the order in which the platform looks into them."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _inner_first(path)
    yield folder


def _volumes(folder: Path, work: Path, used: set[Path]) -> Iterator[tuple[Volume, set[Path]]]:
    """Offer one folder's files to the builders in the platform's order."""
    left = sorted(path for path in folder.iterdir() if path.is_file() and path not in used)
    for builder in (
        _metaimages,
        _by(formats.read_nifti),
        _by(formats.read_nrrd),
        dicom.read_images,
        slides.read_slides,
        _by(formats.read_tiff),
        tomography.read_tomographies,
        _by(formats.read_picture),
    ):
        for volume, consumed in builder(left, work):
            left = [path for path in left if path not in consumed]
            yield volume, consumed


def _metaimages(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    for path in files:
        header, _ = metaimage.read_header(path)
        if metaimage.is_metaimage(header):
            try:
                yield metaimage.read(path, work)
            except Unreadable:
                continue


class _by:  # noqa: N801 - reads as a word where it is used
    """A builder of single-file images from a reader."""

    def __init__(self, reader: formats.Reader) -> None:
        self.reader = reader

    def __call__(self, files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
        for path in files:
            try:
                volume = self.reader(path, work)
            except Unreadable:
                continue
            yield volume, {path}


def add_image(world: PlatformState, owner: User, volume: Volume) -> Image:
    """Store a volume as an image of the platform, not yet visible (platform 8.2)."""
    pk, file_pk = new_pk(), new_pk()
    suffix = "tif" if volume.verbatim else "mha"
    key = f"images/{pk[:2]}/{pk[2:4]}/{pk}/{file_pk}/{pk}.{suffix}"
    stored = world.store(key)
    (formats.keep if volume.verbatim else metaimage.write)(volume, stored.path)
    image = Image(
        owner=owner,
        name=volume.name,
        size=volume.size,
        spacing=volume.spacing,
        channels=volume.channels,
        kind="TIFF" if volume.verbatim else "MHD",
        stored=stored,
        file_pk=file_pk,
        segments=socket_fit.segments(volume),
        pk=pk,
    )
    world.images[pk] = image
    return image
