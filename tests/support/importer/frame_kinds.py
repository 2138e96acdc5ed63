"""Kinds of DICOM input with several frames in a file, or several times in a series."""

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset

from support.importer.dicom_files import (
    FRAMES,
    MR,
    ULTRASOUND,
    VOXELS,
    picture,
    random_voxels,
    slice_dataset,
    write_dataset,
    write_series,
)
from support.importer.judge import Picture
from support.importer.kinds import NOTHING, RIGHT, WRONG, Kinds

FRAMED = Kinds("DICOM")


@FRAMED.add("an ultrasound film", RIGHT, "burned_in", plain="")
def film(folder):
    write_dataset(folder, slice_dataset(FRAMES, NumberOfFrames=3, **ULTRASOUND))
    return Picture(FRAMES, (0.5, 0.5))


@FRAMED.add("an ultrasound film in colour", RIGHT, "burned_in", plain="")
def colour_film(folder):
    voxels = random_voxels(3, 4, 5, 3, dtype="u1")
    write_dataset(folder, slice_dataset(voxels, NumberOfFrames=3, **ULTRASOUND))
    return Picture(voxels, (0.5, 0.5))


@FRAMED.add("a CT file of several frames", RIGHT)
def ct_frames(folder):
    write_dataset(folder, slice_dataset(FRAMES, NumberOfFrames=3))
    return Picture(FRAMES, (0.5, 0.5))


@FRAMED.add("several files of several frames", WRONG, "several_multiframe")
def several_films(folder):
    for number in (1, 2):
        write_dataset(folder, slice_dataset(FRAMES, number, (0, 0, 10 * number), NumberOfFrames=3))


@FRAMED.add("a dose grid", WRONG, "values_differ")
def dose(folder):
    voxels = FRAMES.astype("<u2")
    write_dataset(
        folder,
        slice_dataset(
            voxels,
            NumberOfFrames=3,
            SOPClassUID=uid.RTDoseStorage,
            Modality="RTDOSE",
            DoseGridScaling=0.5,
            GridFrameOffsetVector=[0, 2, 4],
        ),
    )
    return picture(voxels * 0.5)


def _enhanced(folder, voxels, heights, **shared):
    """One enhanced CT; `shared` may have `slope`, `intercept` and `tilt`."""
    frames = []
    for height in heights:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, shared.get("tilt", 0) * height, height]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    each, measures, direction, scale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], 2
    direction.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    scale.RescaleSlope, scale.RescaleIntercept = shared.get("slope", 1), shared.get("intercept", 0)
    scale.RescaleType = "HU"
    each.PixelMeasuresSequence = [measures]
    each.PlaneOrientationSequence = [direction]
    each.PixelValueTransformationSequence = [scale]
    dataset = slice_dataset(
        voxels,
        NumberOfFrames=len(voxels),
        SOPClassUID=uid.EnhancedCTImageStorage,
        SharedFunctionalGroupsSequence=[each],
        PerFrameFunctionalGroupsSequence=frames,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
    )
    return write_dataset(folder, dataset)


@FRAMED.add("an enhanced CT", RIGHT)
def enhanced(folder):
    _enhanced(folder, VOXELS, [0, 2, 4, 6])
    return picture(VOXELS)


@FRAMED.add("an enhanced CT, from the top", RIGHT)
def enhanced_downwards(folder):
    _enhanced(folder, VOXELS[::-1], [6, 4, 2, 0])
    return picture(VOXELS)


@FRAMED.add("an enhanced CT with a scale", WRONG, "values_differ")
def enhanced_scale(folder):
    _enhanced(folder, VOXELS, [0, 2, 4, 6], intercept=-1024)
    return picture(VOXELS - 1024.0)


@FRAMED.add("an enhanced CT without a slice", WRONG, "slices_missing")
def enhanced_gap(folder):
    _enhanced(folder, VOXELS, [0, 2, 6, 8])


@FRAMED.add("an enhanced CT that describes more frames than it has", WRONG, "damaged_image")
def enhanced_shorter(folder):
    path = _enhanced(folder, VOXELS, [0, 2, 4, 6])
    each = pydicom.dcmread(path)
    each.NumberOfFrames, each.PixelData = 1, VOXELS[0].tobytes()
    each.save_as(path)
    return Picture(VOXELS[:1])


