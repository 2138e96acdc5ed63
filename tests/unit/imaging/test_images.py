"""Which series a patient's files make up, and what is known of them."""

import os
import shutil
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from gcwatch.core.errors import SourceChanged
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images
from gcwatch.imaging.series import group_series
from gcwatch.inbox import tree

PATIENTS = Path(get_testdata_file("DICOMDIR")).parent


def listed(folder):
    return tree.source_files(SharePath.of(folder), ())


def grouped(folder):
    return group_series(listed(folder))


def change(path, **elements):
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def names(grouping):
    return [series.name for series in grouping.series]


def test_a_patients_series_are_told_apart(folder):
    """Two studies in folders and sub-folders: each series has its files, whatever they are in."""
    shutil.copytree(PATIENTS / "98892003", folder, dirs_exist_ok=True)
    shutil.copytree(PATIENTS / "98892001", folder / "more")
    found = grouped(folder)
    assert sorted(len(series.files) for series in found.series) == [1] * 4 + [2, 3, 3, 5, 7]
    for series in found.series:
        ((image,), left) = images.recognise_images(series.files, integrity="warn")
        assert (image.files, left) == (series.files, 0)
        uid = pydicom.dcmread(str(series.files[0].place)).SeriesInstanceUID
        assert series.name.startswith(f"{uid}.")
        assert set(series.name) <= set("0123456789abcdef.")


def test_a_series_keeps_its_name_whatever_else_is_there(folder):
    """Other series, a second SOP class in the same one, a damaged slice: none changes it."""
    shutil.copytree(PATIENTS / "98892001" / "CT5N", folder, dirs_exist_ok=True)
    (name,) = names(grouped(folder))
    shutil.copy(PATIENTS / "98892001" / "CT2N" / "6293", folder / "other")
    shutil.copy(folder / "2062", folder / "dose")
    change(folder / "dose", SOPClassUID=pydicom.uid.SecondaryCaptureImageStorage)
    (folder / "2392").unlink()
    found = grouped(folder)
    assert name in names(found)
    assert len({*names(found)}) == 3
    assert len({series.split(".")[-2] for series in names(found)}) == 2


def test_stacks_are_named_by_what_makes_them(folder):
    """A stack may join slices of several series: which one comes first must not matter."""
    shutil.copytree(PATIENTS / "98892001" / "CT5N", folder, dirs_exist_ok=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        change(path, StackID=str(number % 2), SeriesInstanceUID=f"1.2.{number}")
    study = pydicom.dcmread(path).StudyInstanceUID
    both = names(grouped(folder))
    assert len({*both}) == 2
    assert all(name.startswith(f"{study}.") for name in both)
    min(folder.iterdir()).unlink()
    assert names(grouped(folder)) == both


def test_a_name_is_safe_whatever_the_file_says(folder):
    """UIDs of damaged or hostile files are no paths."""
    data = (PATIENTS / "98892001" / "CT2N" / "6293").read_bytes()
    uid = pydicom.dcmread(PATIENTS / "98892001" / "CT2N" / "6293").SeriesInstanceUID.encode()
    (folder / "x").write_bytes(data.replace(uid, b"../ /%" + uid[6:]))
    (name,) = names(grouped(folder))
    assert not set(name) & set("/% ")
    assert name[0] != "."


def test_what_belongs_to_no_series_is_counted(folder):
    """Text, reports, DICOMDIRs and images of other formats."""
    shutil.copytree(PATIENTS / "98892001" / "CT5N", folder, dirs_exist_ok=True)
    shutil.copy(PATIENTS / "DICOMDIR", folder / "DICOMDIR")
    (folder / "note.txt").write_text("x")
    (folder / "x.nii").write_bytes(b"\x5c\x01\0\0")
    found = grouped(folder)
    assert (len(found.series), found.rest, found.unreadable) == (1, 3, ())


def test_a_damaged_file_does_not_harm_the_other_series(folder):
    """A slice cut in its pixels stays with its series; what can't be read is told by itself."""
    shutil.copytree(PATIENTS / "98892001", folder, dirs_exist_ok=True)
    whole = names(grouped(folder))
    victim = folder / "CT5N" / "2062"
    victim.write_bytes(victim.read_bytes()[:-9])
    (folder / "CT5N" / "a.dcm").write_bytes(b"garbage")
    (folder / "CT5N" / "b").write_bytes(b"")
    (folder / "CT5N" / "c").write_bytes(b"\0" * 200)
    found = grouped(folder)
    assert names(found) == whole
    assert [len(series.files) for series in found.series] == [2, 5]
    assert {file.name for file in found.unreadable} == {"CT5N/a.dcm", "CT5N/b", "CT5N/c"}
    assert found.rest == 0


def test_headers_are_read_again_only_if_a_file_changed(folder):
    """What is known of a file holds as long as its size and its times do."""
    shutil.copytree(PATIENTS / "98892001" / "CT5N", folder, dirs_exist_ok=True)
    files = listed(folder)
    first = group_series(files)
    victim = folder / "2062"
    os.utime(victim, (5, 5))
    assert group_series(files) == first
    change(victim, SeriesInstanceUID="1.2.3")
    with pytest.raises(SourceChanged):
        images.recognise_images(files)
    assert len(grouped(folder).series) == 2
