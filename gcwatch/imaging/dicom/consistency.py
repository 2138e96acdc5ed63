"""Checks from the headers whether the files of one DICOM series make one image on the platform.

The importer takes the patient, the size, the pixel type and the spacing from one of the files and
compares nothing (panimg 0.15.2, `image_builders/dicom.py`). Whatever differs in the other files is
lost, without an error.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gcwatch.core.reasons import Reason
from gcwatch.imaging.dicom.elements import parse_numbers
from gcwatch.imaging.dicom.header_facts import (
    KIND_ELEMENTS,
    NEVER_EMPTY,
    PATIENT_ELEMENTS,
    CommonFacts,
    Header,
)
from gcwatch.imaging.dicom.procedure import Procedure, is_removed
from gcwatch.imaging.dicom.slice_geometry import (
    Slice,
    count_at_each_place,
    is_disordered,
    is_slide,
)
from gcwatch.imaging.dicom.traits import UNMEASURED, UNREADABLE, Trait, is_scale

_SPACING_TOLERANCE_MM = 1e-3
"""Allowed difference between pixel spacings; programs round them differently."""

_OBLONG_TOLERANCE = 1e-3
"""Allowed difference between width and height of a pixel, as a part of them."""

_KIND_TOLERANCE = 0.01
"""Allowed difference between the echo times of one kind of pictures, as a part of them."""

NEVER_SENT = frozenset(
    {
        "several_patients",
        "several_multiframe",
        "frames_removed",
        "stack_removed",
        "sizes_differ",
        "slopes_removed",
        "unreadable_format",
    }
)
"""Codes of images that are refused even with integrity "warn": no use of them is right."""


def find_inconsistencies(members: Sequence[Slice], procedure: Procedure | None) -> list[Reason]:
    """Given the files of one image, return why they are not one image on the platform.

    Elements that the procedure of de-identification removes count as absent. A reason
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
    found += _find_unreadable(whole, procedure)
    found += _find_lost_frames(headers, procedure)
    found += _find_lost_stack(headers, procedure)
    found += _find_differences(headers)
    found += _find_lost_values(headers, procedure)
    return [*found, *_find_mixed_times(whole, procedure)]


def _count_distinct(headers: Sequence[Header], value: Callable[[CommonFacts], Any]) -> int:
    return len({value(common) for common in {header.common for header in headers}})


def _find_several_patients(headers: Sequence[Header]) -> Iterator[Reason]:
    commons = {header.common for header in headers}
    named = ["PatientID or PatientName"] * (len({common.patient for common in commons}) > 1)
    facts = zip(PATIENT_ELEMENTS, *(common.more_of_patient for common in commons), strict=False)
    named += [keyword for keyword, *values in facts if len({*values} - {b""}) > 1]
    if named:
        yield Reason("several_patients", {"elements": ", ".join(named)})


def _find_lost_frames(headers: Sequence[Header], procedure: Procedure | None) -> Iterator[Reason]:
    multiframe = sum(header.frames > 1 for header in headers)
    if multiframe and len(headers) > 1:
        yield Reason("several_multiframe", {"count": multiframe, "total": len(headers)})
    elif multiframe and _is_removed(headers, procedure, "NumberOfFrames"):
        yield Reason("frames_removed", {"count": headers[0].frames})


def _find_lost_stack(headers: Sequence[Header], procedure: Procedure | None) -> Iterator[Reason]:
    # Without StackID the importer groups by series. What is no number is not kept (`forms`).
    count = len({header.series for header in headers})
    stacks = {header.group.stack for header in headers if header.group}
    is_lost = _is_removed(headers, procedure, "StackID") or not all(map(str.isdecimal, stacks))
    if procedure and count > 1 and is_lost:
        yield Reason("stack_removed", {"count": count})


