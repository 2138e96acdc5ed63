"""Compares the pass over a header's bytes with the library that it stands for."""

import io

import pydicom
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from grand_challenge_dicom_de_identifier.exceptions import RejectedDICOMFileError
from pydicom.dataset import FileMetaDataset

from gcwatch.imaging.deidentification.header_pass import HeaderPass
from gcwatch.imaging.dicom.elements import dicom_errors
from gcwatch.imaging.dicom.encoded import UnusualHeader

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


def compare_with_library(content):
    """The pass gives the library's bytes, or leaves the file to it; return whether it gave them."""
    library = DicomDeidentifier()
    made = by_pass(content, library)
    if made is None:
        return False
    try:
        told = by_library(content, library)
    except dicom_errors(RejectedDICOMFileError, OSError):
        return False  # it fails on a value that it would remove
    assert made.content == told
    return True
