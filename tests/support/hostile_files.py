"""Folders that were made to stop a reader: bombs, loops, endless lines, sizes that nobody has."""

import gzip
import io
import os
import struct
import zipfile
import zlib

from support.builders import mha
from support.whole_files import png, tiff

GIB = 1 << 30
BIG_BYTES = 300 << 20


def _gzip_bomb(start=b""):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=1) as file:
        file.write(start)
        for _ in range(BIG_BYTES >> 20):
            file.write(bytes(1 << 20))
    return packed.getvalue()


def _zlib_bomb(raw=False):
    packer = zlib.compressobj(1, wbits=-15 if raw else 15)
    pieces = [packer.compress(bytes(1 << 20)) for _ in range(BIG_BYTES >> 20)]
    return b"".join(pieces) + packer.flush()


def _zip_bomb():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in ("a.dcm", "b.json"):
            with file.open(name, "w") as entry:
                for _ in range(BIG_BYTES >> 20):
                    entry.write(bytes(1 << 20))
    return packed.getvalue()


def _element(tag, kind, value):
    group, number = tag
    if kind in {b"OB", b"OW", b"SQ", b"UN", b"UT"}:
        return struct.pack("<HH2sHL", group, number, kind, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def _dicom(body, syntax=b"1.2.840.10008.1.2.1"):
    syntax += b"\0" * (len(syntax) % 2)
    meta = _element((2, 2), b"UI", b"1.2.840.10008.5.1.4.1.1.2\0") + _element(
        (2, 0x10), b"UI", syntax
    )
    head = _element((2, 0), b"UL", struct.pack("<L", len(meta)))
    return bytes(128) + b"DICM" + head + meta + body


def _sparse(start, size):
    def make(path):
        path.write_bytes(start)
        os.truncate(path, size)

    return make


def _nifti(sizes, kind=16):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(sizes), *sizes, *[1] * (7 - len(sizes)))
    struct.pack_into("<2h", head, 70, kind, 32)
    struct.pack_into("<8f", head, 76, *[1.0] * 8)
    struct.pack_into("<f", head, 108, 352.0)
    head[344:348] = b"n+1\0"
    return bytes(head)


_NESTED = struct.pack("<HH2sHL", 0x40, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
    "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
)
_MHA = (
    "ObjectType = Image\nNDims = 3\nDimSize = %s\nElementType = MET_FLOAT\n"
    "%sElementDataFile = LOCAL\n"
)
_LOOP = struct.pack("<2sHL", b"II", 42, 8) + struct.pack("<HHHLLL", 1, 256, 3, 1, 8, 8)
_ZLIB_LINE = "CompressedData = True\n"


def _mha(sizes, body=b"", more=""):
    return (_MHA % (sizes, more)).encode() + body


def _tiff_of_strips(count):
    """A page of as many lines, each a strip of one pixel at the same place."""
    entries = [
        *((256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, count, 200), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, 200 + 4 * count)),
        *((282, 5, 1, 180), (283, 5, 1, 180), (296, 3, 1, 2)),
    ]
    fields = b"".join(struct.pack("<HHLL", *each) for each in entries)
    head = struct.pack("<2sHLH", b"II", 42, 8, len(entries)) + fields
    head = (head.ljust(180, b"\0") + struct.pack("<LL", 100, 1)).ljust(200, b"\0")
    return head + struct.pack("<L", 8) * count + struct.pack("<L", 1) * count


