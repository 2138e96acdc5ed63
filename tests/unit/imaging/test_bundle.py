"""What goes out for one socket."""

import gzip
import io
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from support.voxel_files import nifti, nrrd
from support.whole_files import jpeg, png, tiff

from gcwatch.core.errors import CannotSend, SourceChanged, TryAgain
from gcwatch.files import safe_open
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import formats
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.bundles.spool import discard_spool
from gcwatch.imaging.deidentification import deidentify
from gcwatch.imaging.deidentification.deidentify import NO_RULES
from gcwatch.imaging.dicom import header_facts, headers
from gcwatch.imaging.dicom.procedure import platform_procedure
from gcwatch.inbox import tree

PATIENTS = Path(get_testdata_file("DICOMDIR")).parent
CT5 = PATIENTS / "98892001" / "CT5N"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in" / "p1"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def ct(folder):
    """A patient folder with a CT of five slices."""
    shutil.copytree(CT5, folder, dirs_exist_ok=True)
    return folder


def listed(folder):
    return tree.source_files(SharePath.of(folder), ())


def make(folder, **options):
    spool = options.pop("spool", folder.parent.parent / "spool" / "k1")
    stem = options.pop("stem", "k1")
    chosen = BundleOptions(**({"socket": "ct-image"} | options))
    return bundle.image_bundle(listed(folder), chosen, spool=spool, stem=stem).written()


def refusal(folder, **options):
    with pytest.raises(CannotSend) as caught:
        make(folder, **options)
    reason = caught.value.reason
    for path in folder.rglob("*"):  # names never stand among the facts
        assert path.name not in str(dict(reason.facts))
    return reason


def unzipped(made):
    with zipfile.ZipFile(made.file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- the patients of the recorded platform -----------------------------------------------------


@pytest.mark.parametrize(
    ("patient", "files", "imported"),
    [
        ("77654033/CR1", 1, "one file"),
        ("77654033/CR2", 1, "one file"),
        ("77654033/CR3", 1, "one file"),
        ("77654033/CT2", 4, "gap"),
        ("98892001/CT2N", 2, "localizers"),
        ("98892001/CT5N", 5, "one"),
        ("98892003/MR1", 3, "several"),
        ("98892003/MR2", 7, "several"),
        ("98892003/MR700", 7, "around an axis"),
    ],
)
def test_real_patients_are_taken_as_the_platform_takes_them(tmp_path, patient, files, imported):
    """Each row of the table in platform-observed.md, before a byte is sent."""
    folder = tmp_path / "in" / "p1"
    shutil.copytree(PATIENTS / patient, folder)
    if imported == "one":
        made = make(folder)
        assert (made.filename, made.files, made.left_out) == ("k1.zip", files, 0)
        assert sorted(unzipped(made)) == [f"{n:04}.dcm" for n in range(1, files + 1)]
    elif imported == "gap":  # four slices that pydicom took of 165: the platform says nothing
        reason = refusal(folder)
        assert reason.code == "slices_missing"
        assert (reason.facts["count"], reason.facts["expected"]) == (161, 165)
        assert make(folder, integrity="warn").files == files
    elif imported in {"localizers", "around an axis"}:  # planes that are no volume
        first = "pixels_oblong" if imported == "localizers" else "planes_differ"
        assert refusal(folder).code == first
        warned = make(folder, integrity="warn")
        assert "planes_differ" in {reason.code for reason in warned.warnings}
        assert warned.files == files
    elif imported == "several":
        reason = refusal(folder)
        assert reason.code == "several_images"
        assert reason.facts == {"socket": "ct-image", "found": "3 DICOM series"}
    else:
        made = make(folder)
        assert (made.filename, made.files) == ("k1.dcm", 1)
        assert pydicom.dcmread(made.file).PatientName == "DUMMY^PATIENT^^^"


# --- de-identification -------------------------------------------------------------------------

SECRET = "DOE^JANE^SECRET"


def plant(path):
    """Write a secret wherever a DICOM file has room for one."""
    dataset = pydicom.dcmread(path)
    dataset.PatientName = SECRET
    dataset.PatientID = SECRET
    dataset.StudyDescription = SECRET
    dataset.add_new((0x0009, 0x0010), "LO", SECRET)
    dataset.add_new((0x7FE1, 0x0010), "LO", SECRET)
    dataset.add_new((0xFFFC, 0xFFFC), "OB", SECRET.encode() + b"\0")
    dataset.file_meta.SourceApplicationEntityTitle = SECRET
    dataset.preamble = SECRET.encode().ljust(128, b"\0")
    dataset.save_as(path)


def test_no_planted_name_goes_out(ct):
    """Elements, private groups, padding behind the pixels, preamble and meta group are clean."""
    for path in ct.iterdir():
        plant(path)
        assert path.read_bytes().count(SECRET.encode()) >= 7
    made = make(ct)
    originals = [pydicom.dcmread(path).SOPInstanceUID for path in ct.iterdir()]
    for data in [made.file.read_bytes(), *unzipped(made).values()]:
        assert SECRET.encode() not in data
        assert not any(uid.encode() in data for uid in originals)


def test_a_copy_is_the_same_image(ct):
    """Pixels, geometry and order are as before; one study and one series for all slices."""
    made = make(ct)
    copies = [pydicom.dcmread(io.BytesIO(data)) for data in unzipped(made).values()]
    for copy, path in zip(copies, sorted(ct.iterdir()), strict=True):
        original = pydicom.dcmread(path)
        assert copy.PixelData == original.PixelData
        for keyword in ("Rows", "Columns", "ImagePositionPatient", "InstanceNumber", "SOPClassUID"):
            assert copy[keyword].value == original[keyword].value
        assert copy.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert copy.file_meta.MediaStorageSOPInstanceUID == copy.SOPInstanceUID
        assert copy.PatientIdentityRemoved == "YES"
    assert len({copy.SeriesInstanceUID for copy in copies}) == 1
    assert len({copy.SOPInstanceUID for copy in copies}) == 5


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_expb.dcm",
        "MR_small_padded.dcm",
        "693_J2KI.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore:The pixel data is:UserWarning")
