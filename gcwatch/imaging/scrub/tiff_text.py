"""Descriptions in TIFF from which programs read the geometry: OME, Aperio and tifffile."""

import re
import xml.etree.ElementTree as ET

from gcwatch.imaging.codestreams.errors import CantScrub

_SHAPED = re.compile(rb'\{"shape": \[[\d, ]{1,100}\](?:, "axes": "[A-Z]{1,12}")?\}')
_APERIO_FACT = re.compile(rb"\|\s*(AppMag|MPP)\s*=\s*([\d.]{1,20})\s*(?=\||\Z)")
_VENDORS = {b"PHILIPS": "philips", b"<SCN ": "scn", b"LEICA": "scn"}
_VALUE = re.compile(
    r"[-+]?[\d.]{1,24}(?:[eE][-+]?\d{1,3})?|true|false|[XYZCT]{5}|u?int\d{1,2}"
    r"|float|double|complex|bit|[mcnµpk]?m|in|pt|pixel|Å"
)
_KEPT = {
    "Pixels": {
        *("DimensionOrder", "Type", "BigEndian", "Interleaved", "SignificantBits"),
        *(f"Size{axis}" for axis in "XYZCT"),
        *(f"PhysicalSize{axis}{unit}" for axis in "XYZ" for unit in ("", "Unit")),
    },
    "Channel": {"SamplesPerPixel"},
    "TiffData": {"IFD", "FirstZ", "FirstC", "FirstT", "PlaneCount"},
}


def clean_description(old: bytes, size: tuple[int, int]) -> bytes:
    """Given a page's description, return what is kept of it, b"" for nothing."""
    text = old.rstrip(b"\0")
    start = text[:2000].upper()
    for mark, form in _VENDORS.items():
        if mark in start:
            raise CantScrub("it is a slide in the form of its scanner's vendor", form)
    if _SHAPED.fullmatch(text):
        return text
    if text.startswith(b"Aperio"):
        facts = [b"%s = %s" % (key, value) for key, value in _APERIO_FACT.findall(text)]
        return b"|".join([b"Aperio Image Library\r\n%dx%d" % size, *facts])
    if b"<OME" in text[:2000]:
        return _clean_ome(text)
    return b""


def _clean_ome(text: bytes) -> bytes:
    """Return an OME-XML with the sizes, types and order of the planes, and nothing else."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise CantScrub("its OME description has entities")
    try:
        old = ET.fromstring(text)  # noqa: S314 - entities are refused above
    except ET.ParseError:
        return b""
    new = ET.Element("OME", xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06")
    for number, pixels in enumerate(old.iterfind(".//{*}Pixels")):
        image = ET.SubElement(new, "Image", ID=f"Image:{number}")
        copy = _copy_element(image, pixels, ID=f"Pixels:{number}")
        for place, channel in enumerate(pixels.iterfind("{*}Channel")):
            _copy_element(copy, channel, ID=f"Channel:{number}:{place}")
        for data in pixels.iterfind("{*}TiffData"):
            _copy_element(copy, data)
    return b'<?xml version="1.0"?>' + ET.tostring(new, encoding="unicode").encode(
        "ascii", "xmlcharrefreplace"
    )


def _copy_element(parent: ET.Element, old: ET.Element, **more: str) -> ET.Element:
    name = old.tag.rpartition("}")[2]
    kept = {key: text for key, text in old.items() if key in _KEPT[name] and _VALUE.fullmatch(text)}
    return ET.SubElement(parent, name, more | kept)
