"""Kinds of DICOM series whose headers are damaged at one element; the pixels are all there."""

from support.importer.dicom_files import VOXELS, picture, write_series
from support.importer.kinds import NOTHING, Kinds

HEADERS = Kinds("DICOM")


def write_changed(folder, old, new, **more):
    """Write a series and replace some bytes by as many in each of its headers."""
    assert len(old) == len(new)
    for path in write_series(folder, VOXELS, **more):
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))


def us(element, value):
    """An element of group 0028 with a number of 16 bits, as explicit VR."""
    return b"\x28\0" + element.to_bytes(2, "little") + b"US\2\0" + value.to_bytes(2, "little")


@HEADERS.add("more bits than a pixel has room for", NOTHING, "damaged_image")
def too_many_bits(folder):
    write_changed(folder, us(0x101, 16), us(0x101, 17))


@HEADERS.add("pixels of no bits", NOTHING, "damaged_image")
def no_bits(folder):
    write_changed(folder, us(0x101, 16), us(0x101, 0))


@HEADERS.add("neither with a sign nor without", NOTHING, "damaged_image")
def no_sign(folder):
    write_changed(folder, us(0x103, 1), us(0x103, 5))


@HEADERS.add("without a word on colours", NOTHING, "damaged_image")
def no_colours(folder):
    write_series(folder, VOXELS, PhotometricInterpretation=None)


@HEADERS.add("colours that there are not", NOTHING, "damaged_image")
def unknown_colours(folder):
    write_series(folder, VOXELS, PhotometricInterpretation="GREYSCALE")


_SYNTAX = b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"


@HEADERS.add("an unknown transfer syntax", NOTHING, "not_deidentified", plain="unreadable_format")
def unknown_syntax(folder):
    write_changed(folder, _SYNTAX, _SYNTAX.replace(b".1.2.1\0", b".1.2.9\0"))


@HEADERS.add("without a transfer syntax", NOTHING, plain="unreadable_format")
def no_syntax(folder):
    write_changed(folder, _SYNTAX, _SYNTAX.replace(b"\2\0\x10\0UI", b"\2\0\x13\0SH"))
    return picture(VOXELS)


@HEADERS.add("a text of a type that there is not", NOTHING, plain="unreadable_format")
def no_type(folder):
    write_changed(folder, b"LO\4\0some", b"XX\4\0some", SeriesDescription="some")
    return picture(VOXELS)


@HEADERS.add("positions of blanks", NOTHING, plain="unreadable_format")
def blank_positions(folder):
    for path in write_series(folder, VOXELS):
        content = path.read_bytes()
        at = content.index(b"\x20\0\x32\0DS") + 8
        path.write_bytes(content[:at] + b" " * content[at - 2] + content[at + content[at - 2] :])
    return picture(VOXELS, (0.5, 0.5))


@HEADERS.add("a study whose UID is a path", NOTHING, plain="unreadable_format")
def path_as_uid(folder):
    write_changed(folder, b"UI\6\x001.2.3\0", b"UI\6\x001.2/3\0")
    return picture(VOXELS)


@HEADERS.add("low values shown white, a window of no number", NOTHING, plain="unreadable_format")
def no_window(folder):
    white = {"PhotometricInterpretation": "MONOCHROME1"}
    write_changed(folder, b"DS\6\x00123.0 ", b"DS\6\0\1\2    ", WindowCenter=123, **white)
    return picture(VOXELS.min() + VOXELS.max() - VOXELS)
