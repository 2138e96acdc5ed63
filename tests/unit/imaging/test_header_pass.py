"""The pass over a header's bytes gives the bytes of the library, or leaves the file to it."""

import io

import pydicom
import pytest
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from hypothesis import given, settings
from pydicom.dataset import FileMetaDataset
from support.dicom_files import files, shipped

from gcwatch.imaging.deidentification.header_pass import HeaderPass
from gcwatch.imaging.dicom.elements import dicom_errors
from gcwatch.imaging.dicom.encoded import UnusualHeader

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
PIXELS = b"\xe0\x7f\x10\0"


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


def check(content):
    """The pass gives the library's bytes, or leaves the file to it; return whether it gave them."""
    library = DicomDeidentifier()
    made = by_pass(content, library)
    if made is None:
        return False
    try:
        told = by_library(content, library)
    except dicom_errors(UnicodeError):
        return False  # it fails on a value that it would remove
    assert made.content == told
    return True


@settings(max_examples=200)
@given(files())
def test_a_drawn_file_gets_the_library_s_bytes_or_is_left_to_it(content):
    """Whatever elements it has."""
    check(content)
