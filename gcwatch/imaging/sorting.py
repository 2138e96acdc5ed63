"""Sorts files by what they are: slices of a DICOM series, other images, or neither."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.dicom import headers, slice_geometry
from gcwatch.imaging.formats import DICOM_SUFFIXES, MAGIC, SUFFIXES, damage_reason, suffix_of

_GZIP = b"\x1f\x8b"


_REMEMBERED_FILES = 16384
"""Number of files whose series is remembered; they need about 10 MiB."""


_START_BYTES = 512
"""Bytes from a file's start that are enough to know its format."""


@dataclass
class SortedFiles:
    """Files sorted by what they are: parts of DICOM images (`series`), of `others`, or the `rest`.

    `broken` and `empty` files should be part of an image but can't be read; `problems` tell why.
    `suspects` are binary files of no known format.
    """

    series: dict[headers.Group, list[slice_geometry.Slice]] = field(default_factory=dict)
    others: list[tuple[str, SourceFile, tuple[Reason, ...]]] = field(default_factory=list)
    rest: list[SourceFile] = field(default_factory=list)
    suspects: list[SourceFile] = field(default_factory=list)
    broken: list[SourceFile] = field(default_factory=list)
    empty: list[SourceFile] = field(default_factory=list)
    problems: list[Reason] = field(default_factory=list)


FileStart = tuple[bytes, headers.Header | None]
"""A file's first bytes, and its header; of DICOM files only the header is kept."""


def sort_file(file: SourceFile, heap: SortedFiles, read: Callable[[SourceFile], FileStart]) -> None:
    """Add a file to the heap; `read` is `read_start`, or `read_once` if it is asked for again."""
    suffix = suffix_of(file.name)
    if file.size == 0:
        _sort_empty(file, suffix, heap)
        return
    start, header = read(file)
    if header is not None:
        _sort_dicom(header, file, heap)
    elif suffix in SUFFIXES:
        if suffix == ".nii" and start.startswith(_GZIP):
            suffix = ".nii.gz"  # the platform reads gzip only under this name (panimg 0.18.2)
        heap.others.append((suffix, file, _start_problems(file, suffix, start)))
    elif suffix in DICOM_SUFFIXES:
        _set_aside(file, "no DICOM", heap)
    else:
        heap.rest.append(file)
        if b"\0" in start:
            heap.suspects.append(file)


def read_start(file: SourceFile) -> FileStart:
    """Given a file, return its first 512 bytes, or its header if it is DICOM."""
    with open_unchanged(file) as stream:
        start = stream.read(_START_BYTES)
        stream.seek(0)
        header = headers.read_header(stream)
    return (b"" if header else start), header


@functools.lru_cache(_REMEMBERED_FILES)
def read_once(file: SourceFile) -> FileStart:
    """Given a file, return what is needed to know its series; read again only if it changed."""
    start, header = read_start(file)
    return start, header and headers.Header(header.group, header.problem, header.stacked)


def _sort_empty(file: SourceFile, suffix: str, heap: SortedFiles) -> None:
    if suffix and suffix not in DICOM_SUFFIXES and suffix not in SUFFIXES:
        heap.rest.append(file)
        return
    heap.empty.append(file)
    heap.problems.append(Reason("empty_file", names={"file": file.name}))


def _sort_dicom(header: headers.Header, file: SourceFile, heap: SortedFiles) -> None:
    if header.group is not None:
        heap.series.setdefault(header.group, []).append((header, file))
    elif header.problem:
        _set_aside(file, header.problem, heap)
    else:
        heap.rest.append(file)


def _set_aside(file: SourceFile, problem: str, heap: SortedFiles) -> None:
    heap.broken.append(file)
    heap.problems.append(damage_reason(file, problem))


def _start_problems(file: SourceFile, suffix: str, start: bytes) -> tuple[Reason, ...]:
    magic = MAGIC.get(suffix)
    return (damage_reason(file, f"no {suffix}"),) if magic and not start.startswith(magic) else ()


def set_aside_cut_slices(heap: SortedFiles) -> None:
    """Set aside binary files with the same suffix as the slices: probably slices cut off."""
    suffixes = {suffix_of(file.name) for group in heap.series.values() for _, file in group}
    for file in heap.suspects:
        if suffix_of(file.name) in suffixes:
            heap.rest.remove(file)
            _set_aside(file, "no DICOM", heap)
