"""What is claimed of the kinds holds for folders that Hypothesis draws."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from support.importer.drawn_pictures import jpeg_files, png_files, tiff_files
from support.importer.drawn_series import films, series, series_over_time
from support.importer.drawn_volumes import meta_files, nifti_files, nrrd_files
from support.importer.judge import describe, judge_folder
from support.importer.kinds import RIGHT
from support.importer.sandbox_judge import judge_in_sandbox
from support.importer.sending import observe_folder

DRAWN = {
    "NIfTI": nifti_files(),
    "MetaImage": meta_files(),
    "NRRD": nrrd_files(),
    "TIFF": tiff_files(),
    "PNG": png_files(),
    "JPEG": jpeg_files(),
    "DICOM series": series(),
    "DICOM series over time": series_over_time(),
    "DICOM films": films(),
}
FEW, MANY = 10, 200


def check_claims(case):
    """Check what is sent, and that the sandbox makes what panimg makes."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "p1")
        folder.mkdir()
        case.write(folder)
        seen = observe_folder(folder, case.truth)
        assert seen.trouble == ""
        # A wrong image is made of what panimg's memory held, or of the file that came first by
        # chance; the kinds and the installed files compare these cases.
        if seen.panimg == RIGHT:
            ours, theirs = judge_in_sandbox(folder), judge_folder(folder)
            assert describe(ours)[0] == describe(theirs)[0]


@pytest.mark.parametrize("name", DRAWN)
def test_a_few_drawn_folders_arrive_as_foretold_or_are_refused(name):
    settings(max_examples=FEW)(given(DRAWN[name])(check_claims))()


@pytest.mark.prove
@pytest.mark.parametrize("name", DRAWN)
def test_many_drawn_folders_arrive_as_foretold_or_are_refused(name):
    settings(max_examples=MANY)(given(DRAWN[name])(check_claims))()
