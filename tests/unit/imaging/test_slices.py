"""What the places and the numbers of a series' slices tell before anything is sent."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from support.slices import AXIAL, at_time, one_slice, series

from gcwatch.core.errors import CannotSend
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images
from gcwatch.imaging.dicom import header_facts, slice_geometry
from gcwatch.inbox import tree

SAGITTAL = [0, 1, 0, 0, 0, -1]


def findings(folder):
    files = tree.source_files(SharePath.of(folder), ())
    found, _ = images.recognise_images(files, integrity="warn")
    (image,) = found
    assert len(image.files) == len(files)
    if not image.warnings:
        assert images.recognise_images(files) == (found, 0)
    else:
        with pytest.raises(CannotSend) as caught:
            images.recognise_images(files)
        assert caught.value.reason == image.warnings[0]
    return [(reason.code, dict(reason.facts)) for reason in image.warnings]


def codes(folder):
    return [code for code, _ in findings(folder)]


# --- what is right -----------------------------------------------------------------------------

REGULAR = {
    "up": [number * 1.25 for number in range(20)],
    "down": [-number * 1.25 for number in range(20)],
    "rounded to a tenth": [round(number * 0.625, 1) for number in range(40)],
    "narrow, rounded to a tenth": [round(number * 0.25, 1) for number in range(40)],
    "jittered": [number * 3 + random.Random(number).uniform(-0.05, 0.05) for number in range(30)],
    "very narrow": [number * 0.009 for number in range(30)],
    "one": [7],
    "two": [0, 100],
}


@pytest.mark.parametrize("heights", REGULAR.values(), ids=REGULAR)
def test_a_regular_series_is_whole(folder, heights):
    """Whichever way it runs, however narrow its slices are, and however they were rounded."""
    series(folder, heights)
    assert codes(folder) == []


def test_a_tilted_gantry_is_found(folder):
    """The slices are parallel, but each lies a bit to the side of the one before."""
    tilt = [1, 0, 0, 0, math.cos(0.3), math.sin(0.3)]
    for number in range(1, 12):
        one_slice(folder / str(number), number, (0, number * 0.1, number * 5), tilt)
    assert codes(folder) == ["slices_tilted"]


@pytest.mark.parametrize("times", [2, 19])
def test_a_series_over_time_is_whole(folder, times):
    """Each place comes as often as every other; the platform makes a volume over time of it."""
    for time in range(times):
        for level in range(4):
            number = time * 4 + level + 1
            one_slice(folder / str(number), number, (0, 0, level * 5), **at_time(time))
    assert codes(folder) == []


def test_pictures_without_places_are_not_judged_by_them(folder):
    """Radiographs, secondary captures: nothing tells where they lie."""
    for number in (1, 2, 7):
        one_slice(folder / str(number), number)
    assert codes(folder) == []


def test_localizers_alone_are_judged_as_any_series(folder):
    """The platform stacks them at one distance, whatever they are called."""
    series(folder, [0, 1, 50, 51], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert codes(folder) == ["slices_missing"]


def test_slices_around_an_axis_are_no_volume(folder):
    """No two are parallel, but the platform stacks them as if all were."""
    for number in range(1, 10):
        angle = number / 3
        orientation = [math.cos(angle), math.sin(angle), 0, 0, 0, -1]
        one_slice(folder / str(number), number, (math.cos(angle), math.sin(angle), 0), orientation)
    assert codes(folder) == ["planes_differ"]


@pytest.mark.parametrize("each", [1, 3])
def test_the_planes_of_a_scout_are_found(folder, each):
    """Axial, sagittal and coronal slices in one series are not a volume."""
    planes = [AXIAL, SAGITTAL, [1, 0, 0, 0, 0, -1]]
    for number in range(3 * each):
        place = (number * 5, number * 5, number * 5)
        one_slice(folder / str(number), number, place, planes[number // each])
    assert "planes_differ" in codes(folder)


def test_directions_may_differ_in_their_last_digits(folder):
    """Slices whose directions were computed one by one are parallel all the same."""
    for number in range(1, 8):
        orientation = [1, number * 1e-5, 0, 0, 1, number * -1e-5]
        if number != 4:
            one_slice(folder / str(number), number, (0, 0, number), orientation)
    assert codes(folder) == ["slices_missing"]


# --- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [[1], [10], [3, 4, 5], [2, 9], [18]])
@pytest.mark.parametrize("spacing", [-3, 0.4, 5])
def test_slices_that_are_missing_are_counted(folder, lost, spacing):
    """A gap tells of every slice that was there; it is told between which numbers."""
    for number in range(20):
        if number not in lost:
            one_slice(folder / str(number), number, (0, 0, number * spacing))
    ((code, facts),) = findings(folder)
    assert code == "slices_missing"
    assert (facts["count"], facts["expected"]) == (len(lost), 20)
    edges = sorted([min(lost) - 1, next(n for n in range(min(lost), 20) if n not in lost)])
    first, last = edges if spacing > 0 else edges[::-1]
    assert f"InstanceNumber {first} to {last}:" in facts["where"]


def test_a_gap_is_found_in_oblique_slices(folder):
    """Distances are those along the normal of the slices, whatever that is."""
    for number in (1, 2, 3, 5, 6):
        one_slice(folder / str(number), number, (number * 4, 7, 9), SAGITTAL)
    assert codes(folder) == ["slices_missing"]


def test_a_slice_missing_at_one_time_is_found(folder):
    """One place of a series over time comes less often than the others."""
    for number in range(12):
        if number != 6:
            place, time = (0, 0, number % 4), number // 4
            one_slice(folder / str(number), number, place, **at_time(time))
    ((code, facts),) = findings(folder)
    assert code == "slices_missing"
    assert (facts["count"], facts["expected"]) == (1, 12)


def test_two_slices_at_one_place_are_found(folder):
    """Another instance at the same place: the platform would make one slice more of it."""
    series(folder, [0, 1, 2, 2, 3])
    ((code, facts),) = findings(folder)
    assert (code, facts) == (
        "slices_overlap",
        {"count": 1, "where": "InstanceNumber 3 to 4"},
    )


def test_two_reconstructions_in_one_series_are_found(folder):
    """Slices that lie between others overlap with them."""
    series(folder, [0, 5, 10, 12, 15, 20, 25])
    assert "slices_overlap" in codes(folder)


def test_uneven_distances_are_found(folder):
    """The platform would take the mean for all of them."""
    series(folder, [0, 5, 10, 15, 22, 27, 32])
    ((code, facts),) = findings(folder)
    assert (code, facts["count"]) == ("slices_uneven", 1)
    assert facts["where"] == "InstanceNumber 4 to 5: 7 mm instead of 5 mm"


@pytest.mark.parametrize("numbers", [(1, 3, 5, 2, 4, 6), (1, 2, 3, 3, 4, 5), (1, 1, 1, 1, 1, 1)])
def test_numbers_that_do_not_follow_the_places_are_found(folder, numbers):
    """The platform sorts by number: it would shuffle the slices."""
    for height, number in enumerate(numbers):
        one_slice(folder / str(height), number, (0, 0, height))
    assert codes(folder) == ["slices_disordered"]


def test_a_picture_among_slices_is_found(folder):
    """A localizer or a capture in the series would become a slice."""
    series(folder, range(5))
    one_slice(folder / "9", 9)
    ((code, facts),) = findings(folder)
    assert (code, facts) == ("slices_unplaced", {"count": 1, "total": 6})


def test_each_of_several_stacks_is_judged_by_itself(folder):
    """Slices of three planes in one series: a gap in one of them is found."""
    for number in range(6):
        one_slice(folder / f"1{number}", number, (0, 0, number))
        one_slice(folder / f"2{number}", 10 + number, (number + (number > 2), 0, 0), SAGITTAL)
    (code, facts), (planes, _) = findings(folder)
    assert (code, facts["count"], planes) == ("slices_missing", 1, "planes_differ")


def test_many_findings_are_told_in_short(folder):
    """Three places are named, the others counted."""
    series(folder, [0, 1, 2, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 20, 21])
    ((_, facts),) = findings(folder)
    assert facts["count"] == 5
    assert facts["where"].count("InstanceNumber") == 3
    assert facts["where"].endswith(", 2 more")


def test_a_position_of_no_numbers_is_never_sent(folder):
    """The importer fails at it, or gives the image a place of its own."""
    for number in range(3):
        one_slice(folder / str(number), number, (0, 0, number))
    data = (folder / "1").read_bytes()
    (folder / "1").write_bytes(data.replace(b"0.0\\0.0\\1.0 ", b"0.0\\0.0\\nan "))
    with pytest.raises(CannotSend) as refused:
        codes(folder)
    assert refused.value.reason.code == "unreadable_format"


# --- any series --------------------------------------------------------------------------------


def rotated(vector, angles):
    """Turn a vector about two axes."""
    x, y, z = vector
    a, b = angles
    x, y = x * math.cos(a) - y * math.sin(a), x * math.sin(a) + y * math.cos(a)
    y, z = y * math.cos(b) - z * math.sin(b), y * math.sin(b) + z * math.cos(b)
    return x, y, z


def slice_headers(count, spacing, angles, digits):
    """Slices of any direction, whose places are written with some digits behind the point."""
    row, column = rotated((1, 0, 0), angles), rotated((0, 1, 0), angles)
    for number in range(count):
        position = (round(v, digits) for v in rotated((-99.5, -7, number * spacing - 300), angles))
        place = header_facts.SlicePosition(tuple(position), row, column)
        group = header_facts.Group("1", "2", CTImageStorage)
        yield header_facts.Header(group, instance=str(number), number=number, slice_position=place)


ANGLES = st.tuples(st.floats(-3, 3), st.floats(-3, 3))


@given(
    count=st.integers(1, 60),
    spacing=st.floats(0.4, 12) | st.floats(-12, -0.4),
    angles=ANGLES,
    digits=st.integers(2, 9),
    seed=st.integers(),
)
def test_any_whole_series_passes_and_any_hole_in_it_is_counted(
    count, spacing, angles, digits, seed
):
    """Up to a third of the inner slices lost, in whatever order the files come."""
    chance = random.Random(seed)
    whole = [(header, None) for header in slice_headers(count, spacing, angles, digits)]
    chance.shuffle(whole)
    assert slice_geometry.find_irregularities(whole) == []
    lost = chance.sample(range(1, count - 1), (count - 2) // 3) if count > 2 else []
    (*found,) = slice_geometry.find_irregularities(
        [each for each in whole if each[0].number not in lost]
    )
    assert [reason.code for reason in found] == ["slices_missing"] * bool(lost)
    assert sum(reason.facts["count"] for reason in found) == len(lost)
