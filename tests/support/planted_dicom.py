"""DICOM files with a name in every element of the dictionary."""

import io
import struct

import pydicom
from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from gcwatch.files import safe_open
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.deidentification.deidentify import Deidentifier, DicomRules
from gcwatch.imaging.dicom.procedure import actions_of, with_own_classes
from gcwatch.inbox import tree
from support.planted import SECRET
from support.slices import one_slice

ALLOW = DicomRules(burned_in="allow")
NAME = SECRET + b"^SUE"
PIXEL_DATA = 0x7FE00010
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
BASE_TAGS = {
    tag_for_keyword(keyword)
    for keyword in (
        "SOPClassUID",
        "SOPInstanceUID",
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "BitsAllocated",
    )
}
"""Elements without which nothing can be copied; all others are planted."""


def element(tag, vr, value):
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in LONG:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def plant(tag, name):
    """The bytes of an element that holds a name, in items if it is a sequence."""
    vr = dictionary_VR(tag).split(" or ")[0]
    if vr != "SQ":
        return element(tag, vr, name)
    inner = element(0x00091001, "LO", NAME) + element(0x00100010, "PN", NAME)
    inner += element(0x00204000, "LT", NAME) + element(0x00280030, "DS", NAME)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
    return element(tag, "SQ", item)


def is_planted(tag):
    return 0x00080000 < tag < 0x7FE00000 and tag & 0xFFFF


def full_file(path, sop_class, spared=BASE_TAGS, behind=NAME, name=NAME):
    """Write an image with the name in every element but those that are spared."""
    one_slice(path, 1, (0, 0, 0), SOPClassUID=sop_class)
    own = {int(each.tag): encode(each) for each in pydicom.dcmread(path) if each.tag in spared}
    parts = {
        tag: plant(tag, name) for tag in DicomDictionary if is_planted(tag) and tag not in spared
    }
    parts |= {
        0x00090010: element(0x00090010, "LO", NAME),
        0x00091001: element(0x00091001, "UN", NAME),
        0x50003000: element(0x50003000, "OW", NAME),  # a curve
        0x60003000: element(0x60003000, "OW", NAME),  # an overlay
        0x60004000: element(0x60004000, "LT", NAME),
        **own,
    }
    start = path.read_bytes()
    meta = start[128 : 132 + 12 + struct.unpack_from("<L", start, 140)[0]]
    body = b"".join(parts[tag] for tag in sorted(parts) if tag != PIXEL_DATA)
    pixels = element(PIXEL_DATA, "OW", bytes(8) + behind)
    padding = element(0xFFFCFFFC, "OB", NAME)
    path.write_bytes(NAME.ljust(128, b"\0") + meta + body + pixels + padding + NAME)


def importable_file(path, sop_class, *procedures):
    """As `full_file`, without the name in what procedures keep: the importer reads that."""
    rules = [pair for each in procedures for pair in actions_of(each, sop_class).items()]
    spared = {tag for tag, action in rules if action in {"K", "U"}}
    full_file(path, sop_class, spared, behind=b"")


def encode(each):
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, False
    write_data_element(target, each)
    return target.getvalue()


def sent(folder, rules=ALLOW):
    """What is sent of the only file of a folder."""
    (file,) = tree.source_files(SharePath.of(folder), ())
    target = io.BytesIO()
    with safe_open.open_unchanged(file) as stream:
        procedure = with_own_classes(rules.own)
        Deidentifier(procedure, rules).prepare_copy(stream, file).write(stream, target)
    return target.getvalue()