def test_every_transfer_syntax_is_copied_as_it_stands(folder, name):
    """Pixels are not decoded: at most comments within them, and padding behind them, are gone."""
    shutil.copy(get_testdata_file(name), folder / "x")
    (file,) = listed(folder)
    with safe_open.open_unchanged(file) as stream:
        header = headers.read_header(stream)
    assert header.group is not None
    target = io.BytesIO()
    with safe_open.open_unchanged(file) as stream:
        deidentify.Deidentifier(platform_procedure(), NO_RULES).prepare_copy(stream, file).write(
            stream, target
        )
    target.seek(0)
    copy, original = pydicom.dcmread(target), pydicom.dcmread(folder / "x")
    assert np.array_equal(copy.pixel_array, original.pixel_array)
    assert len(copy.PixelData) <= len(original.PixelData)
    assert copy.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    assert target.read() == b""


def test_a_file_without_preamble_goes_out_with_one(folder):
    """The platform reads none without; the copy has what it needs."""
    original = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    start = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    (folder / "x").write_bytes(start[132 + 12 + struct.unpack("<L", start[140:144])[0] :])
    made = make(folder)
    assert made.filename == "k1.dcm"
    assert pydicom.dcmread(made.file).PixelData == original.PixelData


def test_two_copies_of_one_image_share_nothing_with_another(ct):
    """A second bundle has other UIDs: nobody can join two cases by them."""
    one, two = (make(ct, spool=ct.parent.parent / name) for name in ("s1", "s2"))
    assert one.size > 0
    assert unzipped(one) != unzipped(two)


# --- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.8, 0.99])
def test_a_slice_cut_short_is_found(ct, keep):
    """Cut in the header or in the pixels: the platform would make an image of four slices."""
    victim = sorted(ct.iterdir())[2]
    data = victim.read_bytes()
    victim.write_bytes(data[: int(len(data) * keep)])
    reason = refusal(ct)
    assert reason.code == "damaged_image"
    assert reason.names == {"file": victim.name}


def test_every_cut_of_a_slice_is_found(folder):
    """Whatever number of bytes is left, it never counts as a whole slice."""
    data = next(CT5.iterdir()).read_bytes()
    path = folder / "x.dcm"
    for left in random.Random(7).sample(range(1, len(data) - 2), 60):
        path.write_bytes(data[:left])
        assert refusal(folder).code == "damaged_image", left


def test_a_compressed_slice_cut_short_is_found(folder):
    """Encapsulated pixels must have their end mark."""
    data = Path(get_testdata_file("MR_small_RLE.dcm")).read_bytes()
    end = data.rindex(b"\xfe\xff\xdd\xe0") + 8
    for left in (end - 1, end - 8, end - 9, end - 500):
        (folder / "x.dcm").write_bytes(data[:left])
        assert refusal(folder).code == "damaged_image", left


def test_one_slice_twice_is_found(ct):
    """The platform would make an image of six slices of it."""
    first = min(ct.iterdir())
    shutil.copy(first, ct / "copy")
    reason = refusal(ct)
    assert reason.code == "slice_twice"
    assert reason.names == {"file": "copy", "other": first.name}


