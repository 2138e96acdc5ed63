"""The importer: it builds images from the files of an upload session (platform 13)."""

import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gcwatch.sandbox import metaimage
from gcwatch.sandbox.importer import dicom, slides, socket_fit, tiff, tomography
from gcwatch.sandbox.importer.meta_fields import has_valid_fields
from gcwatch.sandbox.importer.nifti import read_nifti
from gcwatch.sandbox.importer.nrrd import read_nrrd
from gcwatch.sandbox.importer.pictures import read_picture
from gcwatch.sandbox.metaimage import Unreadable, Volume
from gcwatch.sandbox.model import Image, PlatformState, Session, Upload, User, new_pk

Builder = Callable[[list[Path], Path], Iterator[tuple[Volume, set[Path]]]]
"""Yields the images in some files, and the files of each; the path is a folder for voxels."""

Reader = Callable[[Path, Path], Volume]
"""Reads a file that is one image; the second path is a folder for voxels."""

_MOST_CHANNELS = 4
"""Numbers per voxel; the importer leaves a MetaImage with more."""

_NEVER_UNPACKED = {".DS_Store", "desktop.ini"}


class ImportRefused(Exception):
    """The session cannot be imported; the message is the platform's."""


@dataclass
class ImportResult:
    """The result of an import.

    Attributes:
        images: The new images, not yet visible.
        leftovers: Number of files that are not part of any image.
    """

    images: list[Image]
    leftovers: int

    @property
    def error_message(self) -> str:
        """The platform's message about the leftovers, "" if there are none."""
        files = "file" if self.leftovers == 1 else "files"
        return f"{self.leftovers} {files} could not be imported" if self.leftovers else ""


def import_session(state: PlatformState, session: Session) -> ImportResult:
    """Import a session's uploads.

    Raises:
        Refused: The uploads cannot be imported.
    """
    names = [upload.filename for upload in session.uploads]
    if any(upload.status != "Completed" for upload in session.uploads):
        message = "An unexpected error occurred"
        raise ImportRefused(message)
    if len(set(names)) < len(names):
        message = "Duplicate files uploaded, please try again with a unique set of files"
        raise ImportRefused(message)
    with TemporaryDirectory(dir=state.folder) as folder:
        try:
            return _import_files(state, session, Path(folder))
        except Exception as error:
            # The platform gives no other message when its importer crashes.
            logging.getLogger(__name__).info(
                "the import of session %s crashed", session.pk, exc_info=True
            )
            message = "An unexpected error occurred"
            raise ImportRefused(message) from error


def _import_files(state: PlatformState, session: Session, folder: Path) -> ImportResult:
    files, work = folder / "files", folder / "work"
    files.mkdir()
    work.mkdir()
    for upload in session.uploads:
        assemble_upload(upload, files / upload.filename)
    _unpack_zips(files)
    return _build_images(state, session, files, work)


def assemble_upload(upload: Upload, path: Path) -> None:
    """Write a completed upload's bytes as one file."""
    pieces = [upload.parts[number].path for number in sorted(upload.parts)]
    if len(pieces) == 1:
        os.link(pieces[0], path)
        return
    with path.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as data:
                shutil.copyfileobj(data, out, metaimage.CHUNK_BYTES)


def _unpack_zips(folder: Path) -> None:
    """Replace every zip file by a folder of its content; its name does not matter."""
    for path in list(folder.iterdir()):
        if path.is_file() and zipfile.is_zipfile(path):
            packed = path.rename(path.with_name(f"{new_pk()}.zip"))
            path.mkdir()
            _extract_zip(packed, path)
            packed.unlink()
        if path.is_dir():
            _unpack_zips(path)


