"""MetaImage files (MHA, MHD with a raw file): read, and written as the importer does."""

import hashlib
import math
import re
import shutil
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 1 << 20

# MetaImage's element types, each with its type code in Python's array module.
TYPE_CODES = {
    "MET_CHAR": "b",
    "MET_UCHAR": "B",
    "MET_SHORT": "h",
    "MET_USHORT": "H",
    "MET_INT": "i",
    "MET_UINT": "I",
    "MET_LONG": "i",
    "MET_ULONG": "I",
    "MET_LONG_LONG": "q",
    "MET_ULONG_LONG": "Q",
    "MET_FLOAT": "f",
    "MET_DOUBLE": "d",
}


_SUPPORTED_AXES = range(2, 5)


class Unreadable(Exception):
    """The file is not of this format, or is damaged."""


@dataclass(frozen=True)
class Volume:
    """Voxels on disk and what they mean.

    Attributes:
        name: Name of the image on the platform (platform 13.10).
        size: Voxels along x, y, z.
        spacing: Millimetres along the same axes.
        element: MetaImage element type.
        raw: File of little-endian voxels, x fastest, and nothing else.
        channels: Numbers per voxel.
        offset: Position of the first voxel, in millimetres.
        verbatim: Whether raw is a complete TIFF file, which is stored unchanged.
        measured: Whether the spacing was in the file; the platform tells it only then.
        ycbcr: Whether the three numbers of a pixel are brightness and colour differences.
    """

    name: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    element: str
    raw: Path
    channels: int = 1
    offset: tuple[float, ...] = ()
    verbatim: bool = False
    measured: bool = True
    ycbcr: bool = False

    @property
    def typecode(self) -> str:
        """Element type, as a type code of the array module."""
        return TYPE_CODES[self.element]

    @property
    def color_space(self) -> str:
        """What the platform calls the numbers of a voxel, "" if it takes no such image."""
        spaces = {1: "GRAY", 3: "YCBCR" if self.ycbcr else "RGB", 4: "RGBA"}
        return spaces.get(self.channels, "")

    @property
    def size_bytes(self) -> int:
        """Size of all voxels, in bytes."""
        return math.prod(self.size) * self.channels * array(self.typecode).itemsize


def is_metaimage(header: dict[str, str]) -> bool:
    """Return whether header lines are those of a MetaImage file."""
    return "ElementDataFile" in header and "DimSize" in header


def read_header(path: Path) -> tuple[dict[str, str], int]:
    """Read the header lines up to ElementDataFile.

    Returns:
        The lines by key, and the position after them. Empty for other files.
    """
    header: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in header:
            line = file.readline(10_000)
            if not re.match(rb"\s*[A-Za-z_][\w ]*=|\s*$", line) or not line or len(header) > 1000:
                return {}, 0
            key, _, value = line.decode("utf-8", "replace").partition("=")
            if key.strip():
                header[key.strip()] = value.strip()
        return header, file.tell()