@pytest.mark.parametrize(
    ("name", "data"),
    [("9999", b"\0" * 131), ("x.dcm", b"hello"), ("x.IMA", b"\0" * 500)],
)
def test_what_is_named_as_a_slice_but_is_none_is_found(ct, name, data):
    """A slice whose first bytes are lost must not be left out silently."""
    (ct / name).write_bytes(data)
    assert refusal(ct).code == "damaged_image"


@pytest.mark.parametrize("name", ["IM0001", "x.dcm", "1.2.840.5", "x.nii.gz"])
def test_an_empty_image_is_found(ct, name):
    """A slice of 0 bytes is a slice that is missing."""
    (ct / name).write_bytes(b"")
    reason = refusal(ct)
    assert reason.code == "empty_file"
    assert reason.names == {"file": name}


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.nrrd", "x.nii.gz", "x.jpg", "x.svs"])
def test_a_file_with_an_images_name_only_is_refused(folder, name):
    """Garbage under an image's name is told before it is sent."""
    (folder / name).write_bytes(b"garbage")
    assert refusal(folder).code == "damaged_image"


# --- what is left out --------------------------------------------------------------------------


def test_what_is_no_image_stays_in_the_building(ct):
    """Text, DICOMDIRs, reports and archives could hold a name; they are counted, not sent."""
    (ct / "report.txt").write_text(SECRET)
    (ct / "VERSION").write_text(SECRET)
    (ct / "ready.txt").write_bytes(b"")
    shutil.copy(PATIENTS / "DICOMDIR", ct / "DICOMDIR")
    shutil.copy(get_testdata_file("reportsi.dcm"), ct / "report.dcm")
    with zipfile.ZipFile(ct / "all.zip", "w") as archive:
        archive.writestr("x", SECRET)
    for wanted in (True, False):
        made = make(ct, deidentify=wanted)
        assert (made.files, made.left_out) == (5, 6)
        assert SECRET.encode() not in made.file.read_bytes()


def test_no_image_at_all_is_said(folder):
    """The pattern and the socket tell the engineer where to look."""
    (folder / "report.txt").write_text("x")
    reason = refusal(folder, pattern="**/*.dcm")
    assert reason.code == "no_image"
    assert reason.facts == {"socket": "ct-image", "pattern": "**/*.dcm"}


