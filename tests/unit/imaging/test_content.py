"""What a file is, is told by its content; its name decides only where the content can't."""

import bz2
import gzip
import io
import lzma
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from support.voxel_files import VOXELS, meta_image, nifti, nrrd
from support.whole_files import jpeg, png, tiff

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import explain
from gcwatch.files.beneath import SharePath
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.inbox import tree

PATIENTS = Path(get_testdata_file("DICOMDIR")).parent
CT5 = PATIENTS / "98892001" / "CT5N"
SLICE = (CT5 / "2062").read_bytes()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in" / "p1"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def ct(folder):
    """A patient folder with a CT of five slices, whose names have no suffix."""
    shutil.copytree(CT5, folder, dirs_exist_ok=True)
    return folder


def make(folder, **options):
    spool = folder.parent.parent / "spool" / "k1"
    chosen = BundleOptions(socket="ct-image", **options)
    listed = tree.source_files(SharePath.of(folder), ())
    return bundle.image_bundle(listed, chosen, spool=spool, stem="k1").written()


def refusal(folder, **options):
    with pytest.raises(CannotSend) as caught:
        make(folder, **options)
    return caught.value.reason


def zipped(name="a.dcm", data=SLICE):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(CT5 / "2062", "a.dcm")
    return buffer.getvalue()


def pair_header(magic=b"ni1\0"):
    head = bytearray(nifti(voxels=b"")[:348])
    head[344:348] = magic
    return bytes(head)


def mgh():
    return struct.pack(">7i", 1, 8, 8, 5, 1, 4, 0) + bytes(256) + VOXELS


def change(path, **elements):
    dataset = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


# --- images under other names ------------------------------------------------------------------

IMAGES = {
    ".mha": meta_image(),
    ".nii": nifti(),
    ".nii.gz": gzip.compress(nifti()),
    ".nrrd": nrrd(),
    ".tif": tiff(),
    ".png": png(),
    ".jpg": jpeg(),
    ".fds": b"FOCTFDS" + bytes(99),
    ".fda": b"FOCTFDA" + bytes(99),
    ".e2e": b"CMDb" + bytes(99),
}


@pytest.mark.parametrize("name", ["scan", "DOE.JPG", "a.nii", "A.NII.GZ", "a.mhd", "a.dcm", "a.1"])
@pytest.mark.parametrize("suffix", IMAGES)
def test_an_image_is_sent_under_the_suffix_of_its_content(folder, name, suffix):
    """Panimg 0.18.2 reads each of these under the suffix that is sent; NIfTI only under its own."""
    (folder / name).write_bytes(IMAGES[suffix])
    made = make(folder, deidentify=False)
    expected = ".tif" if suffix == ".tif" else suffix
    assert made.filename == f"k1{expected}"
    assert isinstance(made.file, SourceFile)


def test_a_suffix_that_fits_is_kept(folder):
    """A scanner's TIFF needs its own suffix: by it, the platform converts the slide."""
    (folder / "a.svs").write_bytes(tiff())
    assert make(folder).filename == "k1.svs"


def test_dicom_is_dicom_whatever_its_name_is(folder):
    """Also if the name is that of a picture."""
    (folder / "a.png").write_bytes(SLICE)
    assert make(folder).filename == "k1.dcm"


def test_the_data_file_of_a_header_may_begin_like_an_image(folder):
    """Voxels can be any bytes."""
    (folder / "a.mhd").write_bytes(meta_image(b"", data_file="a.raw"))
    (folder / "a.raw").write_bytes(b"\xff\xd8\xff" + VOXELS[3:])
    assert (make(folder).filename, make(folder).files) == ("k1.zip", 2)


@pytest.mark.parametrize("lines", [1, 1000, 9000])
def test_a_header_may_be_as_long_as_the_platform_reads_it(folder, lines):
    """Panimg 0.18.2 reads 10,000 lines; 64 KiB are not the end."""
    extra = "".join(f"Comment{number} = {'x' * 70}\n" for number in range(lines))
    (folder / "a.mha").write_bytes(meta_image(extra=extra))
    assert make(folder).filename == "k1.mha"
    (folder / "a.mha").unlink()
    comments = b"\n".join([b"# " + b"x" * 150] * lines)
    (folder / "a.nrrd").write_bytes(nrrd().replace(b"\n", b"\n" + comments + b"\n", 1))
    assert make(folder).filename == "k1.nrrd"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.mha", meta_image(extra="Comment = x\n" * 10_000), "no ElementDataFile in 10000 lines"),
        ("a.mha", meta_image(extra=f"Comment = {'x' * 10_000}\n"), "at most 10000 bytes"),
        ("a.mha", meta_image().replace(b"Image", b"Imag\xe9"), "its header is not UTF-8 text"),
        ("a.nrrd", nrrd().replace(b"\n", b"\n" + b"# x\n" * 10_000, 1), "more than 10000 lines"),
    ],
)
def test_a_header_that_the_platform_does_not_read_is_told(folder, name, data, words):
    """Panimg 0.18.2 gives up; so this is told before anything is sent."""
    (folder / name).write_bytes(data)
    reason = refusal(folder)
    assert reason.code == "damaged_image"
    assert words in reason.facts["problem"]