def _find_differences(headers: Sequence[Header]) -> Iterator[Reason]:
    sizes = _count_distinct(headers, lambda common: common.pixel_format)
    if sizes > 1:
        yield Reason("sizes_differ", {"count": sizes})
    if _spacings_differ({header.common.spacing for header in headers}):
        yield Reason("spacings_differ")
    if _is_oblong(headers[0].common.spacing):
        yield Reason("pixels_oblong")
    references = _count_distinct(headers, lambda common: common.frame_of_reference)
    if references > 1 and any(header.slice_position for header in headers):
        yield Reason("references_differ", {"count": references})


def _is_oblong(spacing: bytes) -> bool:
    numbers = parse_numbers(spacing)
    return len(numbers) == 2 and not math.isclose(*numbers, rel_tol=_OBLONG_TOLERANCE)


def _spacings_differ(spacings: set[bytes]) -> bool:
    first, *others = (parse_numbers(raw) for raw in spacings)
    return any(
        len(first) != len(other)
        or any(abs(a - b) > _SPACING_TOLERANCE_MM for a, b in zip(first, other, strict=True))
        for other in others
    )


def _find_lost_values(headers: Sequence[Header], procedure: Procedure | None) -> Iterator[Reason]:
    """Find values that get their meaning from elements which the importer ignores or lacks."""
    traits = {trait for header in headers for trait in header.common.traits}
    for trait, problem in UNMEASURED.items():
        if trait in traits:
            yield Reason("values_differ", {"problem": problem})
    if not _is_removed(headers, procedure, "RescaleSlope"):
        if _is_scaled_in_part(headers):
            problem = "some files have a RescaleSlope or RescaleIntercept, and others have none"
            yield Reason("values_differ", {"problem": problem})
        return
    scales = {_rescale(header.common) for header in headers}
    if len(scales) > 1:
        yield Reason("slopes_removed", {"count": len(scales)})
    elif any(is_scale(*scale) for scale in scales):
        problem = "de-identification removes RescaleSlope and RescaleIntercept"
        yield Reason("values_differ", {"problem": problem})


def _is_scaled_in_part(headers: Sequence[Header]) -> bool:
    """Whether a scale that changes values is told by some of the files only."""
    told = {tuple(map(bool, header.common.rescale)) for header in headers}
    return len(told) > 1 and any(is_scale(*_rescale(header.common)) for header in headers)


def _rescale(common: CommonFacts) -> tuple[float, float]:
    slope, intercept = (parse_numbers(raw) for raw in common.rescale or (b"", b""))
    return next(iter(slope), 1.0), next(iter(intercept), 0.0)


def _find_unreadable(members: Sequence[Slice], procedure: Procedure | None) -> Iterator[Reason]:
    """Find files that the importer refuses, as they are after de-identification."""
    headers = [header for header, _ in members]
    # Its reader of big-endian numbers works only if it has to calculate with them.
    is_scaled = any(is_scale(*_rescale(header.common)) for header in headers)
    loses_scale = _is_removed(headers, procedure, "RescaleSlope")
    loses_time = _is_removed(headers, procedure, "TemporalPositionIndex")
    kept: dict[Trait, bool] = {
        "big_endian": not is_scaled or loses_scale,
        "syntax": procedure is None,  # else it is written anew, or the file is refused
        "untimed": not loses_time and len({header.time for header in headers} - {b""}) > 1,
    }
    for keyword in NEVER_EMPTY:
        files = [file for header, file in members if keyword in header.common.empty]
        if files and _is_read(keyword, headers, procedure):
            facts = {"what": f"DICOM with an empty {keyword}", "wanted": "DICOM without it"}
            yield Reason("unreadable_format", facts, {"file": files[0].name})
    for trait, unreadable in UNREADABLE.items():
        files = [file for header, file in members if trait in header.common.traits]
        if files and kept.get(trait, True):
            facts = {"what": unreadable.what, "wanted": unreadable.wanted}
            yield Reason("unreadable_format", facts, {"file": files[0].name})


