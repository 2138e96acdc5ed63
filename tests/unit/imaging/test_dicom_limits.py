"""A DICOM header costs little memory and time, whatever it claims to hold."""

import pytest
from support.hostile_files import write_hostile

from gcwatch.imaging.dicom.headers import read_header


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("deflated DICOM", "more than 32 MiB"),
        ("no element ends", "larger than that of any real image"),
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
