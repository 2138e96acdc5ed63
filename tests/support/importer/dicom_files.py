"""Small DICOM series of random voxels, and what they show."""

import itertools

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from support.importer.judge import Picture

AXIAL = (1, 0, 0, 0, 1, 0)
_NAMES = itertools.count()


def random_voxels(*shape, seed=0, dtype="<i2"):
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


VOXELS = random_voxels(4, 5, 6)
FRAMES = random_voxels(3, 4, 5)
MR = {"SOPClassUID": MRImageStorage, "Modality": "MR"}
ULTRASOUND = {"SOPClassUID": UltrasoundMultiFrameImageStorage, "Modality": "US"}


def slice_dataset(pixels, number=1, place=(0, 0, 0), **more):
    """A whole CT slice with these pixels; `more` are elements that are added or changed."""
    each = Dataset()
    each.file_meta = FileMetaDataset()
    each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, f"1.2.3.4.5.{number}"
    each.StudyInstanceUID, each.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    each.PatientName, each.PatientID, each.Modality = "DOE^JANE", "7", "CT"
    each.InstanceNumber = number
    each.ImagePositionPatient = [float(value) for value in place]
    each.ImageOrientationPatient = list(AXIAL)
    each.PixelSpacing = [0.5, 0.5]
    colour = pixels.ndim > 2 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    each.Rows, each.Columns = rows, columns
    each.SamplesPerPixel = 3 if colour else 1
    each.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        each.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    each.BitsAllocated, each.BitsStored, each.HighBit = bits, bits, bits - 1
    each.PixelRepresentation = int(pixels.dtype.kind == "i")
    each.PixelData = pixels.tobytes()
    for keyword, value in more.items():
        if value is None and keyword in each:
            delattr(each, keyword)
        elif value is not None:
            setattr(each, keyword, value)
    return each


def write_dataset(folder, dataset, name=None):
    """Write a dataset under a name of its own; return its path."""
    path = folder / (name or f"{next(_NAMES):05}.dcm")
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    dataset.save_as(
        path,
        enforce_file_format=True,
        little_endian=syntax.is_little_endian,
        implicit_vr=syntax.is_implicit_VR,
    )
    return path


def write_series(folder, voxels, places=None, numbers=None, change=None, **more):
    """Write one slice for each plane of voxels; return the paths.

    `places` are positions, by default 2 mm apart; `change` gives more elements for an index.
    """
    paths = []
    for index, pixels in enumerate(voxels):
        place = places[index] if places else (0, 0, 2.0 * index)
        number = numbers[index] if numbers else index + 1
        extra = more | (change(index) if change else {})
        dataset = slice_dataset(pixels, number, place, **extra)
        if not {"SOPInstanceUID"} & extra.keys():
            dataset.SOPInstanceUID = f"1.2.3.4.5.{index + 1}"
        paths.append(write_dataset(folder, dataset))
    return paths


def picture(voxels, spacing=(0.5, 0.5, 2.0)):
    return Picture(voxels, spacing)
