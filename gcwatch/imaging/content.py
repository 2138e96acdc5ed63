"""Tells by its first bytes what a file is: an image that the platform reads, or another format.

The name decides only where the content can't: for a slide's index, and for a damaged image. The
platform's importer does the same, except for NIfTI, which it reads only under its own suffix
(panimg 0.18.2). An image is therefore sent under the suffix of its content.
"""

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from gcwatch.imaging.checks.text_header import read_meta_header
from gcwatch.imaging.dicom.headers import could_be_dicom

START_BYTES = 512
"""Bytes from a file's start that are enough to know its format."""

_PACKED_BYTES = 16 * 1024
"""Bytes of a gzip file that are read to learn what is in it."""

_ZEROS = 16
"""Bytes at the start of a DICOM file's preamble that are zero, as a rule."""

_GZIP = b"\x1f\x8b"
_DICOM_MAGIC = slice(128, 132)
_NIFTI_LENGTHS = {struct.pack(order + "i", length) for order in "<>" for length in (348, 540)}
"""How NIfTI-1, NIfTI-2 and Analyze headers begin: with their own length."""


@dataclass(frozen=True)
class Foreign:
    """A format that the platform can't read as an image.

    `code` is that of its reason, `what` the format in words, and `wanted` the formats to
    convert it to.
    """

    code: Literal["packed_images", "unreadable_format", "no_pixels"]
    what: str
    wanted: str = ""


@dataclass(frozen=True)
class Content:
    """What a file is: an image under its right `suffix`, or a `foreign` format, or unknown.

    `is_cut_dicom`: it begins as a DICOM file, or with zeros as an interrupted copy does.
    """

    suffix: str = ""
    foreign: Foreign | None = None
    is_cut_dicom: bool = False


NO_PIXELS = Foreign("no_pixels", "a DICOM file without an image")

_VOLUME = "NIfTI (.nii.gz) or MetaImage (.mha)"
_PICTURE = "PNG"
_SLIDE = "TIFF"
_PAIR = Foreign("unreadable_format", "the header of an Analyze or NIfTI pair (.hdr, .img)", _VOLUME)
_MGH = Foreign("unreadable_format", "a FreeSurfer image (.mgh, .mgz)", _VOLUME)
_MINC = Foreign("unreadable_format", "a MINC image (.mnc)", _VOLUME)
_PACKED_DICOM = Foreign("packed_images", "a DICOM file in gzip (.dcm.gz)")
_PACKED_TAR = Foreign("packed_images", "a tar archive in gzip (.tar.gz)")
_PACKED_FILE = Foreign("packed_images", "a file in gzip (.gz)")
_ZIP = Foreign("packed_images", "a zip archive")
_TAR = Foreign("packed_images", "a tar archive")