def _extract_zip(packed: Path, folder: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        for member in archive.infolist():
            parts = Path(member.filename).parts
            unwanted = "__MACOSX" in parts or _NEVER_UNPACKED & set(parts[-1:])
            if not member.is_dir() and not unwanted:
                archive.extract(member, folder)


def _build_images(state: PlatformState, session: Session, files: Path, work: Path) -> ImportResult:
    images: list[Image] = []
    used: set[Path] = set()
    for volume, consumed in build_volumes(files, work):
        image = add_image(state, session.creator, _lose_planes(volume, state))
        image.origin = session
        images.append(image)
        used |= consumed
    all_files = {path for path in files.rglob("*") if path.is_file()}
    return ImportResult(images, len(all_files - used))


def build_volumes(files: Path, work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    """Build the images of a folder and of the folders in it (platform 13.2).

    Args:
        files: The folder.
        work: An empty folder for the voxels.

    Yields:
        Each image, and the files it was made of.
    """
    used: set[Path] = set()
    for folder in _folders_inner_first(files):
        for volume, consumed in _build_folder(folder, work, used):
            used |= consumed
            yield volume, consumed


def _lose_planes(volume: Volume, state: PlatformState) -> Volume:
    """Return a volume without its last planes, as many as the settings say; one is left."""
    if not state.settings.lost_planes or len(volume.size) < 3:
        return volume
    x, y, z, *times = volume.size
    return replace(volume, size=(x, y, max(1, z - state.settings.lost_planes), *times))


def _folders_inner_first(folder: Path) -> Iterator[Path]:
    """Yield a folder and all below it, in the platform's order: inner folders first."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _folders_inner_first(path)
    yield folder


def _build_folder(folder: Path, work: Path, used: set[Path]) -> Iterator[tuple[Volume, set[Path]]]:
    """Give one folder's files to the builders, in the platform's order."""
    left = sorted(path for path in folder.iterdir() if path.is_file() and path not in used)
    for builder in (
        _read_metaimages,
        _single_file_builder(read_nifti),
        _single_file_builder(read_nrrd),
        dicom.read_images,
        slides.read_slides,
        _single_file_builder(tiff.read_tiff),
        tomography.read_tomographies,
        _single_file_builder(read_picture),
    ):
        for volume, consumed in builder(left, work):
            if not volume.color_space:
                message = "the importer crashes at two numbers for each voxel"
                raise ValueError(message)
            left = [path for path in left if path not in consumed]
            yield volume, consumed


def _read_metaimages(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    for path in files:
        header, _ = metaimage.read_header(path)
        if metaimage.is_metaimage(header) and has_valid_fields(header):
            try:
                volume, consumed = metaimage.read_volume(path, work)
            except Unreadable:
                continue
            if volume.channels <= _MOST_CHANNELS:
                yield volume, consumed


def _single_file_builder(reader: Reader) -> Builder:
    """Make a builder from the reader of a format whose images are one file each."""

    def build(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
        for path in files:
            try:
                volume = reader(path, work)
            except Unreadable:
                continue
            yield volume, {path}

    return build


def add_image(state: PlatformState, owner: User, volume: Volume) -> Image:
    """Store a volume as an image of the platform, not yet visible (platform 8.2)."""
    pk, file_pk = new_pk(), new_pk()
    suffix = Path(volume.name).suffix if volume.verbatim else ".mha"
    key = f"images/{pk[:2]}/{pk[2:4]}/{pk}/{file_pk}/{pk}{suffix}"
    stored = state.add_file(key)
    (tiff.copy_file if volume.verbatim else metaimage.write_volume)(volume, stored.path)
    segments = socket_fit.find_segments(volume)
    image = Image(
        owner=owner,
        name=volume.name,
        size=_find_told_size(volume, segments),
        spacing=volume.spacing if volume.measured else (),
        channels=volume.channels,
        color_space=volume.color_space,
        kind="TIFF" if volume.verbatim else "MHD",
        file=stored,
        file_pk=file_pk,
        segments=segments,
        pk=pk,
    )
    state.images[pk] = image
    return image


def _find_told_size(volume: Volume, segments: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the size that the platform tells (platform 13.11).

    A TIFF has one plane. Volumes that are one segment each have no times.
    """
    if volume.verbatim:
        return (*volume.size, 1)
    return volume.size if segments is None else volume.size[:3]
