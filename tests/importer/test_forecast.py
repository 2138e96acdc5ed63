"""The platform's own importer stacks a series in the order that gcwatch foretells."""

import numpy as np
import pydicom
import pytest
from support.importer.corpus import KINDS
from support.importer.dicom_files import VOXELS, random_voxels, write_series
from support.importer.judge import judge_uploads
from support.importer.sending import send_folder, sent_path

from gcwatch.files.beneath import SharePath
from gcwatch.inbox import tree

ENHANCED = [
    kind for kind in KINDS if "an enhanced CT" in str(kind) and kind.gcwatch != "damaged_image"
]
TIMES = random_voxels(12, 5, 6)


def _time(index):
    time = {"ContentTime": f"10000{index // 4}", "Exposure": 1}
    return {"TemporalPositionIndex": index // 4 + 1, **time}


SERIES = {
    "rising": (VOXELS, {}),
    "falling": (VOXELS, {"places": [(0, 0, -2.0 * z) for z in range(4)]}),
    "numbered against the files' names": (VOXELS, {"numbers": [4, 3, 2, 1]}),
    "sagittal": (
        VOXELS,
        {
            "places": [(-3.0 * x, 0, 0) for x in range(4)],
            "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
        },
    ),
    "over time": (TIMES, {"places": [(0, 0, 2.0 * (z % 4)) for z in range(12)], "change": _time}),
    "over time, falling": (
        TIMES,
        {"places": [(0, 0, -2.0 * (z % 4)) for z in range(12)], "change": _time},
    ),
}


@pytest.mark.parametrize("name", SERIES)
def test_planes_come_in_the_order_that_was_foretold(name, tmp_path):
    """The order gives the file of each plane, time after time."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    voxels, options = SERIES[name]
    write_series(folder, voxels, **options)
    made = send_folder(folder, tmp_path / "spool", deidentify=False)
    [image] = judge_uploads({made.filename: sent_path(made)}).images
    files = tree.source_files(SharePath.of(folder), ())
    expected = [pydicom.dcmread(str(files[n].place)).pixel_array for n in made.forecast.order]
    assert np.array_equal(image.picture.voxels.reshape(voxels.shape), expected)
    assert image.shape == made.forecast.shape


@pytest.mark.parametrize("kind", ENHANCED, ids=str)
def test_the_frames_of_an_enhanced_file_lie_as_foretold(kind, tmp_path):
    """Voxel sizes come from the places of the frames, also where the stack is odd."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    kind.build(folder)
    made = send_folder(folder, tmp_path / "spool", deidentify=False, integrity="warn")
    [image] = judge_uploads({made.filename: sent_path(made)}).images
    assert image.spacing == pytest.approx(made.forecast.voxel_sizes)
