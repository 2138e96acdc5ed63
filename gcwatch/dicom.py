"""What DICOM files say: what image they belong to, whether they are whole, and who it is not."""

import functools
import io
import logging
import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from gcwatch.errors import CannotSend
from gcwatch.files import BUFFER
from gcwatch.inbox import SourceFile
from gcwatch.reasons import Reason

_MAGIC = b"DICM"
_PREAMBLE = 128

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""The SOP class of whole slides: one file a level, each of many tiles."""

SHARED = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "StudyID",
    "StudyDate",
    "AccessionNumber",
    "SeriesNumber",
)
"""What all files of one DICOM Image Set have in common (contract, section 3)."""

_FACTS = (
    *SHARED,
    "SOPClassUID",
    "SOPInstanceUID",
    "StackID",
    "InstanceNumber",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "PhotometricInterpretation",
)

_PIXELS = {(0x7FE0, 0x0008): 32, (0x7FE0, 0x0009): 64, (0x7FE0, 0x0010): 0}
"""The tags of pixel data (float, double, any), and their fixed bits per sample."""

_LONG_HEADER = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)

_TROUBLE = (
    AttributeError,
    EOFError,
    KeyError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on bytes that are no sound DICOM (InvalidDicomError apart)."""


@dataclass(frozen=True)
class Group:
    """What makes files one image on the platform.

    As its importer does (panimg 0.15.2, `image_builders/dicom.py`, `get_dicom_headers_by_study`):
    the study, the stack or else the series, and the SOP class, which keeps dose reports apart.
    """

    study: str
    stack: str
    sop_class: str


Vector = tuple[float, float, float]
"""Three numbers in the patient's coordinates, in mm where they are a place."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a slice lies: its first pixel, and the directions of its rows and of its columns."""

    position: Vector
    row: Vector
    column: Vector


@dataclass(frozen=True, slots=True)
class Header:
    """What one DICOM file says of itself.

    `group` is None if it is no image (a report, a DICOMDIR), or if it can't be told which one it
    is part of. `problem` says in what way the file is not whole, without any value of it; "" if
    it is. `stacked` tells that a StackID makes the group. `number` is the InstanceNumber, by
    which the platform sorts. `place` is None if the file does not say where it lies, and for
    localizers, which lie anywhere. `shared` are the values of the `SHARED` elements as they
    stand in the file.
    """

    group: Group | None
    problem: str = ""
    stacked: bool = False
    instance: str = ""
    number: int | None = None
    place: Place | None = None
    shared: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class _Pixels:
    """Where the pixel data stands: its value spans `start` to `end` of the file."""

    vr: bytes
    tag: tuple[int, int]
    start: int
    end: int
    encapsulated: bool


class _Damaged(Exception):
    """The file is not whole; the text says in what way, without any value of it."""


