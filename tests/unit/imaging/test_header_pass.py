"""The pass over a header's bytes gives the bytes of the library, or leaves the file to it."""

import io
import struct
from pathlib import Path

import nibabel
import pydicom
import pytest
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gcwatch.imaging.dicom.elements import DICOM_ERRORS
from gcwatch.imaging.dicom.encoded import UnusualHeader
from gcwatch.imaging.dicom.header_pass import HeaderPass

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
PIXELS = b"\xe0\x7f\x10\0"
CHARACTER_SET, SOP_CLASS, SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018


def shipped():
    """The DICOM files that installed packages ship."""
    for package in (pydicom, nibabel):
        for path in sorted(Path(package.__file__).parent.rglob("*")):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                content = path.read_bytes()
                if content[128:132] == b"DICM":
                    yield path.name, content


def by_library(content, library):
    """The library's header of a file: all before the pixels, with a new meta group."""
    dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, force=True)
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.add_new((0x7FE0, 0x0010), "OW", b"")
    library.deidentify_dataset(dataset)
    del dataset[0x7FE0, 0x0010]
    dataset.preamble = None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def by_pass(content, library):
    """What the pass makes of a file; None if it leaves the file to the library."""
    try:
        return HeaderPass(library).deidentify(io.BytesIO(content))
    except UnusualHeader:
        return None


def test_every_shipped_file_gets_the_library_s_bytes_or_is_left_to_it():
    """Of those that the procedure knows, nearly all are covered."""
    covered = left = 0
    for name, content in shipped():
        library = DicomDeidentifier()
        made = by_pass(content, library)
        if made is None:
            left += _is_known(content)
            continue
        assert made.content == by_library(content, library), name
        assert content[made.pixels_start :][:4] == PIXELS, name
        covered += 1
    assert covered > 30
    assert left < covered / 4


def _is_known(content):
    """Whether the procedure knows this image's class."""
    dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    known = dataset.get("SOPClassUID") in DicomDeidentifier().procedure["sopClass"]
    return known and PIXELS in content


# --- drawn data sets -----------------------------------------------------------------------------

KNOWN = sorted(tag for tag in DicomDictionary if 0x00080000 < tag < 0x7FE00000 and tag != SOP_CLASS)
KEPT = sorted(
    int(tag[1:5] + tag[6:10], 16)
    for tag, rule in DicomDeidentifier().procedure["sopClass"][CTImageStorage]["tag"].items()
    if rule["default"] != "X" and "XX" not in tag
)
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
WORDS = st.text("AB19 .-+:\\", max_size=9).map(str.encode) | st.binary(max_size=6)
VALUES = {
    "DS": st.sampled_from(
        [b"1.5 ", b"-1E3\\+2", b".5", b"1.50\\2", b"1 \\2", b" 7", b"1e999 ", b"x "]
    ),
    "IS": st.sampled_from([b"12", b"+5", b"007 ", b"1\\22", b"1.0 ", b"99999999999 "]),
    "UI": st.sampled_from([b"1.2.3\0", b"1.2.34", b"1.2.3 ", b"1.2\\1.34", b"", b"x."]),
}
BINARY = {"AT": 4, "FD": 8, "FL": 4, "OB": 2, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2, "SL": 4}
BINARY |= {"SS": 2, "SV": 8, "UL": 4, "UN": 1, "US": 2, "UV": 8}


def element(tag, vr, value, *, implicit, length=None):
    """The bytes of an element."""
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit or tag >> 16 == 0xFFFE:
        return head + struct.pack("<L", length) + value
    if vr in LONG:
        return head + vr.encode() + b"\0\0" + struct.pack("<L", length) + value
    return head + vr.encode() + struct.pack("<H", length) + value


@st.composite
def datasets(draw, implicit, depth=2):
    """The bytes of a data set of public, private and nested elements."""
    encoded = b""
    for tag in sorted(draw(st.sets(st.sampled_from(KEPT) | st.sampled_from(KNOWN), max_size=12))):
        vr = dictionary_VR(tag).split(" or ")[-1]
        if vr == "SQ":
            encoded += draw(sequences(tag, implicit, depth - 1)) if depth else b""
            continue
        value = (
            draw(st.binary(max_size=3)) * BINARY[vr]
            if vr in BINARY
            else draw(VALUES.get(vr, WORDS))
        )
        encoded += element(tag, vr, value + b" " * (len(value) % 2), implicit=implicit)
    return encoded


@st.composite
def sequences(draw, tag, implicit, depth):
    """The bytes of a sequence; it and its items have a length or an end mark."""
    items = b""
    for item in draw(st.lists(datasets(implicit, depth), max_size=2)):
        items += with_length(0xFFFEE000, item, 0xFFFEE00D, draw(st.booleans()), implicit)
    return with_length(tag, items, 0xFFFEE0DD, draw(st.booleans()), implicit)


def with_length(tag, content, end_mark, is_defined, implicit):
    """A sequence or an item of defined or undefined length."""
    if is_defined:
        return element(tag, "SQ", content, implicit=implicit)
    content += element(end_mark, "", b"", implicit=True)
    return element(tag, "SQ", content, implicit=implicit, length=0xFFFFFFFF)


def in_file(dataset, *, implicit):
    """A file of a CT image of one pixel that has these elements, too."""
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    syntax = (syntax + "\0" * (len(syntax) % 2)).encode()
    meta = element(0x00020010, "UI", syntax, implicit=False)
    length = element(0x00020000, "UL", struct.pack("<L", len(meta)), implicit=False)
    sop_class = element(SOP_CLASS, "UI", CTImageStorage.encode() + b"\0", implicit=implicit)
    before, after = dataset
    pixels = element(0x7FE00010, "OW", b"\0\0", implicit=implicit)
    return bytes(128) + b"DICM" + length + meta + before + sop_class + after + pixels


@st.composite
def files(draw):
    """A file that a scanner may write, or a broken one."""
    implicit = draw(st.booleans())
    character_set = draw(st.sampled_from([None, b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87"]))
    before = (
        b""
        if character_set is None
        else element(CHARACTER_SET, "CS", character_set, implicit=implicit)
    )
    instance = element(SOP_INSTANCE, "UI", b"1.2.3.4\0", implicit=implicit)
    after = draw(datasets(implicit).filter(is_after_instance))
    return in_file((before, instance + after), implicit=implicit)


def is_after_instance(encoded):
    """Whether a data set can follow SOPInstanceUID."""
    return not encoded or struct.unpack("<HH", encoded[:4]) > (
        SOP_INSTANCE >> 16,
        SOP_INSTANCE & 0xFFFF,
    )


def check(content):
    """The pass gives the library's bytes, or leaves the file to it; return whether it gave them."""
    library = DicomDeidentifier()
    made = by_pass(content, library)
    if made is None:
        return False
    try:
        told = by_library(content, library)
    except (*DICOM_ERRORS, UnicodeError):
        return False  # it fails on a value that it would remove
    assert made.content == told
    return True


@settings(max_examples=200)
@given(files())
def test_a_drawn_file_gets_the_library_s_bytes_or_is_left_to_it(content):
    """Whatever elements it has."""
    check(content)