def _is_read(keyword: str, headers: Sequence[Header], procedure: Procedure | None) -> bool:
    """Whether the importer looks at an element of these files."""
    if procedure is not None:  # an empty element is never kept (`forms`)
        return False
    places = {header.slice_position.position for header in headers if header.slice_position}
    return keyword != "SpacingBetweenSlices" or len(places) < 2


def _find_mixed_times(members: Sequence[Slice], procedure: Procedure | None) -> Iterator[Reason]:
    count, told_apart = count_at_each_place(members)
    headers = [header for header, _ in members]
    loses_time = _is_removed(headers, procedure, "TemporalPositionIndex")
    if loses_time and count > 1 and told_apart:
        yield Reason("times_removed", {"count": count})
    elif count > 1 and not told_apart:
        yield Reason("places_shared", {"count": count})
    elif not loses_time:
        yield from _find_disordered_times(members, count)
    if count == 1:
        yield from _find_mixed_kinds(headers)


def _find_mixed_kinds(headers: Sequence[Header]) -> Iterator[Reason]:
    """Find pictures of several kinds that would become one volume, each at a place of its own."""
    values = zip(*{header.common.kind for header in headers}, strict=False)
    names = (*KIND_ELEMENTS, "ImageType")
    named = [name for name, each in zip(names, values, strict=False) if _are_several(each)]
    if named:
        yield Reason("pictures_differ", {"elements": ", ".join(named)})


def _are_several(values: Sequence[bytes]) -> bool:
    """Whether values differ; numbers do if it is by more than `_KIND_TOLERANCE`."""
    numbers = [parse_numbers(raw) for raw in values]
    if not all(len(each) == 1 for each in numbers):
        return len(set(values)) > 1
    least, most = min(numbers)[0], max(numbers)[0]
    return most - least > _KIND_TOLERANCE * abs(most)


def _find_disordered_times(members: Sequence[Slice], count: int) -> Iterator[Reason]:
    """Find times that the importer would cut out of a series wrongly.

    It makes one volume for each TemporalPositionIndex, of the same number of slices, in the order
    of the InstanceNumbers.
    """
    times = {header.time for header, _ in members} - {b""}
    if len(times) < 2:
        return
    if not any(header.slice_position for header, _ in members):
        count = len(times) if len(members) % len(times) == 0 else 1
    if len(times) != count:
        yield Reason("times_uneven", {"times": len(times), "count": count})
    elif all(header.number is not None for header, _ in members):
        volumes = _volumes_in_order(members)
        starts = [int.from_bytes(volume[0][0].time, "little") for volume in volumes]
        orders = {_places_in_order(volume) for volume in volumes}
        is_whole = len({len(volume) for volume in volumes}) == 1
        if (
            len(volumes) != count
            or starts != sorted(starts)
            or (is_whole and len(orders) > 1)
            or any(map(is_disordered, volumes))
        ):
            yield Reason("slices_disordered")


def _places_in_order(volume: Sequence[Slice]) -> tuple[tuple[int, ...], ...]:
    """Return the positions of a volume's slices, in mm; all volumes must have the same."""
    places = (header.slice_position for header, _ in volume)
    return tuple(tuple(map(round, place.position)) if place else () for place in places)


def _volumes_in_order(members: Sequence[Slice]) -> list[list[Slice]]:
    """Cut members, in the order of their numbers, wherever the time changes."""
    in_order = sorted(members, key=lambda member: member[0].number or 0)
    return [list(group) for _, group in itertools.groupby(in_order, lambda each: each[0].time)]


def _sop_class(headers: Sequence[Header]) -> str:
    group = headers[0].group
    return group.sop_class if group else ""


def _is_removed(headers: Sequence[Header], procedure: Procedure | None, keyword: str) -> bool:
    return procedure is not None and is_removed(procedure, _sop_class(headers), keyword)
