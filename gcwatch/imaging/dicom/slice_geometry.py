"""Checks from the headers whether the slices of one DICOM series are a complete, regular stack.

The platform sorts slices by InstanceNumber and uses their mean distance for all of them (panimg
0.15.2, `image_builders/dicom.py`). It makes a wrong image of an irregular stack, without an error.

Slices without a position, and localizers among slices, are not checked for distances. Slices
missing at an end of a series leave no gap, so they can't be found. The frames of an enhanced file
are checked as slices, in their order in the file.
"""

import itertools
import math
import operator
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.dicom.header_facts import SLIDE_SOP_CLASS, Header, SlicePosition, Vector

Slice = tuple[Header, SourceFile]

_PARALLEL_TOLERANCE = 1e-3
"""Allowed difference between the directions of parallel slices, in each coordinate."""

_SAME_PLACE_MM = 1e-3
"""Slices that are closer than this lie at the same position."""

_OVERLAP_RATIO, _GAP_RATIO = 0.5, 1.6
"""Limits of a distance divided by the typical one: below, slices overlap; above, one is missing.

They allow for the rounding of thin slices: 0.25 mm written with one decimal is 0.2 or 0.3 mm.
"""

_UNEVEN_RATIO, _ROUNDING_MM = 0.25, 0.11
"""Allowed deviation of a distance: a part of the typical one, or mm, whichever is larger."""

_TILT_RATIO, _SHIFT_MM = 0.01, 0.25
"""Allowed shift of a slice beside the normal: a part of its height, or mm, whichever is larger."""

_SHOWN_PLACES = 3
"""Number of positions that a reason names; the others are only counted."""


def find_irregularities(members: Sequence[Slice]) -> list[Reason]:
    """Given the slices of one image, return why the platform would make a wrong image of them.

    Whole slide images are no stacks: only damaged and duplicate files are found there.
    """
    found = [*_find_damaged(members), *_find_duplicates(members)]
    if is_slide(members):
        return found
    single = list({header.instance: (header, file) for header, file in members}.values())
    return [
        *found,
        *_find_unnumbered(single),
        *_find_repeated_numbers(single),
        *_find_misplaced(single),
    ]


def find_distortions(members: Sequence[Slice]) -> list[Reason]:
    """Given the slices of one image, return why one volume of them would be mixed or sheared.

    The importer takes the direction of one slice for all, and stacks them along its normal. Planes
    of a scout, or around an axis, are no volume at all.
    """
    if is_slide(members):
        return []
    stacks = _group_stacks(_placed(members))
    planes = [Reason("planes_differ", {"count": len(stacks)})] if len(stacks) > 1 else []
    shifts = (stack.worst_shift() for stack in stacks)
    tilts = [
        Reason("slices_tilted", {"shift": f"{shift:.3g}", "height": f"{height:.3g}"})
        for shift, height in shifts
        if shift > max(_TILT_RATIO * height, _SHIFT_MM)
    ]
    return [*planes, *tilts]


def count_at_each_place(members: Sequence[Slice]) -> tuple[int, bool]:
    """Return how many pictures usually lie at one position, and if a time tells them apart.

    The number is 1 if no file has a position.
    """
    levels = [level for stack in _group_stacks(_placed(members)) for _, level in stack.levels()]
    usual = max(Counter(map(len, levels)).items(), key=lambda each: each[1])[0] if levels else 1
    times = ({header.time for header in level} for level in levels)
    return usual, all(
        len(found) == len(level) and b"" not in found
        for found, level in zip(times, levels, strict=True)
    )


def is_disordered(members: Sequence[Slice]) -> bool:
    """Return whether parallel slices are not numbered in the order of their positions."""
    levels = [[level for _, level in stack.levels()] for stack in _group_stacks(_placed(members))]
    return len(levels) == 1 and any(_find_disorder(levels[0]))


def is_slide(members: Sequence[Slice]) -> bool:
    """Return whether the files are the levels of a whole slide image."""
    group = members[0][0].group
    return group is not None and group.sop_class == SLIDE_SOP_CLASS


