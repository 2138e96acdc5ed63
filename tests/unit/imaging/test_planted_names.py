"""No name leaves that stands in a DICOM file: in any element of the dictionary, nested, private."""

import io
import runpy
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from support.planted import SECRET
from support.planted_dicom import ALLOW, NAME, element, full_file, sent
from support.slices import one_slice

from gcwatch.core.errors import CannotSend
from gcwatch.core.rules.procedure_format import parse_procedure
from gcwatch.core.rules.region import parse_region
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.deidentification.deidentify import NO_RULES, Deidentifier, DicomRules
from gcwatch.imaging.deidentification.forms import has_form
from gcwatch.imaging.dicom.procedure import local_procedure
from gcwatch.inbox import tree

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


@pytest.mark.parametrize("name", [NAME, SECRET])
@pytest.mark.parametrize("sop_class", EACH)
def test_no_planted_name_leaves(folder, sop_class, name):
    """Nor does the library let one out, which does what the pass over the bytes leaves to it.

    The short name fits into a number of eight bytes.
    """
    full_file(folder / "1", sop_class, name=name)
    assert (folder / "1").read_bytes().count(name) > 4000
    copy = sent(folder)
    found = [each for each in pydicom.dcmread(io.BytesIO(copy)).iterall() if SECRET in raw(each)]
    assert not found
    at = copy.find(SECRET)
    assert at < 0, copy[max(0, at - 30) : at + 30]
    with (folder / "1").open("rb") as stream:
        by_library = Deidentifier(local_procedure(), ALLOW)._encode_by_library(stream).header
    assert SECRET not in by_library


@pytest.mark.parametrize(
    ("tag", "vr", "numbers"),
    [
        (0x00209157, "L", [1, 5000, 70_000]),
        (0x00540080, "H", range(1, 1000)),
        (0x00280009, "HH", [0x0018, 0x1063]),
        (0x00409212, "d", [0, 0.5, -1024, 3071, 0.001]),
        (0x00189073, "d", [123_456_789.0]),
        (0x00280010, "H", [0x4A41]),
    ],
)
def test_numbers_stay(tag, vr, numbers):
    """Also those of any count, and those that happen to be letters."""
    code = vr[0]
    name = {"L": b"UL", "H": b"US", "d": b"FD"}[code] if len(vr) == 1 else b"AT"
    assert has_form(tag, name, struct.pack(f"<{len(numbers)}{code}", *numbers))


def test_a_deflated_file_is_refused_with_the_reason(folder):
    """Its pixels can't be found without inflating all of it."""
    path = Path(pydicom.data.get_testdata_file("image_dfl.dcm"))
    (folder / "1").write_bytes(path.read_bytes())
    with pytest.raises(CannotSend) as caught:
        sent(folder)
    assert "deflated" in caught.value.reason.facts["problem"]


@pytest.mark.parametrize("make", [bundle.image_bundle, bundle.dicom_set])
def test_a_number_of_a_wrong_length_is_told(folder, make):
    """Three bytes are no number of two; the reason does not tell them."""
    one_slice(folder / "1", 1, (0, 0, 0))
    right, wrong = (element(0x00280010, "US", value) for value in (b"\2\0", b"DOE"))
    content = (folder / "1").read_bytes()
    assert right in content
    (folder / "1").write_bytes(content.replace(right, wrong))
    files = tree.source_files(SharePath.of(folder), ())
    with pytest.raises(CannotSend) as caught:
        make(files, BundleOptions(socket="s"), spool=folder.parent / "spool", stem="k")
    assert "DOE" not in str(caught.value.reason.facts)


def raw(each):
    return str(each.value).encode() if not isinstance(each.value, bytes) else each.value


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
