"""DICOM slices of 2 x 2 pixels, of which tests build series."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

AXIAL = [1, 0, 0, 0, 1, 0]


def one_slice(path, number, position=None, orientation=AXIAL, **more):
    """Write a slice of 2 x 2 pixels."""
    each = Dataset()
    each.file_meta = FileMetaDataset()
    each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, f"1.2.3.{path.name}"
    each.StudyInstanceUID, each.SeriesInstanceUID = "1.2", "1.2.3"
    each.InstanceNumber = number
    if position is not None:
        each.ImagePositionPatient = [round(float(value), 6) for value in position]
        each.ImageOrientationPatient = orientation
    each.Rows = each.Columns = 2
    each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
    each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 1
    each.PixelData = bytes(8)
    for keyword, value in more.items():
        setattr(each, keyword, value)
    each.save_as(path, enforce_file_format=True)


def series(folder, heights, **more):
    """Write axial slices at the given heights, numbered as they come."""
    for number, height in enumerate(heights, start=1):
        one_slice(folder / str(number), number, (-10, -20, height), **more)


def at_time(time):
    """The elements without which the platform makes no series over time."""
    return {"TemporalPositionIndex": time + 1, "ContentTime": "100000", "Exposure": 1}
