"""Whole images with a name at every place that their format has for texts, and how to find it."""

import gzip
import io
import re
import struct
import urllib.parse
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import PIL.Image
import tifffile
from PIL import ImageCms

from support.voxel_files import VOXELS, compressed_meta_image, meta_image, nifti, nrrd

SECRET = b"DOE^JANE"
FORMS = {
    "ASCII": SECRET,
    "UTF-16": SECRET.decode().encode("utf-16-le"),
    "UTF-16, big-endian": SECRET.decode().encode("utf-16-be"),
    "UTF-8": "MÜLLER^ZOË".encode(),
    "Latin-1": "MÜLLER^ZOË".encode("latin-1"),
}
"""How the bytes of a name may look."""

ALL_FORMS = b" ".join(FORMS.values())
_PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04")


def find_names(content):
    """The forms in which a name is in some bytes, also in compressed data within them."""
    pieces = [content, urllib.parse.unquote_to_bytes(content), *_inflate(content)]
    return {form for form, name in FORMS.items() if any(name in each for each in pieces)}


def _inflate(content):
    for found in _PACKED.finditer(content):
        start, bits = found.start(), 32 + zlib.MAX_WBITS
        if found[0].startswith(b"PK"):
            with suppress(struct.error):
                start += 30 + sum(struct.unpack_from("<HH", content, start + 26))
                bits = -zlib.MAX_WBITS
        with suppress(zlib.error):
            yield zlib.decompressobj(bits).decompress(content[start:])


def archive_with_secrets():
    """A zip, which the importer unpacks also behind something else: its table is at its end."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", ALL_FORMS * 20)
    return out.getvalue()


GRAY = np.arange(48 * 40, dtype="u1").reshape(40, 48)


def nifti_with_secrets():
    head = bytearray(nifti()[:352])
    for begin in (14, 148, 228, 328):
        head[begin : begin + len(SECRET)] = SECRET
    size = 16 + len(ALL_FORMS) // 16 * 16 + 16
    struct.pack_into("<f", head, 108, 352 + size)
    head[348] = 1
    extension = struct.pack("<2i", size, 6) + ALL_FORMS.ljust(size - 8, b"\0")
    return bytes(head) + extension + VOXELS + ALL_FORMS


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
        chunk(kind, ALL_FORMS) for kind in (b"tEXt", b"iTXt", b"eXIf", b"tIME", b"doEj")
    )
    for kind in (b"iCCP", b"zTXt"):
        extra += chunk(kind, b"Jane\0\0" + zlib.compress(ALL_FORMS))
    pixels = data.index(b"IDAT") + 4
    (length,) = struct.unpack(">L", data[pixels - 8 : pixels - 4])
    longer = chunk(b"IDAT", data[pixels : pixels + length] + ALL_FORMS)
    return data[:33] + extra + longer + chunk(b"IEND", ALL_FORMS) + ALL_FORMS


def exif_with_secrets():
    """EXIF with an orientation, texts, and a place."""
    exif = PIL.Image.Exif()
    exif[274] = 6
    exif[315] = exif[270] = exif[0x9C9B] = SECRET.decode()
    exif.get_ifd(0x8825)[29] = exif.get_ifd(0x8769)[0x9286] = SECRET.decode()
    return exif


def profile_with_secrets():
    """An ICC profile whose description is a name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    old, new = (text.encode("utf-16-be") for text in ("sRGB built-in", "DOE^JANE     "))
    assert old in profile
    return profile.replace(old, new)


def jpeg_with_secrets(**options):
    buffer, thumbnail = io.BytesIO(), io.BytesIO()
    PIL.Image.fromarray(GRAY[:8, :8]).save(thumbnail, "jpeg", comment=ALL_FORMS)
    exif = exif_with_secrets().tobytes() + thumbnail.getvalue()
    more = {"comment": ALL_FORMS, "icc_profile": profile_with_secrets()} | options
    PIL.Image.fromarray(GRAY).save(buffer, "jpeg", exif=exif, **more)
    head, rest = buffer.getvalue()[:2], buffer.getvalue()[2:]
    others = b"".join(
        bytes((0xFF, marker)) + (2 + len(ALL_FORMS)).to_bytes(2) + ALL_FORMS
        for marker in range(0xE0, 0xF0)
    )
    return head + others + rest + ALL_FORMS


