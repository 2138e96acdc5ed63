"""JPEG: comments and application segments go but for numbers of colours; so does what follows.

The importer ignores the orientation in EXIF (panimg 0.18.2 with Pillow). It is kept all the same,
as the only number of a new EXIF segment, so that the picture is not shown turned elsewhere.
"""

import struct
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER_BYTES
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.codestreams.jpeg import (
    BARE,
    END,
    JFIF_APP,
    KEPT,
    MARKER,
    SCAN,
    START,
    check_segment,
    needed_bytes,
)
from gcwatch.imaging.scrub.icc import clean_profile
from gcwatch.imaging.scrub.streaming import Write

_MOST_SEGMENTS = 100_000
_ICC, _EXIF = b"ICC_PROFILE\0", b"Exif\0\0"
_ICC_APP = 0xE2
_ICC_HEAD = len(_ICC) + 2
"""Bytes before a part of a profile: the mark, the part's number, and how many there are."""
_ICC_PART = 65519


def scrub_jpeg(stream: BinaryIO) -> Write:
    """Given a JPEG, return what writes its picture without texts, thumbnails and other pictures."""

    def write(target: BinaryIO) -> None:
        stream.seek(0)
        copy_jpeg(stream, target)

    return write


def copy_jpeg(stream: BinaryIO, target: BinaryIO) -> None:
    """Copy one JPEG, or only its tables, from where the stream is."""
    if stream.read(2) != START:
        raise CantScrub("it has no JPEG header")
    target.write(START)
    profile: list[bytes] = []
    for _ in range(_MOST_SEGMENTS):
        marker = read_marker(stream)
        if marker == END:
            target.write(b"\xff\xd9")
            return
        if marker in BARE:
            continue
        length = int.from_bytes(stream.read(2)) - 2
        if length < 0:
            raise CantScrub("its segments are damaged")
        _copy_segment(stream, marker, length, target, profile)
        if marker == SCAN:
            copy_scan(stream, target)
    raise CantScrub("it has too many segments")


def read_marker(stream: BinaryIO) -> int:
    """Return the marker that is next in a JPEG."""
    if stream.read(1) != b"\xff":
        raise CantScrub("its segments are damaged")
    while (byte := stream.read(1)) == b"\xff":
        pass  # any number of FF bytes may precede a marker
    if not byte:
        raise CantScrub("its end is missing")
    return byte[0]


def _copy_segment(
    stream: BinaryIO, marker: int, length: int, target: BinaryIO, profile: list[bytes]
) -> None:
    """Copy what is kept of a segment; `profile` holds the parts of the ICC profile so far."""
    data = stream.read(length)
    if len(data) < length:
        raise CantScrub("its end is missing")
    if marker in KEPT:
        check_segment(marker, data)
        _write_segment(target, marker, data)
    elif marker == _ICC_APP and data.startswith(_ICC):
        profile.append(data[_ICC_HEAD:])
        if data[_ICC_HEAD - 2 : _ICC_HEAD - 1] == data[_ICC_HEAD - 1 : _ICC_HEAD]:
            _write_profile(target, clean_profile(b"".join(profile)))
    elif kept := _clean_application(marker, data):
        _write_segment(target, marker, kept)


def _write_segment(target: BinaryIO, marker: int, data: bytes) -> None:
    target.write(bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2) + data)


def _write_profile(target: BinaryIO, profile: bytes) -> None:
    parts = [profile[at : at + _ICC_PART] for at in range(0, len(profile), _ICC_PART)]
    for number, part in enumerate(parts, start=1):
        _write_segment(target, _ICC_APP, _ICC + bytes((number, len(parts) & 0xFF)) + part)


def _clean_application(marker: int, data: bytes) -> bytes:
    """Return what is kept of an application segment, b"" for nothing."""
    if needed := needed_bytes(marker, data):
        return data[:needed] + b"\0\0" * (marker == JFIF_APP)  # without the thumbnail
    if marker == 0xE1 and data.startswith(_EXIF) and (turned := _orientation(data[6:])):
        return _EXIF + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c" % turned + bytes(6)
    return b""


def _orientation(exif: bytes) -> int:
    """Return the orientation that an EXIF block tells, 0 if it is the usual one or none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 14:
        return 0
    (place,) = struct.unpack_from(order + "L", exif, 4)
    if place + 2 > len(exif):
        return 0
    (count,) = struct.unpack_from(order + "H", exif, place)
    for entry in range(place + 2, min(place + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHLH", exif, entry)
        if (tag, kind) == (274, 3):
            return value if 2 <= value <= 8 else 0
    return 0


def copy_scan(stream: BinaryIO, target: BinaryIO) -> None:
    """Copy compressed pixels until the next marker, and leave the stream there."""
    while data := stream.read(BUFFER_BYTES):
        if found := MARKER.search(data):
            target.write(data[: found.start()])
            stream.seek(found.start() - len(data), 1)
            return
        if data.endswith(b"\xff") and len(data) > 1:
            data = data[:-1]  # its second byte is in the next piece
            stream.seek(-1, 1)
        target.write(data)
    raise CantScrub("its end is missing")
