"""Which names a file has while it is being copied."""

import pytest

from gcwatch.core.temporary_names import TEMPORARY_NAMES, is_temporary


@pytest.mark.parametrize(
    "name",
    [
        ".IM0007.dcm.AbC123",
        ".volume.nii.gz.x9Kq0Z",
        "._scan.dcm.abcdef",
        ".~tmp~",
        ".rsync-partial",
        "IM0007.dcm.part",
        "IM0007.DCM.PART",
        "volume.mha.3f2a.partial",
        "volume.mha.filepart",
        "Unconfirmed 4711.crdownload",
        "volume.zip.opdownload",
        "volume.mha.download",
        "~$report.docx",
        "~WRL0001.tmp",
        ".syncthing.volume.mha.tmp",
        ".volume.mha.~4f1c",
        ".in.volume.mha.",
        ".goutputstream-A1B2C3",
        ".~lock.report.odt#",
    ],
)
def test_a_copy_under_way_is_known_by_its_name(name):
    """rsync, WinSCP, browsers, cloud clients and Office."""
    assert is_temporary(name)


@pytest.mark.parametrize(
    "name",
    [
        "IM0007.dcm",
        "IM0007",
        "1.2.840.113619.2.55.123456",
        "._1.2.840.113619.2.55.123456",
        ".DS_Store",
        "._IM0007.dcm",
        ".nfs000000000a1b2c3d00000001",
        ".smbdelete1a2b",
        "Thumbs.db",
        "@eaDir",
        "part",
        "partial.dcm",
        "download",
        "tmp.dcm",
        "READY.txt",
        "gcwatch.json",
    ],
)
def test_what_lies_there_for_good_is_no_copy_under_way(name):
    """Images, and what file systems and file managers leave beside them."""
    assert not is_temporary(name)


def test_each_glob_of_the_table_holds():
    """What the documentation shows is what is recognised."""
    for each in TEMPORARY_NAMES:
        assert is_temporary(each.glob.replace("*", "x")), each
