"""Checks the pixels of DICOM files: whether all are there, and as large as the header says.

Nothing is decoded. Of compressed pixels only the headers and the end marks of the frames are read
(ISO 10918-1 for JPEG, 14495-1 for JPEG-LS, 15444-1 for JPEG 2000; DICOM PS3.5 annex G for RLE).
"""

import itertools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple

from gcwatch.imaging import jpeg
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.codestreams.run_lengths import find_end
from gcwatch.imaging.dicom.elements import (
    END_TAG,
    PIXEL_TAGS,
    DamagedDicom,
    PixelData,
    dicom_errors,
    find_pixel_data,
    measure_deflated_pixels,
    meta_value,
    raise_if_system_error,
)
from gcwatch.imaging.dicom.pixel_description import wrong_element
from gcwatch.imaging.dicom.traits import frame_groups
from gcwatch.imaging.jpeg import JPEG_LS, JpegPicture, read_jpeg_header

_CUT_OFF: Final = "a compressed frame is cut off"
_DAMAGED: Final = "a compressed frame is damaged"
_OTHER_SIZE: Final = "a compressed frame has another size or type than its header says"

_J2K_START: Final = b"\xff\x4f\xff\x51"
_JP2_START: Final = b"\0\0\0\x0cjP  "
"""A JPEG 2000 file around a codestream; not allowed in DICOM, but readers take it."""
_TILE_PART, _SIZE_FIELDS = b"\xff\x90", ">8LH"
_RLE_HEADER: Final = struct.Struct("<16L")
_MOST_MARKERS: Final = 100_000
_PIECE_BYTES: Final = 1 << 16


class PixelFacts(NamedTuple):
    """What a header says of its pixels; `bits` are BitsAllocated."""

    frames: int
    rows: int
    columns: int
    samples: int
    bits: int


@dataclass(frozen=True)
class _Frame:
    """A frame of one or more fragments, each a start in the file and a length in bytes."""

    stream: BinaryIO
    fragments: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(length for _, length in self.fragments)

    def read(self, at: int, count: int) -> bytes:
        """Return the bytes from a position on; fewer if the frame ends."""
        found = []
        for start, length in self.fragments:
            if at < length and count:
                self.stream.seek(start + at)
                found.append(self.stream.read(min(count, length - at)))
                count -= len(found[-1])
            at = max(0, at - length)
        return b"".join(found)

    def has_end(self, begin: int) -> bool:
        """Whether an end mark stands behind a position; within compressed data there is none."""
        end = self.size
        while end > begin:
            start = max(begin, end - _PIECE_BYTES)
            if jpeg.END in self.read(start, end - start + 1):
                return True
            end = start
        return False


def find_frame_damage(stream: BinaryIO, pixels: PixelData, syntax: str, told: PixelFacts) -> str:
    """Given a file, where its compressed pixels are and what its header says, return the damage.

    Return "" if nothing is wrong, or if the compression is none that is known here.
    """
    codec = _CODECS.get(syntax)
    if codec is None:
        return ""
    _, *fragments = iterate_fragments(stream, pixels)
    frames = list(_join_fragments(stream, fragments, codec.start))
    if len(frames) != told.frames:
        return f"it tells {told.frames} frames and holds {len(frames)}"
    return next(filter(None, (codec.check(frame, told) for frame in frames)), "")


def iterate_fragments(stream: BinaryIO, pixels: PixelData) -> Iterator[tuple[int, int]]:
    """Yield where each fragment begins and its length; the first one is the table of offsets."""
    at = pixels.start
    while at + 8 <= pixels.end:
        stream.seek(at)
        group, element, length = struct.unpack("<HHL", stream.read(8))
        if (group, element) == END_TAG:
            return
        yield at + 8, length
        at += 8 + length


def _join_fragments(
    stream: BinaryIO, fragments: list[tuple[int, int]], start: bytes
) -> Iterator[_Frame]:
    """Yield the frames; each begins with a fragment that begins as its compression does."""
    frame: list[tuple[int, int]] = []
    for place, length in fragments:
        stream.seek(place)
        if frame and stream.read(len(start)) == start:
            yield _Frame(stream, tuple(frame))
            frame = []
        frame.append((place, length))
    yield _Frame(stream, tuple(frame))


# --- JPEG and JPEG-LS --------------------------------------------------------------------------


def _check_jpeg(frame: _Frame, told: PixelFacts) -> str:
    picture, begin = read_jpeg_header(frame.read)
    if begin == 0:
        return _CUT_OFF if frame.read(0, 2) == jpeg.START else _DAMAGED
    if picture is None:
        return _DAMAGED
    if not _is_as_told(picture, told):
        return _OTHER_SIZE
    return "" if frame.has_end(begin) else _CUT_OFF