def _begins(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(magic)


_OFFICE_MEMBERS = (b"[Content_Types].xml", b"mimetype", b"_rels/", b"docProps/", b"META-INF/")
"""How the first member of a zip is called that is a document or a program, not an archive."""


def _is_archive(start: bytes) -> bool:
    return start[:4] in {b"PK\x03\x04", b"PK\x05\x06"} and not start.startswith(_OFFICE_MEMBERS, 30)


def _is_tar(start: bytes) -> bool:
    return start[257:262] == b"ustar"


def _is_mgh(start: bytes) -> bool:
    """Version 1, four dimensions and one of seven types, all as big-endian numbers."""
    if len(start) < 24 or start[:4] != b"\0\0\0\1":
        return False
    *dims, kind = struct.unpack_from(">5i", start, 4)
    return all(0 < number < 1 << 16 for number in dims) and 0 <= kind <= 10


_FOREIGN: tuple[tuple[Callable[[bytes], bool], Foreign], ...] = (
    (_is_archive, _ZIP),
    (_is_tar, _TAR),
    (_begins(b"7z\xbc\xaf\x27\x1c"), Foreign("packed_images", "a 7z archive")),
    (_begins(b"Rar!\x1a\x07"), Foreign("packed_images", "a rar archive")),
    (
        lambda start: start[:3] == b"BZh" and start[4:10] == b"1AY&SY",
        Foreign("packed_images", "a file in bzip2 (.bz2)"),
    ),
    (_begins(b"\xfd7zXZ\0"), Foreign("packed_images", "a file in xz (.xz)")),
    (_begins(b"\x28\xb5\x2f\xfd"), Foreign("packed_images", "a file in zstd (.zst)")),
    (_is_mgh, _MGH),
    (_begins(b"CDF\1", b"CDF\2"), _MINC),
    (_begins(b"\x89HDF\r\n\x1a\n"), Foreign("unreadable_format", "an HDF5 file", _VOLUME)),
    (
        lambda start: re.search(rb"<VTKFile\b", start) is not None,
        Foreign("unreadable_format", "a VTK file (.vti)", _VOLUME),
    ),
    (_begins(b"# vtk DataFile"), Foreign("unreadable_format", "a VTK file (.vtk)", _VOLUME)),
    (
        _begins(b"# === DATA DESCRIPTION FILE"),
        Foreign("unreadable_format", "the header of a Philips pair (.par, .rec)", _VOLUME),
    ),
    (_begins(b"\x93NUMPY"), Foreign("unreadable_format", "a NumPy array (.npy)", _VOLUME)),
    (_begins(b"MATLAB 5.0 MAT"), Foreign("unreadable_format", "a MATLAB file (.mat)", _VOLUME)),
    (_begins(b"MATRIX7"), Foreign("unreadable_format", "an ECAT image", _VOLUME)),
    (_begins(b"ZISRAWFILE"), Foreign("unreadable_format", "a Zeiss slide (.czi)", _SLIDE)),
    (
        _begins(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
        Foreign("unreadable_format", "a JPEG 2000 picture", _PICTURE),
    ),
    (_begins(b"GIF87a", b"GIF89a"), Foreign("unreadable_format", "a GIF picture", _PICTURE)),
    (
        lambda start: start[:2] == b"BM" and start[6:10] == b"\0\0\0\0",
        Foreign("unreadable_format", "a BMP picture", _PICTURE),
    ),
    (
        lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
        Foreign("unreadable_format", "a WebP picture", _PICTURE),
    ),
    (
        lambda start: start[4:8] == b"ftyp" and start[8:12] in {b"heic", b"heix", b"mif1", b"avif"},
        Foreign("unreadable_format", "a HEIC or AVIF picture", _PICTURE),
    ),
)


# --- images that the platform reads ------------------------------------------------------------

_TIFF = _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NAMED_TIFF = (".tif", ".tiff", ".svs", ".ndpi", ".scn", ".bif")

_IMAGES: tuple[tuple[Callable[[bytes], bool], tuple[str, ...]], ...] = (
    (lambda start: re.match(rb"NRRD\d{4}", start) is not None, (".nrrd", ".nhdr")),
    (_TIFF, _NAMED_TIFF),
    (_begins(b"FOCTFDS"), (".fds",)),
    (_begins(b"FOCTFDA"), (".fda",)),
    (_begins(b"CMDb"), (".e2e",)),
    (_begins(b"\x89PNG\r\n\x1a\n"), (".png",)),
    (_begins(b"\xff\xd8\xff"), (".jpg", ".jpeg")),
)
"""How an image begins, and its suffixes; a file under another one gets the first of them."""

_OWN_CHECK = frozenset({".mha", ".mhd", ".nii", ".nii.gz", ".mrxs", ".vms", ".vmu"})
"""Suffixes of images whose own check tells what is wrong, whatever their content is."""

_SLIDE_INDEX = frozenset({".mrxs", ".vms", ".vmu"})
"""Suffixes of slides that are text or begin with a JPEG; their name tells what they are."""

_META_LINE = re.compile(
    rb"\s*(?:ObjectType|ObjectSubType|NDims|DimSize|Comment|ID|Name|BinaryData\w*|CompressedData\w*"
    rb"|Element\w+|TransformMatrix|Offset|Position|Orientation|AnatomicalOrientation)[ \t]*="
)
"""How the header of a MetaImage may begin."""


def recognise_content(stream: BinaryIO, suffix: str) -> Content:
    """Given a file at its start that is no DICOM, and the suffix of its name, return what it is."""
    start = stream.read(START_BYTES)
    if suffix in _SLIDE_INDEX and not _is_archive(start):
        return Content(suffix)
    if found := _recognise_image(start, suffix):
        return Content(found)
    if start.startswith(_GZIP):
        return _recognise_gzip(start + stream.read(_PACKED_BYTES), suffix)
    if foreign := _recognise_foreign(start, suffix):
        return Content(foreign=foreign)
    if _is_meta_image(stream, start):
        return Content(".mha")
    # A preamble begins with zeros, and so does a copy that was interrupted at its full length.
    is_cut_dicom = could_be_dicom(start) or not start[:_ZEROS].strip(b"\0")
    return Content(suffix if suffix in _OWN_CHECK else "", is_cut_dicom=is_cut_dicom)


def _recognise_image(start: bytes, suffix: str) -> str:
    for begins, suffixes in _IMAGES:
        if begins(start):
            return suffix if suffix in suffixes else suffixes[0]
    return ".nii" if _is_nifti(start, suffix) else ""


def _is_nifti(start: bytes, suffix: str = "") -> bool:
    """Whether header and voxels are one file; NIfTI-2 counts, so that its refusal names it."""
    if start[:4] not in _NIFTI_LENGTHS or _is_pair(start):
        return False
    named = suffix in {".nii", ".nii.gz"}
    return named or start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0"


def _is_pair(start: bytes) -> bool:
    return start[344:348] == b"ni1\0" or start[4:8] == b"ni2\0"


def _is_meta_image(stream: BinaryIO, start: bytes) -> bool:
    if not _META_LINE.match(start):
        return False
    stream.seek(0)
    return bool(read_meta_header(stream))


# --- what the platform can't read --------------------------------------------------------------


def _recognise_foreign(start: bytes, suffix: str) -> Foreign | None:
    if start[:4] in _NIFTI_LENGTHS and (_is_pair(start) or suffix == ".hdr"):
        return _PAIR
    found = next((foreign for begins, foreign in _FOREIGN if begins(start)), None)
    return _MINC if suffix == ".mnc" and found else found


def _recognise_gzip(start: bytes, suffix: str) -> Content:
    try:
        inner = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(start, START_BYTES)
    except zlib.error:
        inner = b""
    if _is_nifti(inner, suffix):
        return Content(".nii.gz")
    known: Mapping[Foreign, bool] = {
        _PACKED_DICOM: inner[_DICOM_MAGIC] == b"DICM",
        _PACKED_TAR: _is_tar(inner),
        _PAIR: inner[:4] in _NIFTI_LENGTHS,
        _MGH: _is_mgh(inner),
    }
    foreign = next((each for each, holds in known.items() if holds), None)
    if foreign is None and suffix in {".nii", ".nii.gz"}:
        return Content(".nii.gz")  # its own check tells what is wrong
    return Content(foreign=foreign or _PACKED_FILE)
