"""Reads the elements of DICOM files and finds where their pixel data is."""

import functools
import io
import logging
import math
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.snapshot import SourceFile
from gcwatch.late import import_alone
from gcwatch.threads.heartbeats import heartbeat

PIXEL_TAGS = {(0x7FE0, 0x0008): 32, (0x7FE0, 0x0009): 64, (0x7FE0, 0x0010): 0}
"""Tags of pixel data (float, double, others) and their bits per sample; 0: see BitsAllocated."""


_LONG_HEADER = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})


LARGEST_HEADER_BYTES: Final = 32 << 20
LARGEST_INFLATED_BYTES: Final = 32 << 20
"""Of a deflated file, which pydicom holds in memory with its pixels."""
_MOST_READS: Final = 600_000
"""Two for each element: an enhanced file of 5000 frames needs some 0.4 million."""
_MOST_ITEMS: Final = 100_000
"""Of all sequences; pydicom makes a data set of each, which takes more memory than elements."""
_MOST_READS_A_LEVEL: Final = 30_000
"""Between two items of sequences; no real data set has 15,000 elements of its own."""
_ITEM_STARTS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_READS_PER_HEARTBEAT: Final = 1 << 14
_PIECE_BYTES: Final = 1 << 18
UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM_TAG, END_TAG = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True)
class PixelData:
    """Where the pixel data is: its value is the bytes `start` to `end` of the file."""

    vr: bytes
    tag: tuple[int, int]
    start: int
    end: int
    encapsulated: bool


class DamagedDicom(Exception):
    """The file is incomplete; the text says how, without any value of the file."""


def _silence_pydicom() -> None:
    """Keep pydicom from writing values of a patient's file into warnings and logs."""
    # Warning filters belong to the whole process, and catch_warnings is not thread-safe. So the
    # filter is set again for each file and never removed; no thread can remove it for another.
    warnings.filterwarnings("ignore", module=r"(pydicom|grand_challenge_dicom|gcwatch\.imaging)\b")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def dicom_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what pydicom raises on invalid DICOM, except InvalidDicomError, and further errors."""
    from pydicom.errors import BytesLengthException  # noqa: PLC0415 - as in read_dataset

    return (
        *more,
        ArithmeticError,
        AttributeError,
        BytesLengthException,
        EOFError,
        LookupError,
        NotImplementedError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    )


def raise_if_system_error(error: Exception) -> None:
    """Raise the error again if it is the operating system's, which has an errno.

    pydicom raises OSError without one for sequences that are cut off.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise error


