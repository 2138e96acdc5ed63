"""Finds the images that a folder's files make up, as the platform's importer would."""

import functools
import hashlib
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging import (
    dicom,
    series_consistency,
    signatures,
    slice_geometry,
    slides,
    voxel_sizes,
)

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

_SENT_WITH_WARNINGS: Collection[Kind] = ("DICOM series", "DICOM slide", "slide")
"""Kinds of several files, which may be sent although some are missing or damaged."""

_SUFFIXES: Mapping[str, Kind] = {
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

_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAGIC: Mapping[str, tuple[bytes, ...]] = {
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

_STRUCTURES: Mapping[Kind, signatures.Format] = {
    "TIFF": signatures.TIFF,
    "PNG": signatures.PNG,
    "JPEG": signatures.JPEG,
}
"""Formats whose own structure tells whether the end of the file is missing."""

_GZIP = b"\x1f\x8b"

_REMEMBERED_FILES = 16384
"""Number of files whose series is remembered; they need about 10 MiB."""

_START_BYTES = 512
"""Bytes from a file's start that are enough to know its format."""

_META_HEADER_BYTES = 64 * 1024
"""Maximum length of the header of a MetaImage or an NRRD."""

_DATA_ELSEWHERE = re.compile(rb"(?im)^data ?file:")
"""The field of an NRRD header that names other files; the platform reads no such NRRD."""

_SLIDE_INDEX_BYTES = 16 * 1024 * 1024
"""Bytes of a slide's index that are read at most."""

META_VOXEL_BYTES: Mapping[str, int] = {
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
    """One image: its kind, the suffix of its main file, its files.

    The main file is the first one; a slide's index comes next; data files are last. `warnings`
    tell why the platform would make a wrong or incomplete image of it. `mixed` are the names of
    `dicom.SHARED_ELEMENTS` that differ between its files.
    """

    kind: Kind
    suffix: str
    files: tuple[SourceFile, ...]
    warnings: tuple[Reason, ...] = ()
    mixed: tuple[str, ...] = ()

    @property
    def is_dicom(self) -> bool:
        """Whether its files are DICOM; only these can be de-identified."""
        return self.suffix == ".dcm"


@dataclass
class _SortedFiles:
    """Files sorted by what they are: parts of DICOM images (`series`), of `others`, or the `rest`.

    `broken` and `empty` files should be part of an image but can't be read; `problems` tell why.
    `suspects` are binary files of no known format.
    """

    series: dict[dicom.Group, list[slice_geometry.Slice]] = field(default_factory=dict)
    others: list[tuple[str, SourceFile, tuple[Reason, ...]]] = field(default_factory=list)
    rest: list[SourceFile] = field(default_factory=list)
    suspects: list[SourceFile] = field(default_factory=list)
    broken: list[SourceFile] = field(default_factory=list)
    empty: list[SourceFile] = field(default_factory=list)
    problems: list[Reason] = field(default_factory=list)


def recognise_images(
    files: Iterable[SourceFile],
    *,
    integrity: Integrity = "refuse",
    deidentify: bool = False,
    joined: bool = True,
) -> tuple[tuple[Image, ...], int]:
    """Given files, return the images that they make up, and how many files belong to none.

    Formats are recognised by content and suffix, as the platform's importer does. Files that
    belong to no image (reports, DICOMDIRs, text) may contain a patient's name and must not be
    sent. The same holds for archives: the platform would unpack them, but nobody checked them.

    Files may be unreadable, cut off, empty, duplicate or missing. The importer then makes a wrong
    or incomplete image without an error (platform 13.9). With `integrity` "refuse", raise
    CannotSend for the first such problem if the files are one image (`damaged_image`,
    `empty_file`, `slice_twice`, `slices_missing`, `slices_overlap`, `slices_uneven`,
    `slices_unplaced`, `slices_disordered`). With "warn", the problems are the image's warnings,
    and its files are those that the platform should get: a DICOM image includes its unreadable
    files. Empty files are never included; they count as belonging to no image. A single file that
    holds less than its header says is refused in any case.

    The importer joins the files of a DICOM series into one image, so these must agree
    (`series_consistency`); what it gets lacks elements with `deidentify`. `joined` is False for
    a DICOM Image Set, whose files stay apart. A problem of `series_consistency.NEVER_SENT` raises
    CannotSend also with "warn".

    Also raise CannotSend for such a problem if there is no image at all, and for an image that
    the platform can't read (`detached_header`). Raise SourceChanged if a file changed since it
    was listed.
    """
    heap = _SortedFiles()
    for file in files:
        _sort_file(file, heap, _read_start)
    _set_aside_cut_slices(heap)
    others, companions = _other_images(heap)
    series = [
        _series_image(members, deidentify=deidentify, joined=joined)
        for members in heap.series.values()
    ]
    images = (*series, *others)
    if heap.problems and (integrity == "refuse" or not images):
        raise CannotSend(heap.problems[0])
    if len(images) == 1:
        may_warn = images[0].kind in _SENT_WITH_WARNINGS
        _raise_first(images[0].warnings, integrity if may_warn else "refuse")
    left = [file for file in (*heap.rest, *heap.empty) if file not in companions]
    if len(images) == 1 and images[0].is_dicom:
        return (_add_findings(images[0], heap.broken, heap.problems),), len(left)
    return tuple(_add_findings(image, (), heap.problems) for image in images), len(left) + len(
        heap.broken
    )


def _raise_first(warnings: Sequence[Reason], integrity: Integrity) -> None:
    """Raise CannotSend for what is never sent, or with "refuse" for any warning."""
    never = [reason for reason in warnings if reason.code in series_consistency.NEVER_SENT]
    if refused := never or (warnings if integrity == "refuse" else ()):
        raise CannotSend(refused[0])


def _add_findings(image: Image, files: Sequence[SourceFile], problems: Sequence[Reason]) -> Image:
    return replace(image, files=(*image.files, *files), warnings=(*image.warnings, *problems))


def suffix_of(name: str) -> str:
    """Given a name, return its suffix in lower case, or "" without one."""
    last = name.rpartition("/")[2].lower()
    if last.endswith(".nii.gz"):
        return ".nii.gz"
    suffix = PurePosixPath(last).suffix
    # Names made of UIDs end in a dot and digits; that is no suffix.
    return "" if suffix[1:].isdigit() else suffix


_Found = tuple[bytes, dicom.Header | None]
"""A file's first bytes, and its header; of DICOM files only the header is kept."""


def _sort_file(file: SourceFile, heap: _SortedFiles, read: Callable[[SourceFile], _Found]) -> None:
    suffix = suffix_of(file.name)
    if file.size == 0:
        _sort_empty(file, suffix, heap)
        return
    start, header = read(file)
    if header is not None:
        _sort_dicom(header, file, heap)
    elif suffix in _SUFFIXES:
        if suffix == ".nii" and start.startswith(_GZIP):
            suffix = ".nii.gz"  # the platform reads gzip only under this name (panimg 0.18.2)
        heap.others.append((suffix, file, _start_problems(file, suffix, start)))
    elif suffix in _DICOM_SUFFIXES:
        _set_aside(file, "no DICOM", heap)
    else:
        heap.rest.append(file)
        if b"\0" in start:
            heap.suspects.append(file)


def _read_start(file: SourceFile) -> _Found:
    with open_unchanged(file) as stream:
        start = stream.read(_START_BYTES)
        stream.seek(0)
        header = dicom.read_header(stream)
    return (b"" if header else start), header


@functools.lru_cache(_REMEMBERED_FILES)
def _read_once(file: SourceFile) -> _Found:
    """Given a file, return what is needed to know its series; read again only if it changed."""
    start, header = _read_start(file)
    return start, header and dicom.Header(header.group, header.problem, header.stacked)


def _sort_empty(file: SourceFile, suffix: str, heap: _SortedFiles) -> None:
    if suffix and suffix not in _DICOM_SUFFIXES and suffix not in _SUFFIXES:
        heap.rest.append(file)
        return
    heap.empty.append(file)
    heap.problems.append(Reason("empty_file", names={"file": file.name}))


def _sort_dicom(header: dicom.Header, file: SourceFile, heap: _SortedFiles) -> None:
    if header.group is not None:
        heap.series.setdefault(header.group, []).append((header, file))
    elif header.problem:
        _set_aside(file, header.problem, heap)
    else:
        heap.rest.append(file)


def _set_aside(file: SourceFile, problem: str, heap: _SortedFiles) -> None:
    heap.broken.append(file)
    heap.problems.append(_damage_reason(file, problem))


def _damage_reason(file: SourceFile, problem: str) -> Reason:
    return Reason("damaged_image", {"problem": problem}, {"file": file.name})


def _start_problems(file: SourceFile, suffix: str, start: bytes) -> tuple[Reason, ...]:
    magic = _MAGIC.get(suffix)
    return (_damage_reason(file, f"no {suffix}"),) if magic and not start.startswith(magic) else ()


# --- DICOM -------------------------------------------------------------------------------------


def _set_aside_cut_slices(heap: _SortedFiles) -> None:
    """Set aside binary files with the same suffix as the slices: probably slices cut off."""
    suffixes = {suffix_of(file.name) for group in heap.series.values() for _, file in group}
    for file in heap.suspects:
        if suffix_of(file.name) in suffixes:
            heap.rest.remove(file)
            _set_aside(file, "no DICOM", heap)


def _series_image(
    members: Sequence[slice_geometry.Slice], *, deidentify: bool, joined: bool
) -> Image:
    group = members[0][0].group
    kind: Kind = (
        "DICOM slide" if group and group.sop_class == dicom.SLIDE_SOP_CLASS else "DICOM series"
    )
    found = slice_geometry.find_irregularities(members)
    if joined:
        found += series_consistency.find_inconsistencies(members, deidentify=deidentify)
        found += slice_geometry.find_distortions(members)
    return Image(
        kind,
        ".dcm",
        tuple(file for _, file in members),
        tuple(found),
        _mixed_elements([header for header, _ in members]),
    )


def _mixed_elements(headers: Sequence[dicom.Header]) -> tuple[str, ...]:
    values = zip(*(header.shared for header in headers), strict=True)
    return tuple(
        keyword
        for keyword, found in zip(dicom.SHARED_ELEMENTS, values, strict=True)
        if len(set(found)) > 1
    )


@dataclass(frozen=True)
class Series:
    """One DICOM image of a folder: a name that does not change, and its files."""

    name: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class Grouping:
    """DICOM series sorted by name; the number of files of no series; and unreadable files.

    An `unreadable` file may be a slice of any of the series.
    """

    series: tuple[Series, ...]
    rest: int
    unreadable: tuple[SourceFile, ...]


def group_series(files: Iterable[SourceFile]) -> Grouping:
    """Given a patient's files, return the DICOM series that they make up.

    Files are grouped as in the platform's importer (`dicom.Group`). A name depends only on the
    group: the SeriesInstanceUID, or the StudyInstanceUID if a StackID makes the group (its slices
    may be of several series), then a dot and 8 hex digits of the group's SHA-256, which differ
    between the SOP classes of one series. It has at most 73 letters, digits, dots and dashes.

    A slice that is cut off is part of its series if its header can be read. Other formats, text
    and DICOM files that are no images belong to no series. A file's header is read again only if
    its size or times change. Raise SourceChanged if a file changed since it was listed.
    """
    heap = _SortedFiles()
    for file in files:
        _sort_file(file, heap, _read_once)
    _set_aside_cut_slices(heap)
    series = [
        Series(_series_name(members[0][0]), tuple(file for _, file in members))
        for members in heap.series.values()
    ]
    series.sort(key=lambda each: each.name)
    return Grouping(tuple(series), len(heap.rest) + len(heap.others), (*heap.broken, *heap.empty))


def count_dicom(files: Iterable[SourceFile]) -> int:
    """Given files, return how many are DICOM images; headers are read as by `group_series`."""
    return sum(len(series.files) for series in group_series(files).series)


def _series_name(header: dicom.Header) -> str:
    assert header.group
    group = (header.group.study, header.group.stack, header.group.sop_class)
    digest = hashlib.sha256("\0".join(group).encode()).hexdigest()[:8]
    readable = header.group.study if header.stacked else header.group.stack
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', readable)[:64].lstrip('.')}.{digest}"


# --- the others --------------------------------------------------------------------------------


def _other_images(heap: _SortedFiles) -> tuple[list[Image], set[SourceFile]]:
    """Given sorted files, return the images other than DICOM, and the data files they use."""
    by_name = {file.name: file for file in heap.rest}
    of_slides = slides.files_by_name(
        (*heap.rest, *heap.empty, *(file for _, file, _ in heap.others))
    )
    images: list[Image] = []
    for suffix, file, problems in heap.others:
        image = Image(_SUFFIXES[suffix], suffix, (file,), problems)
        if suffix in {".mha", ".mhd"}:
            image = _complete_meta_image(image, by_name)
        elif suffix in {".mrxs", ".vms", ".vmu"}:
            image = _complete_slide(image, of_slides)
        elif suffix in {".nrrd", ".nhdr"}:
            _require_attached(file)
        images.append(image)
    companions = {file for image in images for file in image.files[1:]}
    images = [image for image in images if image.files[0] not in companions]
    return [image if image.warnings else _check_content(image) for image in images], companions


def _check_content(image: Image) -> Image:
    """Add a warning if the image's file is shorter than its own structure says."""
    file = image.files[0]
    with open_unchanged(file) as stream:
        if image.kind == "NIfTI":
            problem = voxel_sizes.find_nifti_damage(stream, file.size)
        elif image.kind == "NRRD":
            problem = voxel_sizes.find_nrrd_damage(stream, file.size)
        elif image.kind in _STRUCTURES:
            problem = _STRUCTURES[image.kind].damage(stream)
        else:
            return image
    return replace(image, warnings=(_damage_reason(file, problem),)) if problem else image


def _require_attached(file: SourceFile) -> None:
    with open_unchanged(file) as stream:
        header, _, _ = stream.read(_META_HEADER_BYTES).replace(b"\r", b"").partition(b"\n\n")
    if _DATA_ELSEWHERE.search(header):
        raise CannotSend(Reason("detached_header", names={"file": file.name}))


def _complete_slide(image: Image, others: Mapping[str, SourceFile]) -> Image:
    [file] = image.files
    index = others.get(slides.index_name(file.name))
    if index is None:
        raise CannotSend(_damage_reason(file, "its folder with Slidedat.ini is missing"))
    with open_unchanged(index) as stream:
        named = slides.find_named_files(stream.read(_SLIDE_INDEX_BYTES), index, others)
    data = [other for other in named.values() if other]
    if not data:
        raise CannotSend(_damage_reason(file, "its data files are missing"))
    lost = len(named) - sum(other.size > 0 for other in data)
    problems = (_damage_reason(file, f"{lost} of its {len(named)} data files are missing"),)
    files = tuple(dict.fromkeys((file, index, *data)))
    return replace(image, files=files, warnings=problems if lost else ())


def meta_header(stream: BinaryIO) -> bytes:
    """Given a MetaImage at its start, return its header with its last line, `ElementDataFile`.

    Return b"" if that line is missing.
    """
    start = stream.read(_META_HEADER_BYTES)
    found = re.search(rb"(?m)^ElementDataFile[ \t]*=[^\n]*\n?", start)
    return start[: found.end()] if found else b""


def meta_fields(header: bytes) -> dict[str, str]:
    """Given a MetaImage header, return its fields by name."""
    lines = (line.partition(b"=") for line in header.splitlines())
    return {os.fsdecode(key).strip(): os.fsdecode(value).strip() for key, _, value in lines}


def _complete_meta_image(image: Image, others: Mapping[str, SourceFile]) -> Image:
    [file] = image.files
    with open_unchanged(file) as stream:
        header = meta_header(stream)
    fields = meta_fields(header)
    data = fields.get("ElementDataFile", "")
    if not data:
        raise CannotSend(_damage_reason(file, "no ElementDataFile"))
    if data.upper() == "LOCAL":
        return replace(image, warnings=_meta_size_problems(file, fields, len(header)))
    companion = others.get(os.path.normpath(PurePosixPath(file.name).parent / data))
    if companion is None:
        names = {"file": f"{file.name} (data in {data})"}
        raise CannotSend(Reason("damaged_image", {"problem": "its data file is missing"}, names))
    if companion.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": companion.name}))
    problems = _meta_size_problems(companion, fields)
    return replace(image, files=(file, companion), warnings=problems)


def _meta_size_problems(
    file: SourceFile, fields: Mapping[str, str], begin: int = 0
) -> tuple[Reason, ...]:
    """Return a problem if the voxels, from `begin` on, are fewer than the header says."""
    numbers = [*fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")]
    voxel = META_VOXEL_BYTES.get(fields.get("ElementType", ""))
    if voxel is None or not all(number.isdigit() for number in numbers):
        return ()
    expected = voxel * math.prod(map(int, numbers))
    if fields.get("CompressedData", "False")[:1].lower() in {"t", "1"}:
        problem = _meta_compressed_damage(file, fields, begin, expected)
    else:
        problem = voxel_sizes.compare_sizes(file.size - begin, expected)
    return (_damage_reason(file, problem),) if problem else ()


def _meta_compressed_damage(
    file: SourceFile, fields: Mapping[str, str], begin: int, expected: int
) -> str:
    told, held = fields.get("CompressedDataSize", ""), file.size - begin
    if not told.isdecimal() and begin:
        return "its header has no CompressedDataSize"
    size = int(told) if told.isdecimal() else held
    if size > held:
        return f"the file holds {held} of {size} bytes of compressed data"
    with open_unchanged(file) as stream:
        stream.seek(begin)
        # The platform reads the first gzip member only (panimg 0.18.2).
        return voxel_sizes.find_compressed_damage(stream, size, expected, one_member=True)
