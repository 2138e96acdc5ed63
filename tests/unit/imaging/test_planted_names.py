"""No name leaves that stands in a DICOM file: in any element of the dictionary, nested, private."""

import functools
import io
import runpy
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from support.planted_dicom import NAME, element, full_file
from support.slices import one_slice

from gcwatch.core.errors import CannotSend
from gcwatch.core.procedure_format import parse_procedure
from gcwatch.core.region import parse_region
from gcwatch.files import safe_open
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import bundle
from gcwatch.imaging.deidentification.deidentify import NO_RULES, Deidentifier, DicomRules
from gcwatch.imaging.deidentification.pixels import clean_frame
from gcwatch.imaging.dicom.procedure import local_procedure, with_own_classes
from gcwatch.inbox import tree

ALLOW = DicomRules(burned_in="allow")
CLASSES = sorted(local_procedure()["sopClass"])
SOME = {
    pydicom.uid.CTImageStorage,
    pydicom.uid.MRImageStorage,
    pydicom.uid.UltrasoundMultiFrameImageStorage,
    pydicom.uid.DigitalMammographyXRayImageStorageForPresentation,
    pydicom.uid.EnhancedCTImageStorage,
    pydicom.uid.VLWholeSlideMicroscopyImageStorage,
}
EACH = [
    pytest.param(each, marks=() if each in SOME else pytest.mark.prove, id=each) for each in CLASSES
]


def sent(folder, rules=ALLOW):
    """What is sent of the only file of a folder."""
    (file,) = tree.source_files(SharePath.of(folder), ())
    target = io.BytesIO()
    with safe_open.open_unchanged(file) as stream:
        procedure = with_own_classes(rules.own)
        Deidentifier(procedure, rules).prepare_copy(stream, file)(target)
    return target.getvalue()


@pytest.mark.parametrize("sop_class", EACH)
def test_no_planted_name_leaves(folder, sop_class):
    """Nor does the library let one out, which does what the pass over the bytes leaves to it."""
    full_file(folder / "1", sop_class)
    assert (folder / "1").read_bytes().count(NAME) > 4000
    copy = sent(folder)
    found = [each for each in pydicom.dcmread(io.BytesIO(copy)).iterall() if NAME in raw(each)]
    assert not found
    at = copy.find(NAME)
    assert at < 0, copy[max(0, at - 30) : at + 30]
    with (folder / "1").open("rb") as stream:
        by_library = Deidentifier(local_procedure(), ALLOW)._encode_by_library(stream).header
    assert NAME not in by_library


@pytest.mark.parametrize(
    "make", [functools.partial(bundle.image_bundle, keep_names=False), bundle.dicom_set]
)
def test_a_number_of_a_wrong_length_is_told(folder, make):
    """Three bytes are no number of two; the reason does not tell them."""
    one_slice(folder / "1", 1, (0, 0, 0))
    right, wrong = (element(0x00280010, "US", value) for value in (b"\2\0", b"DOE"))
    content = (folder / "1").read_bytes()
    assert right in content
    (folder / "1").write_bytes(content.replace(right, wrong))
    files = tree.source_files(SharePath.of(folder), ())
    with pytest.raises(CannotSend) as caught:
        make(files, spool=folder.parent / "spool", stem="k", socket="s", deidentify=True)
    assert "DOE" not in str(caught.value.reason.facts)


def raw(each):
    return str(each.value).encode() if not isinstance(each.value, bytes) else each.value


# --- beside and within pixels ------------------------------------------------------------------


def test_only_pixels_go_out(folder):
    """Bytes behind the last pixel are not sent."""
    one_slice(folder / "1", 1, (0, 0, 0), PixelData=b"12345678" + NAME * 1000)
    assert pydicom.dcmread(io.BytesIO(sent(folder))).PixelData == b"12345678"


def test_comments_of_compressed_frames_become_zeros(folder):
    """So are application segments but for colours, bytes behind the end, and a false table."""
    jfif = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0"
    exif = b"\xff\xe1" + struct.pack(">H", 2 + len(NAME)) + NAME
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(NAME)) + NAME
    scan = b"\xff\xda\0\x02" + b"\x12\xff\0\x34\xff\xd0\x56"
    frame = b"\xff\xd8" + jfif + exif + comment + scan + b"\xff\xd9"
    data = encapsulate([frame + NAME * 3])
    one_slice(folder / "1", 1, (0, 0, 0))
    dataset = pydicom.dcmread(folder / "1")
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = data[:8] + NAME[:4] + data[12:]
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(folder / "1")
    copy = sent(folder)
    assert NAME[:4] not in copy
    assert jfif in copy
    assert scan + b"\xff\xd9" in copy


