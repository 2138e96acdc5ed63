"""A DICOM header costs little memory and time, whatever it claims to hold."""

import struct

import pytest
from support.dicom_files import ESSENTIAL, element, in_file
from support.hostile_files import write_hostile
from support.importer.dicom_files import VOXELS, slice_dataset, write_dataset

from gcwatch.imaging.dicom import headers
from gcwatch.imaging.dicom.headers import read_header


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("deflated DICOM", "more than 32 MiB"),
        ("no element ends", "larger than that of any real image"),
        ("deflated elements", "larger than that of any real image"),
        ("many elements", "larger than that of any real image"),
        ("private element", "no StudyInstanceUID"),
        ("nested sequences", "unreadable header"),
    ],
)
def test_a_header_without_end_is_refused_at_a_limit(tmp_path, what, problem):
    """Pydicom itself would unpack 300 MiB, or read 1 GiB of zeros element by element."""
    write_hostile(tmp_path / "x", what)
    with (tmp_path / "x" / "x.dcm").open("rb") as file:
        header = read_header(file)
    assert problem in header.problem


def test_a_data_set_has_a_limit_of_its_own(tmp_path):
    """An enhanced file may have more elements in all: those of its frames."""
    elements = b"".join(
        struct.pack("<HH2sH", 0x0009, 0x1000 + number, b"LO", 2) + b"ab" for number in range(31_000)
    )
    path = write_dataset(tmp_path, slice_dataset(VOXELS[0]))
    data = path.read_bytes()
    place = data.index(b"\x10\0\x10\0PN")
    path.write_bytes(data[:place] + elements + data[place:])
    with path.open("rb") as file:
        assert "larger than that of any real image" in read_header(file).problem


def one_pixel(**elements):
    """A CT image of one pixel, with other values of these keywords."""
    tags = {"Rows": 0x00280010, "Columns": 0x00280011}
    kinds = ESSENTIAL | {tags[name]: ("US", value) for name, value in elements.items()}
    by_tag = {tag: element(tag, *each, implicit=False) for tag, each in kinds.items()}
    return in_file(by_tag, implicit=False)


def test_an_image_without_lines_is_damaged(tmp_path):
    """Its pixels are compared with what its header says, which divides by that."""
    path = tmp_path / "x.dcm"
    path.write_bytes(one_pixel(Rows=b"\0\0"))
    with path.open("rb") as file:
        assert read_header(file).problem


def test_a_meta_group_with_an_element_of_another_group_is_read_as_pydicom_reads_it(tmp_path):
    """The quick way would trust the length that the group tells; drawn by `make fuzz`."""
    path = tmp_path / "x.dcm"
    path.write_bytes(one_pixel().replace(b"\x02\0\x10\0UI", b"\x02\x08\x10\0UI", 1))
    with path.open("rb") as file:
        assert headers._read_quickly(file, ()) is None
