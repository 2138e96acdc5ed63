"""DICOM series that Hypothesis draws: sound ones, and ones with one or two things wrong."""

import contextlib
import io

import numpy as np
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset

from support.importer.dicom_files import MR, ULTRASOUND, random_voxels, slice_dataset
from support.importer.drawn import Case
from support.importer.judge import Picture

_DIRECTIONS = (
    (1, 0, 0, 0, 1, 0),
    (-1, 0, 0, 0, -1, 0),
    (0, 1, 0, 0, 0, -1),
    (1, 0, 0, 0, 0, -1),
    (0, 0, 1, 0, 1, 0),
    (1, 0, 0, 0, 0.8, 0.6),
    (0.6, 0.8, 0, -0.8, 0.6, 0),
)
_SYNTAXES = (uid.ExplicitVRLittleEndian,) * 4 + (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.DeflatedExplicitVRLittleEndian,
)
_SCALES = ({}, {}, {"RescaleSlope": 1, "RescaleIntercept": -1024}, {"RescaleSlope": 2.5})


def as_bytes(dataset):
    """Return a whole DICOM file; its pixels are of the dataset's syntax."""
    syntax = uid.UID(dataset.file_meta.TransferSyntaxUID)
    if syntax == uid.RLELossless:
        syntax = dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        with contextlib.suppress(ValueError):  # it compresses no wrong pixels, and none of 32 bits
            dataset.compress(uid.RLELossless, generate_instance_uid=False)
    elif not syntax.is_little_endian and dataset.BitsAllocated > 8:
        width = dataset.BitsAllocated // 8
        dataset.PixelData = np.frombuffer(dataset.PixelData, f"u{width}").byteswap().tobytes()
    out = io.BytesIO()
    dataset.save_as(
        out,
        enforce_file_format=True,
        little_endian=syntax.is_little_endian,
        implicit_vr=syntax.is_implicit_VR,
    )
    return out.getvalue()


# --- flaws -------------------------------------------------------------------------------------


def _other(**elements):
    def change(datasets, index):
        for keyword, value in elements.items():
            setattr(datasets[index], keyword, value)

    return change