@FRAMED.add("an enhanced CT in another order", WRONG, "slices_disordered")
def enhanced_disorder(folder):
    _enhanced(folder, VOXELS[[0, 2, 1, 3]], [0, 4, 2, 6])
    return picture(VOXELS)


@FRAMED.add("an enhanced CT over time", WRONG, "places_shared")
def enhanced_times(folder):
    _enhanced(folder, VOXELS, [0, 2, 0, 2])
    return picture(VOXELS.reshape(2, 2, 5, 6))


@FRAMED.add("an enhanced CT with a tilt", WRONG, "slices_tilted")
def enhanced_tilt(folder):
    _enhanced(folder, VOXELS, [0, 2, 4, 6], tilt=0.5)


# --- several times -----------------------------------------------------------------------------

_TIMES = random_voxels(3, 4, 5, 6)


def _over_time(folder, order="times", **more):
    """Three times of four places, numbered time by time or place by place."""
    for time in range(3):
        for place in range(4):
            number = time * 4 + place if order == "times" else place * 3 + time
            extra = {"TemporalPositionIndex": time + 1, "ContentTime": f"10000{time}"}
            each = slice_dataset(
                _TIMES[time, place],
                number + 1,
                (0, 0, 2.0 * place),
                **({"Exposure": 1} | extra | more),
            )
            write_dataset(folder, each)
    return picture(_TIMES)


@FRAMED.add("a series over time", RIGHT)
def over_time(folder):
    return _over_time(folder)


@FRAMED.add("a series over time, from the top", RIGHT)
def over_time_downwards(folder):
    _write_times_downwards(folder)
    return picture(_TIMES)


def _write_times_downwards(folder):
    for time in range(3):
        for place in range(4):
            each = slice_dataset(
                _TIMES[time, place],
                time * 4 + 4 - place,
                (0, 0, 2.0 * place),
                TemporalPositionIndex=time + 1,
                ContentTime=f"10000{time}",
                Exposure=1,
            )
            write_dataset(folder, each)


@FRAMED.add("a series over time, without exposure", NOTHING, "unreadable_format")
def over_time_mr(folder):
    return _over_time(folder, Exposure=None, **MR)


@FRAMED.add("a series over time, place by place", WRONG, "slices_disordered")
def place_by_place(folder):
    return _over_time(folder, "places")


@FRAMED.add("slices that each have a time of their own", WRONG, "times_uneven")
def time_for_each(folder):
    more = {"ContentTime": "100000", "Exposure": 1}
    write_series(folder, VOXELS, change=lambda index: {"TemporalPositionIndex": index + 1}, **more)
    return picture(VOXELS)


@FRAMED.add("a series over time, the last time first", WRONG, "slices_disordered")
def times_reversed(folder):
    for time in range(3):
        for place in range(4):
            more = {"TemporalPositionIndex": time + 1, "ContentTime": "100000", "Exposure": 1}
            number = (2 - time) * 4 + place + 1
            write_dataset(
                folder, slice_dataset(_TIMES[time, place], number, (0, 0, 2 * place), **more)
            )
    return picture(_TIMES)


@FRAMED.add(
    "a series over time, every other time falling",
    WRONG,
    "slices_disordered",
)
def times_to_and_fro(folder):
    for time in range(3):
        for place in range(4):
            more = {"TemporalPositionIndex": time + 1, "ContentTime": "100000", "Exposure": 1}
            number = time * 4 + (place if time % 2 else 3 - place)
            each = slice_dataset(_TIMES[time, place], number, (0, 0, 2 * place), **more)
            write_dataset(folder, each)
    return picture(_TIMES)


@FRAMED.add("a time without a slice", NOTHING, "slices_missing")
def missing_time(folder):
    _over_time(folder)
    max(folder.iterdir()).unlink()


@FRAMED.add("several pictures at each place", WRONG, "places_shared")
def echoes(folder):
    _over_time(folder, TemporalPositionIndex=None, **MR)


@FRAMED.add("a stack of several series", RIGHT)
def stack(folder):
    for index, pixels in enumerate(VOXELS):
        more = {"StackID": "1", "SeriesInstanceUID": f"1.2.3.{index % 2}"}
        write_dataset(folder, slice_dataset(pixels, index + 1, (0, 0, 2.0 * index), **more))
    return picture(VOXELS)
