"""Kinds of DICOM input: series as scanners and exports write them, and damaged or mixed ones."""

import math

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import convert_color_space

from support.importer.dicom_files import (
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

DICOM = Kinds("DICOM")


# --- sound series ------------------------------------------------------------------------------


@DICOM.add("a CT series", RIGHT)
def ct(folder):
    write_series(folder, VOXELS, RescaleSlope=2, RescaleIntercept=-1024)
    return picture(VOXELS * 2.0 - 1024)


@DICOM.add("slices numbered from the top", RIGHT)
def downwards(folder):
    write_series(folder, VOXELS, numbers=[4, 3, 2, 1])
    return picture(VOXELS)


@DICOM.add("sagittal slices", RIGHT)
def sagittal(folder):
    places = [(-3.0 * index, 0, 0) for index in range(4)]
    write_series(folder, VOXELS, places, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    return picture(VOXELS, (0.5, 0.5, 3.0))


@DICOM.add("oblique slices", RIGHT)
def oblique(folder):
    c, s = math.cos(0.3), math.sin(0.3)
    places = [(0, round(-2 * s * index, 6), round(2 * c * index, 6)) for index in range(4)]
    orientation = [1, 0, 0, 0, round(c, 6), round(s, 6)]
    write_series(folder, VOXELS, places, ImageOrientationPatient=orientation)
    return picture(VOXELS)


@DICOM.add("one slice", RIGHT)
def single(folder):
    write_series(folder, VOXELS[:1])
    return Picture(VOXELS[:1], (0.5, 0.5))


@DICOM.add("slices without positions", RIGHT)
def unplaced(folder):
    write_series(folder, VOXELS, ImagePositionPatient=None, ImageOrientationPatient=None)
    return Picture(VOXELS, (0.5, 0.5))


@DICOM.add("MR slices without a scale", RIGHT)
def mr(folder):
    write_series(folder, VOXELS, **MR)
    return picture(VOXELS)


@DICOM.add("low values shown white (MONOCHROME1)", RIGHT)
def inverted(folder):
    write_series(folder, VOXELS, PhotometricInterpretation="MONOCHROME1")
    return picture(int(VOXELS.min()) + int(VOXELS.max()) - VOXELS)


@DICOM.add("pixels of 8 bits", RIGHT)
def bytes_only(folder):
    voxels = random_voxels(3, 4, 4, dtype="u1")
    write_series(folder, voxels)
    return picture(voxels)


@DICOM.add("pixels of 32 bits", RIGHT)
def long_pixels(folder):
    voxels = random_voxels(3, 4, 4, dtype="<i4") * 70_000
    write_series(folder, voxels)
    return picture(voxels)


def _with_syntax(folder, syntax, voxels=VOXELS, **more):
    for index, pixels in enumerate(voxels):
        each = slice_dataset(pixels, index + 1, (0, 0, 2.0 * index), **more)
        each.file_meta.TransferSyntaxUID = syntax
        write_dataset(folder, each)
    return picture(voxels)


@DICOM.add("implicit VR", RIGHT)
def implicit(folder):
    return _with_syntax(folder, uid.ImplicitVRLittleEndian)


@DICOM.add("deflated", RIGHT, "not_deidentified", plain="")
def deflated(folder):
    return _with_syntax(folder, uid.DeflatedExplicitVRLittleEndian)


@DICOM.add("big-endian", NOTHING, "unreadable_format")
def big_endian(folder):
    _with_syntax(folder, uid.ExplicitVRBigEndian, VOXELS.byteswap())
    return picture(VOXELS)


@DICOM.add("big-endian with a scale", RIGHT)
def big_endian_scaled(folder):
    _with_syntax(folder, uid.ExplicitVRBigEndian, VOXELS.byteswap(), RescaleIntercept=-7)
    return picture(VOXELS - 7.0)


@DICOM.add("compressed, and damaged within", WRONG, "damaged_image")
def damaged_rle(folder):
    for index, pixels in enumerate(VOXELS):
        each = slice_dataset(pixels, index + 1, (0, 0, 2.0 * index))
        each.compress(uid.RLELossless, generate_instance_uid=False)
        if index == 0:
            each.PixelData = each.PixelData[:100] + bytes(4) + each.PixelData[104:]
        write_dataset(folder, each)


@DICOM.add("without a preamble", NOTHING)
def bare(folder):
    for path in write_series(folder, VOXELS):
        each = pydicom.dcmread(path)
        path.unlink()
        raw = pydicom.filebase.DicomBytesIO()
        raw.is_little_endian, raw.is_implicit_VR = True, True
        pydicom.filewriter.write_dataset(raw, _without_meta(each))
        path.write_bytes(raw.getvalue())
    return picture(VOXELS)


def _without_meta(dataset):
    bare_one = Dataset()
    bare_one.update(dataset)
    return bare_one


@DICOM.add("beside a report and a directory", RIGHT)
def beside(folder):
    made = ct(folder)
    report = slice_dataset(VOXELS[0], 9, PixelData=None, Rows=None, Columns=None)
    report.SOPClassUID = uid.BasicTextSRStorage
    write_dataset(folder, report)
    (folder / "autorun.inf").write_text("[autorun]")
    return made


@DICOM.add("beside spectroscopy in the same series", RIGHT)
def spectroscopy(folder):
    made = mr(folder)
    other = slice_dataset(VOXELS[0], 9, PixelData=None, SOPClassUID=uid.MRSpectroscopyStorage)
    other.SpectroscopyData = bytes(8)
    write_dataset(folder, other)
    return made


# --- scale and colour --------------------------------------------------------------------------


@DICOM.add("MR with one scale for all", RIGHT)
def mr_scale(folder):
    write_series(folder, VOXELS, RescaleSlope=2.5, RescaleIntercept=0, **MR)
    return picture(VOXELS * 2.5)


@DICOM.add("MR with a scale for each slice", RIGHT)
def mr_scales(folder):
    write_series(
        folder,
        VOXELS,
        change=lambda index: {"RescaleSlope": 1 + index, "RescaleIntercept": 0},
        **MR,
    )
    return picture(VOXELS * np.arange(1.0, 5.0)[:, None, None])


@DICOM.add("a table of values instead of a scale", WRONG, "values_differ")
def modality_table(folder):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [256, 0, 16], "HU"
    table.LUTData = (np.arange(256, dtype="<u2") * 3).tobytes()
    write_series(folder, VOXELS.astype("<u2"), ModalityLUTSequence=[table])
    return picture(VOXELS * 3)


@DICOM.add("a palette of colours", WRONG, "values_differ")
def palette(folder):
    ramp = np.arange(256, dtype="<u2")
    tables = {
        f"{colour}PaletteColorLookupTable{part}": value
        for shift, colour in enumerate(("Red", "Green", "Blue"))
        for part, value in (
            ("Descriptor", [256, 0, 16]),
            ("Data", np.roll(ramp, shift * 7).tobytes()),
        )
    }
    voxels = random_voxels(1, 4, 4, dtype="u1")
    write_series(folder, voxels, PhotometricInterpretation="PALETTE COLOR", **tables)
    return Picture(np.stack([np.roll(ramp, shift * 7)[voxels[0]] for shift in range(3)], axis=-1))


@DICOM.add("one picture in colour", NOTHING, "unreadable_format")
def colour(folder):
    voxels = random_voxels(1, 4, 5, 3, dtype="u1")
    write_series(folder, voxels)
    return Picture(voxels, (0.5, 0.5))


@DICOM.add("a film in colour, stored as YBR", RIGHT, "burned_in", plain="")
def ybr(folder):
    stored = convert_color_space(random_voxels(3, 4, 5, 3, dtype="u1"), "RGB", "YBR_FULL")
    more = {"NumberOfFrames": 3, "PhotometricInterpretation": "YBR_FULL", **ULTRASOUND}
    write_dataset(folder, slice_dataset(stored, **more))
    return Picture(convert_color_space(stored, "YBR_FULL", "RGB"))


@DICOM.add("a series of pictures in colour", NOTHING, "unreadable_format")
def colour_series(folder):
    voxels = random_voxels(3, 4, 5, 3, dtype="u1")
    write_series(folder, voxels)
    return picture(voxels)


@DICOM.add("pixels that are not square", WRONG, "pixels_oblong")
def oblong(folder):
    write_series(folder, VOXELS, PixelSpacing=[0.5, 0.8])
    return picture(VOXELS, (0.8, 0.5, 2.0))
