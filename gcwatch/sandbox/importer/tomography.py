"""Optical coherence tomography: files by Topcon and Heidelberg (platform 13.6).

Uncompressed voxels are copied; compressed ones are not decoded and become zeros.
"""

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from gcwatch.sandbox.metaimage import Unreadable, Volume

_JPEG_2000_SIGNATURES = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_E2E_IMAGE = 0x40000000

Size = tuple[int, int, int]


def read_tomographies(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    """Build the volumes of each file with a known signature; file names do not matter.

    Args:
        files: Everything in one folder that no earlier builder took.
        work: Folder for the voxels.

    Yields:
        Each image, and the file it was made of; a .e2e may hold several.
    """
    for path in files:
        try:
            volumes = _find_reader(path)(path, work)
        except (Unreadable, struct.error, KeyError):
            continue
        for volume in volumes:
            yield volume, {path}


def _find_reader(path: Path) -> Callable[[Path, Path], list[Volume]]:
    with path.open("rb") as file:
        head = file.read(7)
    for mark, reader in ((b"FDS", _read_fds), (b"FDA", _read_fda), (b"CMD", _read_e2e)):
        if mark in head:
            return reader
    raise Unreadable("no tomography")


def _parse_chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a Topcon file by name."""
    chunks, at = {}, 15
    while at < len(data) and data[at]:
        name = data[at + 1 : at + 1 + data[at]]
        at += 1 + len(name)
        (size,) = struct.unpack_from("<I", data, at)
        chunks[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return chunks


def _require_chunk(chunks: dict[bytes, bytes], name: bytes) -> None:
    """Check that the picture of the fundus is there; the importer makes no image of it."""
    if name not in chunks:
        raise Unreadable(f"no {name.decode()}")


def _make_topcon_volume(
    path: Path, size: Size, chunks: dict[bytes, bytes], voxels: bytes, raw: Path
) -> Volume:
    width, height, slices = size
    x_mm, z_mm, y_um = struct.unpack_from("<3d", chunks[b"@PARAM_SCAN_04"], 12)
    if min(size) < 1 or len(voxels) < 2 * width * height * slices:
        raise Unreadable("voxels are missing")
    raw.write_bytes(voxels[: 2 * width * height * slices])
    spacing = (x_mm / width, y_um / 1000, z_mm / slices)
    return Volume(path.name, size, spacing, "MET_USHORT", raw)


def _read_fds(path: Path, work: Path) -> list[Volume]:
    chunks = _parse_chunks(path.read_bytes())
    _require_chunk(chunks, b"@IMG_OBS")
    scan = chunks[b"@IMG_SCAN_03"]
    width, height, _bits, slices = struct.unpack_from("<4I", scan, 1)
    size = (width, height, slices)
    return [_make_topcon_volume(path, size, chunks, scan[22:], work / f"{path.name}.raw")]


def _read_fda(path: Path, work: Path) -> list[Volume]:
    chunks = _parse_chunks(path.read_bytes())
    _require_chunk(chunks, b"@IMG_FUNDUS")
    packed = chunks[b"@IMG_JPEG"]
    width, height, slices = struct.unpack_from("<3I", packed, 9)
    at = 25
    for _ in range(slices):
        (length,) = struct.unpack_from("<I", packed, at)
        if not packed[at + 4 : at + 4 + length].startswith(_JPEG_2000_SIGNATURES):
            raise Unreadable("a slice is not JPEG 2000")
        at += 4 + length
    size, zeros = (width, height, slices), bytes(2 * width * height * slices)
    return [_make_topcon_volume(path, size, chunks, zeros, work / f"{path.name}.raw")]


def _read_e2e(path: Path, work: Path) -> list[Volume]:
    """Build one volume per series; each slice is a chunk, at any position in the file."""
    data = path.read_bytes()
    series: dict[tuple[int, ...], dict[int, tuple[int, int]]] = {}
    for found in re.finditer(b"MDbData", data):
        *_, patient, study, number, place, sort, _, kind, _ = struct.unpack_from(
            "<12s8Ii2H2I", data, found.start()
        )
        if (kind, sort) == (_E2E_IMAGE, 1):
            width, height = struct.unpack_from("<2I", data, found.start() + 72)
            series.setdefault((patient, study, number), {})[place // 2] = (width, height)
    return [
        _make_heidelberg_volume(path, [*slices.values()], work / f"{path.name}-{number}.raw")
        for number, slices in enumerate(series.values())
    ]


def _make_heidelberg_volume(path: Path, slices: list[tuple[int, int]], raw: Path) -> Volume:
    width, height = slices[0]
    if set(slices) != {(width, height)} or not width * height:
        raise Unreadable("slices of different shapes")
    raw.write_bytes(bytes(2 * width * height * len(slices)))
    spacing = (6 / height, 0.0039, 4.5 / len(slices))
    return Volume(path.name, (height, width, len(slices)), spacing, "MET_USHORT", raw)