def _be_quiet() -> None:
    """Keep pydicom from writing values of a patient's file into warnings and logs."""
    # Filters are process-wide: put in front again for each file, never taken away, so that
    # threads can't take it from each other (catch_warnings is not thread-safe).
    warnings.filterwarnings("ignore", module=r"(pydicom|grand_challenge_dicom|gcwatch\.dicom)\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


# --- reading -----------------------------------------------------------------------------------


def could_be_dicom(start: bytes) -> bool:
    """Given a file's first bytes (132 or more), return whether they may be those of DICOM.

    Without the preamble the first element must be of group 0002 or 0008.
    """
    if start[_PREAMBLE : _PREAMBLE + 4] == _MAGIC:
        return True
    return len(start) >= 8 and start[:2] in {b"\x02\0", b"\x08\0"} and start[3] == 0


def read_header(stream: BinaryIO) -> Header | None:
    """Given a file open for reading, return what it says of itself, or None if it is no DICOM."""
    start = stream.read(_PREAMBLE + 4)
    if not could_be_dicom(start):
        return None
    stream.seek(0)
    try:
        return _read_header(stream)
    except _Damaged as damage:
        return Header(None, str(damage))
    except (*_TROUBLE, OSError) as error:
        _reraise_if_real(error)
        return Header(None, "unreadable header") if start[_PREAMBLE:] == _MAGIC else None


def _reraise_if_real(error: Exception) -> None:
    """Raise an OSError of the operating system; pydicom raises its own, on cut sequences."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _read_header(stream: BinaryIO) -> Header | None:
    dataset = _dataset(stream, _FACTS)
    sop_class = str(dataset.get("SOPClassUID", "")) or _meta(dataset, "MediaStorageSOPClassUID")
    if not sop_class:
        return None if dataset.preamble is None else Header(None, "no SOPClassUID")
    if not _is_image(dataset, sop_class):
        return Header(None)
    return Header(
        _group(dataset),
        _pixel_problem(stream, dataset),
        dataset.get("StackID") is not None,
        _required(dataset, "SOPInstanceUID"),
        _number(dataset),
        _place(dataset),
        tuple(_raw(dataset, keyword).strip(b" \0") for keyword in SHARED),
    )


def _dataset(stream: BinaryIO, tags: tuple[str, ...] | None = None) -> Any:
    """Given a stream at its start, return its elements before the pixels; it then stands there."""
    import pydicom  # noqa: PLC0415 - 20 MiB that an idle daemon does without

    _be_quiet()
    return pydicom.dcmread(
        stream,
        stop_before_pixels=True,
        force=True,
        specific_tags=[_tag(keyword) for keyword in tags] if tags else None,
    )


@functools.cache
def _tag(keyword: str) -> Any:
    """Given a keyword of this module, return its tag, which takes time to look up."""
    from pydicom.tag import Tag  # noqa: PLC0415 - as above

    return Tag(keyword)


def _meta(dataset: Any, keyword: str) -> str:
    return str(dataset.file_meta.get(keyword, ""))


def _is_image(dataset: Any, sop_class: str) -> bool:
    from pydicom.uid import UID  # noqa: PLC0415 - as above

    return "Rows" in dataset or "Image Storage" in UID(sop_class).name


def _group(dataset: Any) -> Group:
    stack = dataset.get("StackID")
    return _one_group(
        _required(dataset, "StudyInstanceUID"),
        str(stack) if stack is not None else _required(dataset, "SeriesInstanceUID"),
        _required(dataset, "SOPClassUID"),
    )


_one_group = functools.lru_cache(256)(Group)
"""The files of an image share one object, not three texts each."""


def _required(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    if not value:
        raise _Damaged(f"no {keyword}")
    return str(value)


def _number(dataset: Any) -> int | None:
    number = dataset.get("InstanceNumber")
    return None if number is None else int(number)


def _raw(dataset: Any, keyword: str) -> bytes:
    """Return an element's value as it stands in the file: pydicom's own values take their time."""
    element = dataset.get_item(_tag(keyword))
    value = b"" if element is None else element.value
    return value if isinstance(value, bytes) else str(value or "").encode()


def _place(dataset: Any) -> Place | None:
    if b"LOCALIZER" in _raw(dataset, "ImageType"):
        return None
    position = _numbers(_raw(dataset, "ImagePositionPatient"))
    directions = _numbers(_raw(dataset, "ImageOrientationPatient"))
    if len(position) != 3 or len(directions) != 6:
        return None
    return Place(*(_vector(numbers) for numbers in (position, directions[:3], directions[3:])))


def _numbers(raw: bytes) -> list[float]:
    """Given numbers as DICOM writes them, return them; none if one of them is no number."""
    try:
        numbers = [float(number) for number in raw.rstrip(b"\0").split(b"\\")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _vector(numbers: list[float]) -> Vector:
    x, y, z = numbers
    return x, y, z


# --- pixels ------------------------------------------------------------------------------------


def _pixel_problem(stream: BinaryIO, dataset: Any) -> str:
    """Given a stream that stands at its pixel data, return what is wrong with them, "" if nothing.

    That the pixels are cut does not hide what image the file is part of.
    """
    try:
        _check_pixels(stream, dataset)
    except _Damaged as damage:
        return str(damage)
    except (*_TROUBLE, OSError) as error:
        _reraise_if_real(error)
        return "unreadable pixel data"
    return ""


def _check_pixels(stream: BinaryIO, dataset: Any) -> None:
    if _is_deflated(dataset):
        return  # what inflates is whole: the stream has a checksum's worth of structure
    pixels = _find_pixels(stream, dataset)
    if not pixels.encapsulated and pixels.end - pixels.start < _expected_bytes(dataset, pixels.tag):
        raise _Damaged("pixel data is too short")


def _is_deflated(dataset: Any) -> bool:
    from pydicom.uid import DeflatedExplicitVRLittleEndian  # noqa: PLC0415 - as above

    return _meta(dataset, "TransferSyntaxUID") == str(DeflatedExplicitVRLittleEndian)


def _expected_bytes(dataset: Any, tag: tuple[int, int]) -> int:
    samples = int(dataset.get("SamplesPerPixel") or 1)
    pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    bits = pixels * samples * (_PIXELS[tag] or int(dataset.get("BitsAllocated") or 1))
    if "422" in str(dataset.get("PhotometricInterpretation", "")):
        bits = bits * 2 // 3  # two pixels share their colour
    return -(-bits // 8)


def _find_pixels(stream: BinaryIO, dataset: Any) -> _Pixels:
    """Given a stream that stands at its pixel data, return where that is; raise if it is cut."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    start = _unpack(stream, f"{order}HH4s")
    tag = (start[0], start[1])
    if tag not in _PIXELS:
        raise _Damaged("no pixel data")
    vr, length = _vr_and_length(stream, start[2], order, implicit=implicit)
    position = stream.tell()
    end = _last_fragment(stream, order) if length == _UNDEFINED else position + length
    if end > os.fstat(stream.fileno()).st_size:
        raise _Damaged("pixel data is cut off")
    return _Pixels(vr, tag, position, end, length == _UNDEFINED)


def _vr_and_length(
    stream: BinaryIO, four: bytes, order: str, *, implicit: bool
) -> tuple[bytes, int]:
    if implicit:
        return b"OW", struct.unpack(f"{order}L", four)[0]
    if four[:2] in _LONG_HEADER:
        return four[:2], _unpack(stream, f"{order}L")[0]
    return four[:2], struct.unpack(f"{order}H", four[2:])[0]


def _last_fragment(stream: BinaryIO, order: str) -> int:
    """Given a stream at its first fragment, return where the end mark stops."""
    fragments = 0
    while True:
        group, element, length = _unpack(stream, f"{order}HHL")
        if (group, element) == _END:
            break
        if (group, element) != _ITEM or length == _UNDEFINED:
            raise _Damaged("pixel data is garbled")
        fragments += 1
        stream.seek(length, os.SEEK_CUR)
    if fragments < 2:  # the first is the table of offsets
        raise _Damaged("no pixel data")
    return stream.tell()


def _unpack(stream: BinaryIO, layout: str) -> tuple[Any, ...]:
    data = stream.read(struct.calcsize(layout))
    if len(data) < struct.calcsize(layout):
        raise _Damaged("pixel data is cut off" if data else "no pixel data")
    return struct.unpack(layout, data)


# --- de-identification -------------------------------------------------------------------------


class Deidentifier:
    """The platform's own procedure, for the files of one image.

    UIDs are replaced by random ones that stay the same within one instance: one instance must
    serve a whole image, and a second one gives other bytes. It covers what DICOM elements say,
    the file's preamble and its meta group; names that are burnt into pixels it does not see.
    """

    def __init__(self) -> None:
        from grand_challenge_dicom_de_identifier import deidentifier  # noqa: PLC0415 - as above

        self._procedure = deidentifier.DicomDeidentifier()
        self._rejected = deidentifier.RejectedDICOMFileError

    def prepare(self, stream: BinaryIO, file: SourceFile) -> Callable[[BinaryIO], None]:
        """Given an image open for reading, return what writes its de-identified copy to a target.

        Pixels are streamed, and nothing that stands behind them goes along. Raise CannotSend
        (`not_deidentified`, `damaged_image`) before a byte is written if the procedure does not
        know this kind of file, or if it is not whole.
        """
        try:
            header, pixels = self._header(stream)
        except _Damaged as damage:
            raise damaged(file, str(damage)) from damage
        except self._rejected as error:
            raise _refused(file, error.justification) from error
        except (*_TROUBLE, OSError) as error:
            _reraise_if_real(error)
            raise _refused(file, type(error).__name__) from error

        def write(target: BinaryIO) -> None:
            target.write(header)
            _stream(stream, pixels, target)

        return write

    def _header(self, stream: BinaryIO) -> tuple[bytes, _Pixels]:
        """Given a stream at its start, return the bytes before its pixels, and where they are."""
        dataset = _dataset(stream)
        syntax = _syntax(dataset)
        if syntax.is_deflated or syntax.is_little_endian != dataset.original_encoding[1]:
            raise NotImplementedError  # its pixels can't be taken over as they stand
        pixels = _find_pixels(stream, dataset)
        # A stand-in, so that the procedure has its say on the pixels, too.
        dataset.add_new(pixels.tag, "OW", b"")
        self._procedure.deidentify_dataset(dataset)
        del dataset[pixels.tag]
        return _encode(dataset, syntax) + _pixel_header(pixels, syntax), pixels


def damaged(file: SourceFile, problem: str) -> CannotSend:
    """Given a file and what is wrong with it, return that as an error."""
    return CannotSend(Reason("damaged_image", {"problem": problem}, {"file": file.name}))


def _refused(file: SourceFile, problem: str) -> CannotSend:
    return CannotSend(Reason("not_deidentified", {"problem": problem}, {"file": file.name}))


def _syntax(dataset: Any) -> Any:
    """Given a dataset, return its transfer syntax; without a meta group, as it was found to be."""
    from pydicom import uid  # noqa: PLC0415 - as above

    told = _meta(dataset, "TransferSyntaxUID")
    if told:
        return uid.UID(told)
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _encode(dataset: Any, syntax: Any) -> bytes:
    """Given a dataset without pixels, return it with a new preamble and a new meta group.

    The old ones may name the scanner, the hospital, or the original instance.
    """
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - as above

    dataset.preamble = None
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _pixel_header(pixels: _Pixels, syntax: Any) -> bytes:
    order = "<" if syntax.is_little_endian else ">"
    length = _UNDEFINED if pixels.encapsulated else pixels.end - pixels.start
    if syntax.is_implicit_VR:
        return struct.pack(f"{order}HHL", *pixels.tag, length)
    return struct.pack(f"{order}HH2sHL", *pixels.tag, pixels.vr, 0, length)


def _stream(stream: BinaryIO, pixels: _Pixels, target: BinaryIO) -> None:
    stream.seek(pixels.start)
    left = pixels.end - pixels.start
    while left and (data := stream.read(min(left, BUFFER))):
        target.write(data)
        left -= len(data)
