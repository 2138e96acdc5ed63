"""De-identifies DICOM files with the platform's own procedure, before they are sent."""

import functools
import io
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.dicom.elements import (
    DICOM_ERRORS,
    UNDEFINED_LENGTH,
    DamagedDicom,
    PixelData,
    damaged_image_error,
    find_pixel_data,
    raise_if_system_error,
    read_dataset,
    tag_of,
    transfer_syntax,
)
from gcwatch.imaging.dicom.encoded import UnusualHeader
from gcwatch.imaging.dicom.header_pass import HeaderPass


@functools.cache
def is_removed(sop_class: str, keyword: str) -> bool:
    """Whether the procedure takes an element away from files of this class, or its value.

    False for classes that it does not know: their files are refused.
    """
    from grand_challenge_dicom_de_id_procedure import procedure  # noqa: PLC0415 - as in read_dataset

    rules = procedure["sopClass"].get(sop_class)
    if rules is None:
        return False
    rule = rules["tag"].get(str(tag_of(keyword)), rules)
    return bool(rule["default"] != "K")


class Deidentifier:
    """De-identifies the files of one image with the platform's own procedure.

    UIDs are replaced by random ones, the same UID always by the same one within one instance of
    this class. So use one instance for all files of an image; a second one gives other bytes. It
    covers DICOM elements, the file's preamble and its meta group, not names burnt into pixels.
    """

    def __init__(self) -> None:
        from grand_challenge_dicom_de_identifier import deidentifier  # noqa: PLC0415 - as in read_dataset

        self._procedure = deidentifier.DicomDeidentifier()
        self._pass = HeaderPass(self._procedure)
        self._rejected = deidentifier.RejectedDICOMFileError

    def prepare_copy(self, stream: BinaryIO, file: SourceFile) -> Callable[[BinaryIO], None]:
        """Given an image open for reading, return a function that writes its de-identified copy.

        Pixels are streamed; whatever follows them in the file is dropped. Raise CannotSend before
        a byte is written: `not_deidentified` if the procedure does not know this kind of file,
        `damaged_image` if the file is incomplete.
        """
        try:
            header, pixels = self._encode_start(stream)
        except DamagedDicom as damage:
            raise damaged_image_error(file, str(damage)) from damage
        except self._rejected as error:
            raise _not_deidentified(file, error.justification) from error
        except (*DICOM_ERRORS, OSError) as error:
            raise_if_system_error(error)
            raise _not_deidentified(file, type(error).__name__) from error

        def write(target: BinaryIO) -> None:
            target.write(header)
            _copy_pixels(stream, pixels, target)

        return write

    def _encode_start(self, stream: BinaryIO) -> tuple[bytes, PixelData]:
        """Given a file, return the new bytes before the pixels, and where the pixels are."""
        try:
            header = self._pass.deidentify(stream)
        except UnusualHeader:
            stream.seek(0)
            return self._encode_by_library(stream)
        stream.seek(header.pixels_start)
        encoding = (header.is_implicit, True)
        pixels = find_pixel_data(stream, encoding)
        return header.content + _pixel_header(pixels, encoding), pixels

    def _encode_by_library(self, stream: BinaryIO) -> tuple[bytes, PixelData]:
        dataset = read_dataset(stream)
        syntax = transfer_syntax(dataset)
        if syntax.is_deflated or syntax.is_little_endian != dataset.original_encoding[1]:
            raise NotImplementedError  # its pixels can't be copied unchanged
        pixels = find_pixel_data(stream, dataset.original_encoding)
        # A placeholder, so that the procedure also applies its rule for pixel data.
        dataset.add_new(pixels.tag, "OW", b"")
        self._procedure.deidentify_dataset(dataset)
        del dataset[pixels.tag]
        encoding = (syntax.is_implicit_VR, syntax.is_little_endian)
        return _encode_header(dataset, syntax) + _pixel_header(pixels, encoding), pixels


def _not_deidentified(file: SourceFile, problem: str) -> CannotSend:
    return CannotSend(Reason("not_deidentified", {"problem": problem}, {"file": file.name}))


def _encode_header(dataset: Any, syntax: Any) -> bytes:
    """Given a dataset without pixels, return its bytes with a new preamble and meta group."""
    # The old ones may name the scanner, the hospital, or the original instance.
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - as in read_dataset

    dataset.preamble = None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _pixel_header(pixels: PixelData, encoding: tuple[bool, bool]) -> bytes:
    is_implicit, is_little_endian = encoding
    order = "<" if is_little_endian else ">"
    length = UNDEFINED_LENGTH if pixels.encapsulated else pixels.end - pixels.start
    if is_implicit:
        return struct.pack(f"{order}HHL", *pixels.tag, length)
    return struct.pack(f"{order}HH2sHL", *pixels.tag, pixels.vr, 0, length)


def _copy_pixels(stream: BinaryIO, pixels: PixelData, target: BinaryIO) -> None:
    stream.seek(pixels.start)
    left = pixels.end - pixels.start
    while left and (data := stream.read(min(left, BUFFER_BYTES))):
        target.write(data)
        left -= len(data)
