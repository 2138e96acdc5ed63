"""The sandbox's importer makes of a folder what the platform's own importer makes of it."""

import pytest
from support.importer.corpus import KINDS
from support.importer.judge import describe, judge_folder
from support.importer.kinds import NOTHING
from support.importer.packed_kinds import PACKED
from support.importer.sandbox_judge import judge_in_sandbox

_COMPRESSED = "the sandbox decodes no compressed pixels"

UNEQUAL = {
    **{str(kind): _COMPRESSED for kind in PACKED if kind.panimg == NOTHING},
    "DICOM: more compressed frames than told": _COMPRESSED,
    "DICOM: a study whose UID is a path": "the sandbox makes no folder of that name",
    "slide: .svs, cut off": "the sandbox does not convert slides, so it does not see the cut",
    "MetaImage: a field with too few numbers": "panimg reads the next field as the numbers",
}
"""Kinds of which the sandbox makes another image, with the reason."""

_MEMORY = "panimg stores what was in its memory for voxels that are missing"

OTHER_VOXELS = {
    **{str(kind): _COMPRESSED for kind in PACKED if kind.panimg != NOTHING},
    "DICOM: compressed, and damaged within": _COMPRESSED,
    "DICOM: a film in colour, stored as YBR": "the sandbox converts no colours",
    "DICOM: slices with one number, without positions": "panimg's order depends on a set",
    "MetaImage: compressed, with fewer voxels than told": _MEMORY,
    "MetaImage: compressed, damaged within": _MEMORY,
    "NIfTI: complex numbers": "panimg tells one number for each voxel and stores two",
    "slide: .svs": _COMPRESSED,
}
"""Kinds of which only the voxels differ, with the reason; those of PNG and JPEG are zeros."""


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_sandbox_makes_what_panimg_makes(kind, tmp_path):
    """Images with axes, colours, voxel sizes and numbers; files that are left; a crash."""
    kind.build(tmp_path)
    ours, theirs = judge_in_sandbox(tmp_path), judge_folder(tmp_path)
    if str(kind) in UNEQUAL:
        assert describe(ours) != describe(theirs), "equal by now: take it from the list"
        return
    assert describe(ours) == describe(theirs)
    has_voxels = str(kind) not in OTHER_VOXELS and kind.group not in {"PNG", "JPEG"}
    if has_voxels and len(ours.images) == 1:
        assert ours.images[0].picture.equals(theirs.images[0].picture)


def test_each_exception_is_a_kind():
    assert {str(kind) for kind in KINDS} >= UNEQUAL.keys() | OTHER_VOXELS.keys()
