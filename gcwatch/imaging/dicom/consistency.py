"""Checks from the headers whether the files of one DICOM series make one image on the platform.

The importer takes the patient, the size, the pixel type and the spacing from one of the files and
compares nothing (panimg 0.15.2, `image_builders/dicom.py`). Whatever differs in the other files is
lost, without an error.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gcwatch.core.reasons import Reason
from gcwatch.imaging.dicom.headers import CommonFacts, Header, parse_numbers
from gcwatch.imaging.dicom.slice_geometry import Slice, count_at_each_place, is_slide

_CT, _MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
"""SOP classes of single slices; the de-identification removes NumberOfFrames of both."""

_SPACING_TOLERANCE_MM = 1e-3
"""Allowed difference between pixel spacings; programs round them differently."""

NEVER_SENT = frozenset(
    {
        "several_patients",
        "several_multiframe",
        "frames_removed",
        "stack_removed",
        "sizes_differ",
        "slopes_removed",
    }
)
"""Codes of images that are refused even with integrity "warn": no use of them is right."""


def find_inconsistencies(members: Sequence[Slice], *, deidentify: bool) -> list[Reason]:
    """Given the files of one image, return why they are not one image on the platform.

    With `deidentify`, elements that the platform's procedure removes count as absent. A reason
    holds names of elements and counts, never a value. The levels of a slide may differ in size.
    Damaged files are not compared: `slice_geometry` finds them.
    """
    whole = [member for member in members if not member[0].problem]
    headers = list({header.instance: header for header, _ in whole}.values())
    if not headers:
        return []
    found = list(_find_several_patients(headers))
    if is_slide(members):
        return found
    found += _find_lost_frames(headers, deidentify=deidentify)
    found += _find_lost_stack(headers, deidentify=deidentify)
    found += _find_differences(headers)
    found += _find_lost_slopes(headers, deidentify=deidentify)
    return [*found, *_find_mixed_times(whole, deidentify=deidentify)]


def _count_distinct(headers: Sequence[Header], value: Callable[[CommonFacts], Any]) -> int:
    return len({value(common) for common in {header.common for header in headers}})


def _find_several_patients(headers: Sequence[Header]) -> Iterator[Reason]:
    count = _count_distinct(headers, lambda common: common.patient)
    if count > 1:
        yield Reason("several_patients", {"count": count})


def _find_lost_frames(headers: Sequence[Header], *, deidentify: bool) -> Iterator[Reason]:
    multiframe = sum(header.frames > 1 for header in headers)
    if multiframe and len(headers) > 1:
        yield Reason("several_multiframe", {"count": multiframe, "total": len(headers)})
    elif multiframe and deidentify and _sop_class(headers) in {_CT, _MR}:
        yield Reason("frames_removed", {"count": headers[0].frames})


def _find_lost_stack(headers: Sequence[Header], *, deidentify: bool) -> Iterator[Reason]:
    # Without StackID the importer groups by series.
    count = len({header.series for header in headers})
    if deidentify and count > 1:
        yield Reason("stack_removed", {"count": count})


def _find_differences(headers: Sequence[Header]) -> Iterator[Reason]:
    sizes = _count_distinct(headers, lambda common: common.pixel_format)
    if sizes > 1:
        yield Reason("sizes_differ", {"count": sizes})
    if _spacings_differ({header.common.spacing for header in headers}):
        yield Reason("spacings_differ")
    references = _count_distinct(headers, lambda common: common.frame_of_reference)
    if references > 1 and any(header.slice_position for header in headers):
        yield Reason("references_differ", {"count": references})


def _spacings_differ(spacings: set[bytes]) -> bool:
    first, *others = (parse_numbers(raw) for raw in spacings)
    return any(
        len(first) != len(other)
        or any(abs(a - b) > _SPACING_TOLERANCE_MM for a, b in zip(first, other, strict=True))
        for other in others
    )


def _find_lost_slopes(headers: Sequence[Header], *, deidentify: bool) -> Iterator[Reason]:
    if not deidentify or _sop_class(headers) != _MR:
        return
    count = _count_distinct(
        headers, lambda common: tuple(map(tuple, map(parse_numbers, common.rescale)))
    )
    if count > 1:
        yield Reason("slopes_removed", {"count": count})


def _find_mixed_times(members: Sequence[Slice], *, deidentify: bool) -> Iterator[Reason]:
    count, told_apart = count_at_each_place(members)
    if count > 1 and told_apart and deidentify:
        yield Reason("times_removed", {"count": count})
    elif count > 1 and not told_apart:
        yield Reason("places_shared", {"count": count})


def _sop_class(headers: Sequence[Header]) -> str:
    group = headers[0].group
    return group.sop_class if group else ""