class _BoundedStream:
    """A stream of which pydicom reads a header; DamagedDicom if no real header is so large.

    pydicom itself reads on while there are bytes, and unpacks whatever a deflated file holds.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._reads_left, self._bytes_left = _MOST_READS, LARGEST_HEADER_BYTES
        self._items_left, self._level_left = _MOST_ITEMS, _MOST_READS_A_LEVEL
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """Read as a file does; without a size, the rest: the content of a deflated file."""
        data = self._stream.read(
            self._bytes_left + 1 if size < 0 else min(size, self._bytes_left + 1)
        )
        self._reads_left -= 1
        self._bytes_left -= len(data)
        self._level_left -= 1
        if data.startswith(_ITEM_STARTS):
            self._items_left -= 1
            self._level_left = _MOST_READS_A_LEVEL
        left = (self._reads_left, self._bytes_left, self._items_left, self._level_left)
        if min(left) < 0:
            raise DamagedDicom("its header is larger than that of any real image")
        if size < 0:
            _require_small_inflated(data)
        if self._reads_left % _READS_PER_HEARTBEAT == 0:
            heartbeat()
        return data


def _require_small_inflated(data: bytes) -> None:
    engine, rest, total = zlib.decompressobj(-zlib.MAX_WBITS), data, 0
    while piece := engine.decompress(rest, _PIECE_BYTES):
        total += len(piece)
        if total > LARGEST_INFLATED_BYTES:
            mib = LARGEST_INFLATED_BYTES >> 20
            raise DamagedDicom(f"its compressed content has more than {mib} MiB")
        rest = engine.unconsumed_tail
    # As pydicom does next; this one is dropped before.
    _require_few_elements(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data))


def _require_few_elements(inflated: bytes) -> None:
    """Raise DamagedDicom if pydicom would need much memory for the elements of a deflated file."""
    from gcwatch.imaging.dicom.encoded import EncodedElements, UnusualHeader  # noqa: PLC0415 - that module imports this one

    elements, at, items_left = EncodedElements(inflated, implicit=False), 0, _MOST_ITEMS
    for number in range(_MOST_READS // 2):
        if at + 8 > len(inflated):
            return
        try:
            tag, vr, value, end = elements.read(at)
        except (UnusualHeader, struct.error):
            raise DamagedDicom("its compressed content can't be read") from None
        is_nested = vr == b"SQ" or tag >> 16 == ITEM_TAG[0]
        at = value if is_nested or end < 0 else end
        items_left -= (tag >> 16, tag & 0xFFFF) == ITEM_TAG
        if items_left < 0:
            break
        if number % _READS_PER_HEARTBEAT == 0:
            heartbeat()
    raise DamagedDicom("its header is larger than that of any real image")


def import_pydicom() -> None:
    """Import what of pydicom several threads use, before one of them uses it."""
    import_alone("pydicom", "pydicom.dataset", "pydicom.uid", "pydicom.filewriter")


def read_dataset(stream: BinaryIO, tags: tuple[str, ...] | None = None) -> Any:
    """Given a stream at its start, return the elements before the pixels, and stop there."""
    import_pydicom()
    import pydicom  # noqa: PLC0415 - needs 20 MiB, which an idle daemon saves

    _silence_pydicom()
    return pydicom.dcmread(
        _BoundedStream(stream),
        stop_before_pixels=True,
        force=True,
        specific_tags=[tag_of(keyword) for keyword in tags] if tags else None,
    )


@functools.cache
def tag_of(keyword: str) -> Any:
    """Given a DICOM keyword, return its tag; cached, as pydicom's look-up is slow."""
    from pydicom.tag import Tag  # noqa: PLC0415 - as in read_dataset

    return Tag(keyword)


def raw_value(dataset: Any, keyword: str) -> bytes:
    """Return the bytes of an element's value, b"" if it has none."""
    # pydicom's conversion of all values would take most of the time.
    element = dataset.get_item(tag_of(keyword))
    value = b"" if element is None else element.value
    return value if isinstance(value, bytes) else str(value or "").encode()


def type_of(dataset: Any, keyword: str) -> str:
    """Return the VR that a file tells of an element, "UN" without the element or a VR."""
    element = dataset.get_item(tag_of(keyword))
    return str(getattr(element, "VR", None) or "UN")


def parse_numbers(raw: bytes) -> list[float]:
    """Given numbers as DICOM writes them, return them; an empty list if one is no number."""
    try:
        numbers = [float(number) for number in raw.rstrip(b"\0").split(b"\\")]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def is_empty(dataset: Any, keyword: str) -> bool:
    """Whether an element is there without a value."""
    return tag_of(keyword) in dataset and not raw_value(dataset, keyword).strip(b" \0")


def meta_value(dataset: Any, keyword: str) -> str:
    """Given a dataset and a keyword of its meta group, return the value, or "" without one."""
    return str(dataset.file_meta.get(keyword, ""))


def find_pixel_data(stream: BinaryIO, encoding: tuple[bool, bool]) -> PixelData:
    """Given a stream at its pixel data, return where that is.

    Args:
        stream: A file open for reading.
        encoding: Whether VRs are implicit, and whether it is little-endian.

    Raise DamagedDicom if there is no pixel data, or if it is cut off.
    """
    implicit, little = encoding
    order = "<" if little else ">"
    start = _unpack_next(stream, f"{order}HH4s")
    tag = (start[0], start[1])
    if tag not in PIXEL_TAGS:
        raise DamagedDicom("no pixel data")
    vr, length = _vr_and_length(stream, start[2], order, implicit=implicit)
    position = stream.tell()
    end = _find_last_fragment(stream, order) if length == UNDEFINED_LENGTH else position + length
    if end > os.fstat(stream.fileno()).st_size:
        raise DamagedDicom("pixel data is cut off")
    return PixelData(vr, tag, position, end, length == UNDEFINED_LENGTH)


