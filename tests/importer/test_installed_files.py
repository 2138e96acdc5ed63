"""What is claimed of the kinds holds for every image file that the installed packages ship."""

import shutil

import pytest
from support.importer.installed import find_files, find_folders, installed_path
from support.importer.judge import describe, judge_folder
from support.importer.kinds import RIGHT, SENT
from support.importer.sandbox_judge import judge_in_sandbox
from support.importer.sending import observe_folder
from support.importer.truth import read_truth

pytestmark = pytest.mark.prove

_DATA = "pydicom/data/test_files"
UNFOUND = {
    f"{_DATA}/JPEG-lossy.dcm": "its JPEG of 12 bits has a wrong scan header",
}
"""Files that are sent and that panimg refuses: only who decodes the pixels can tell."""

NOT_DECODED = {*UNFOUND, f"{_DATA}/JPEG2000-embedded-sequence-delimiter.dcm"}
"""Files of which the sandbox makes an image since it decodes no compressed pixels."""

ORDER_OF_A_SET = {"pynetdicom/tests/dicom_files"}
"""Folders with slices of one number: panimg's order of them differs from run to run."""

LEFT_TO_PEOPLE = {"not_deidentified", "burned_in", "frames_removed", "values_differ"}
"""Reasons why an image is refused that panimg would make right from the original files."""


@pytest.fixture
def copy(tmp_path):
    """Copy a file, or the files of a folder, into a folder of their own."""

    def copied(name):
        folder, source = tmp_path / "in" / "p1", installed_path(name)
        folder.mkdir(parents=True)
        for path in [source] if source.is_file() else source.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        return folder

    return copied


@pytest.mark.parametrize("name", [*find_files(), *find_folders()])
def test_what_is_sent_is_the_image(name, copy):
    """And good data is refused only for a reason that a person has to decide on."""
    folder = copy(name)
    seen = observe_folder(folder, read_truth(folder))
    if name in UNFOUND:
        assert "panimg makes no image" in seen.trouble
        return
    assert seen.trouble == ""
    if seen.panimg == RIGHT:
        assert {seen.gcwatch, seen.plain} <= {SENT, *LEFT_TO_PEOPLE}


@pytest.mark.parametrize("name", [*find_files(), *find_folders()])
def test_the_sandbox_makes_what_panimg_makes(name, copy):
    """Also of these files; the voxels are compared over the kinds."""
    folder = copy(name)
    if name in NOT_DECODED:
        assert judge_folder(folder).left == 1
    elif name not in ORDER_OF_A_SET:
        assert describe(judge_in_sandbox(folder)) == describe(judge_folder(folder))
