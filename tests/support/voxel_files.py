"""Small whole images, as panimg 0.18.2 reads them: 8 x 8 x 5 voxels of two bytes, none zero."""

import gzip
import random
import struct
import zlib

VOXELS = bytes(random.Random(0).choices(range(1, 256), k=640))


def nifti(order="<", voxels=VOXELS):
    """A NIfTI-1 file with an identity direction."""
    head = bytearray(352)
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, 3, 8, 8, 5, 1, 1, 1, 1)
    struct.pack_into(order + "2h", head, 70, 4, 16)
    struct.pack_into(order + "8f", head, 76, *[1] * 8)
    struct.pack_into(order + "f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head) + voxels


def nifti2(order="<", voxels=VOXELS):
    """A NIfTI-2 file."""
    head = bytearray(544)
    struct.pack_into(order + "i", head, 0, 540)
    head[4:12] = b"n+2\0\r\n\x1a\n"
    struct.pack_into(order + "2h8q", head, 12, 4, 16, 3, 8, 8, 5, 1, 1, 1, 1)
    struct.pack_into(order + "8d", head, 104, *[1] * 8)
    struct.pack_into(order + "q", head, 168, 544)
    return bytes(head) + voxels


def meta_image(data=VOXELS, extra="", data_file="LOCAL"):
    """A MetaImage header, and its data."""
    return (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\n{extra}DimSize = 8 8 5\n"
        f"ElementType = MET_SHORT\nElementDataFile = {data_file}\n"
    ).encode() + data


def compressed_meta_image(stream, told=None):
    """A MetaImage with a compressed stream of `told` bytes."""
    told = len(stream) if told is None else told
    return meta_image(stream, f"CompressedData = True\nCompressedDataSize = {told}\n")


def nrrd(data=VOXELS, encoding="raw", newline="\n"):
    """An NRRD with attached data."""
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 8 8 5\nendian: little\n"
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        f"space origin: (0,0,0)\nencoding: {encoding}\n\n"
    )
    return head.replace("\n", newline).encode() + data


WHOLE_VOLUMES = {
    "little.nii": nifti(),
    "big.nii": nifti(">"),
    "packed.nii.gz": gzip.compress(nifti(), mtime=0),
    "plain.nii.gz": nifti(),
    "raw.mha": meta_image(),
    "zlib.mha": compressed_meta_image(zlib.compress(VOXELS)),
    "raw.nrrd": nrrd(),
    "crlf.nrrd": nrrd(newline="\r\n"),
    "gzip.nrrd": nrrd(gzip.compress(VOXELS, mtime=0), "gzip"),
}
"""By name; no prefix of one is whole."""
