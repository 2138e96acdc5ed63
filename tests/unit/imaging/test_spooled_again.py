"""A case whose spool is lost is spooled again to the same bytes, by another host, too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID
from support.builders import series
from support.planted import FILES
from support.spooling import SET, spool_all, spooled

from gcwatch.imaging.deidentification.uids import NewUids

TESTS = Path(__file__).parents[2]
KEY = b"k" * 32
SLIDE = {
    "a.mrxs": b"\xff\xd8\xff thumbnail",
    "a/Slidedat.ini": b"[GENERAL]\r\nSLIDE_ID = 1\r\n[HIERARCHICAL]\r\nINDEXFILE = Index.dat\r\n"
    b"[DATAFILE]\r\nFILE_COUNT = 2\r\nFILE_0 = b.dat\r\nFILE_1 = a.dat\r\n",
    "a/Index.dat": b"index\0",
    "a/a.dat": b"one\0",
    "a/b.dat": b"two\0",
}
PLANTED = ("NIfTI in gzip", "PNG", "JPEG", "TIFF", "TIFF with tiles", "OME-TIFF")


@pytest.fixture
def inbox(tmp_path):
    """A series, a set of a series, a slide of several files, and an image of each format."""
    folders = {"series": series(), SET: series(), "slide": SLIDE}
    folders |= {name: {"a": FILES[name]} for name in PLANTED}
    for folder, files in folders.items():
        for name, content in files.items():
            path = tmp_path / "in" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return tmp_path / "in"


def share_elsewhere(inbox, copy):
    """A copy of an inbox with the same times, and with another order on disk."""
    paths = sorted(inbox.rglob("*"), reverse=True)
    for path in (each for each in paths if each.is_file()):
        target = copy / path.relative_to(inbox)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return copy


def test_another_host_spools_the_same_bytes(inbox, tmp_path):
    """With the same key. Parts that are stored already fit, and files of a set belong together."""
    here = spool_all(inbox, tmp_path / "here")
    there = tmp_path / "there"
    environment = os.environ | {"PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-m", "support.spooling", share_elsewhere(inbox, tmp_path / "copy")]

    subprocess.run([*command, there], env=environment, check=True, cwd=tmp_path)

    assert {Path(name).parent.name for name in here} == {"series", SET, "slide", *PLANTED}
    assert spooled(there) == here


@pytest.mark.parametrize("change", [{"key": b"o" * 32}, {"case": "lobes-7f3k2q9d-2"}, {"key": b""}])
def test_other_cases_share_no_uid(inbox, tmp_path, change):
    """Nor do two rounds of one case, or two hospitals."""
    for folder in inbox.iterdir():
        if folder.name not in {"series", SET}:
            shutil.rmtree(folder)
    one, other = (uids(tmp_path / "1", inbox), uids(tmp_path / "2", inbox, **change))
    assert len(one) == len(other) >= 8
    assert not one & other
    assert all(UID(each).is_valid and len(each) <= 44 for each in one | other)


def uids(state, inbox, **more):
    """All UIDs of a set, and none that stays as it is."""
    spool_all(inbox, state, **more)
    found = set()
    for path in (state / "spool" / SET).glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        found |= {str(e.value) for e in dataset.iterall() if e.VR == "UI"}
    return {each for each in found if not each.startswith("1.2.840.10008.")}


def test_a_uid_is_the_same_however_it_is_written():
    """As the file has it, padded, or read by the library."""
    new = NewUids(KEY, "a-1")
    told = {new["1.2.3"], new[b"1.2.3\0"], new[b"1.2.3 "], new[UID("1.2.3")]}
    assert told == {NewUids(KEY, "a-1")["1.2.3"]}
    assert new["1.2.3"] != new["1.2.30"]


def test_without_a_key_uids_are_random():
    """Nobody finds the original by trying."""
    assert NewUids(b"", "a-1")["1.2.3"] != NewUids(b"", "a-1")["1.2.3"]
