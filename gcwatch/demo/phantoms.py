"""Phantoms: made-up chest CTs of which it is known, voxel by voxel, what is lung."""

import struct
from itertools import product
from typing import Final

_SIZE_VOXELS: Final = (32, 32, 16)
_AIR_HU, _TISSUE_HU, _LUNG_HU = -1000, 40, -850
_LUNG_CENTRES: Final = ((10, 16), (22, 16))
_LUNG_RADII: Final = (4, 8)


def make_chest(number: int) -> list[int]:
    """Return the CT numbers of a chest, in Hounsfield units, x fastest.

    Args:
        number: Which phantom; each number has lungs of another length.
    """
    width, height, depth = _SIZE_VOXELS
    voxels = product(range(depth), range(height), range(width))
    return [_ct_number(x, y, z, 4 + number) for z, y, x in voxels]


def _ct_number(x: int, y: int, z: int, lung_length: int) -> int:
    width, height, depth = _SIZE_VOXELS
    if _ellipsoid_distance(x, y, z, (width / 2, height / 2), (14, 12), depth) > 1:
        return _AIR_HU
    for centre in _LUNG_CENTRES:
        if _ellipsoid_distance(x, y, z, centre, _LUNG_RADII, lung_length) <= 1:
            # Voxels differ, so that a shifted or flipped copy is not equal.
            return _LUNG_HU + (x * y + 37 * z) % 400
    return _TISSUE_HU


def _ellipsoid_distance(  # noqa: PLR0917 -- a point and an ellipsoid
    x: int,
    y: int,
    z: int,
    centre: tuple[float, float],
    radii: tuple[float, float],
    length: float,
) -> float:
    """Return the squared distance from an ellipsoid's centre; up to 1 the voxel is inside."""
    in_slice = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    return in_slice + ((z - _SIZE_VOXELS[2] / 2) / length) ** 2


def encode_voxels(voxels: list[int]) -> bytes:
    """Return CT numbers as little-endian 16-bit integers."""
    return struct.pack(f"<{len(voxels)}h", *voxels)


def segment_lungs(voxels: list[int]) -> bytes:
    """Return the correct segmentation of a chest: a byte per voxel, 1 for lung, else 0."""
    return bytes(voxel not in {_AIR_HU, _TISSUE_HU} for voxel in voxels)


def encode_mha(voxels: list[int]) -> bytes:
    """Return a chest's CT numbers as a MetaImage file."""
    header = (
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "ElementSpacing = 0.7 0.7 1.5",
        f"DimSize = {' '.join(map(str, _SIZE_VOXELS))}",
        "ElementType = MET_SHORT",
        "ElementDataFile = LOCAL",
    )
    return "\n".join((*header, "")).encode() + encode_voxels(voxels)
