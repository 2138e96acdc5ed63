"""Kinds of DICOM series with odd numbers in their headers, or with pictures of several kinds."""

import pydicom

from support.importer.dicom_files import MR, VOXELS, picture, write_series
from support.importer.judge import Picture
from support.importer.kinds import NOTHING, RIGHT, WRONG, Kinds

NUMBERS = Kinds("DICOM")


def _last(first, last):
    """Return which elements a slice gets; the last one gets others."""
    return lambda index: last if index == len(VOXELS) - 1 else first


@NUMBERS.add("two patients of one name", RIGHT, "several_patients")
def namesakes(folder):
    write_series(folder, VOXELS, change=_last({"PatientSex": "F"}, {"PatientSex": "M"}))
    return picture(VOXELS)


@NUMBERS.add("a patient whose date of birth only some slices tell", RIGHT)
def born(folder):
    write_series(folder, VOXELS, change=_last({}, {"PatientBirthDate": "19500101"}))
    return picture(VOXELS)


@NUMBERS.add("a scale in one slice only", WRONG, "values_differ")
def some_scaled(folder):
    scale = {"RescaleSlope": 2, "RescaleIntercept": 0}
    write_series(folder, VOXELS, change=_last({}, scale))


@NUMBERS.add("an intercept of -1024 in some slices only", WRONG, "values_differ")
def some_shifted(folder):
    scale = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    write_series(folder, VOXELS, change=_last(scale, {}))


@NUMBERS.add("a scale of zero", WRONG, "unreadable_format")
def zero_scale(folder):
    write_series(folder, VOXELS, RescaleSlope=0, RescaleIntercept=0)


@NUMBERS.add("a scale that is no number", WRONG, "unreadable_format")
def no_scale(folder):
    for path in write_series(folder, VOXELS, RescaleSlope=100, RescaleIntercept=0):
        path.write_bytes(path.read_bytes().replace(b"DS\6\x00100.0 ", b"DS\6\0nan   "))


@NUMBERS.add("echo times by turns", WRONG, "pictures_differ")
def echoes(folder):
    write_series(folder, VOXELS, change=lambda index: {"EchoTime": 10 + index % 2 * 20}, **MR)


@NUMBERS.add("echo times that are rounded differently", RIGHT)
def rounded_echoes(folder):
    write_series(folder, VOXELS, change=lambda index: {"EchoTime": 10 + index / 100}, **MR)
    return picture(VOXELS)


@NUMBERS.add("diffusion weights by turns", WRONG, "pictures_differ")
def weights(folder):
    write_series(folder, VOXELS, change=lambda index: {"DiffusionBValue": index % 2 * 1000.0}, **MR)


@NUMBERS.add("magnitude and phase by turns", WRONG, "pictures_differ")
def phases(folder):
    kinds = ("M", "P")
    write_series(
        folder,
        VOXELS,
        change=lambda index: {"ImageType": ["ORIGINAL", "PRIMARY", kinds[index % 2]]},
        **MR,
    )


@NUMBERS.add("a position of two numbers", NOTHING, "unreadable_format")
def flat_position(folder):
    write_series(folder, VOXELS, change=lambda index: {"ImagePositionPatient": [0, 2.0 * index]})


@NUMBERS.add("a spacing of zero", NOTHING, "unreadable_format")
def zero_spacing(folder):
    write_series(folder, VOXELS, PixelSpacing=[0, 0])


@NUMBERS.add("a spacing of one number", NOTHING, "unreadable_format")
def one_spacing(folder):
    write_series(folder, VOXELS, PixelSpacing=0.5)


@NUMBERS.add("no spacing, and pixels that are not square", WRONG, "values_differ")
def aspect(folder):
    write_series(folder, VOXELS, PixelSpacing=None, PixelAspectRatio=[2, 1])
    return picture(VOXELS, (2.0, 1.0))


@NUMBERS.add("less than one frame", NOTHING, "unreadable_format")
def no_frames(folder):
    for path in write_series(folder, VOXELS):
        each = pydicom.dcmread(path)
        each.NumberOfFrames = 0
        each.save_as(path)


@NUMBERS.add("numbers of 12 bits in 16", RIGHT)
def twelve_bits(folder):
    voxels = (VOXELS - 100).astype("<i2")
    write_series(folder, (voxels.view("<u2") & 0xFFF).view("<i2"), BitsStored=12, HighBit=11)
    return Picture(voxels, (0.5, 0.5, 2.0))
