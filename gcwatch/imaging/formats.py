"""The image formats that the platform reads, by suffix and first bytes, and what an image is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile

Integrity = Literal["refuse", "warn"]
"""Refuse an image that the platform would import wrongly, or send it with warnings."""


Kind = Literal[
    "DICOM series",
    "DICOM slide",
    "MetaImage",
    "NIfTI",
    "NRRD",
    "TIFF",
    "slide",
    "OCT",
    "PNG",
    "JPEG",
]
"""Formats that the platform's importer knows (panimg's builders, in its order)."""


SUFFIXES: Mapping[str, Kind] = {
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".mrxs": "slide",
    ".vms": "slide",
    ".vmu": "slide",
    ".svs": "slide",
    ".ndpi": "slide",
    ".scn": "slide",
    ".bif": "slide",
    ".fds": "OCT",
    ".fda": "OCT",
    ".e2e": "OCT",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}


DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


@dataclass(frozen=True)
class Image:
    """One image: its kind, the suffix of its main file, its files.

    The main file is the first one; a slide's index comes next; data files are last. `warnings`
    tell why the platform would make a wrong or incomplete image of it. `mixed` are the names of
    `dicom.SHARED_ELEMENTS` that differ between its files. `forecast` is what the platform must
    make of it; its `order` counts `files`. `content` is a digest of the SOPInstanceUIDs of DICOM,
    "" for other formats. `is_bare`: some of its DICOM files have no preamble. `not_taken` names
    series beside it that the route does not take.
    """

    kind: Kind
    suffix: str
    files: tuple[SourceFile, ...]
    warnings: tuple[Reason, ...] = ()
    mixed: tuple[str, ...] = ()
    forecast: ImageForecast = UNKNOWN
    content: str = ""
    is_bare: bool = False
    not_taken: tuple[Reason, ...] = ()

    @property
    def is_dicom(self) -> bool:
        """Whether its files are DICOM; only these can be de-identified."""
        return self.suffix == ".dcm"


def suffix_of(name: str) -> str:
    """Given a name, return its suffix in lower case, or "" without one."""
    last = name.rpartition("/")[2].lower()
    if last.endswith(".nii.gz"):
        return ".nii.gz"
    dot = last.rfind(".")
    suffix = last[dot:] if 0 < dot < len(last) - 1 else ""
    # Names made of UIDs end in a dot and digits; that is no suffix.
    return "" if suffix[1:].isdigit() else suffix


def damage_reason(file: SourceFile, problem: str) -> Reason:
    """Given a file and what is wrong with it, return the reason `damaged_image`."""
    return Reason("damaged_image", {"problem": problem}, {"file": file.name})
