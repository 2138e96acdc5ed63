"""Whole images with a name at every place that their format has for texts."""

import gzip
import io
import struct
import zlib

import numpy as np
import PIL.Image
import tifffile

from support.voxel_files import VOXELS, compressed_meta_image, meta_image, nifti, nrrd

SECRET = b"DOE^JANE"
GRAY = np.arange(48 * 40, dtype="u1").reshape(40, 48)


def nifti_with_secrets():
    head = bytearray(nifti()[:352])
    for begin in (14, 148, 228, 328):
        head[begin : begin + len(SECRET)] = SECRET
    struct.pack_into("<f", head, 108, 384)
    head[348] = 1
    extension = struct.pack("<2i", 32, 6) + SECRET.ljust(24, b"\0")
    return bytes(head) + extension + VOXELS + SECRET


def gzip_named(content):
    packed = gzip.compress(content)
    return packed[:3] + b"\x08" + packed[4:10] + SECRET + b"\0" + packed[10:]


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def png_with_secrets():
    buffer = io.BytesIO()
    PIL.Image.fromarray(GRAY).save(buffer, "png")
    data = buffer.getvalue()
    extra = b"".join(
        chunk(kind, SECRET) for kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"tIME", b"doEj")
    )
    pixels = data.index(b"IDAT") + 4
    (length,) = struct.unpack(">L", data[pixels - 8 : pixels - 4])
    longer = chunk(b"IDAT", data[pixels : pixels + length] + SECRET)
    return data[:33] + extra + longer + chunk(b"IEND", b"") + SECRET


def jpeg_with_secrets():
    thumbnail = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(4) + SECRET
    buffer = io.BytesIO()
    PIL.Image.fromarray(GRAY).save(buffer, "jpeg", exif=b"Exif\0\0" + thumbnail, comment=SECRET)
    return buffer.getvalue() + SECRET


def tiff_with_secrets(**options):
    buffer = io.BytesIO()
    text = SECRET.decode()
    more = {"description": text, "datetime": True, "software": text, "metadata": None}
    tags = [(code, 2, 0, text, True) for code in (269, 271, 272, 315, 316, 33432, 65000)]
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(buffer, GRAY, extratags=tags, **(more | sized | options))
    return buffer.getvalue() + SECRET


FILES = {
    "MetaImage": meta_image(extra=f"Comment = {SECRET.decode()}\nDOE^JANE = 1\n") + SECRET,
    "MetaImage, compressed": compressed_meta_image(zlib.compress(VOXELS) + SECRET),
    "MetaImage, laterality": meta_image(extra=f"Laterality = {SECRET.decode()}\n"),
    "NIfTI": nifti_with_secrets(),
    "NIfTI in gzip": gzip_named(nifti_with_secrets()),
    "NRRD": nrrd(VOXELS + SECRET).replace(b"endian", b"# DOE^JANE\nk:=DOE^JANE\nendian"),
    "NRRD in gzip": nrrd(gzip_named(VOXELS + SECRET), "gzip"),
    "NRRD, content": nrrd().replace(b"endian", b"content: DOE^JANE\nendian"),
    "PNG": png_with_secrets(),
    "JPEG": jpeg_with_secrets(),
    "TIFF": tiff_with_secrets(),
    "BigTIFF, big-endian": tiff_with_secrets(bigtiff=True, byteorder=">"),
    "TIFF with tiles": tiff_with_secrets(tile=(16, 16), compression="zlib"),
}
