"""The voxels that every volume of the corpus shows."""

from support.importer.dicom_files import random_voxels
from support.importer.judge import Picture

VOXELS = random_voxels(3, 4, 5)
RAW = VOXELS.tobytes()
SPACING = (0.5, 0.75, 2.0)


def picture(voxels=VOXELS):
    return Picture(voxels, SPACING)
