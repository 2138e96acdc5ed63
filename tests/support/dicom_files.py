"""DICOM files that installed packages ship, and files that Hypothesis draws."""

import struct
from pathlib import Path

import nibabel
import pydicom
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

CHARACTER_SET, SOP_CLASS, SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018


def shipped():
    """The DICOM files that installed packages ship."""
    for package in (pydicom, nibabel):
        for path in sorted(Path(package.__file__).parent.rglob("*")):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                content = path.read_bytes()
                if content[128:132] == b"DICM":
                    yield path.name, content


# --- drawn files ---------------------------------------------------------------------------------

KNOWN = sorted(tag for tag in DicomDictionary if 0x00080000 < tag < 0x7FE00000)
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
def elements(draw, implicit, depth=2):
    """Public, private and nested elements by tag, as bytes."""
    drawn = {}
    for tag in draw(st.sets(st.sampled_from(KEPT) | st.sampled_from(KNOWN), max_size=12)):
        vr = dictionary_VR(tag).split(" or ")[-1]
        if vr == "SQ":
            drawn[tag] = draw(sequences(tag, implicit, depth - 1)) if depth else b""
            continue
        value = (
            draw(st.binary(max_size=3)) * BINARY[vr]
            if vr in BINARY
            else draw(VALUES.get(vr, WORDS))
        )
        drawn[tag] = element(tag, vr, value + b" " * (len(value) % 2), implicit=implicit)
    return drawn


def joined(by_tag):
    """The bytes of a data set of these elements."""
    return b"".join(by_tag[tag] for tag in sorted(by_tag))


@st.composite
def sequences(draw, tag, implicit, depth):
    """The bytes of a sequence; it and its items have a length or an end mark."""
    items = b""
    for item in draw(st.lists(elements(implicit, depth).map(joined), max_size=2)):
        items += with_length(0xFFFEE000, item, 0xFFFEE00D, draw(st.booleans()), implicit)
    return with_length(tag, items, 0xFFFEE0DD, draw(st.booleans()), implicit)


def with_length(tag, content, end_mark, is_defined, implicit):
    """A sequence or an item of defined or undefined length."""
    if is_defined:
        return element(tag, "SQ", content, implicit=implicit)
    content += element(end_mark, "", b"", implicit=True)
    return element(tag, "SQ", content, implicit=implicit, length=0xFFFFFFFF)


ESSENTIAL = {
    SOP_CLASS: ("UI", CTImageStorage.encode() + b"\0"),
    SOP_INSTANCE: ("UI", b"1.2.3.4\0"),
    0x0020000D: ("UI", b"1.2.3\0"),
    0x0020000E: ("UI", b"1.2.4\0"),
    0x00200013: ("IS", b"7 "),
    0x00200032: ("DS", b"-1.5\\0\\2.25 "),
    0x00200037: ("DS", b"1\\0\\0\\0\\1\\0 "),
    0x00280002: ("US", b"\1\0"),
    0x00280004: ("CS", b"MONOCHROME2 "),
    0x00280010: ("US", b"\1\0"),
    0x00280011: ("US", b"\1\0"),
    0x00280100: ("US", b"\20\0"),
}
"""What a CT image of one pixel has."""


def in_file(by_tag, *, implicit):
    """A file of a pixel that has these elements."""
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    syntax = (syntax + "\0" * (len(syntax) % 2)).encode()
    meta = element(0x00020010, "UI", syntax, implicit=False)
    length = element(0x00020000, "UL", struct.pack("<L", len(meta)), implicit=False)
    pixels = element(0x7FE00010, "OW", b"\0\0", implicit=implicit)
    return bytes(128) + b"DICM" + length + meta + joined(by_tag) + pixels


@st.composite
def files(draw):
    """A file that a scanner may write, or a broken one."""
    implicit = draw(st.booleans())
    by_tag = {
        tag: element(tag, vr, value, implicit=implicit) for tag, (vr, value) in ESSENTIAL.items()
    }
    for tag in draw(st.sets(st.sampled_from(sorted(ESSENTIAL)), max_size=1)):
        del by_tag[tag]
    character_set = draw(st.sampled_from([None, b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87"]))
    if character_set is not None:
        by_tag[CHARACTER_SET] = element(CHARACTER_SET, "CS", character_set, implicit=implicit)
    return in_file(by_tag | draw(elements(implicit)), implicit=implicit)
