"""Which module cleans which kind of image; the rest can't be cleaned."""

from collections.abc import Callable, Mapping
from typing import BinaryIO

from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.formats import Image
from gcwatch.imaging.scrub.jpeg import scrub_jpeg
from gcwatch.imaging.scrub.meta_image import scrub_meta_image
from gcwatch.imaging.scrub.nifti import scrub_nifti, scrub_packed_nifti
from gcwatch.imaging.scrub.nrrd import scrub_nrrd
from gcwatch.imaging.scrub.png import scrub_png
from gcwatch.imaging.scrub.streaming import Write
from gcwatch.imaging.scrub.tiff import scrub_tiff


def _scrub_any_nifti(stream: BinaryIO) -> Write:
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return (scrub_packed_nifti if packed else scrub_nifti)(stream)


_SCRUBBERS: Mapping[str, Callable[[BinaryIO], Write]] = {
    ".mha": scrub_meta_image,
    **dict.fromkeys((".nii", ".nii.gz"), _scrub_any_nifti),
    **dict.fromkeys((".nrrd", ".nhdr"), scrub_nrrd),
    **dict.fromkeys((".tif", ".tiff", ".svs", ".ndpi", ".scn", ".bif"), scrub_tiff),
    ".png": scrub_png,
    **dict.fromkeys((".jpg", ".jpeg"), scrub_jpeg),
}
"""By the suffix of an image's content. TIFF-based slides of vendors are told by their tags."""


def scrub_file(image: Image, stream: BinaryIO) -> Write:
    """Given an image of one file, open at its start, return what writes its clean copy.

    Raise CantScrub if nothing here can clean an image of this kind.
    """
    if (scrub := _SCRUBBERS.get(image.suffix)) is None:
        form = image.suffix[1:]
        raise CantScrub(f"not all places are known where {form} files hold names", form)
    return scrub(stream)
