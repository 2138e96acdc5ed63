"""The platform's own importer makes the same image of a file and of what is sent of it."""

from pathlib import Path

import pytest
from support.importer.judge import judge_uploads
from support.importer.sending import send_folder, sent_path
from support.planted import FILES, find_names
from support.slices import series

from gcwatch.imaging.deidentification.deidentify import DicomRules

# The test's own reader of what panimg stores, tifffile, reads nothing with this tail.
READABLE = [name for name in FILES if name != "TIFF in run lengths with a tail"]


@pytest.mark.parametrize("name", READABLE)
def test_a_scrubbed_file_is_the_same_image(tmp_path, name):
    """Voxel for voxel, with the same spacing, although the names are gone."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    Path(folder, "a").write_bytes(FILES[name])
    made = send_folder(folder, tmp_path / "spool")
    [before] = judge_uploads({made.filename: folder / "a"}).images
    [after] = judge_uploads({made.filename: sent_path(made)}).images
    assert after.picture.equals(before.picture)
    assert (after.spacing, after.shape) == (before.spacing, before.shape)
    assert not find_names(sent_path(made).read_bytes())


def test_a_pseudonym_does_not_change_the_image(tmp_path):
    """The importer reads PatientID, and makes the same picture with the same geometry."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    series(folder, range(3), PatientID="0815")
    pictures = []
    for number, rules in enumerate((DicomRules(), DicomRules(secret_key=b"k" * 32))):
        made = send_folder(folder, tmp_path / f"spool{number}", rules=rules)
        [image] = judge_uploads({made.filename: sent_path(made)}).images
        pictures.append(image)
    before, after = pictures
    assert after.picture.equals(before.picture)
    assert (after.spacing, after.shape) == (before.spacing, before.shape)
