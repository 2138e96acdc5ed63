"""Image formats other than MetaImage and DICOM, recognised by their headers.

The voxels of NIfTI and NRRD are copied. PNG and JPEG are not decoded: their images have the right
shape, and all voxels are 0. A TIFF is stored unchanged.
"""

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from math import hypot, isnan, prod
from pathlib import Path

from gcwatch.sandbox.metaimage import Unreadable, Volume, read_pieces

Reader = Callable[[Path, Path], Volume]

_NIFTI_TYPES = {
    2: "UCHAR",
    4: "SHORT",
    8: "INT",
    16: "FLOAT",
    64: "DOUBLE",
    256: "CHAR",
    512: "USHORT",
}
_TIFF_SIGNATURES = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
_TIFF_YCBCR = 6
_TIFF_CHANNELS = {1: 1, 2: 3, _TIFF_YCBCR: 3}
_TIFF_UNITS_MM = {2: 25.4, 3: 10.0}
_NRRD_TYPES = {
    "signed char": "CHAR",
    "int8": "CHAR",
    "unsigned char": "UCHAR",
    "uchar": "UCHAR",
    "uint8": "UCHAR",
    "short": "SHORT",
    "int16": "SHORT",
    "unsigned short": "USHORT",
    "uint16": "USHORT",
    "int": "INT",
    "int32": "INT",
    "float": "FLOAT",
    "double": "DOUBLE",
}


def read_nifti(path: Path, work: Path) -> Volume:
    """Read a .nii or .nii.gz file, recognised by its suffix (platform 13.3)."""
    if not path.name.endswith((".nii", ".nii.gz")):
        message = "not a NIfTI file"
        raise Unreadable(message)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        dims = struct.unpack_from("<8h", data, 40)
        (kind,) = struct.unpack_from("<h", data, 70)
        spacing = struct.unpack_from("<8f", data, 76)
        (start,) = struct.unpack_from("<f", data, 108)
        size = tuple(dims[1 : dims[0] + 1])
        element = f"MET_{_NIFTI_TYPES[kind]}"
    except (OSError, EOFError, zlib.error, struct.error, KeyError) as error:
        raise Unreadable(str(error)) from error
    volume = Volume(
        path.name, size, tuple(spacing[1 : dims[0] + 1]), element, work / f"{path.name}.raw"
    )
    return _write_voxels(volume, data[int(start) :])


def read_nrrd(path: Path, work: Path) -> Volume:
    """Read an NRRD file with its data in it; detached headers are not read (platform 13.3)."""
    data = path.read_bytes()
    head, _, body = data.partition(b"\n\n")
    fields = dict(
        line.split(": ", 1) for line in head.decode("utf-8", "replace").splitlines() if ": " in line
    )
    if not data.startswith(b"NRRD000") or fields.get("endian", "little") != "little":
        message = "not a little-endian NRRD file"
        raise Unreadable(message)
    try:
        size = tuple(int(number) for number in fields["sizes"].split())
        element = f"MET_{_NRRD_TYPES[fields['type']]}"
        plain = zlib.decompress(body, wbits=47) if fields["encoding"].startswith("gz") else body
    except (KeyError, ValueError, zlib.error) as error:
        raise Unreadable(str(error)) from error
    spacing = _parse_nrrd_spacing(fields, len(size))
    return _write_voxels(
        Volume(path.name, size, spacing, element, work / f"{path.name}.raw"), plain
    )


def _parse_nrrd_spacing(fields: dict[str, str], count: int) -> tuple[float, ...]:
    """Return the distance of voxels along each axis; 1 mm where the header tells none."""
    if "space directions" in fields:
        vectors = re.findall(r"none|\([^)]*\)", fields["space directions"])
        steps = tuple(
            1.0 if each == "none" else hypot(*map(float, each[1:-1].split(","))) for each in vectors
        )
    else:
        steps = tuple(map(float, fields.get("spacings", "1 " * count).split()))
    if len(steps) != count:
        message = "not a spacing for each axis"
        raise Unreadable(message)
    return tuple(1.0 if isnan(step) else abs(step) for step in steps)


def _write_voxels(volume: Volume, data: bytes) -> Volume:
    if not volume.size or prod(volume.size) < 1 or len(data) < volume.size_bytes:
        message = "voxels are missing"
        raise Unreadable(message)
    volume.raw.write_bytes(data[: volume.size_bytes])
    return volume


def read_tiff(path: Path, work: Path) -> Volume:  # noqa: ARG001 - readers have one signature
    """Recognise a TIFF with resolution tags (platform 13.5)."""
    tags = read_tiff_tags(path)
    channels = _TIFF_CHANNELS.get(tags.get(262, -1))
    if not channels:
        message = "a TIFF of colours that the platform does not know"
        raise Unreadable(message)
    return Volume(
        name=path.name,
        size=(tags[256], tags[257]),
        spacing=(_read_tiff_step(path, tags, 282), _read_tiff_step(path, tags, 283)),
        element="MET_UCHAR",
        raw=path,
        channels=channels,
        verbatim=True,
        ycbcr=tags[262] == _TIFF_YCBCR,
    )


def _read_tiff_step(path: Path, tags: dict[int, int], tag: int) -> float:
    """Return the size of a pixel in mm, from a resolution in pixels for each inch or cm."""
    unit = _TIFF_UNITS_MM.get(tags.get(296, 0))
    with path.open("rb") as file:
        order, big = _TIFF_SIGNATURES[file.read(4)]
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
            order, big = _TIFF_SIGNATURES[head[:4]]
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


def read_picture_size(path: Path) -> tuple[int, int]:
    """Read the width and height of a PNG or JPEG, in pixels.

    Raises:
        Unreadable: It is neither.
    """
    return _parse_picture(path)[0]


def read_picture(path: Path, work: Path) -> Volume:
    """Recognise a PNG or JPEG by its header (platform 13.7)."""
    size, channels = _parse_picture(path)
    raw = work / f"{path.name}.raw"
    volume = Volume(path.name, size, (1.0, 1.0), "MET_UCHAR", raw, channels, measured=False)
    raw.write_bytes(bytes(volume.size_bytes))
    return volume


def _parse_picture(path: Path) -> tuple[tuple[int, int], int]:
    with path.open("rb") as file:
        head = file.read(1 << 16)
    size, channels = _parse_png(head) or _parse_jpeg(head) or ((0, 0), 0)
    if not prod(size):
        message = "neither PNG nor JPEG"
        raise Unreadable(message)
    return size, channels


def _parse_png(head: bytes) -> tuple[tuple[int, int], int] | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26:
        return None
    width, height, _, colour = struct.unpack_from(">IIBB", head, 16)
    return (width, height), {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)


def _parse_jpeg(head: bytes) -> tuple[tuple[int, int], int] | None:
    at = 2
    while head.startswith(b"\xff\xd8") and at + 9 < len(head):
        _, marker, length = struct.unpack_from(">BBH", head, at)
        if marker in {0xC0, 0xC1, 0xC2}:
            height, width, channels = struct.unpack_from(">HHB", head, at + 5)
            return (width, height), channels
        at += 2 + length
    return None


def copy_file(volume: Volume, path: Path) -> None:
    """Copy a file that is stored unchanged."""
    with path.open("wb") as out:
        for piece in read_pieces(volume.raw):
            out.write(piece)