def _resize(datasets, index):
    each = datasets[index]
    each.Rows += 1 + index  # two slices never get the same size
    each.PixelData = bytes(each.Rows * each.Columns * each.BitsAllocated // 8)


def _move(way):
    def change(datasets, index):
        # Two slices lie on one line wherever they are.
        if len(datasets) < 3 or not datasets[index].get("ImagePositionPatient"):
            _resize(datasets, index)
            return
        place = np.array(datasets[index].ImagePositionPatient, float) + way
        datasets[index].ImagePositionPatient = [float(value) for value in place]

    return change


def _repeat_place(datasets, index):
    datasets[index].ImagePositionPatient = datasets[index - 1].get("ImagePositionPatient")


def _lengthen(datasets, index):
    datasets[index].PixelData *= 2


def _shorten(datasets, index):
    datasets[index].PixelData = datasets[index].PixelData[:-2]


def _remove(keyword):
    def change(datasets, index):
        if keyword in datasets[index]:
            delattr(datasets[index], keyword)

    return change


_FLAWS = {
    "another patient": _other(PatientID="8"),
    "another name": _other(PatientName="ROE^JOHN"),
    "another spacing": _other(PixelSpacing=[0.5, 0.7]),
    "another direction": _other(ImageOrientationPatient=[0, 1, 0, 1, 0, 0]),
    "another frame of reference": _other(FrameOfReferenceUID="1.9"),
    "another series": _other(SeriesInstanceUID="1.2.3.9"),
    "another class": _other(SOPClassUID=uid.SecondaryCaptureImageStorage),
    "another number": _other(InstanceNumber=99),
    "no number": _other(InstanceNumber=None),
    "frames": _other(NumberOfFrames=2),
    "frames without a number": _other(NumberOfFrames=None),
    "an empty slope": _other(RescaleSlope=None),
    "an empty place": _other(ImagePositionPatient=None),
    "an empty direction": _other(ImageOrientationPatient=None),
    "an empty spacing": _other(PixelSpacing=None),
    "an empty distance": _other(SpacingBetweenSlices=None),
    "colours": _other(PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0),
    "inverted": _other(PhotometricInterpretation="MONOCHROME1"),
    "a palette": _other(PhotometricInterpretation="PALETTE COLOR"),
    "a time": _other(TemporalPositionIndex=1, ContentTime="100000", Exposure=1),
    "a stack": _other(StackID="1"),
    "a little aside": _move((0.3, 0.2, 0.1)),
    "far away": _move((40, 50, 60)),
    "another size": _resize,
    "the place of its neighbour": _repeat_place,
    "twice the pixels": _lengthen,
    "too few pixels": _shorten,
    "no place": _remove("ImagePositionPatient"),
    "no direction": _remove("ImageOrientationPatient"),
    "no spacing": _remove("PixelSpacing"),
    "no series": _remove("SeriesInstanceUID"),
}


_SOME_FLAWS = st.lists(st.sampled_from(sorted(_FLAWS)), max_size=2, unique=True)
"""No flaw comes twice: two of two slices with the same one may be sound again."""

_HARMLESS = {"frames without a number", "an empty distance"}
"""Flaws that do not change what a series shows."""


# --- series ------------------------------------------------------------------------------------


@st.composite
def series(draw):
    """Draw a series of single pictures, in any order of names and numbers."""
    count = draw(st.integers(1, 6))
    kind = draw(st.sampled_from(["u1", "i2", "i2", "u2", "i4"]))
    sizes = draw(st.tuples(st.integers(2, 5), st.integers(2, 5)))
    voxels = random_voxels(count, *sizes, seed=draw(st.integers(0, 9)), dtype=f"<{kind}")
    direction = draw(st.sampled_from(_DIRECTIONS))
    step = draw(st.sampled_from([0.5, 1.0, 2.5, -2.5, 7.0]))
    shared = {
        "ImageOrientationPatient": list(direction),
        "PixelSpacing": [draw(st.sampled_from([0.25, 0.5, 2.0]))] * 2,
        "FrameOfReferenceUID": "1.8",
        **draw(st.sampled_from([{}, MR])),
        **draw(st.sampled_from(_SCALES)),
    }
    normal = np.cross(direction[:3], direction[3:])
    numbers = draw(_numbers(count))
    datasets = [
        slice_dataset(pixels, numbers[index], normal * step * index, **shared)
        for index, pixels in enumerate(voxels)
    ]
    syntax = draw(st.sampled_from(_SYNTAXES))
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = syntax
    flaws = draw(_SOME_FLAWS) if count > 1 else []
    for flaw in flaws:
        _FLAWS[flaw](datasets, draw(st.integers(0, count - 1)))
    dropped = (
        draw(st.integers(1, count - 2)) if count > 3 and draw(st.integers(0, 5)) == 0 else None
    )
    names = draw(st.permutations(range(count)))
    files = {
        f"{names[index]}.dcm": as_bytes(dataset)
        for index, dataset in enumerate(datasets)
        if index != dropped
    }
    # What is sent has no element without a value, and a slope that is not there is 1.
    is_slope_one = shared.get("RescaleSlope", 1) == 1
    harmless = _HARMLESS | {"a time"} | ({"an empty slope"} if is_slope_one else set())
    if set(flaws) - harmless or dropped is not None:
        return Case(files, None)
    scale = float(shared.get("RescaleSlope", 1)), float(shared.get("RescaleIntercept", 0))
    shown = voxels if scale == (1, 0) else voxels * scale[0] + scale[1]
    spacing = (*shared["PixelSpacing"], *([abs(step)] if count > 1 else []))
    return Case(files, Picture(shown[::-1] if step < 0 else shown, spacing))


@st.composite
def _numbers(draw, count):
    """Draw instance numbers: rising or falling with the place, with gaps, or mixed up."""
    first = draw(st.integers(0, 90))
    gap = draw(st.sampled_from([1, 1, 5]))
    numbers = [first + index * gap for index in range(count)]
    how = draw(st.sampled_from(["rising", "falling", "rising", "falling", "any"]))
    if how == "any":
        return draw(st.permutations(numbers))
    return sorted(numbers, reverse=how == "falling")


@st.composite
def films(draw):
    """Draw one file of several frames: a film, an enhanced CT, in gray or colours."""
    count, colours = draw(st.integers(1, 5)), draw(st.sampled_from([1, 1, 3]))
    shape = (count, 4, 5, 3) if colours == 3 else (count, 4, 5)
    voxels = random_voxels(*shape, seed=draw(st.integers(0, 9)), dtype="u1")
    more = {"NumberOfFrames": count, **draw(st.sampled_from([{}, ULTRASOUND]))}
    spacing = [0.5, 0.5]
    if draw(st.booleans()):
        heights = draw(_heights(count))
        more |= _functional_groups(heights) | {"SOPClassUID": uid.EnhancedCTImageStorage}
        spacing = None if len(set(np.diff(heights).round(6))) > 1 else spacing
        voxels_up = voxels[::-1] if count > 1 and heights[1] < heights[0] else voxels
    else:
        voxels_up = voxels
    dataset = slice_dataset(voxels, **more)
    syntax = dataset.file_meta.TransferSyntaxUID = draw(st.sampled_from(_SYNTAXES))
    how = draw(st.sampled_from(["whole", "whole", "more frames", "fewer frames", "longer"]))
    if syntax == uid.RLELossless:
        how = "whole"
    if how == "longer":
        dataset.PixelData *= 2
    elif how != "whole":
        dataset.NumberOfFrames = max(1, count + (1 if how == "more frames" else -1))
    is_shown = spacing and (
        how == "whole" or (dataset.NumberOfFrames == count != 0 and how != "longer")
    )
    return Case({"a": as_bytes(dataset)}, Picture(voxels_up, (0.5, 0.5)) if is_shown else None)


@st.composite
def _heights(draw, count):
    step = draw(st.sampled_from([2.0, -2.0]))
    heights = [step * index for index in range(count)]
    if count > 2 and draw(st.integers(0, 3)) == 0:
        heights[1] += draw(st.sampled_from([0.9, -step, step]))
    return heights


def _functional_groups(heights):
    frames = []
    for height in heights:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, height]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    shared, measures, direction = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.5]
    direction.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [direction]
    return {
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "PixelSpacing": None,
    }


