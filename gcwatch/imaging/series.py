"""Groups a patient's files by DICOM series."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from gcwatch.core.rules.series_rules import ALL_SERIES, SeriesRules
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.dicom import header_facts
from gcwatch.imaging.sorting import (
    SortedFiles,
    leave_other_series,
    read_once,
    set_aside_cut_slices,
    sort_file,
)


@dataclass(frozen=True)
class Series:
    """One DICOM image of a folder: a name that does not change, and its files."""

    name: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class Grouping:
    """DICOM series sorted by name; the number of files of no series; and unreadable files.

    An `unreadable` file may be a slice of any of the series. `not_taken` says which series do not
    fit the rules, and why; their files count as those of no series.
    """

    series: tuple[Series, ...]
    rest: int
    unreadable: tuple[SourceFile, ...]
    not_taken: tuple[str, ...] = ()


def group_series(files: Iterable[SourceFile], only: SeriesRules = ALL_SERIES) -> Grouping:
    """Given a patient's files, return the DICOM series that they make up and that fit *only*.

    Files are grouped as in the platform's importer (`dicom.Group`). A name depends only on the
    group: the SeriesInstanceUID, or the StudyInstanceUID if a StackID makes the group (its slices
    may be of several series), then a dot and 8 hex digits of the group's SHA-256, which differ
    between the SOP classes of one series. It has at most 73 letters, digits, dots and dashes.

    A slice that is cut off is part of its series if its header can be read. Other formats, text
    and DICOM files that are no images belong to no series. A file's header is read again only if
    its size or times change. Raise SourceChanged if a file changed since it was listed.
    """
    heap = SortedFiles()
    for file in files:
        sort_file(file, heap, partial(read_once, asked=only.keywords))
    set_aside_cut_slices(heap)
    leave_other_series(heap, only)
    series = [
        Series(_series_name(members[0][0]), tuple(file for _, file in members))
        for members in heap.series.values()
    ]
    series.sort(key=lambda each: each.name)
    rest, unreadable = len(heap.rest) + len(heap.others), (*heap.broken, *heap.empty)
    return Grouping(tuple(series), rest, unreadable, tuple(heap.not_taken))


def count_slices(files: Iterable[SourceFile]) -> int:
    """Given files, return the number of their DICOM slices; a multi-frame file has several.

    Headers are read as by `group_series`, and it raises the same.
    """
    found = (read_once(file)[1] for file in files if file.size)
    return sum(header.frames for header in found if header is not None and header.group is not None)


def _series_name(header: header_facts.Header) -> str:
    assert header.group
    group = (header.group.study, header.group.stack, header.group.sop_class)
    digest = hashlib.sha256("\0".join(group).encode()).hexdigest()[:8]
    readable = header.group.study if header.stacked else header.group.stack
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', readable)[:64].lstrip('.')}.{digest}"
