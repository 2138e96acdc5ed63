"""TIFF: recognised by its tags, and stored unchanged."""

import struct
from collections.abc import Iterator
from pathlib import Path

from gcwatch.sandbox.metaimage import Unreadable, Volume, read_pieces

_SIGNATURES = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
_YCBCR = 6
_CHANNELS = {1: 1, 2: 3, _YCBCR: 3}
_UNITS_MM = {2: 25.4, 3: 10.0}


def read_tiff(path: Path, work: Path) -> Volume:  # noqa: ARG001 - readers have one signature
    """Recognise a TIFF with resolution tags (platform 13.5)."""
    tags = read_tiff_tags(path)
    channels = _CHANNELS.get(tags.get(262, -1))
    if not channels:
        message = "a TIFF of colours that the platform does not know"
        raise Unreadable(message)
    return Volume(
        name=path.name,
        size=(tags[256], tags[257]),
        spacing=read_pixel_spacing(path, tags),
        element="MET_UCHAR",
        raw=path,
        channels=channels,
        verbatim=True,
        ycbcr=tags[262] == _YCBCR,
    )


def read_pixel_spacing(path: Path, tags: dict[int, int]) -> tuple[float, float]:
    """Return the size of a pixel in mm.

    Raises:
        Unreadable: The tags do not tell it.
    """
    return _read_step(path, tags, 282), _read_step(path, tags, 283)


def _read_step(path: Path, tags: dict[int, int], tag: int) -> float:
    """Return the size of a pixel in mm, from a resolution in pixels for each inch or cm."""
    unit = _UNITS_MM.get(tags.get(296, 0))
    with path.open("rb") as file:
        order, big = _SIGNATURES[file.read(4)]
        file.seek(tags.get(tag, 0))
        pair = struct.pack(f"{order}Q", tags.get(tag, 0)) if big else file.read(8)
    pixels, length = struct.unpack(f"{order}II", pair) if len(pair) == 8 else (0, 0)
    if unit is None or not pixels or not length:
        message = "a TIFF without resolution"
        raise Unreadable(message)
    return unit * float(length) / float(pixels)


def read_tiff_tags(path: Path) -> dict[int, int]:
    """Read the first directory of a TIFF or BigTIFF: the tags and their integer values.

    Raises:
        Unreadable: It is not a TIFF, or its size is missing.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
            order, big = _SIGNATURES[head[:4]]
            file.seek(struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0])
            tags = dict(_parse_directory(file.read(1 << 16), order, big))
    except (KeyError, OverflowError, struct.error) as error:
        message = "not a TIFF file"
        raise Unreadable(message) from error
    if not (tags.get(256) and tags.get(257)):
        message = "a TIFF without size"
        raise Unreadable(message)
    return tags


def _parse_directory(directory: bytes, order: str, big: bool) -> Iterator[tuple[int, int]]:
    start, entry, value_at = (8, 20, 12) if big else (2, 12, 8)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", directory)
    for index in range(count):
        at = start + entry * index
        tag, kind = struct.unpack_from(f"{order}HH", directory, at)
        form = {3: "H", 5: "Q" if big else "I", 16: "Q"}.get(kind, "I")
        (value,) = struct.unpack_from(f"{order}{form}", directory, at + value_at)
        yield tag, value


def write_black_tiff(path: Path, size: tuple[int, int]) -> None:
    """Write a black TIFF; all rows point to the same bytes, so that the file is small."""
    width, height = size
    after = 8 + 2 + 12 * 12 + 4
    rows, counts, dot = after, after + 4 * height, after + 8 * height
    longs = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1, 296: 3}
    fields = [(tag, 4, 1, value) for tag, value in longs.items()]
    fields += [(273, 4, height, rows if height > 1 else dot + 8)]
    fields += [(279, 4, height, counts if height > 1 else width)]
    fields += [(282, 5, 1, dot), (283, 5, 1, dot)]
    with path.open("wb") as out:
        out.write(struct.pack("<4sIH", b"II*\0", 8, len(fields)))
        out.writelines(struct.pack("<HHII", *each) for each in sorted(fields))
        out.write(bytes(4))
        out.write(struct.pack("<I", dot + 8) * height)
        out.write(struct.pack("<I", width) * height)
        out.write(struct.pack("<II", 10, 1) + bytes(width))


def copy_file(volume: Volume, path: Path) -> None:
    """Copy a file that is stored unchanged."""
    with path.open("wb") as out:
        for piece in read_pieces(volume.raw):
            out.write(piece)
