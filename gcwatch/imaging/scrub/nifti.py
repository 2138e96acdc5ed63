"""NIfTI, plain and in gzip: header texts and extensions go, numbers and voxels stay."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from gcwatch.imaging.checks.voxel_sizes import Nifti, read_nifti
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.scrub.streaming import (
    Write,
    compress,
    copy_exactly,
    decompress,
    seek_within,
    skip_pieces,
)

_HEADER_BYTES, _DATA_BYTES = 348, 352
_TEXTS = ((4, 38), (140, 148), (148, 228), (228, 252), (328, 344))
"""Unused fields with `data_type` and `db_name`; `glmax`, `glmin`; `descrip`; `aux_file`;
`intent_name`."""


def scrub_nifti(stream: BinaryIO) -> Write:
    """Given a NIfTI-1 file, return what writes it without texts and extensions."""
    header = stream.read(_HEADER_BYTES)
    nifti = _read(header)
    new, offset = clean_header(header, nifti)

    def write(target: BinaryIO) -> None:
        target.write(new)
        seek_within(stream, offset)
        copy_exactly(stream, target, nifti.expected)

    return write


def scrub_packed_nifti(stream: BinaryIO) -> Write:
    """As `scrub_nifti`, for gzip, whose header has a file name and a time; compressed anew."""
    header = _take(decompress(stream), _HEADER_BYTES)
    nifti = _read(header)
    new, offset = clean_header(header, nifti)

    def write(target: BinaryIO) -> None:
        stream.seek(0)
        compress(new, skip_pieces(decompress(stream), offset), nifti.expected, target)

    return write


def _take(pieces: Iterator[bytes], count: int) -> bytes:
    taken = b""
    for piece in pieces:
        taken += piece
        if len(taken) >= count:
            break
    return taken[:count]


def _read(header: bytes) -> Nifti:
    nifti = read_nifti(header)
    if isinstance(nifti, str):
        raise CantScrub(nifti)
    if header[344:348] != b"n+1\0":
        # Analyze has the patient's number where NIfTI has its geometry.
        raise CantScrub("it has the header of Analyze, not of NIfTI")
    return nifti


def clean_header(header: bytes, nifti: Nifti) -> tuple[bytes, int]:
    """Return the new bytes before the voxels, and where the voxels are in the file."""
    new = bytearray(header)
    for begin, end in _TEXTS:
        new[begin:end] = bytes(end - begin)
    new[38:39] = b"r"  # `regular`, as Analyze wants it
    if nifti.offset < _DATA_BYTES:
        return bytes(new), _HEADER_BYTES
    order = "<" if header[:4] == struct.pack("<i", _HEADER_BYTES) else ">"
    struct.pack_into(order + "f", new, 108, _DATA_BYTES)
    return bytes(new) + bytes(_DATA_BYTES - _HEADER_BYTES), nifti.offset