@st.composite
def series_over_time(draw):
    """Draw volumes over time, in any order of numbers, with one thing wrong at most."""
    times, places = draw(st.integers(2, 3)), draw(st.integers(2, 4))
    voxels = random_voxels(times, places, 3, 4, seed=draw(st.integers(0, 9)))
    falls = draw(st.booleans())
    order = draw(st.sampled_from(["time by time", "time by time", "place by place", "any"]))
    pairs = [(time, place) for time in range(times) for place in range(places)]
    if order == "place by place":
        pairs.sort(key=lambda pair: pair[::-1])
    elif order == "any":
        pairs = draw(st.permutations(pairs))
    datasets = [
        slice_dataset(
            voxels[time, place],
            number + 1,
            (0, 0, (-2.0 if falls else 2.0) * place),
            TemporalPositionIndex=time + 1,
            ContentTime=f"10000{time}",
            Exposure=1,
        )
        for number, (time, place) in enumerate(pairs)
    ]
    dropped = draw(st.none() | st.integers(0, len(pairs) - 1))
    flaw = draw(st.none() | st.sampled_from(sorted(set(_FLAWS) - {"a time"})))
    if flaw:
        _FLAWS[flaw](datasets, draw(st.integers(0, len(pairs) - 1)))
    files = {
        f"{index}.dcm": as_bytes(dataset)
        for index, dataset in enumerate(datasets)
        if index != dropped
    }
    shown = voxels[:, ::-1] if falls else voxels
    is_sound = flaw in {None, "an empty slope", *_HARMLESS} and dropped is None
    return Case(files, Picture(shown, (0.5, 0.5, 2.0)) if is_sound else None)