def _find_damaged(members: Sequence[Slice]) -> Iterator[Reason]:
    for header, file in members:
        if header.problem:
            yield Reason("damaged_image", {"problem": header.problem}, {"file": file.name})


def _find_duplicates(members: Sequence[Slice]) -> Iterator[Reason]:
    first: dict[str, SourceFile] = {}
    for header, file in members:
        if (other := first.setdefault(header.instance, file)) is not file:
            yield Reason("slice_twice", names={"file": file.name, "other": other.name})


def _find_unnumbered(members: Sequence[Slice]) -> Iterator[Reason]:
    if len(members) > 1:
        for header, file in members:
            if header.number is None:
                problem = {"problem": "no InstanceNumber"}
                yield Reason("damaged_image", problem, {"file": file.name})


def _find_repeated_numbers(members: Sequence[Slice]) -> Iterator[Reason]:
    # With positions, the order of the heights tells more.
    numbers = [header.number for header, _ in members]
    if len(set(numbers)) < len(numbers) and None not in numbers and not _placed(members):
        yield Reason("slices_disordered")


# --- places ------------------------------------------------------------------------------------

_Plane = tuple[Vector, Vector]
_Level = list[Header]


@dataclass
class _Stack:
    """Parallel slices; the height of a slice is its position along their normal, in mm."""

    plane: _Plane
    slices: list[tuple[float, Header]] = field(default_factory=list)

    def add(self, header: Header, place: SlicePosition) -> None:
        """Given one more slice and its position, add it to the stack."""
        (a, b, c), (d, e, f) = self.plane
        x, y, z = place.position
        height = x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)
        self.slices.append((height, header))

    def worst_shift(self) -> tuple[float, float]:
        """Return how far a slice lies beside the normal of the lowest one, and its height (mm)."""
        # Along the rows and columns: rounded directions then change a shift only a little.
        lowest, first = min(self.slices, key=lambda each: each[0])
        shifts = []
        for height, header in self.slices:
            assert header.slice_position
            assert first.slice_position
            way = list(
                map(operator.sub, header.slice_position.position, first.slice_position.position)
            )
            shift = math.hypot(
                *(sum(map(operator.mul, way, direction)) for direction in self.plane)
            )
            shifts.append((shift, height - lowest))
        return max(shifts)

    def levels(self) -> list[tuple[float, _Level]]:
        """Return the heights in order (mm), each with the slices that lie there."""
        found: list[tuple[float, _Level]] = []
        for height, header in sorted(self.slices, key=lambda each: each[0]):
            if not found or height - found[-1][0] > _SAME_PLACE_MM:
                found.append((height, []))
            found[-1][1].append(header)
        return found


def _find_misplaced(members: Sequence[Slice]) -> Iterator[Reason]:
    total, placed = len(_pictures(members)), _placed(members)
    if not placed:
        return
    if len(placed) < total:
        facts = {"count": total - len(placed), "total": total}
        yield Reason("slices_unplaced", facts)
    stacks = _group_stacks(placed)
    for stack in stacks:
        levels = stack.levels()
        yield from _find_uneven_counts([level for _, level in levels])
        yield from _find_odd_distances(levels)
        if len(stacks) == 1:
            yield from _find_disorder([level for _, level in levels])


def _pictures(members: Sequence[Slice]) -> list[Header]:
    """Return a header for each picture: each file, or each frame that has a position."""
    single = {header.instance: header for header, _ in members}.values()
    return [picture for header in single for picture in _frames(header)]


def _frames(header: Header) -> Iterator[Header]:
    if not header.frame_positions:
        yield header
    for number, place in enumerate(header.frame_positions, start=1):
        yield replace(
            header, number=number, slice_position=place, is_frame=True, frame_positions=()
        )


def _placed(members: Sequence[Slice]) -> list[tuple[Header, SlicePosition]]:
    pictures = _pictures(members)
    # A series of nothing but localizers is stacked as any other.
    slices = [picture for picture in pictures if not picture.is_localizer] or pictures
    return [(header, header.slice_position) for header in slices if header.slice_position]