def test_images_of_different_kinds_are_several(ct):
    """What was found is counted by kind."""
    (ct / "shot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (ct / "x.nii").write_bytes(b"\x5c\x01\0\0")
    assert refusal(ct).facts["found"] == "1 DICOM series, 1 NIfTI, 1 PNG"


def test_a_stack_joins_series_and_a_sop_class_parts_one(ct):
    """The importer's grouping: study, StackID or else series, SOP class."""
    paths = sorted(ct.iterdir())
    for number, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        dataset.StackID = "1"
        dataset.SeriesInstanceUID = f"1.2.3.{number}"
        dataset.save_as(path)
    assert make(ct, deidentify=False).files == 5
    assert make(ct).files == 5
    dataset.SOPClassUID = pydicom.uid.MRImageStorage
    dataset.save_as(paths[-1])
    assert refusal(ct).facts["found"] == "2 DICOM series"


# --- the other formats -------------------------------------------------------------------------

HEADER = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\n"


@pytest.mark.parametrize(
    ("name", "data", "filename"),
    [
        ("DOE.MHA", HEADER + b"ElementDataFile = LOCAL\n" + b"\0" * 16, "k1.mha"),
        ("sub/DOE.nii.gz", gzip.compress(nifti()), "k1.nii.gz"),
        ("DOE.nii", nifti(), "k1.nii"),
        ("DOE.nrrd", nrrd(), "k1.nrrd"),
        ("DOE.tiff", tiff(), "k1.tiff"),
        ("DOE.svs", tiff(big=True), "k1.svs"),
        ("DOE.png", png(), "k1.png"),
        ("DOE.jpg", jpeg(), "k1.jpg"),
        ("DOE.e2e", b"CMDb", "k1.e2e"),
    ],
)
def test_a_single_file_goes_straight_from_the_inbox(folder, name, data, filename):
    """Nothing is copied, and the platform sees the key instead of the name."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    made = make(folder, deidentify=False)
    [file] = listed(folder)
    assert (made.file, made.filename, made.size) == (file, filename, len(data))
    assert (made.files, made.left_out, made.warnings) == (1, 0, ())
    assert not (folder.parent.parent / "spool").exists()


def test_a_header_and_its_data_go_out_together_under_neutral_names(folder):
    """The header names its data by the new name, and is else as it was."""
    (folder / "raw").mkdir()
    (folder / "DOE.mhd").write_bytes(HEADER + b"ElementDataFile = raw/DOE.raw\n")
    (folder / "raw" / "DOE.raw").write_bytes(bytes(range(16)))
    made = make(folder)
    assert (made.filename, made.files, made.left_out) == ("k1.zip", 2, 0)
    assert unzipped(made) == {
        "image.mhd": HEADER + b"ElementDataFile = image.raw\n",
        "image.raw": bytes(range(16)),
    }


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (HEADER, 16),
        (HEADER + b"ElementDataFile = gone.raw\n", 16),
        (HEADER + b"ElementDataFile = ../../x.raw\n", 16),
        (HEADER + b"ElementDataFile = x.raw\n", 15),
        (HEADER + b"ElementDataFile = LOCAL\n", 16),
    ],
)
def test_a_header_without_all_its_data_is_damaged(folder, header, size):
    """No data file, another folder's, or too few bytes."""
    (folder / "x.mhd").write_bytes(header)
    (folder / "x.raw").write_bytes(b"\0" * size)
    assert refusal(folder).code == "damaged_image"


# --- the zip -----------------------------------------------------------------------------------


def test_the_same_files_give_the_same_zip(ct):
    """Whatever the time and the order on disk."""
    one = make(ct, deidentify=False, spool=ct.parent.parent / "s1").file.read_bytes()
    for path in sorted(ct.iterdir(), reverse=True):
        os.utime(path, (0, 0))
    two = make(ct, deidentify=False, spool=ct.parent.parent / "s2").file.read_bytes()
    assert one == two


def test_kept_names_are_sanitised_and_unique(ct):
    """Letters that may stay, stay; two that become one get a number."""
    paths = sorted(ct.iterdir())
    (ct / "sub").mkdir()
    for path, name in zip(paths, ["ä b", "å b", "A.dcm", "sub/a.DCM", "sub/2_"], strict=True):
        path.rename(ct / name)
    names = list(unzipped(make(ct, keep_names=True)))
    assert len({name.lower() for name in names}) == 5
    assert {"A.dcm", "__b", "2_"} <= set(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzADCM0123456789._") for name in names)


def test_the_spool_is_private(ct):
    """Folder and file are for the daemon's user only."""
    made = make(ct)
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.file.parent.stat().st_mode) == 0o700


def test_a_finished_bundle_is_used_again(ct):
    """After a restart the bytes are those that were already sent in part."""
    first = make(ct)
    data = first.file.read_bytes()
    assert make(ct) == first
    assert first.file.read_bytes() == data


@pytest.mark.parametrize("change", ["touched", "option", "cut", "note", "added"])
def test_a_bundle_of_something_else_is_made_anew(ct, change):
    """Files touched, another option, a spool file cut short, a note half there."""
    first = make(ct)
    data = first.file.read_bytes()
    options = {}
    if change == "touched":
        os.utime(min(ct.iterdir()), ns=(1, 1))
    elif change == "option":
        options["keep_names"] = True
    elif change == "cut":
        first.file.write_bytes(data[:-1])
    elif change == "note":
        (first.file.parent / "k1.json").write_text("{")
    else:
        (ct / "x.txt").write_text("x")
    second = make(ct, **options)
    assert second.file.read_bytes() != data
    assert second.file.stat().st_size == second.size
    assert len(unzipped(second)) == 5


def test_a_half_written_bundle_is_never_taken_for_one(ct):
    """What a crash left is replaced, and what fails leaves nothing."""
    spool = ct.parent.parent / "spool" / "k1"
    spool.mkdir(parents=True)
    (spool / "k1.zip").write_bytes(b"half")
    made = make(ct)
    assert sorted(path.name for path in spool.iterdir()) == ["k1.json", "k1.zip"]
    discard_spool(spool)
    discard_spool(spool)
    assert not made.file.exists()
    for path in ct.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SOPClassUID = "1.2.840.113619.4.26"  # a vendor's own
        dataset.save_as(path)
    assert refusal(ct).code == "not_deidentified"
    assert not list(spool.iterdir())


def test_files_that_change_meanwhile_are_not_bundled(ct):
    """The listing is what was settled; anything else goes back to settling."""
    files = listed(ct)
    plant(str(files[3].place))
    spool = ct.parent.parent / "spool"
    with pytest.raises(SourceChanged):
        bundle.image_bundle(files, BundleOptions(socket="s"), spool=spool, stem="k")


def test_a_spool_that_cannot_be_written_is_tried_again(ct):
    """A disk's trouble is not the folder's fault."""
    (ct.parent.parent / "file").write_text("")
    with pytest.raises(TryAgain) as caught:
        make(ct, spool=ct.parent.parent / "file" / "k1")
    assert caught.value.reason.code == "disk"


# --- selecting ---------------------------------------------------------------------------------


def test_patterns_select_files(ct):
    """A socket's files are those that its glob matches."""
    (ct / "volume.json").write_text("1")
    (ct / "sub").mkdir()
    (ct / "sub" / "volume.JSON").write_text("1")
    files = listed(ct)
    assert [file.name for file in bundle.select_files(files, "volume.json")] == ["volume.json"]
    assert len(bundle.select_files(files, "**/*.json")) == 2
    assert len(bundle.select_files(files, "**")) == 7


def test_a_files_bundle_has_a_neutral_name_and_its_suffix(folder):
    """File sockets get the file itself."""
    (folder / "DOE.PDF").write_bytes(b"%PDF")
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "scan.Doe Jane").write_bytes(b"x")
    one, empty, odd = listed(folder)
    assert bundle.file_bundle(odd, stem="k1").filename == "k1"
    assert bundle.file_bundle(one, stem="k1").filename == "k1.pdf"
    with pytest.raises(CannotSend):
        bundle.file_bundle(empty, stem="k1")


