"""Sorts files by what they are: slices of a DICOM series, other images, or neither."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gcwatch.core.reasons import Reason
from gcwatch.core.rules.series_rules import SeriesRules
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.content import NO_PIXELS, Content, Foreign, recognise_content
from gcwatch.imaging.dicom import header_facts, headers, slice_geometry
from gcwatch.imaging.formats import DICOM_SUFFIXES, SUFFIXES, damage_reason, suffix_of

_MOST_NAMED = 20
"""Number of series that one reason names."""

_REMEMBERED_FILES = 16384
"""Number of files whose series is remembered; they need about 10 MiB."""


@dataclass
class SortedFiles:
    """Files sorted by what they are: parts of DICOM images (`series`), of `others`, or the `rest`.

    `others` come with the suffix of their content. `broken` and `empty` files should be part of an
    image but can't be read; `problems` tell why. Of the `rest`, `suspects` may be slices that are
    cut off, and `foreign` are of a format that the platform can't read. `is_medium`: the files
    have a DICOMDIR, as those of a CD do. `not_taken` says which series a route does not take.
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
    not_taken: list[str] = field(default_factory=list)


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


def read_content(file: SourceFile, asked: tuple[str, ...] = ()) -> FileContent:
    """Given a file, return what it is by its content, and its header if it is DICOM.

    With the header come the elements *asked* for.
    """
    with open_unchanged(file) as stream:
        header = headers.read_header(stream, asked)
        if header is not None:
            return Content(), header
        stream.seek(0)
        return recognise_content(stream, suffix_of(file.name)), None


@functools.lru_cache(_REMEMBERED_FILES)
def read_once(file: SourceFile, asked: tuple[str, ...] = ()) -> FileContent:
    """Given a file, return what tells its series and slices; read again only if it changed."""
    content, header = read_content(file, asked)
    if header is not None:
        header = header_facts.Header(
            header.group, header.problem, header.stacked, frames=header.frames, asked=header.asked
        )
    return content, header


def leave_other_series(heap: SortedFiles, rules: SeriesRules) -> None:
    """Move the series that do not fit the rules to the rest; `not_taken` says which, and why."""
    if not rules.rules:
        return
    for group, members in list(heap.series.items()):
        misfits = Counter(rules.find_misfit(header.asked) for header, _ in members)
        fitting = misfits.pop("", 0)
        if not misfits:
            continue
        [(why, count)] = misfits.most_common(1)
        name = rules.series_name(members[0][0].asked, len(members))
        in_some = f" (in {count} of them)" if fitting or len(misfits) > 1 else ""
        heap.not_taken.append(f"{name}: {why}{in_some}")
        heap.rest.extend(file for _, file in members)
        del heap.series[group]


def not_taken_reason(not_taken: Sequence[str], code: str = "series_not_taken") -> Reason:
    """Given which series are not taken, and why, return that as a reason."""
    named = "; ".join(not_taken[:_MOST_NAMED])
    more = len(not_taken) - _MOST_NAMED
    told = f"{named}; and {more} more" if more > 0 else named
    return Reason(code, {"count": len(not_taken)}, {"series": told})


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