HOSTILE_FILES = {
    "receipt": ("gcwatch.json", lambda: b"[" * (20 << 20)),
    "receipt without end": ("gcwatch.json", lambda: _sparse(b'{"a": "', GIB)),
    "deflated DICOM": (
        "x.dcm",
        lambda: _dicom(_zlib_bomb(raw=True), b"1.2.840.10008.1.2.1.99"),
    ),
    "private element": (
        "x.dcm",
        lambda: _sparse(_dicom(struct.pack("<HH2sHL", 9, 0x1010, b"OB", 0, GIB)), GIB + 1000),
    ),
    "an element that is longer than the file": (
        "x.dcm",
        lambda: _dicom(struct.pack("<HH2sHL", 9, 0x1010, b"OB", 0, 0xFFFFFFF0)),
    ),
    "nested sequences": ("x.dcm", lambda: _dicom(_NESTED * 100_000)),
    "many elements": (
        "x.dcm",
        lambda: _dicom(_element((9, 0x1010), b"LO", b"ab") * 2_000_000),
    ),
    "long header": ("x.dcm", lambda: _dicom(_element((9, 0x1010), b"LO", b"ab") * 280_000)),
    "deflated elements": (
        "x.dcm",
        lambda: _dicom(
            zlib.compress(
                b"".join(
                    _element((0x29 + 2 * (n >> 15), 0x1010 + (n & 0x7FFF)), b"LO", b"ab")
                    for n in range(500_000)
                ),
                wbits=-15,
            ),
            b"1.2.840.10008.1.2.1.99",
        ),
    ),
    "sequence of nothing": (
        "x.dcm",
        lambda: _dicom(_NESTED[:12] + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 1_500_000),
    ),
    "no element ends": ("x.dcm", lambda: _sparse(_dicom(_NESTED), GIB)),
    "packed NIfTI": ("x.nii.gz", lambda: _gzip_bomb(_nifti((64, 64, 64)))),
    "endless NIfTI": ("x.nii", lambda: _nifti((32767, 32767, 32767))),
    "gzip of nothing": ("x.nii.gz", _gzip_bomb),
    "MetaImage line": ("x.mha", lambda: _sparse(b"ObjectType = Image\nComment = ", GIB)),
    "MetaImage lines": ("x.mha", lambda: b"NDims = 3\n" * 3_000_000),
    "MetaImage zlib": ("x.mha", lambda: _mha("4 4 4", _zlib_bomb(), _ZLIB_LINE)),
    "MetaImage sizes": ("x.mha", lambda: _mha("9" * 5000 + " 2 2")),
    "NRRD line": ("x.nrrd", lambda: _sparse(b"NRRD0004\ncontent: ", GIB)),
    "NRRD gzip": (
        "x.nrrd",
        lambda: (
            b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: gzip\n\n" + _gzip_bomb()
        ),
    ),
    "TIFF loop": ("x.tif", lambda: _LOOP),
    "TIFF counts": ("x.tif", lambda: tiff()[:8] + b"\xff\xff" + b"\x01\x01\x10\0" * 100),
    "TIFF strips": ("x.tif", lambda: _tiff_of_strips(1_500_000)),
    "TIFF chain": (
        "x.tif",
        lambda: (
            struct.pack("<2sHL", b"II", 42, 8)
            + b"".join(struct.pack("<HL", 0, 8 + 6 * (n + 1)) for n in range(500_000))
        ),
    ),
    "slides": ("Slidedat.ini", lambda: _sparse(b"[GENERAL]\nX = ", GIB)),
    "deep JSON": ("x.json", lambda: b"[" * (50 << 20)),
    "JSON text": ("x.json", lambda: b'"' + b"x" * (100 << 20) + b'"'),
    "JSON number": ("x.json", lambda: b"9" * (50 << 20)),
    "zip": ("x.zip", _zip_bomb),
    "a zip as NIfTI": ("x.nii", _zip_bomb),
    "PNG text": (
        "x.png",
        lambda: (
            png()[:33]
            + struct.pack(">L", 8 + len(_zlib_bomb()))
            + b"zTXtcomment\0\0"
            + _zlib_bomb()
        ),
    ),
    "PNG parts": (
        "x.png",
        lambda: png()[:33] + (bytes(4) + b"tEXt" + zlib.crc32(b"tEXt").to_bytes(4)) * 3_000_000,
    ),
    "PNG chunk": ("x.png", lambda: _sparse(png()[:33] + struct.pack(">L4s", GIB, b"IDAT"), GIB)),
    "JPEG markers": ("x.jpg", lambda: b"\xff\xd8" + b"\xff\xe0\0\x02" * 5_000_000),
}
"""By what it is: the file's name, and its content, or what makes it at a path."""


def write_hostile(folder, what):
    """Make a folder with one hostile file."""
    name, make = HOSTILE_FILES[what]
    folder.mkdir()
    content = make()
    if callable(content):
        content(folder / name)
    else:
        (folder / name).write_bytes(content)
    if name == "gcwatch.json":  # alone it would make no case
        (folder / "image.mha").write_bytes(mha())