def test_suffixes_are_told_from_numbers():
    """UIDs end in numbers; .nii.gz is one suffix."""
    assert formats.suffix_of("a/B.NII.GZ") == ".nii.gz"
    assert formats.suffix_of("1.2.840.113") == ""
    assert formats.suffix_of("x.y/IM001") == ""


# --- memory ------------------------------------------------------------------------------------


def test_memory_does_not_depend_on_the_size_of_an_image(folder):
    """A multi-frame file of 64 MiB is read, de-identified and zipped within a few MiB."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"), stop_before_pixels=True)
    dataset.Rows = dataset.Columns = 4096
    path = folder / "x.dcm"
    dataset.save_as(path)
    with path.open("ab") as stream:
        stream.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 4096 * 4096 * 2))
        stream.truncate(stream.tell() + 4096 * 4096 * 2)
    make(folder)
    discard_spool(folder.parent.parent / "spool")
    tracemalloc.start()
    made = make(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.size > 32 * 1024 * 1024
    assert peak < 8 * 1024 * 1024


def test_an_idle_daemon_does_without_pydicom():
    """It is loaded with the first image, not with the modules."""
    code = (
        "import sys, gcwatch.steps.perform, gcwatch.imaging.dicom.headers, gcwatch.inbox.layouts;"
        "sys.exit('pydicom' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pydicom_says_nothing_about_a_patient(folder, caplog, recwarn):
    """Its warnings and log records quote values of the file, so none comes through."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    elements = [(0x00100030, "DA", b"BORN-IN-MAY"), (0x0020000D, "UI", b"1.2.x^SECRET")]
    for tag, vr, value in elements:
        dataset[tag] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(tag),
            vr,
            len(value),
            value,
            0,
            is_implicit_VR=False,
            is_little_endian=True,
        )
    dataset.save_as(folder / "x")
    recwarn.clear()
    caplog.clear()
    assert make(folder).files == 1
    assert not recwarn.list
    assert not caplog.records


# --- integrity = "warn" ------------------------------------------------------------------------


def cut(path):
    """Take away all but the first bytes of a slice's pixels."""
    data = path.read_bytes()
    path.write_bytes(data[: data.index(pydicom.dcmread(path).PixelData) + 9])


def warnings(made):
    return [reason.code for reason in made.warnings]


def test_a_damaged_slice_is_sent_as_it_is_where_told_so(ct):
    """Without de-identification the platform gets every file, and somebody gets to know."""
    third = sorted(ct.iterdir())[2]
    cut(third)
    made = make(ct, integrity="warn", deidentify=False)
    assert (made.files, made.left_out, warnings(made)) == (5, 0, ["damaged_image"])
    assert third.read_bytes() in unzipped(made).values()
    assert made.warnings[0].names == {"file": third.name}


def test_what_cannot_be_deidentified_never_goes_out(ct):
    """A damaged slice is left out of the de-identified image, and a warning says which."""
    for path in ct.iterdir():
        plant(path)
    third = sorted(ct.iterdir())[2]
    cut(third)
    (ct / "x.dcm").write_bytes(SECRET.encode())
    made = make(ct, integrity="warn")
    assert (made.files, made.left_out) == (4, 2)
    assert warnings(made) == ["damaged_image", "damaged_image", "left_out", "left_out"]
    assert made.warnings[2].names == {"file": third.name}
    assert SECRET.encode() not in made.file.read_bytes()
    assert sorted(unzipped(made)) == ["0001.dcm", "0002.dcm", "0004.dcm", "0005.dcm"]


def test_an_image_without_any_file_that_may_go_out_is_refused(ct):
    """Left out all of them, nothing would be sent."""
    for path in ct.iterdir():
        cut(path)
    assert refusal(ct, integrity="warn").code == "damaged_image"
    assert not list((ct.parent.parent / "spool" / "k1").iterdir())