# --- formats that the platform can't read ------------------------------------------------------

PACKED = {
    "zip": zipped(),
    "tar": tarred(),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(99),
    "rar": b"Rar!\x1a\x07\x01\0" + bytes(99),
    "bzip2": bz2.compress(SLICE),
    "xz": lzma.compress(SLICE),
    "tar.gz": gzip.compress(tarred()),
    "dcm.gz": gzip.compress(SLICE),
}


@pytest.mark.parametrize("name", ["images.zip", "a.nii", "a.dcm", "a.tif", "VERSION"])
@pytest.mark.parametrize("what", PACKED)
def test_an_archive_is_told_to_be_unpacked_whatever_its_name_is(folder, name, what):
    """The platform would unpack a zip named .nii: DICOM with names would leave the building."""
    (folder / name).write_bytes(PACKED[what])
    reason = refusal(folder)
    assert reason.code == "packed_images"
    assert what in reason.facts["what"]
    assert reason.names == {"file": name}
    assert explain(reason).advice == "Unpack it into the folder, and remove it."


UNREADABLE = {
    "a.hdr": (pair_header(), "Analyze or NIfTI pair", "NIfTI (.nii.gz)"),
    "analyze.hdr": (pair_header(bytes(4)), "Analyze or NIfTI pair", "NIfTI (.nii.gz)"),
    "pair.nii": (pair_header(), "Analyze or NIfTI pair", "NIfTI (.nii.gz)"),
    "a.mgh": (mgh(), "FreeSurfer", "NIfTI (.nii.gz)"),
    "a.mgz": (gzip.compress(mgh()), "FreeSurfer", "NIfTI (.nii.gz)"),
    "old.mnc": (b"CDF\1" + bytes(99), "MINC", "NIfTI (.nii.gz)"),
    "new.mnc": (b"\x89HDF\r\n\x1a\n" + bytes(99), "MINC", "NIfTI (.nii.gz)"),
    "a.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5", "NIfTI (.nii.gz)"),
    "a.vti": (b'<?xml version="1.0"?>\n<VTKFile type="ImageData">', "VTK", "NIfTI (.nii.gz)"),
    "a.par": (b"# === DATA DESCRIPTION FILE ====", "Philips", "NIfTI (.nii.gz)"),
    "a.npy": (b"\x93NUMPY\1\0", "NumPy", "NIfTI (.nii.gz)"),
    "a.czi": (b"ZISRAWFILE", "Zeiss", "TIFF"),
    "a.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", "PNG"),
    "a.gif": (b"GIF89a", "GIF", "PNG"),
    "a.bmp": (b"BM\1\2\3\4\0\0\0\0", "BMP", "PNG"),
    "a.webp": (b"RIFF\1\2\3\4WEBP", "WebP", "PNG"),
    "a.heic": (b"\0\0\0\x18ftypheic", "HEIC", "PNG"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_the_platform_cannot_read_is_told_with_what_to_convert_it_to(folder, name):
    """Told before anything is sent, by content: the name may be another one."""
    data, what, wanted = UNREADABLE[name]
    (folder / name).write_bytes(data)
    (folder / "notes.txt").write_text("x")
    reason = refusal(folder)
    assert reason.code == "unreadable_format"
    assert what in reason.facts["what"]
    assert f"Convert it to {wanted}" in explain(reason).advice


def test_any_other_gzip_is_packed_too(folder):
    """Only what is named as NIfTI is told as a damaged NIfTI instead."""
    (folder / "a.gz").write_bytes(gzip.compress(b"text"))
    assert refusal(folder).code == "packed_images"
    (folder / "a.gz").rename(folder / "a.nii")
    assert refusal(folder).code == "damaged_image"


def test_documents_are_no_archives(folder):
    """Office files and Java programs are zip files, but nobody should unpack them."""
    for name, member in {"a.docx": "[Content_Types].xml", "a.odt": "mimetype"}.items():
        (folder / name).write_bytes(zipped(member, b"x"))
    assert refusal(folder).code == "no_image"


def test_dicom_without_an_image_is_told_as_that(folder):
    """Reports, and the index of a CD."""
    shutil.copy(get_testdata_file("reportsi.dcm"), folder / "report.dcm")
    shutil.copy(PATIENTS / "DICOMDIR", folder / "DICOMDIR")
    assert refusal(folder).code == "no_pixels"


# --- what lies beside the images ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("VERSION", b"\1\2\3\0\4" * 99),
        ("autorun", b"MZ\x90\0" + bytes(500)),
        ("images.zip", zipped()),
        ("scan.nii", zipped()),
        ("a.hdr", pair_header()),
        ("report.pdf", b"%PDF-1.4"),
        ("index.html", b"<html>"),
    ],
)
def test_what_lies_beside_the_images_stays_in_the_building(ct, name, data):
    """It is no image and no damaged one, whether or not the slices have a suffix."""
    (ct / name).write_bytes(data)
    made = make(ct)
    assert (made.files, made.left_out, made.warnings) == (5, 1, ())


