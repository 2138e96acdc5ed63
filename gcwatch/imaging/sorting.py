"""Sorts files by what they are: slices of a DICOM series, other images, or neither."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.content import NO_PIXELS, Content, Foreign, recognise_content
from gcwatch.imaging.dicom import header_facts, headers, slice_geometry
from gcwatch.imaging.formats import DICOM_SUFFIXES, SUFFIXES, damage_reason, suffix_of

_REMEMBERED_FILES = 16384
"""Number of files whose series is remembered; they need about 10 MiB."""


@dataclass
class SortedFiles:
    """Files sorted by what they are: parts of DICOM images (`series`), of `others`, or the `rest`.

    `others` come with the suffix of their content. `broken` and `empty` files should be part of an
    image but can't be read; `problems` tell why. Of the `rest`, `suspects` may be slices that are
    cut off, and `foreign` are of a format that the platform can't read. `is_medium`: the files
    have a DICOMDIR, as those of a CD do.
    """

    series: dict[header_facts.Group, list[slice_geometry.Slice]] = field(default_factory=dict)
    others: list[tuple[str, SourceFile, tuple[Reason, ...]]] = field(default_factory=list)
    rest: list[SourceFile] = field(default_factory=list)
    suspects: list[SourceFile] = field(default_factory=list)
    foreign: list[tuple[SourceFile, Foreign]] = field(default_factory=list)
    broken: list[SourceFile] = field(default_factory=list)
    empty: list[SourceFile] = field(default_factory=list)
    problems: list[Reason] = field(default_factory=list)
    is_medium: bool = False


FileContent = tuple[Content, header_facts.Header | None]
"""What a file is by its content; of a DICOM file only the header is known."""


def sort_file(
    file: SourceFile, heap: SortedFiles, read: Callable[[SourceFile], FileContent]
) -> None:
    """Add a file to the heap; `read` is `read_content`, or `read_once` if it is asked again."""
    suffix = suffix_of(file.name)
    if file.size == 0:
        _sort_empty(file, suffix, heap)
        return
    content, header = read(file)
    if header is not None:
        _sort_dicom(header, file, heap)
    elif content.suffix:
        heap.others.append((content.suffix, file, ()))
    elif content.foreign:
        heap.rest.append(file)
        heap.foreign.append((file, content.foreign))
    elif suffix in SUFFIXES:
        heap.others.append((suffix, file, (damage_reason(file, f"no {suffix}"),)))
    elif suffix in DICOM_SUFFIXES:
        _set_aside(file, "no DICOM", heap)
    else:
        heap.rest.append(file)
        if content.is_cut_dicom:
            heap.suspects.append(file)


def read_content(file: SourceFile) -> FileContent:
    """Given a file, return what it is by its content, and its header if it is DICOM."""
    with open_unchanged(file) as stream:
        header = headers.read_header(stream)
        if header is not None:
            return Content(), header
        stream.seek(0)
        return recognise_content(stream, suffix_of(file.name)), None


@functools.lru_cache(_REMEMBERED_FILES)
def read_once(file: SourceFile) -> FileContent:
    """Given a file, return what tells its series and slices; read again only if it changed."""
    content, header = read_content(file)
    if header is not None:
        frames = header.frames
        header = header_facts.Header(header.group, header.problem, header.stacked, frames=frames)
    return content, header


def _sort_empty(file: SourceFile, suffix: str, heap: SortedFiles) -> None:
    if suffix and suffix not in DICOM_SUFFIXES and suffix not in SUFFIXES:
        heap.rest.append(file)
        return
    heap.empty.append(file)
    heap.problems.append(Reason("empty_file", names={"file": file.name}))


def _sort_dicom(header: header_facts.Header, file: SourceFile, heap: SortedFiles) -> None:
    if header.group is not None:
        heap.series.setdefault(header.group, []).append((header, file))
    elif header.problem:
        _set_aside(file, header.problem, heap)
    else:
        heap.rest.append(file)
        heap.foreign.append((file, NO_PIXELS))
        heap.is_medium |= file.name.rpartition("/")[2].upper() == "DICOMDIR"


def _set_aside(file: SourceFile, problem: str, heap: SortedFiles) -> None:
    heap.broken.append(file)
    heap.problems.append(damage_reason(file, problem))


def set_aside_cut_slices(heap: SortedFiles) -> None:
    """Set aside what begins as DICOM and has the suffix of the slices: slices that are cut off."""
    suffixes = {suffix_of(file.name) for group in heap.series.values() for _, file in group}
    for file in heap.suspects:
        if suffix_of(file.name) in suffixes:
            heap.rest.remove(file)
            _set_aside(file, "no DICOM", heap)