def test_an_image_that_cannot_be_deidentified_is_refused_whatever_is_told(folder):
    """Only deidentify = false sends it."""
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "x")
    dataset = pydicom.dcmread(folder / "x")
    dataset.SOPClassUID = "1.2.840.113619.4.26"  # a vendor's own
    dataset.save_as(folder / "x")
    assert refusal(folder, integrity="warn").code == "not_deidentified"


def test_slices_that_are_missing_or_twice_are_sent_where_told_so(ct):
    """The image is what it is; the warnings tell what it is not."""
    first, second, *_ = sorted(ct.iterdir())
    second.unlink()
    shutil.copy(first, ct / "copy")
    made = make(ct, integrity="warn")
    assert (made.files, warnings(made)) == (5, ["slice_twice", "slices_missing"])


def test_an_empty_slice_is_never_sent(ct):
    """There is nothing in it to send; it is told and counted."""
    (ct / "x.dcm").write_bytes(b"")
    made = make(ct, integrity="warn")
    assert (made.files, made.left_out, warnings(made)) == (5, 1, ["empty_file"])


@pytest.mark.parametrize("data", [b"", b"garbage"])
def test_what_is_no_image_at_all_is_refused_whatever_is_told(folder, data):
    """The reason is that of the file, not that there is no image."""
    (folder / "x.dcm").write_bytes(data)
    assert refusal(folder, integrity="warn").code in {"empty_file", "damaged_image"}


def test_a_cut_file_of_another_format_is_refused_whatever_is_told(folder):
    """The platform would fill it with zeros or with other memory."""
    (folder / "x.mha").write_bytes(HEADER + b"ElementDataFile = LOCAL\n")
    assert refusal(folder, integrity="warn").code == "damaged_image"


def test_several_images_are_several_whatever_is_told(ct):
    """That one of them is damaged is not the first thing to be told."""
    cut(min(ct.iterdir()))
    (ct / "x.nii").write_bytes(b"\x5c\x01\0\0")
    for integrity in ("refuse", "warn"):
        assert refusal(ct, integrity=integrity).code == "several_images"


def test_warnings_survive_a_restart(ct):
    """They are found again with the bytes."""
    cut(min(ct.iterdir()))
    first = make(ct, integrity="warn")
    assert make(ct, integrity="warn") == first
    assert first.warnings[0].names == {"file": min(path.name for path in ct.iterdir())}


# --- DICOM image sets --------------------------------------------------------------------------


def make_set(folder, **options):
    spool = folder.parent.parent / "spool" / "k1"
    chosen = BundleOptions(**({"socket": "ct-set"} | options))
    return bundle.dicom_set(listed(folder), chosen, spool=spool, stem="k1")


def test_a_set_is_one_upload_a_file(ct):
    """De-identified with the same UIDs, in the folder's order, each named by a number."""
    for path in ct.iterdir():
        plant(path)
    made = make_set(ct)
    assert len(made) == 5
    assert [each.filename for each in made] == [f"k1-000{n}.dcm" for n in range(1, 6)]
    copies = [pydicom.dcmread(each.file) for each in made]
    originals = [pydicom.dcmread(path) for path in sorted(ct.iterdir())]
    assert [copy.PixelData for copy in copies] == [each.PixelData for each in originals]
    assert len({copy.SeriesInstanceUID for copy in copies}) == 1
    for each in made:
        assert SECRET.encode() not in each.file.read_bytes()
        assert (each.size, each.files, each.left_out) == (each.file.stat().st_size, 1, 0)
        assert stat.S_IMODE(each.file.stat().st_mode) == 0o600


def test_a_finished_set_is_used_again(ct):
    """After a restart the bytes are those that were already sent in part."""
    first = make_set(ct)
    data = [each.file.read_bytes() for each in first]
    assert make_set(ct) == first
    assert [each.file.read_bytes() for each in first] == data


@pytest.mark.parametrize("lost", ["k1-0003.dcm", "k1.json"])
def test_a_set_that_is_not_all_there_is_made_anew(ct, lost):
    """One file more from another run would have other UIDs."""
    (first, *_) = make_set(ct)
    data = first.file.read_bytes()
    (first.file.parent / lost).unlink()
    second = make_set(ct)
    assert second[0].file.read_bytes() != data
    assert len({pydicom.dcmread(each.file).SeriesInstanceUID for each in second}) == 1


def test_a_set_without_deidentification_goes_straight_from_the_inbox(ct):
    """Nothing is copied."""
    made = make_set(ct, deidentify=False)
    assert [each.file for each in made] == list(listed(ct))
    assert not (ct.parent.parent / "spool").exists()