def measure_deflated_pixels(stream: BinaryIO) -> tuple[int, tuple[int, int]]:
    """Given a deflated file, return the length of its pixel data and the tag.

    Raise DamagedDicom if there is none.
    """
    import pydicom  # noqa: PLC0415 - as in read_dataset

    stream.seek(0)
    # The whole is decompressed in memory again; such files are rare.
    dataset = pydicom.dcmread(stream, specific_tags=[*PIXEL_TAGS])
    for tag in PIXEL_TAGS:
        if tag in dataset:
            return len(dataset[tag].value or b""), tag
    raise DamagedDicom("no pixel data")


def holds_pixel_data(stream: BinaryIO, dataset: Any) -> bool:
    """Given a stream after the elements that `read_dataset` read, return whether pixels follow."""
    position = stream.tell()
    order = "<" if dataset.original_encoding[1] else ">"
    head = stream.read(4)
    stream.seek(position)
    return len(head) == 4 and struct.unpack(f"{order}HH", head) in PIXEL_TAGS


def _vr_and_length(
    stream: BinaryIO, four: bytes, order: str, *, implicit: bool
) -> tuple[bytes, int]:
    if implicit:
        return b"OW", struct.unpack(f"{order}L", four)[0]
    if four[:2] in _LONG_HEADER:
        return four[:2], _unpack_next(stream, f"{order}L")[0]
    return four[:2], struct.unpack(f"{order}H", four[2:])[0]


def _find_last_fragment(stream: BinaryIO, order: str) -> int:
    """Given a stream at its first fragment, return the position after the end mark."""
    fragments = 0
    while True:
        group, element, length = _unpack_next(stream, f"{order}HHL")
        if (group, element) == END_TAG:
            break
        if (group, element) != ITEM_TAG or length == UNDEFINED_LENGTH:
            raise DamagedDicom("pixel data is invalid")
        fragments += 1
        stream.seek(length, os.SEEK_CUR)
    if fragments < 2:  # the first fragment is the table of offsets
        raise DamagedDicom("no pixel data")
    return stream.tell()


def _unpack_next(stream: BinaryIO, layout: str) -> tuple[Any, ...]:
    data = stream.read(struct.calcsize(layout))
    if len(data) < struct.calcsize(layout):
        raise DamagedDicom("pixel data is cut off" if data else "no pixel data")
    return struct.unpack(layout, data)


def damaged_image_error(file: SourceFile, problem: str) -> CannotSend:
    """Given a file and what is wrong with it, return the error to raise."""
    return CannotSend(Reason("damaged_image", {"problem": problem}, {"file": file.name}))


def missing_preamble(stream: BinaryIO) -> bytes:
    """Given a DICOM file at its start, return the preamble and meta group that it lacks."""
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - as in read_dataset
    from pydicom.filewriter import write_file_meta_info  # noqa: PLC0415 - as above

    dataset = read_dataset(stream, ("SOPClassUID", "SOPInstanceUID"))
    if dataset.preamble is not None:
        return b""
    buffer = io.BytesIO()
    buffer.write(bytes(128) + b"DICM")
    if not dataset.file_meta:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = transfer_syntax(dataset)
        meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
        meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
        write_file_meta_info(buffer, meta)  # type: ignore[arg-type]
    return buffer.getvalue()


def transfer_syntax(dataset: Any) -> Any:
    """Given a dataset, return its transfer syntax; without a meta group, as pydicom guessed it."""
    from pydicom import uid  # noqa: PLC0415 - as in read_dataset

    told = meta_value(dataset, "TransferSyntaxUID")
    if told:
        return uid.UID(told)
    implicit, little = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
