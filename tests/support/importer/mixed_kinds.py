"""Kinds of DICOM input that are no sound series: mixed, incomplete and damaged."""

import math

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from support.importer.dicom_files import (
    VOXELS,
    picture,
    random_voxels,
    slice_dataset,
    write_dataset,
    write_series,
)
from support.importer.kinds import NOTHING, RIGHT, SEVERAL, WRONG, Kinds

MIXED = Kinds("DICOM")


@MIXED.add("two series", SEVERAL, "several_images")
def two_series(folder):
    write_series(folder, VOXELS)
    write_series(folder, VOXELS, SeriesInstanceUID="1.2.3.5")


def _mixed(folder, first, second):
    write_series(
        folder,
        VOXELS,
        change=lambda index: first if index < 2 else second,
    )


@MIXED.add("two patients", WRONG, "several_patients")
def patients(folder):
    _mixed(folder, {"PatientID": "1"}, {"PatientID": "2"})


@MIXED.add("pictures of two sizes", NOTHING, "sizes_differ")
def sizes(folder):
    small = {"Rows": 4, "PixelData": bytes(48)}
    _mixed(folder, {}, small)


@MIXED.add("pictures with and without a sign", WRONG, "sizes_differ")
def signs(folder):
    _mixed(folder, {}, {"PixelRepresentation": 0, "PixelData": b"\xff\xff" * 30})


@MIXED.add("two pixel spacings", WRONG, "spacings_differ")
def spacings(folder):
    _mixed(folder, {}, {"PixelSpacing": [0.7, 0.7]})


@MIXED.add("two frames of reference", WRONG, "references_differ")
def references(folder):
    _mixed(folder, {"FrameOfReferenceUID": "1.1"}, {"FrameOfReferenceUID": "1.2"})


@MIXED.add("a missing slice", WRONG, "slices_missing")
def gap(folder):
    write_series(folder, VOXELS, [(0, 0, height) for height in (0, 2, 6, 8)])


@MIXED.add("a slice twice", WRONG, "slice_twice")
def twice(folder):
    first = min(write_series(folder, VOXELS))
    (folder / "again.dcm").write_bytes(first.read_bytes())


@MIXED.add("slices that overlap", WRONG, "slices_overlap")
def overlap(folder):
    write_series(folder, VOXELS, [(0, 0, height) for height in (0, 2, 2.5, 4.5)])


@MIXED.add("slices at uneven distances", WRONG, "slices_uneven")
def uneven(folder):
    write_series(folder, VOXELS, [(0, 0, height) for height in (0, 2, 4, 6.9)])


@MIXED.add("slices numbered in another order", WRONG, "slices_disordered")
def disorder(folder):
    write_series(folder, VOXELS, numbers=[1, 3, 2, 4])
    return picture(VOXELS)


@MIXED.add("slices with one number, without positions", WRONG, "slices_disordered")
def same_numbers(folder):
    write_series(
        folder,
        VOXELS,
        numbers=[1, 1, 1, 1],
        change=lambda index: {"SOPInstanceUID": f"1.2.{index}"},
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
    )


@MIXED.add("slices without a number", NOTHING, "damaged_image")
def unnumbered(folder):
    write_series(folder, VOXELS, InstanceNumber=None)
    return picture(VOXELS)


@MIXED.add("a scout among the slices", WRONG, "slices_unplaced")
def scout(folder):
    write_series(folder, VOXELS)
    more = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "ImageType": ["O", "P", "LOCALIZER"]}
    write_dataset(folder, slice_dataset(VOXELS[0], 9, (0, 0, 9), SOPInstanceUID="1.9", **more))


_PLANES = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])


@MIXED.add("three planes of a scout", WRONG, "planes_differ")
def planes(folder):
    write_series(
        folder, VOXELS[:3], change=lambda index: {"ImageOrientationPatient": _PLANES[index]}
    )


@MIXED.add("three planes of a scout, marked as localizers", WRONG, "planes_differ")
def marked_planes(folder):
    write_series(
        folder,
        VOXELS[:3],
        change=lambda index: {"ImageOrientationPatient": _PLANES[index]},
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )


@MIXED.add("planes around an axis", WRONG, "planes_differ")
def radial(folder):
    turns = [index * math.pi / 6 for index in range(6)]
    write_series(
        folder,
        random_voxels(6, 4, 4),
        places=[(0, 0, 0)] * 6,
        change=lambda index: {
            "ImageOrientationPatient": [
                round(math.cos(turns[index]), 6),
                round(math.sin(turns[index]), 6),
                0,
                0,
                0,
                -1,
            ]
        },
    )


@MIXED.add("gantry tilt", WRONG, "slices_tilted")
def tilt(folder):
    write_series(folder, VOXELS, [(0, 0.6 * index, 2.0 * index) for index in range(4)])


@MIXED.add("a slice whose pixels are cut off", NOTHING, "damaged_image")
def cut_slice(folder):
    path = max(write_series(folder, VOXELS))
    path.write_bytes(path.read_bytes()[:-20])


@MIXED.add("a slice with too few pixels", NOTHING, "damaged_image")
def short_slice(folder):
    path = max(write_series(folder, VOXELS))
    each = pydicom.dcmread(path)
    each.PixelData = each.PixelData[:-20]
    each.save_as(path)


@MIXED.add("slices with an empty number of frames", NOTHING, plain="unreadable_format")
def empty_frames(folder):
    write_series(folder, VOXELS)
    for path in folder.iterdir():
        each = pydicom.dcmread(path)
        each.NumberOfFrames = None
        each.save_as(path)
    return picture(VOXELS)


@MIXED.add("a slice with an empty spacing", NOTHING, plain="unreadable_format")
def empty_spacing(folder):
    for path in write_series(folder, VOXELS):
        each = pydicom.dcmread(path)
        each.PixelSpacing = None
        each.save_as(path)
    return picture(VOXELS, ())


@MIXED.add("a deflated slice with twice as many pixels as told", WRONG, "damaged_image")
def long_deflated(folder):
    each = slice_dataset(VOXELS[0])
    each.PixelData *= 2
    each.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    write_dataset(folder, each)


@MIXED.add("a slice with twice as many pixels as told", WRONG, "damaged_image")
def long_slice(folder):
    path = max(write_series(folder, VOXELS))
    each = pydicom.dcmread(path)
    each.PixelData *= 2
    each.save_as(path)


@MIXED.add("a slice with some bytes after its pixels", RIGHT)
def padded_slice(folder):
    path = max(write_series(folder, VOXELS))
    each = pydicom.dcmread(path)
    each.PixelData += bytes(20)
    each.save_as(path)
    return picture(VOXELS)


@MIXED.add("a slice whose header is cut off", WRONG, "damaged_image")
def cut_header(folder):
    path = max(write_series(folder, VOXELS))
    path.write_bytes(path.read_bytes()[:300])


@MIXED.add("an empty slice", WRONG, "empty_file")
def empty_slice(folder):
    write_series(folder, VOXELS)
    (folder / "last.dcm").touch()