def tiff_with_secrets(**options):
    buffer = io.BytesIO()
    text = SECRET.decode()
    more = {"description": text, "datetime": True, "software": text, "metadata": None}
    tags = [(code, 2, 0, text, True) for code in (269, 271, 272, 285, 315, 316, 33432, 65000)]
    tags += [  # XMP, IPTC, Photoshop and more
        (code, 7, len(ALL_FORMS), ALL_FORMS, True) for code in (700, 33723, 34377, 37510, 50706)
    ]
    profile = profile_with_secrets()
    tags.append((34675, 7, len(profile), profile, True))
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(buffer, GRAY, extratags=tags, **(more | sized | options))
    return buffer.getvalue() + ALL_FORMS


def tiff_with_a_tail(compression):
    """The name is within its strip, behind the pixels."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(GRAY).save(buffer, "tiff", compression=compression, dpi=(100, 100))
    content = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as read:
        page = read.pages[0]
        begin, length = page.dataoffsets[-1], page.databytecounts[-1]
        assert len(page.dataoffsets) == 1
        for tag, value in {273: len(content), 279: length + len(ALL_FORMS)}.items():
            code = {3: "<H", 4: "<L"}[page.tags[tag].dtype]
            struct.pack_into(code, content, page.tags[tag].valueoffset, value)
    return bytes(content) + content[begin : begin + length] + ALL_FORMS


def tiff_with_a_place():
    buffer, exif = io.BytesIO(), exif_with_secrets()
    exif[282] = exif[283] = 100.0
    exif[296] = 3
    PIL.Image.fromarray(GRAY).save(buffer, "tiff", exif=exif)
    return buffer.getvalue()


def ome_with_secrets():
    buffer = io.BytesIO()
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER"}
    facts = {"axes": "YX", "Name": SECRET.decode(), "PhysicalSizeX": 0.25}
    tifffile.imwrite(buffer, GRAY, ome=True, metadata=facts, **sized)
    return buffer.getvalue() + ALL_FORMS


META_TEXTS = "Comment = DOE^JANE MÜLLER^ZOË\nDOE^JANE = 1\nName = DOE^JANE\n"

FILES = {
    "MetaImage": meta_image(extra=META_TEXTS) + ALL_FORMS,
    "MetaImage, compressed": compressed_meta_image(zlib.compress(VOXELS) + ALL_FORMS),
    "MetaImage, laterality": meta_image(extra=f"Laterality = {SECRET.decode()}\n"),
    "NIfTI": nifti_with_secrets(),
    "NIfTI in gzip": gzip_named(nifti_with_secrets()),
    "NRRD": nrrd(VOXELS + ALL_FORMS).replace(b"endian", b"# DOE^JANE\nk:=DOE^JANE\nendian"),
    "NRRD in gzip": nrrd(gzip_named(VOXELS + ALL_FORMS), "gzip"),
    "NRRD, content": nrrd().replace(b"endian", b"content: DOE^JANE\nendian"),
    "PNG": png_with_secrets(),
    "JPEG": jpeg_with_secrets(),
    "JPEG, progressive": jpeg_with_secrets(progressive=True),
    "TIFF": tiff_with_secrets(),
    "TIFF in strips": tiff_with_secrets(rowsperstrip=7),
    "BigTIFF, big-endian": tiff_with_secrets(bigtiff=True, byteorder=">"),
    "TIFF with tiles": tiff_with_secrets(tile=(16, 16), compression="zlib"),
    "TIFF with a place": tiff_with_a_place(),
    "TIFF with a tail": tiff_with_a_tail(None),
    "TIFF in zlib with a tail": tiff_with_a_tail("tiff_adobe_deflate"),
    "TIFF in run lengths with a tail": tiff_with_a_tail("packbits"),
    "OME-TIFF": ome_with_secrets(),
}
"""By the format; each holds a name."""