def _group_stacks(placed: Sequence[tuple[Header, SlicePosition]]) -> list[_Stack]:
    stacks: list[_Stack] = []
    exact: dict[_Plane, _Stack] = {}
    for header, place in placed:
        plane = place.row, place.column
        if plane not in exact:
            exact[plane] = _find_parallel_stack(plane, stacks)
        exact[plane].add(header, place)
    return stacks


def _find_parallel_stack(plane: _Plane, stacks: list[_Stack]) -> _Stack:
    """Given a plane, return the stack that is parallel to it, or a new one."""
    for stack in stacks:
        pairs = zip(itertools.chain(*plane), itertools.chain(*stack.plane), strict=True)
        if all(abs(one - other) <= _PARALLEL_TOLERANCE for one, other in pairs):
            return stack
    stacks.append(_Stack(plane))
    return stacks[-1]


def _find_uneven_counts(levels: Sequence[_Level]) -> Iterator[Reason]:
    """Given the slices at each position, find positions with more or fewer slices than usual."""
    # Several slices at every position are correct: a series over time, or diffusion weights.
    tally = Counter(map(len, levels))
    usual = min(tally, key=lambda count: (-tally[count], count))
    more = [level for level in levels if len(level) > usual]
    if more:
        count = sum(len(level) - usual for level in more)
        yield Reason(
            "slices_overlap", {"count": count, "where": _join_places(map(_name_instances, more))}
        )
    fewer = [level for level in levels if len(level) < usual]
    if fewer:
        where = _join_places(map(_name_instances, fewer))
        count = sum(usual - len(level) for level in fewer)
        facts = {"count": count, "expected": usual * len(levels), "where": where}
        yield Reason("slices_missing", facts)


def _find_odd_distances(levels: Sequence[tuple[float, _Level]]) -> Iterator[Reason]:
    """Given positions in order, find distances unlike the others; at least 3 slices are needed."""
    steps = [above - below for (below, _), (above, _) in itertools.pairwise(levels)]
    if len(steps) < 2:
        return
    typical = statistics.median_low(steps)
    odd: dict[str, list[tuple[float, str]]] = {}
    for step, ((_, below), (_, above)) in zip(steps, itertools.pairwise(levels), strict=True):
        if code := _judge_distance(step, typical):
            between = _name_instances([below[-1], above[0]])
            where = f"{between}: {step:.4g} mm instead of {typical:.4g} mm"
            odd.setdefault(code, []).append((step, where))
    for code, found in odd.items():
        facts = {"count": len(found), "where": _join_places(where for _, where in found)}
        if code == "slices_missing":
            lost = sum(max(1, round(step / typical) - 1) for step, _ in found)
            facts |= {"count": lost, "expected": lost + len(levels)}
        yield Reason(code, facts)


def _judge_distance(step: float, typical: float) -> str:
    if step >= _GAP_RATIO * typical:
        return "slices_missing"
    if step <= _OVERLAP_RATIO * typical:
        return "slices_overlap"
    return (
        "slices_uneven" if abs(step - typical) > max(_UNEVEN_RATIO * typical, _ROUNDING_MM) else ""
    )


def _find_disorder(levels: Sequence[_Level]) -> Iterator[Reason]:
    """Given the slices at each position in order, find numbers that are not in that order."""
    numbers = [level[0].number for level in levels]
    if any(len(level) > 1 for level in levels) or None in numbers:
        return
    rising = [one < other for one, other in itertools.pairwise(numbers)]  # type: ignore[operator]
    if len(set(rising)) > 1 or len(set(numbers)) < len(numbers):
        yield Reason("slices_disordered")


def _name_instances(headers: Sequence[Header]) -> str:
    word = "frame" if headers[0].is_frame else "InstanceNumber"
    return f"{word} {' to '.join(str(header.number) for header in headers)}"


def _join_places(places: Iterable[str]) -> str:
    every = list(places)
    more = [f"{len(every) - _SHOWN_PLACES} more"] if len(every) > _SHOWN_PLACES else []
    return ", ".join([*every[:_SHOWN_PLACES], *more])
