"""Which images a folder's files make up."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

from gcwatch import dicom
from gcwatch.errors import CannotSend
from gcwatch.inbox import SourceFile, open_unchanged
from gcwatch.reasons import Reason

Kind = Literal["DICOM series", "MetaImage", "NIfTI", "NRRD", "TIFF", "slide", "OCT", "PNG", "JPEG"]
"""What the platform's importer knows (panimg's builders, in its order)."""

_SUFFIXES: Mapping[str, Kind] = {
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".nrrd": "NRRD",
    ".tif": "TIFF",
    ".tiff": "TIFF",
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

_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAGIC: Mapping[str, tuple[bytes, ...]] = {
    ".nii.gz": (b"\x1f\x8b",),
    ".nrrd": (b"NRRD",),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".svs": _TIFF,
    ".ndpi": _TIFF,
    ".scn": _TIFF,
    ".bif": _TIFF,
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
}

_START = 512
"""Bytes that are enough to tell one kind of file from another."""

_META_HEADER = 64 * 1024
"""Bytes within which a MetaImage header ends."""

META_BYTES: Mapping[str, int] = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
}
"""Bytes of one voxel, by the ElementType of a MetaImage header."""


@dataclass(frozen=True)
class Image:
    """One image: its kind, the suffix its file goes by, its files (a header before its data)."""

    kind: Kind
    suffix: str
    files: tuple[SourceFile, ...]


@dataclass
class _Sorted:
    """Files sorted into those of DICOM images, those of others, and the rest."""

    series: dict[dicom.Group, list[tuple[dicom.Header, SourceFile]]] = field(default_factory=dict)
    others: list[tuple[str, SourceFile]] = field(default_factory=list)
    rest: list[SourceFile] = field(default_factory=list)
    suspects: list[SourceFile] = field(default_factory=list)


def recognise(files: Iterable[SourceFile]) -> tuple[tuple[Image, ...], int]:
    """Given files, return the images that they make up, and how many files belong to none.

    Files are told apart by content and suffix as the platform's importer does. What belongs to
    none (reports, DICOMDIRs, text, archives) could hold a name and must not be sent.

    Raise CannotSend (`damaged_image`) if a file that should be part of an image is unreadable,
    cut off or without its data, or if one slice is there twice: the importer would make an
    incomplete or a wrong image of these without a word. Raise CannotSend (`empty_file`) if an
    image's file is empty. Raise SourceChanged if a file is not as listed.
    """
    heap = _Sorted()
    for file in files:
        _sort(file, heap)
    _refuse_suspects(heap)
    images = [_series(members) for members in heap.series.values()]
    others, companions = _others(heap)
    rest = [file for file in heap.rest if file not in companions]
    return (*images, *others), len(rest)


def suffix_of(name: str) -> str:
    """Given a name, return its suffix in lower case; digits are none (UIDs end in them)."""
    last = name.rpartition("/")[2].lower()
    if last.endswith(".nii.gz"):
        return ".nii.gz"
    suffix = PurePosixPath(last).suffix
    return "" if suffix[1:].isdigit() else suffix


def _sort(file: SourceFile, heap: _Sorted) -> None:
    suffix = suffix_of(file.name)
    expected = not suffix or suffix in _DICOM_SUFFIXES or suffix in _SUFFIXES
    if file.size == 0:
        if expected:
            raise CannotSend(Reason("empty_file", names={"file": file.name}))
        heap.rest.append(file)
        return
    with open_unchanged(file) as stream:
        start = stream.read(_START)
        stream.seek(0)
        header = dicom.read_header(stream, file)
    if header is not None:
        _sort_dicom(header, file, heap)
    elif suffix in _SUFFIXES:
        _check_start(file, suffix, start)
        heap.others.append((suffix, file))
    elif suffix in _DICOM_SUFFIXES:
        raise _damaged(file, "no DICOM")
    else:
        heap.rest.append(file)
        if b"\0" in start:
            heap.suspects.append(file)


def _sort_dicom(header: dicom.Header, file: SourceFile, heap: _Sorted) -> None:
    if header.group is None:
        heap.rest.append(file)
    else:
        heap.series.setdefault(header.group, []).append((header, file))


def _check_start(file: SourceFile, suffix: str, start: bytes) -> None:
    magic = _MAGIC.get(suffix)
    if magic and not start.startswith(magic):
        raise _damaged(file, f"no {suffix}")


def _damaged(file: SourceFile, problem: str) -> CannotSend:
    return CannotSend(Reason("damaged_image", {"problem": problem}, {"file": file.name}))


# --- DICOM -------------------------------------------------------------------------------------


def _refuse_suspects(heap: _Sorted) -> None:
    """Refuse a binary file that is named as the slices are: most likely a slice cut short."""
    suffixes = {suffix_of(file.name) for group in heap.series.values() for _, file in group}
    for file in heap.suspects:
        if suffix_of(file.name) in suffixes:
            raise _damaged(file, "no DICOM")


def _series(members: Sequence[tuple[dicom.Header, SourceFile]]) -> Image:
    instances: set[str] = set()
    for header, file in members:
        if header.instance in instances:
            raise _damaged(file, "the same slice twice")
        if header.number is None and len(members) > 1:
            raise _damaged(file, "no InstanceNumber")
        instances.add(header.instance)
    return Image("DICOM series", ".dcm", tuple(file for _, file in members))


# --- the others --------------------------------------------------------------------------------


def _others(heap: _Sorted) -> tuple[list[Image], set[SourceFile]]:
    """Given sorted files, return the images other than DICOM, and the data files they take."""
    images: list[Image] = []
    companions: set[SourceFile] = set()
    by_name = {file.name: file for file in heap.rest}
    for suffix, file in heap.others:
        parts: tuple[SourceFile, ...] = (file,)
        if suffix in {".mha", ".mhd"}:
            parts = _meta_image(file, by_name)
            companions.update(parts[1:])
        images.append(Image(_SUFFIXES[suffix], suffix, parts))
    return images, companions


def meta_header(stream: BinaryIO) -> bytes:
    """Given a MetaImage at its start, return its header up to the end of its last line.

    That line is `ElementDataFile`; b"" if there is none.
    """
    start = stream.read(_META_HEADER)
    found = re.search(rb"(?m)^ElementDataFile[ \t]*=[^\n]*\n?", start)
    return start[: found.end()] if found else b""


def meta_fields(header: bytes) -> dict[str, str]:
    """Given a MetaImage header, return its fields."""
    lines = (line.partition(b"=") for line in header.splitlines())
    return {os.fsdecode(key).strip(): os.fsdecode(value).strip() for key, _, value in lines}


def _meta_image(file: SourceFile, others: Mapping[str, SourceFile]) -> tuple[SourceFile, ...]:
    with open_unchanged(file) as stream:
        header = meta_header(stream)
    fields = meta_fields(header)
    data = fields.get("ElementDataFile", "")
    if not data:
        raise _damaged(file, "no ElementDataFile")
    if data.upper() == "LOCAL":
        _check_meta_size(file, fields, file.size - len(header))
        return (file,)
    companion = others.get(os.path.normpath(PurePosixPath(file.name).parent / data))
    if companion is None:
        raise _damaged(file, "its data file is missing")
    if companion.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": companion.name}))
    _check_meta_size(companion, fields, companion.size)
    return file, companion


def _check_meta_size(file: SourceFile, fields: Mapping[str, str], size: int) -> None:
    """Refuse data that is shorter than its header says, where the header is plain enough."""
    if fields.get("CompressedData", "False").lower() == "true":
        return
    numbers = [*fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")]
    if not all(number.isdigit() for number in numbers):
        return
    expected = META_BYTES.get(fields.get("ElementType", ""), 0)
    for number in numbers:
        expected *= int(number)
    if size < expected:
        raise _damaged(file, "pixel data is cut off")