def test_comments_of_jpeg_2000_become_zeros():
    """Those of its main header and of its tiles."""
    path = pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm")
    [frame] = pydicom.encaps.generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)
    assert b"Created" in frame or b"Kakadu" in frame
    clean = clean_frame(frame + NAME)
    assert b"Created" not in clean
    assert b"Kakadu" not in clean
    assert NAME not in clean
    assert len(clean) == len(frame + NAME)


# --- names in pictures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"SOPClassUID": pydicom.uid.UltrasoundImageStorage},
        {"SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage},
        {"SOPClassUID": pydicom.uid.VLPhotographicImageStorage},
        {"BurnedInAnnotation": "YES"},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
    ],
)
def test_pictures_that_may_show_a_name_need_the_route_s_word(folder, more):
    """They are refused, and sent with burned_in = "allow"."""
    one_slice(folder / "1", 1, (0, 0, 0), **more)
    with pytest.raises(CannotSend) as caught:
        sent(folder, NO_RULES)
    assert caught.value.reason.code == "burned_in"
    assert sent(folder)


def test_regions_are_blacked_out(folder):
    """In each frame; compressed pixels are refused instead."""
    voxels = bytes(range(1, 33))
    one_slice(folder / "1", 1, (0, 0, 0), NumberOfFrames=4, PixelData=voxels)
    rules = DicomRules(blank=(parse_region("0,0,50%,1"),))
    made = pydicom.dcmread(io.BytesIO(sent(folder, rules))).PixelData
    wanted = b"".join(b"\0\0" + voxels[at + 2 : at + 8] for at in range(0, 32, 8))
    assert made == wanted
    path = pydicom.data.get_testdata_file("MR_small_RLE.dcm")
    (folder / "1").write_bytes(Path(path).read_bytes())
    with pytest.raises(CannotSend) as caught:
        sent(folder, rules)
    assert caught.value.reason.code == "not_blanked"


def test_a_lab_s_own_procedure_comes_first(folder):
    """Its classes replace those that gcwatch knows; others stay."""
    own = parse_procedure(
        b'{"version": "lab 1", "sopClass": {"1.2.840.10008.5.1.4.1.1.2": {"default": "X", "tag": '
        b'{"(0008,0016)": {"default": "K"}, "(0008,0018)": {"default": "U"}, '
        b'"(0008,103E)": {"default": "K"}, "(7FE0,0010)": {"default": "K"}}}}}'
    )
    one_slice(folder / "1", 1, (0, 0, 0), SeriesDescription="T1", PatientName="A^B")
    copy = pydicom.dcmread(io.BytesIO(sent(folder, DicomRules(own))))
    assert copy.SeriesDescription == "T1"
    assert "PatientName" not in copy
    assert "Rows" not in copy


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "JSON"),
        (b"[]", "sopClass"),
        (b'{"sopClass": {}}', "version"),
        (b'{"version": "1", "sopClass": {"1.2": {"default": "K", "tag": {}}}}', "must be"),
        (b'{"version": "1", "sopClass": {"1.2": {"default": "X", "tag": {"x": {}}}}}', "tag"),
    ],
)
def test_a_wrong_procedure_is_told(content, problem):
    """The config is refused with what is wrong in the file."""
    with pytest.raises(ValueError, match=problem):
        parse_procedure(content)


@pytest.mark.parametrize("kind", ["LABEL", "OVERVIEW"])
def test_labels_of_slides_are_left_out(folder, kind):
    """Only the picture of the tissue is part of what is sent."""
    from gcwatch.imaging import images  # noqa: PLC0415 - only here

    slide = pydicom.uid.VLWholeSlideMicroscopyImageStorage
    one_slice(folder / "1", 1, SOPClassUID=slide, ImageType=["ORIGINAL", "PRIMARY", "VOLUME"])
    one_slice(folder / "2", 2, SOPClassUID=slide, ImageType=["ORIGINAL", "PRIMARY", kind])
    files = tree.source_files(SharePath.of(folder), ())
    ((image,), left) = images.recognise_images(files, procedure=local_procedure())
    assert ([file.name for file in image.files], left) == (["1"], 1)


def test_the_procedure_is_what_its_script_makes():
    """The file in the package is never edited by hand."""
    path = Path(__file__).parents[3] / "tools/make_procedure.py"
    script = runpy.run_path(str(path))
    assert script["TARGET"].read_text() == script["encode"](script["make_procedure"]())


def test_an_empty_dataset_is_no_image(folder):
    """Without a class nothing is sent."""
    empty = Dataset()
    empty.PatientName = "A^B"
    empty.save_as(folder / "1", implicit_vr=True, little_endian=True)
    with pytest.raises(CannotSend):
        sent(folder)
