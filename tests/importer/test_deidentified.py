"""The platform's own importer makes the same image of a DICOM file and of what is sent of it."""

import pytest
from pydicom import uid
from support.importer.dicom_files import random_voxels, slice_dataset, write_dataset
from support.importer.judge import judge_folder, judge_uploads
from support.importer.sending import send_folder, sent_path
from support.planted_dicom import ALLOW

from gcwatch.imaging.dicom.procedure import local_procedure

SOME = {
    uid.CTImageStorage,
    uid.MRImageStorage,
    uid.UltrasoundImageStorage,
    uid.DigitalMammographyXRayImageStorageForPresentation,
}
CLASSES = [
    pytest.param(each, marks=() if each in SOME else pytest.mark.prove, id=each)
    for each in sorted(local_procedure()["sopClass"])
]


@pytest.mark.parametrize("sop_class", CLASSES)
def test_a_deidentified_file_is_the_same_image(tmp_path, sop_class):
    """Voxel for voxel, with the same spacing, for every class that the procedure knows."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    voxels = random_voxels(6, 5, dtype="<u2")
    write_dataset(folder, slice_dataset(voxels, SOPClassUID=sop_class))
    made = send_folder(folder, tmp_path / "spool", rules=ALLOW)
    before = judge_folder(folder).images
    after = judge_uploads({made.filename: sent_path(made)}).images
    # A slide needs more than pixels; the importer makes nothing of either.
    assert len(before) == len(after) == (sop_class != uid.VLWholeSlideMicroscopyImageStorage)
    for old, new in zip(before, after, strict=True):
        assert new.picture.equals(old.picture)
        assert (new.spacing, new.shape) == (old.spacing, old.shape)
