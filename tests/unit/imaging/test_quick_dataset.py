"""A header that is read without pydicom is the one that pydicom gives, or pydicom reads it."""

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.builders import series
from support.dicom_files import files, shipped

from gcwatch.imaging.dicom import headers
from gcwatch.imaging.dicom.elements import DamagedDicom, dicom_errors
from gcwatch.imaging.dicom.encoded import UnusualHeader
from gcwatch.imaging.dicom.quick_dataset import QuickReader

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def outcome(read, content, folder):
    """The header, or the error, that a file gives; the files are real, for their sizes count."""
    path = folder / "file"
    path.write_bytes(content)
    with path.open("rb") as stream:
        try:
            return read(stream)
        except dicom_errors(DamagedDicom, OSError) as error:
            return type(error), str(error) if isinstance(error, DamagedDicom) else ""


def is_alike(content, folder):
    """Whether the quick way read the file, which must give what pydicom gives."""
    quick = outcome(headers._read_quickly, content, folder)
    if quick is None:
        return False
    assert quick == outcome(headers._read_by_pydicom, content, folder)
    return True


def test_every_shipped_file_has_the_header_that_pydicom_reads(tmp_path):
    """Most of them without pydicom."""
    read = [is_alike(content, tmp_path) for _, content in shipped()]
    assert sum(read) > len(read) / 3 > 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@settings(max_examples=200)
@given(content=files())
def test_a_drawn_file_has_the_header_that_pydicom_reads(folder, content):
    """Whatever elements it has, and wherever it ends."""
    is_alike(content, folder)
    is_alike(content[: len(content) * 2 // 3], folder)


@settings(max_examples=200)
@given(content=files(), at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_file_that_is_nearly_like_the_ones_before_has_its_own_header(content, at, byte):
    """Bytes that were read before are not read again, but each byte counts."""
    changed = bytearray(content)
    changed[int(at * len(changed))] = byte
    reader = new_reader()
    for _ in range(2):
        read_quickly(reader, content)
    assert read_quickly(reader, bytes(changed)) == read_quickly(new_reader(), bytes(changed))


def new_reader():
    return QuickReader(headers._READ_ELEMENTS, headers._OWN_ELEMENTS)


def read_quickly(reader, content):
    """What is read of a header, None if pydicom has to read it."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            return reader.read(file)
        except UnusualHeader:
            return None


@pytest.mark.parametrize("vr", [b"US", b"UL", b"OB"])
def test_a_transfer_syntax_that_is_no_uid_is_damaged(tmp_path, vr):
    """Pydicom reads it as numbers, and the pixels as if they were not compressed."""
    content = next(iter(series().values()))
    assert content.count(b"\x02\0\x10\0UI") == 1
    file = tmp_path / "a.dcm"
    file.write_bytes(content.replace(b"\x02\0\x10\0UI", b"\x02\0\x10\0" + vr))
    with file.open("rb") as stream:
        found = headers.read_header(stream)
    assert found is None or found.problem
