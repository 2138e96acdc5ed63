"""Small whole files of every format that a socket may ask for."""

import contextlib
import gzip
import io
import sqlite3
import struct
import zipfile
import zlib


def png():
    def chunk(kind, data=b""):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", checksum)

    head = struct.pack(">LLBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND")


def jpeg():
    """With a thumbnail that has an end of its own."""

    def segment(marker, data):
        return b"\xff" + marker + struct.pack(">H", len(data) + 2) + data

    thumbnail = segment(b"\xe1", b"Exif\0\0\xff\xd8\xff\xd9")
    return (
        b"\xff\xd8" + thumbnail + segment(b"\xda", b"\x03" + bytes(9)) + b"\x12\xff\0\x34\xff\xd9"
    )


def tiff(order="<", *, big=False, pixels_last=True):
    """A gray page of 8 x 8 pixels with its resolution; its strip is in front or behind."""
    mark = {"<": b"II", ">": b"MM"}[order]
    entry, count, offset = (
        (order + "HHQQ", order + "Q", "Q") if big else (order + "HHLL", order + "H", "L")
    )
    width = struct.calcsize("<" + offset)
    start = 24 if big else 16
    dot = int.from_bytes(struct.pack(order + "2L", 100, 1), "little" if order == "<" else "big")
    values = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 8, 279: 64}
    values |= dict.fromkeys((282, 283), dot if big else start - 8) | {296: 3}
    length = struct.calcsize(count) + len(values) * struct.calcsize(entry) + width
    directory = start if pixels_last else start + 64
    values[273] = start + length if pixels_last else start
    fields = struct.pack(count, len(values))
    for tag, value in values.items():
        kind = 5 if tag in {282, 283} else 16 if big else 4
        fields += struct.pack(entry, tag, kind, 1, value)
    fields += bytes(width)
    head = struct.pack(
        order + ("HHHQ" if big else "HL"), *((43, 8, 0, directory) if big else (42, directory))
    )
    head = mark + head + struct.pack(order + "2L", 100, 1)
    return head + (fields + bytes(64) if pixels_last else bytes(64) + fields)


def mp4():
    def box(kind, data):
        return struct.pack(">L", 8 + len(data)) + kind + data

    large = struct.pack(">L4sQ", 1, b"mdat", 16 + 40) + bytes(40)
    return box(b"ftyp", b"isom\0\0\0\0isom") + large + box(b"moov", bytes(20))


def packed():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x", b"content")
        archive.writestr("y", b"content")
    return out.getvalue()


def database():
    with contextlib.closing(sqlite3.connect(":memory:")) as base:
        base.execute("create table t (a)")
        base.execute("insert into t values (zeroblob(9000))")
        base.commit()
        return base.serialize()


def hdf5(version=0, axes=b"observation sample"):
    place = {0: 24, 1: 28, 2: 12}[version]
    head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(88) + axes)
    head[8] = version
    head[9 if version == 2 else 13] = 8
    struct.pack_into("<QQQ", head, place, 0, 2**64 - 1, len(head))
    return bytes(head)


WHOLE = {
    "report.pdf": b"%PDF-1.7\n1 0 obj\nendobj\nstartxref\n0\n%%EOF\n",
    "slide.sqreg": database(),
    "thumb.jpeg": jpeg(),
    "thumb.jpg": jpeg() + b"what a camera adds",
    "thumb.png": png(),
    "model.obj": b"# made by hand\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "film.mp4": mp4(),
    "tree.newick": b"((a:1,'b (2;':2)[c (;]:3,d);\n",
    "table.biom": hdf5(),
    "table.zip": packed(),
}
"""By name."""

IMAGES = {
    "little.tif": tiff(),
    "front.tif": tiff(pixels_last=False),
    "big-endian.tiff": tiff(">"),
    "big.tif": tiff(big=True),
    "volume.nii.gz": gzip.compress(bytes(400)),
}
"""Formats of results only."""