def _is_as_told(picture: JpegPicture, told: PixelFacts) -> bool:
    kind, bits, rows, columns, samples = picture
    fits = rows in {0, told.rows} and columns in {0, told.columns} and samples == told.samples
    # Decoders of JPEG-LS widen numbers; those of JPEG return what the data has.
    return fits and (bits <= told.bits if kind == JPEG_LS else -(-bits // 8) * 8 == told.bits)


# --- JPEG 2000 ---------------------------------------------------------------------------------


def _check_jpeg_2000(frame: _Frame, told: PixelFacts) -> str:
    start = frame.read(0, 8 + struct.calcsize(_SIZE_FIELDS))
    if start.startswith(_JP2_START):
        return ""
    if not start.startswith(_J2K_START) or len(start) < 8 + struct.calcsize(_SIZE_FIELDS):
        return _DAMAGED
    width, height, left, top, *_, samples = struct.unpack_from(_SIZE_FIELDS, start, 8)
    if (height - top, width - left, samples) != (told.rows, told.columns, told.samples):
        return _OTHER_SIZE
    return _check_tile_parts(frame)


def _check_tile_parts(frame: _Frame) -> str:
    """Follow the lengths of the markers, and of the parts of tiles, to the end mark."""
    at = 2
    for _ in range(_MOST_MARKERS):
        head = frame.read(at, 12)
        if head.startswith(jpeg.END):
            return ""
        if len(head) < 4:
            return _CUT_OFF
        if not head.startswith(_TILE_PART):
            at += 2 + int.from_bytes(head[2:4], "big")
        elif size := int.from_bytes(head[6:10], "big"):
            at += size
        else:  # the last part may have no length
            return "" if frame.has_end(at) else _CUT_OFF
    return _DAMAGED


# --- RLE ---------------------------------------------------------------------------------------


def _check_rle(frame: _Frame, told: PixelFacts) -> str:
    head = frame.read(0, _RLE_HEADER.size)
    if len(head) < _RLE_HEADER.size:
        return _CUT_OFF
    count, *starts = _RLE_HEADER.unpack(head)
    if count != told.samples * told.bits // 8:
        return _OTHER_SIZE
    used = starts[:count]
    if used != sorted(used) or used[0] < _RLE_HEADER.size:
        return _DAMAGED
    # Each segment has one byte of each pixel.
    for begin, end in itertools.pairwise([*used, frame.size]):
        try:
            find_end(frame.read(begin, end - begin), 0, told.rows * told.columns)
        except CantScrub:
            return _CUT_OFF if end == frame.size else _DAMAGED
    return ""


class _Codec(NamedTuple):
    start: bytes
    check: Callable[[_Frame, PixelFacts], str]


_JPEG, _JPEG_2000 = _Codec(jpeg.START, _check_jpeg), _Codec(_J2K_START, _check_jpeg_2000)

_CODECS: Final[Mapping[str, _Codec]] = {
    "1.2.840.10008.1.2.5": _Codec(b"", _check_rle),
    **{f"1.2.840.10008.1.2.4.{number}": _JPEG for number in (50, 51, 57, 70, 80, 81)},
    **{f"1.2.840.10008.1.2.4.{number}": _JPEG_2000 for number in (90, 91, 201, 202, 203)},
}
"""By transfer syntax (PS3.6 table A-1). Each fragment of RLE is a frame."""


# --- all pixels -----------------------------------------------------------------------------


Lengths = dict[tuple[int, int], int]
"""How many bytes of pixels files of one header have, by the tag of the pixels."""


def find_pixel_problem(
    stream: BinaryIO, dataset: Any, lengths: Lengths, pixels: PixelData | None
) -> str:
    """Given a stream at its pixel data and its header, return what is wrong, "" if nothing.

    `lengths` are remembered for further files; `pixels` say where the data is, if that is known.
    """
    # A text and no exception: the group of a file with cut pixels is still needed.
    try:
        _check_pixels(stream, dataset, lengths, pixels)
    except DamagedDicom as damage:
        return str(damage)
    except dicom_errors(OSError) as error:
        raise_if_system_error(error)
        return "unreadable pixel data"
    return ""


def _check_pixels(
    stream: BinaryIO, dataset: Any, lengths: Lengths, pixels: PixelData | None
) -> None:
    frames = int(dataset.get("NumberOfFrames") or 1)
    described = len(frame_groups(dataset))
    if described not in {0, frames}:
        raise DamagedDicom(f"it tells {frames} frames and describes {described}")
    if pixels is None and _is_deflated(dataset):
        held, tag = measure_deflated_pixels(stream)
    else:
        pixels = pixels or find_pixel_data(stream, dataset.original_encoding)
        if pixels.encapsulated:
            _check_frames(stream, pixels, dataset)
            return
        held, tag = pixels.end - pixels.start, pixels.tag
    if tag not in lengths:
        lengths[tag] = _expected_bytes(dataset, tag)
    expected = lengths[tag]
    if held < expected:
        raise DamagedDicom("pixel data is too short")
    # The importer takes more bytes for more frames, once they are enough for one (pydicom 3).
    if held > expected + expected % 2 and held * frames // expected > frames:
        raise DamagedDicom("pixel data is longer than told")


def _check_frames(stream: BinaryIO, pixels: PixelData, dataset: Any) -> None:
    _require_described(dataset, pixels.tag)
    told = PixelFacts(
        int(dataset.get("NumberOfFrames") or 1),
        int(dataset.Rows),
        int(dataset.Columns),
        int(dataset.get("SamplesPerPixel") or 1),
        int(dataset.get("BitsAllocated") or 8),
    )
    syntax = meta_value(dataset, "TransferSyntaxUID")
    if problem := find_frame_damage(stream, pixels, syntax, told):
        raise DamagedDicom(problem)


def _is_deflated(dataset: Any) -> bool:
    from pydicom.uid import DeflatedExplicitVRLittleEndian  # noqa: PLC0415 - as in read_dataset

    return meta_value(dataset, "TransferSyntaxUID") == str(DeflatedExplicitVRLittleEndian)


def _require_described(dataset: Any, tag: tuple[int, int]) -> None:
    if keyword := wrong_element(dataset, tag):
        raise DamagedDicom(f"its header does not say how its pixels are stored ({keyword})")


def _expected_bytes(dataset: Any, tag: tuple[int, int]) -> int:
    _require_described(dataset, tag)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    bits = pixels * samples * (PIXEL_TAGS[tag] or int(dataset.get("BitsAllocated") or 1))
    if "422" in str(dataset.get("PhotometricInterpretation", "")):
        bits = bits * 2 // 3  # two pixels share their colour values
    return -(-bits // 8)