@pytest.mark.parametrize(
    "data",
    [
        SLICE[:131],
        SLICE[:400],
        SLICE[132:400],
        b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100",
        b"\x08\0\x05\0CS\x0a\0ISO_IR 100",
        bytes(50_000),
    ],
)
def test_a_slice_that_is_cut_off_is_no_stray_file(ct, data):
    """It begins as DICOM does, or with zeros: those of a preamble, or of an interrupted copy."""
    (ct / "IM0099").write_bytes(data)
    assert refusal(ct).code == "damaged_image"


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.4.2",  # MR Spectroscopy Storage
        "1.3.12.2.1107.5.9.1",  # Siemens CSA Non-Image Storage
        "1.2.840.10008.5.1.4.1.1.66",  # Raw Data Storage
        "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State Storage
        "1.2.840.10008.5.1.4.1.1.481.3",  # RT Structure Set Storage
        "1.2.840.10008.5.1.4.1.1.481.5",  # RT Plan Storage
        "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection Document Storage
        "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF Storage
    ],
)
def test_dicom_without_pixels_is_no_second_series(ct, uid):
    """As a scanner writes it beside the images; a spectrum has rows and columns, too."""
    dataset = change(ct / "2062", SOPClassUID=uid, SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2")
    del dataset.PixelData
    if not uid.endswith((".4.2", ".9.1")):
        del dataset.Rows
    dataset.file_meta.MediaStorageSOPClassUID = uid
    dataset.save_as(ct / "extra")
    made = make(ct)
    assert (made.files, made.left_out) == (5, 1)


def test_an_image_class_without_pixels_is_a_damaged_image(ct):
    """The slice is lost, not a report."""
    dataset = pydicom.dcmread(ct / "2062")
    del dataset.PixelData
    dataset.save_as(ct / "2062")
    assert refusal(ct).code == "damaged_image"


def test_a_cd_is_one_image(folder):
    """DICOMDIR, viewer with its logo, reports and spectra: the patient's images are DICOM."""
    shutil.copytree(CT5, folder / "DICOM")
    shutil.copy(PATIENTS / "DICOMDIR", folder / "DICOMDIR")
    (folder / "VIEWER").mkdir()
    (folder / "VIEWER" / "logo.jpg").write_bytes(jpeg())
    (folder / "VIEWER" / "splash.png").write_bytes(png())
    (folder / "VIEWER" / "viewer.exe").write_bytes(b"MZ\x90\0" + bytes(500))
    (folder / "autorun.inf").write_text("[autorun]")
    (folder / "README.HTM").write_text("<html>")
    (folder / "VERSION").write_bytes(b"\1\0\2")
    made = make(folder)
    assert (made.files, made.left_out) == (5, 7)


def test_a_picture_beside_a_series_is_named(ct):
    """Without a DICOMDIR nothing tells which one is meant: whoever dropped it has to."""
    (ct / "logo.jpg").write_bytes(jpeg())
    reason = refusal(ct)
    assert reason.code == "several_images"
    assert reason.facts["found"] == "1 DICOM series, 1 JPEG"
    assert "1 JPEG (logo.jpg)" in explain(reason).plain


@pytest.mark.parametrize("start", [132, SLICE.index(b"\x08\0\x05\0")])
def test_dicom_without_a_preamble_gets_one(folder, start):
    """Panimg 0.18.2 takes no other file for DICOM; all else stays as it was."""
    (folder / "a").write_bytes(SLICE[start:])
    made = make(folder, deidentify=False)
    assert made.filename == "k1.dcm"
    sent = made.file.read_bytes()
    assert sent.endswith(SLICE[start:])
    whole = pydicom.dcmread(io.BytesIO(sent))
    assert whole.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (whole.pixel_array == pydicom.dcmread(CT5 / "2062").pixel_array).all()
