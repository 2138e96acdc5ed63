"""Copies the compressed pixels of a DICOM file, and nothing that is hidden beside or within them.

Removed are: comments and metadata in frames, bytes behind their ends, and a table of offsets that
is none. Within a frame, bytes are set to zero and not cut out, so that tables of offsets stay
right. The encoding is that of DICOM PS3.5, Annex A.4.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.codestreams.jpeg import blank_jpeg
from gcwatch.imaging.codestreams.jpeg_2000 import blank_jpeg_2000
from gcwatch.imaging.codestreams.run_lengths import blank_run_lengths
from gcwatch.imaging.deidentification.pixels import PixelLayout
from gcwatch.imaging.dicom.elements import END_TAG, ITEM_TAG, PixelData
from gcwatch.imaging.dicom.pixel_checks import iterate_fragments

_NATIVE: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_RUN_LENGTHS: Final = "1.2.840.10008.1.2.5"
_JPEG: Final = "1.2.840.10008.1.2.4."
_CODES: Final[dict[str, Callable[[bytearray], None]]] = {
    **{f"{_JPEG}{number}": blank_jpeg for number in (50, 51, 57, 70, 80, 81)},
    **{f"{_JPEG}{number}": blank_jpeg_2000 for number in (90, 91, 201, 202, 203)},
}
"""What cleans a frame, by transfer syntax. Not known are videos, among others."""

_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_MOST_FRAME_BYTES: Final = 256 << 20


class _Fragment(NamedTuple):
    """Where the content of a fragment is in the file, and how long it is."""

    begin: int
    length: int


def require_known_pixels(
    stream: BinaryIO, syntax: str, pixels: PixelData, layout: PixelLayout | None
) -> None:
    """Raise CantScrub if it is not known where names can be in pixels of this transfer syntax."""
    if pixels.encapsulated == (syntax in _NATIVE):
        raise CantScrub("its pixels are not compressed in the way that its header says")
    if not pixels.encapsulated:
        return
    if syntax not in _CODES and syntax != _RUN_LENGTHS:
        raise CantScrub("its pixels are a video, or compressed in a way that is not known here")
    _, *fragments = _read_fragments(stream, pixels)
    for frame in _join_frames(stream, fragments, layout):
        if sum(each.length for each in frame) > _MOST_FRAME_BYTES:
            raise CantScrub(f"a frame of it has more than {_MOST_FRAME_BYTES >> 20} MiB")


def copy_fragments(
    stream: BinaryIO, syntax: str, pixels: PixelData, target: BinaryIO, layout: PixelLayout | None
) -> None:
    """Copy the table of offsets if it is one, and all fragments, cleaned.

    Raise CantScrub if a frame is damaged, so that it is not known which bytes of it are pixels.
    """
    table, *fragments = _read_fragments(stream, pixels)
    _write_item(target, _read_table(stream, table, fragments))
    for frame in _join_frames(stream, fragments, layout):
        content = bytearray(b"".join(_read(stream, each) for each in frame))
        if syntax == _RUN_LENGTHS:
            _blank_run_lengths(content, layout)
        else:
            _CODES[syntax](content)
        at = 0
        for each in frame:
            _write_item(target, memoryview(content)[at : at + each.length])
            at += each.length
    target.write(struct.pack("<HHL", *END_TAG, 0))


def _blank_run_lengths(content: bytearray, layout: PixelLayout | None) -> None:
    if layout is None:
        raise CantScrub("its header does not say how many pixels it has")
    blank_run_lengths(content, layout.rows * layout.columns)


def _read_fragments(stream: BinaryIO, pixels: PixelData) -> list[_Fragment]:
    """Return the table of offsets and all fragments."""
    return [_Fragment(*each) for each in iterate_fragments(stream, pixels)]


def _read_table(stream: BinaryIO, table: _Fragment, fragments: Sequence[_Fragment]) -> bytes:
    """Return the table of offsets, b"" if it holds anything else than starts of fragments."""
    starts = {each.begin - fragments[0].begin for each in fragments}
    if table.length % 4 or table.length > 4 * len(starts):
        return b""
    content = _read(stream, table)
    return content if starts.issuperset(struct.unpack(f"<{table.length // 4}L", content)) else b""


def _join_frames(
    stream: BinaryIO, fragments: Sequence[_Fragment], layout: PixelLayout | None
) -> Iterator[tuple[_Fragment, ...]]:
    """Return the fragments of each frame."""
    frames = layout.frames if layout else 1
    if frames == len(fragments):
        return ((each,) for each in fragments)
    if frames == 1:
        return iter((tuple(fragments),))
    firsts = [number for number, each in enumerate(fragments) if _is_start(stream, each)]
    if len(firsts) != frames or firsts[0] != 0:
        raise CantScrub("it is not known which pieces of its pixels belong to which frame")
    ends = [*firsts[1:], len(fragments)]
    return (tuple(fragments[first:end]) for first, end in zip(firsts, ends, strict=True))


def _is_start(stream: BinaryIO, fragment: _Fragment) -> bool:
    return _read(stream, fragment._replace(length=min(4, fragment.length))).startswith(_STARTS)


def _read(stream: BinaryIO, fragment: _Fragment) -> bytes:
    stream.seek(fragment.begin)
    return stream.read(fragment.length)


def _write_item(target: BinaryIO, content: bytes | memoryview) -> None:
    target.write(struct.pack("<HHL", *ITEM_TAG, len(content)))
    target.write(content)
