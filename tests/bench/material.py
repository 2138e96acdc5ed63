"""What is sent: one big file, a CT, and many small folders."""

import random
from pathlib import Path

MIB = 1 << 20
SLICES, SIDE = 300, 512
TINY = (
    b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementSpacing = 1 1 1\n"
    b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n12345678"
)
"""The smallest image that the platform takes."""


def make_big_file(folder: Path, mib: int) -> None:
    """Write a MetaImage of so many MiB of noise."""
    folder.mkdir(parents=True)
    noise = random.Random(1)
    with (folder / "volume.mha").open("wb") as file:
        file.write(
            f"ObjectType = Image\nNDims = 3\nDimSize = 1024 1024 {mib}\nElementSpacing = 1 1 1\n"
            "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode()
        )
        for _ in range(mib):
            file.write(noise.randbytes(MIB))


def make_series(folder: Path, slices: int) -> None:
    """Write a CT: 16-bit slices that deflate to two thirds, as real ones do, and a name in each."""
    from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 - only where it is made
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid  # noqa: PLC0415 - as above

    folder.mkdir(parents=True)
    noise = random.Random(2)
    study, series = generate_uid(), generate_uid()
    for number in range(1, slices + 1):
        each = Dataset()
        each.file_meta = FileMetaDataset()
        each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, generate_uid()
        each.file_meta.MediaStorageSOPClassUID = each.SOPClassUID
        each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
        each.StudyInstanceUID, each.SeriesInstanceUID = study, series
        each.PatientName, each.PatientID = "Doe^Jane", "0123456"
        each.PatientBirthDate, each.PatientSex = "19500102", "F"
        each.InstitutionName, each.ReferringPhysicianName = "General Hospital", "Roe^Richard"
        each.StudyDate = each.SeriesDate = "20250304"
        each.Modality, each.InstanceNumber = "CT", number
        each.ImagePositionPatient = [-180.0, -180.0, float(number)]
        each.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        each.PixelSpacing, each.SliceThickness = [0.7, 0.7], 1.0
        each.Rows = each.Columns = SIDE
        each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
        each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 1
        each.PixelData = _voxels(noise)
        each.save_as(folder / f"IM{number:04}", enforce_file_format=True)


def _voxels(noise: random.Random) -> bytes:
    """A body with noise in it, in air."""
    low = bytes(128 + (byte & 127) // 2 * (byte >> 7 or 1) for byte in range(256))
    voxels = bytearray(2 * SIDE * SIDE)
    voxels[0::2] = noise.randbytes(SIDE * SIDE).translate(low)
    quarter = bytes(SIDE * SIDE // 4)
    body = noise.randbytes(SIDE * SIDE // 2).translate(bytes(byte & 3 for byte in range(256)))
    voxels[1::2] = quarter + body + quarter
    return bytes(voxels)


def make_cases(inbox: Path, names: list[str], files: int) -> None:
    """Write so many folders, each with so many tiny MetaImages."""
    for name in names:
        make_case(inbox / name, files)


def make_case(folder: Path, files: int) -> None:
    """Write one folder of so many tiny MetaImages."""
    folder.mkdir(parents=True)
    fill(folder, files)


def fill(folder: Path, files: int) -> None:
    """Write so many tiny MetaImages into a folder, 000.mha and so on."""
    for number in range(files):
        (folder / f"{number:03}.mha").write_bytes(TINY)
