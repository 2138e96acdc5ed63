"""The pass over a header's bytes gives the bytes of the library, or leaves the file to it."""

import io

import pydicom
import pytest
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from hypothesis import given, settings
from support.dicom_files import files, shipped
from support.header_pass import PIXELS, by_library, by_pass, compare_with_library

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


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


@settings(max_examples=200)
@given(files())
def test_a_drawn_file_gets_the_library_s_bytes_or_is_left_to_it(content):
    """Whatever elements it has."""
    compare_with_library(content)