def test_a_set_tells_what_was_left_out_once(ct):
    """With its first file, so that sums are right."""
    (ct / "report.txt").write_text("x")
    cut(min(ct.iterdir()))
    made = make_set(ct, integrity="warn")
    assert [each.filename for each in made] == [f"k1-000{n}.dcm" for n in range(2, 6)]
    assert [each.left_out for each in made] == [2, 0, 0, 0]
    assert [warnings(each) for each in made] == [["damaged_image", "left_out"], [], [], []]
    assert make_set(ct, integrity="warn") == made


@pytest.mark.parametrize("keyword", ["PatientID", "StudyID", "StudyDate", "AccessionNumber"])
def test_files_of_a_set_share_what_they_must(ct, keyword):
    """Another patient's slice would be refused by the platform after all was uploaded."""
    path = min(ct.iterdir())
    dataset = pydicom.dcmread(path)
    dataset[keyword].value = "19991231"
    dataset.save_as(path)
    with pytest.raises(CannotSend) as caught:
        make_set(ct)
    assert caught.value.reason.code == "mixed_dicom_set"
    assert caught.value.reason.facts == {"socket": "ct-set", "elements": keyword}
    if keyword == "PatientID":
        assert refusal(ct).code == "several_patients"
    else:
        assert make(ct).files == 5


def test_a_set_is_of_one_series_and_of_dicom(ct):
    """Two series are several images, and other formats are none for it."""
    path = min(ct.iterdir())
    dataset = pydicom.dcmread(path)
    dataset.SeriesInstanceUID = "1.2.3"
    dataset.save_as(path)
    with pytest.raises(CannotSend) as caught:
        make_set(ct)
    assert caught.value.reason.code == "several_images"
    for path in ct.iterdir():
        path.unlink()
    (ct / "x.nii").write_bytes(nifti())
    with pytest.raises(CannotSend) as caught:
        make_set(ct)
    assert caught.value.reason.code == "wrong_content"


# --- slides, and NRRD in two files -------------------------------------------------------------

SLIDEDAT = (
    b"\xef\xbb\xbf[GENERAL]\r\nSLIDE_ID = 1\r\n[HIERARCHICAL]\r\nINDEXFILE = Index.dat\r\n"
    b"[DATAFILE]\r\nFILE_COUNT = 2\r\nFILE_0 = Data0000.dat\r\nFILE_1=DOE JANE.dat \r\n"
)


def mirax(folder, name="DOE"):
    inner = folder / name
    inner.mkdir()
    (folder / f"{name}.mrxs").write_bytes(b"\xff\xd8\xff thumbnail")
    (inner / "Slidedat.ini").write_bytes(SLIDEDAT)
    (inner / "Index.dat").write_bytes(b"index\0")
    (inner / "Data0000.dat").write_bytes(b"zero\0")
    (inner / "Doe Jane.dat").write_bytes(b"one\0")
    (inner / "notes.txt").write_text(SECRET)


def test_a_mirax_slide_keeps_its_folder(folder):
    """Its files have neutral names, the index has these, and nothing but the image goes along."""
    mirax(folder)
    made = make(folder, unscrubbed=("mrxs",))
    assert (made.filename, made.files, made.left_out) == ("k1.zip", 5, 1)
    assert unzipped(made) == {
        "image.mrxs": b"\xff\xd8\xff thumbnail",
        "image/Slidedat.ini": SLIDEDAT.replace(b"Index", b"0002")
        .replace(b"Data0000", b"0003")
        .replace(b"DOE JANE", b"0004"),
        "image/0002.dat": b"index\0",
        "image/0003.dat": b"zero\0",
        "image/0004.dat": b"one\0",
    }


VMS = (
    b"[Virtual Microscope Specimen]\r\nNoLayers=1\r\nImageFile=DOE.jpg\r\n"
    b"ImageFile(1,0)=DOE(1,0).jpg\r\nMapFile=DOE_map2.jpg\r\nOptimisationFile=DOE.opt\r\n"
    b"MacroImage=DOE_macro.jpg\r\nPhysicalWidth=1\r\n"
)


@pytest.mark.parametrize("suffix", [".vms", ".VMU"])
def test_a_hamamatsu_slide_is_one_image(folder, suffix):
    """Its pictures are no images of their own, and the index names them by numbers."""
    (folder / f"DOE{suffix}").write_bytes(VMS)
    for name in ("DOE", "DOE(1,0)", "DOE_map2", "DOE_macro"):
        (folder / f"{name}.jpg").write_bytes(b"\xff\xd8\xff" + name.encode())
    (folder / "DOE.opt").write_bytes(b"\0")
    assert refusal(folder).code == "not_deidentified"
    made = make(folder, unscrubbed=(suffix.lower()[1:],))
    assert warnings(made) == ["sent_unscrubbed"]
    assert (made.files, made.left_out) == (6, 0)
    inside = unzipped(made)
    index = inside.pop(f"image{suffix.lower()}")
    assert b"DOE" not in index
    assert b"ImageFile(1,0)=0002.jpg\r\nMapFile=0003.jpg\r\nOptimisationFile=0004.opt\r\n" in index
    assert inside["0002.jpg"] == b"\xff\xd8\xffDOE(1,0)"
    assert sorted(inside) == ["0001.jpg", "0002.jpg", "0003.jpg", "0004.opt", "0005.jpg"]


