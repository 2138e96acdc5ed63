"""Compares an original with what goes out of it, whatever their format is."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from gcwatch.core.rules.region import Region
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.content import recognise_content
from gcwatch.imaging.inventory.dicom import compare_dicom
from gcwatch.imaging.inventory.parts import Change, Part, compare_parts, read_pieces
from gcwatch.imaging.inventory.pictures import jpeg_parts, png_parts
from gcwatch.imaging.inventory.tiff import tiff_parts
from gcwatch.imaging.inventory.volumes import meta_image_parts, nifti_parts, nrrd_parts

_FORMATS: Final[Mapping[str, tuple[str, Callable[[BinaryIO], Iterator[Part]]]]] = {
    ".png": ("PNG", png_parts),
    ".jpg": ("JPEG", jpeg_parts),
    ".tif": ("TIFF", tiff_parts),
    ".nii": ("NIfTI", nifti_parts),
    ".nii.gz": ("NIfTI in gzip", nifti_parts),
    ".nrrd": ("NRRD", nrrd_parts),
    ".mha": ("MetaImage", meta_image_parts),
}


@dataclass(frozen=True)
class FileChanges:
    """What happens to one file: the name of its format, and what happens to its parts."""

    form: str
    changes: tuple[Change, ...]


def compare_files(old: BinaryIO, new: BinaryIO, blank: Sequence[Region] = ()) -> FileChanges:
    """Given an original and the bytes that go out of it, return what happened, place by place.

    `blank` are the regions of DICOM pixels that should be black.
    """
    new.seek(128)
    if new.read(4) == b"DICM":
        old.seek(0)
        new.seek(0)
        return FileChanges("DICOM", tuple(compare_dicom(old, new, blank)))
    new.seek(0)
    suffix = recognise_content(new, "").suffix
    if suffix in _FORMATS:
        form, parts_of = _FORMATS[suffix]
        try:
            changes = compare_parts(_listed(parts_of, old), _listed(parts_of, new))
            return FileChanges(form, tuple(changes))
        except CantScrub:  # an unusual file that is sent as it is
            pass
    return FileChanges("file", tuple(_compare_bytes(old, new)))


def _listed(parts_of: Callable[[BinaryIO], Iterator[Part]], stream: BinaryIO) -> list[Part]:
    stream.seek(0)
    return list(parts_of(stream))


def _compare_bytes(old: BinaryIO, new: BinaryIO) -> list[Change]:
    """Compare files without known parts: voxels beside a header, or slides sent as they are."""
    before, after = count_bytes(old), count_bytes(new)
    if after <= before:
        for begin in (0, before - after):
            if _digest(old, begin, after) == _digest(new, 0, after):
                kept = [Change("all bytes" if after == before else "voxels", "kept")]
                where = "behind" if begin == 0 else "before"
                told = f"{before - after} bytes"
                gone = [Change(f"bytes {where} the voxels", "removed", value=told)]
                return kept + (gone if before > after else [])
    return [Change("all bytes", "replaced", by=f"{after} other bytes")]


def _digest(stream: BinaryIO, begin: int, count: int) -> bytes:
    total = hashlib.sha256()
    for data in read_pieces(stream, begin, count):
        total.update(data)
    return total.digest()