def read_volume(path: Path, work: Path) -> tuple[Volume, set[Path]]:
    """Read a MetaImage file; its data must be complete (platform 13.9).

    Args:
        path: The .mha or .mhd.
        work: Folder for the voxels.

    Returns:
        The volume, and the files it was read from.

    Raises:
        Unreadable: The header makes no sense, or data is missing.
        ValueError: It crashes the importer.
    """
    header, start = read_header(path)
    try:
        volume = _parse_header(header, path.name, work / f"{path.name}.raw")
        data, start = _locate_data(header, path, start, volume.size_bytes)
        if header.get("BinaryData", "True").lower() in {"false", "0"}:
            pieces = _read_text(data, start, volume)
        else:
            pieces = _read_data(header, data, start)
    except (KeyError, ValueError) as error:
        raise Unreadable(str(error)) from error
    if not math.prod(volume.size):
        message = "the importer crashes at an axis without voxels"
        raise ValueError(message)
    swap = any(_is_true(header, key) for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    _write_voxels(pieces, volume, swap=swap, fill=_is_true(header, "CompressedData"))
    return volume, {path, data}


def _parse_header(header: dict[str, str], name: str, raw: Path) -> Volume:
    size = tuple(int(number) for number in header["DimSize"].split())
    spacing = header.get("ElementSpacing") or header.get("ElementSize") or "1 " * len(size)
    offset = header.get("Offset") or header.get("Position") or "0 " * len(size)
    element = header["ElementType"].removesuffix("_ARRAY")
    is_supported = element in TYPE_CODES and len(size) in _SUPPORTED_AXES and min(size) >= 0
    if not is_supported or len(size) != int(header["NDims"]):
        message = "unsupported element type or size"
        raise ValueError(message)
    steps = tuple(float(number) for number in spacing.split())
    if not all(steps) or _is_singular(header.get("TransformMatrix", "").split(), len(size)):
        message = "a spacing of zero, or directions that are not independent"
        raise ValueError(message)
    return Volume(
        name=name,
        size=size,
        spacing=steps,
        element=element,
        raw=raw,
        channels=int(header.get("ElementNumberOfChannels", "1")),
        offset=tuple(float(number) for number in offset.split()),
    )


def _is_singular(words: list[str], rank: int) -> bool:
    """Return whether a square matrix, row by row, has a determinant of 0; () is none."""
    numbers = [float(word) for word in words]
    rows = [numbers[at : at + rank] for at in range(0, len(numbers), rank)]
    return len(numbers) == rank * rank and _determinant(rows) == 0


def _determinant(rows: list[list[float]]) -> float:
    if not rows:
        return 1.0
    first, *rest = rows
    minors = ([row[:at] + row[at + 1 :] for row in rest] for at in range(len(first)))
    pairs = enumerate(zip(first, minors, strict=True))
    return math.fsum(
        (-1) ** (at % 2) * number * _determinant(minor) for at, (number, minor) in pairs
    )


def _locate_data(header: dict[str, str], path: Path, start: int, length: int) -> tuple[Path, int]:
    """Return the file that holds the voxels, and their position in it (platform 13.3)."""
    name = header["ElementDataFile"]
    if name == "LOCAL":
        return path, start
    sibling = path.parent / name
    if path.parent.resolve() not in sibling.resolve().parents or not sibling.is_file():
        message = "cannot find data file"
        raise Unreadable(message)
    skipped = int(header.get("HeaderSize", "0"))
    # A negative HeaderSize means that the voxels are the last bytes of the file.
    return sibling, max(0, sibling.stat().st_size - length) if skipped < 0 else skipped


def _read_data(header: dict[str, str], path: Path, start: int) -> Iterator[bytes]:
    pieces = read_pieces(path, start)
    if not _is_true(header, "CompressedData"):
        return pieces
    if path.stat().st_size - start < int(header.get("CompressedDataSize", "0")):
        message = "compressed bytes are missing"
        raise Unreadable(message)
    return _inflate(pieces)


def _is_true(header: dict[str, str], key: str) -> bool:
    return header.get(key, "").lower() in {"true", "1"}


def read_pieces(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces of at most 1 MiB."""
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what can be decompressed; the importer does not notice damage."""
    inflater = zlib.decompressobj(wbits=47)
    try:
        for piece in pieces:
            yield inflater.decompress(piece)
        yield inflater.flush()
    except zlib.error:
        return


def _read_text(path: Path, start: int, volume: Volume) -> Iterator[bytes]:
    """Return numbers that are written as text."""
    parse = float if volume.typecode in "fd" else int
    numbers = path.read_bytes()[start:].split()
    return iter((array(volume.typecode, map(parse, numbers)).tobytes(),))


def _write_voxels(pieces: Iterator[bytes], volume: Volume, *, swap: bool, fill: bool) -> None:
    """Write the voxels; `fill` writes zeros for those that are missing."""
    left = volume.size_bytes
    with volume.raw.open("wb") as out:
        for piece in pieces:
            out.write(piece[:left])
            left = max(0, left - len(piece))
        if left and fill:
            out.truncate(volume.size_bytes)
    if left and not fill:
        message = f"{left} bytes of voxels are missing"
        raise Unreadable(message)
    if swap:
        _swap_bytes(volume)


def _swap_bytes(volume: Volume) -> None:
    voxels = array(volume.typecode, volume.raw.read_bytes())
    voxels.byteswap()
    volume.raw.write_bytes(voxels.tobytes())


def read_voxels(volume: Volume) -> Iterator[array]:  # type: ignore[type-arg]
    """Yield the voxels of a volume, in arrays of at most 1 MiB."""
    for piece in read_pieces(volume.raw):
        numbers = array(volume.typecode, piece)
        if sys.byteorder == "big":
            numbers.byteswap()
        yield numbers


def hash_voxels(path: Path, work: Path) -> str:
    """Return the SHA-256 of a file's voxels (little-endian, x fastest)."""
    with read_volume(path, work)[0].raw.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume as the platform rewrites it: one compressed .mha (platform 13.11)."""
    packed = path.with_name(f"{path.name}.packed")
    with packed.open("wb") as out:
        _deflate(read_pieces(volume.raw), out)
    with path.open("wb") as out, packed.open("rb") as data:
        out.write(_format_header(volume, packed.stat().st_size).encode())
        shutil.copyfileobj(data, out, CHUNK_BYTES)
    packed.unlink()


def _deflate(pieces: Iterator[bytes], out: BinaryIO) -> None:
    deflater = zlib.compressobj(level=1)
    out.writelines(deflater.compress(piece) for piece in pieces)
    out.write(deflater.flush())


def _format_header(volume: Volume, packed: int) -> str:
    dims = len(volume.size)
    diagonal = ("1" if x == y else "0" for x in range(dims) for y in range(dims))
    zeros = (0.0,) * dims
    channels = [f"ElementNumberOfChannels = {volume.channels}"] * (volume.channels > 1)
    lines = [
        "ObjectType = Image",
        f"NDims = {dims}",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {packed}",
        f"TransformMatrix = {' '.join(diagonal)}",
        f"Offset = {_format_numbers(volume.offset or zeros)}",
        f"CenterOfRotation = {_format_numbers(zeros)}",
        f"ElementSpacing = {_format_numbers(volume.spacing)}",
        f"DimSize = {' '.join(map(str, volume.size))}",
        *channels,
        f"ElementType = {volume.element}",
        "ElementDataFile = LOCAL",
        "",
    ]
    return "\n".join(lines)


def _format_numbers(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)