@pytest.mark.parametrize("lost", ["DOE/Slidedat.ini", "DOE/Data0000.dat", "DOE/Index.dat"])
def test_a_slide_without_all_its_files_is_damaged(folder, lost):
    """The platform would say no more than that it could not be imported."""
    mirax(folder)
    (folder / lost).unlink()
    assert refusal(folder).code == "damaged_image"
    if lost != "DOE/Slidedat.ini":
        made = make(folder, integrity="warn", deidentify=False)
        assert (made.files, warnings(made)) == (4, ["damaged_image"])
        assert b"missing" in unzipped(made)["image/Slidedat.ini"]


def test_two_slides_are_several_images(folder):
    """Each has a folder of its own."""
    mirax(folder)
    mirax(folder, "ROE")
    assert refusal(folder).facts["found"] == "2 slide"


def test_the_levels_of_a_dicom_slide_are_one_image(folder):
    """They have no numbers and no places; that one of them is there twice is found."""
    for level in range(3):
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.SOPClassUID = header_facts.SLIDE_SOP_CLASS
        dataset.SOPInstanceUID = f"1.2.{level}"
        dataset.ImagePositionPatient = [0, 0, level**3]
        del dataset.InstanceNumber
        dataset.save_as(folder / f"{level}.dcm")
    made = make(folder, deidentify=False)
    assert (made.files, made.filename) == (3, "k1.zip")
    shutil.copy(folder / "0.dcm", folder / "copy.dcm")
    assert refusal(folder).code == "slice_twice"


@pytest.mark.parametrize("field", [b"data file: x.raw", b"datafile: LIST", b"DATA FILE:x.raw"])
@pytest.mark.parametrize("name", ["x.nhdr", "x.nrrd"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_nrrd_in_two_files_is_refused(folder, name, field, end):
    """The platform can't read it, whatever is told, and the sentence says how to save it."""
    (folder / "x.raw").write_bytes(b"\0" * 8)
    (folder / name).write_bytes(b"NRRD0004" + end + b"type: short" + end + field + end)
    for integrity in ("refuse", "warn"):
        assert refusal(folder, integrity=integrity).code == "detached_header"


def test_voxels_are_not_read_as_a_header(folder):
    """What follows the empty line of an NRRD is data."""
    (folder / "x.nrrd").write_bytes(
        b"NRRD0004\ntype: uchar\nsizes: 4 3\nencoding: raw\n\ndata file: x\n"
    )
    assert make(folder).files == 1


# --- odd headers -------------------------------------------------------------------------------


def test_a_slice_without_a_number_is_found(ct):
    """The platform sorts by InstanceNumber; one that is absent stops its whole import."""
    path = min(ct.iterdir())
    dataset = pydicom.dcmread(path)
    del dataset.InstanceNumber
    dataset.save_as(path)
    reason = refusal(ct)
    assert (reason.code, reason.facts) == ("damaged_image", {"problem": "no InstanceNumber"})


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_slice_that_does_not_say_what_it_is_part_of_is_found(ct, keyword):
    """It can't be put with the others, and must not be left out."""
    path = min(ct.iterdir())
    dataset = pydicom.dcmread(path)
    del dataset[keyword]
    dataset.save_as(path)
    reason = refusal(ct)
    assert (reason.code, reason.facts) == ("damaged_image", {"problem": f"no {keyword}"})


@pytest.mark.parametrize("old", [b"(\0\x10\0US\x02\0\x10\0", b"(\0\0\x01US\x02\0\x10\0"])
def test_a_slice_whose_size_is_garbled_is_found(ct, old):
    """Rows, or the bits of a pixel, that are no number: which image it is part of is known."""
    path = min(ct.iterdir())
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, old[:4] + b"UN\0\0" + old[6:]))
    assert refusal(ct).code == "damaged_image"


def test_data_of_no_bytes_are_no_data(folder):
    """A header with its data file empty is told by that file."""
    (folder / "x.mhd").write_bytes(HEADER + b"ElementDataFile = x.raw\n")
    (folder / "x.raw").write_bytes(b"")
    assert refusal(folder).names == {"file": "x.raw"}
