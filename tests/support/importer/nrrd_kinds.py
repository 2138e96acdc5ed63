"""Kinds of NRRD: whole, odd and cut."""

import bz2
import gzip
import zlib

from support.importer.dicom_files import random_voxels
from support.importer.judge import Picture
from support.importer.kinds import NOTHING, RIGHT, Kinds
from support.importer.volumes import RAW, SPACING, VOXELS, picture

NRRD = Kinds("NRRD")


def nrrd(
    data, encoding="raw", *, kind="short", sizes="5 4 3", endian="little", more="", newline="\n"
):
    """The bytes of an NRRD."""
    rank = len(sizes.split())
    spacings = " ".join(map(str, (*SPACING, 1.0, 1.0)[:rank]))
    head = (
        f"NRRD0004\ntype: {kind}\ndimension: {rank}\nsizes: {sizes}\nspacings: {spacings}\n"
        f"endian: {endian}\nencoding: {encoding}\n{more}\n"
    )
    return head.replace("\n", newline).encode() + data


def _nrrd(folder, *arguments, **more):
    (folder / "image.nrrd").write_bytes(nrrd(*arguments, **more))


@NRRD.add("plain", RIGHT)
def nrrd_plain(folder):
    _nrrd(folder, RAW)
    return picture()


@NRRD.add("a header with CRLF", RIGHT)
def nrrd_crlf(folder):
    _nrrd(folder, RAW, newline="\r\n")
    return picture()


@NRRD.add("compressed with gzip", RIGHT)
def nrrd_gzip(folder):
    _nrrd(folder, gzip.compress(RAW), "gzip")
    return picture()


@NRRD.add("compressed with bzip2", NOTHING, "unreadable_format")
def nrrd_bzip2(folder):
    _nrrd(folder, bz2.compress(RAW), "bzip2")
    return picture()


@NRRD.add("numbers as text", RIGHT)
def nrrd_text(folder):
    _nrrd(folder, " ".join(map(str, VOXELS.ravel())).encode() + b"\n", "ascii")
    return picture()


@NRRD.add("numbers as text, cut off", NOTHING, "damaged_image")
def nrrd_text_cut(folder):
    _nrrd(folder, b"7 " * (VOXELS.size - 9), "ascii")


@NRRD.add("bytes as hexadecimal digits", RIGHT)
def nrrd_hex(folder):
    _nrrd(folder, RAW.hex().encode() + b"\n", "hex")
    return picture()


@NRRD.add("bytes as hexadecimal digits, cut off", NOTHING, "damaged_image")
def nrrd_hex_cut(folder):
    _nrrd(folder, RAW.hex().encode()[:-30], "hex")


@NRRD.add("big-endian", RIGHT)
def nrrd_big(folder):
    _nrrd(folder, VOXELS.astype(">i2").tobytes(), endian="big")
    return picture()


@NRRD.add("bytes to skip", RIGHT)
def nrrd_skip(folder):
    _nrrd(folder, bytes(16) + RAW, more="byte skip: 16\n")
    return picture()


@NRRD.add("lines to skip", RIGHT)
def nrrd_lines(folder):
    _nrrd(folder, b"one\ntwo\n" + RAW, more="line skip: 2\n")
    return picture()


@NRRD.add("lines to skip, cut off", NOTHING, "damaged_image")
def nrrd_lines_cut(folder):
    _nrrd(folder, b"one\ntwo\n" + RAW[:-30], more="line skip: 2\n")


@NRRD.add("colour", RIGHT)
def nrrd_colour(folder):
    voxels = random_voxels(3, 4, 5, 3, dtype="u1")
    _nrrd(
        folder,
        voxels.tobytes(),
        kind="uchar",
        sizes="3 5 4 3",
        more="kinds: RGB-color domain domain domain\n",
    )
    return Picture(voxels)


@NRRD.add("vectors of two numbers", NOTHING, "unreadable_format")
def nrrd_two(folder):
    voxels = random_voxels(3, 4, 5, 2)
    _nrrd(folder, voxels.tobytes(), sizes="2 5 4 3", more="kinds: vector domain domain domain\n")
    return Picture(voxels)


@NRRD.add("four numbers, called RGB", NOTHING, "unreadable_format")
def nrrd_four(folder):
    voxels = random_voxels(3, 4, 5, 4)
    _nrrd(folder, voxels.tobytes(), sizes="4 5 4 3", more="kinds: RGB-color domain domain domain\n")
    return Picture(voxels)


@NRRD.add("over time", RIGHT)
def nrrd_times(folder):
    voxels = random_voxels(2, 3, 4, 5)
    _nrrd(folder, voxels.tobytes(), sizes="5 4 3 2")
    return picture(voxels)


@NRRD.add("five dimensions", NOTHING, "unreadable_format")
def nrrd_5d(folder):
    voxels = random_voxels(2, 2, 3, 4, 5)
    _nrrd(folder, voxels.tobytes(), sizes="5 4 3 2 2")
    return picture(voxels)


@NRRD.add("64-bit numbers", RIGHT)
def nrrd_long(folder):
    _nrrd(folder, VOXELS.astype("<i8").tobytes(), kind="int64")
    return picture()


@NRRD.add("an axis without voxels", NOTHING, "unreadable_format")
def nrrd_flat(folder):
    _nrrd(folder, RAW, sizes="5 0 3")


@NRRD.add("sizes that stand twice", NOTHING, "unreadable_format")
def nrrd_twice(folder):
    _nrrd(folder, RAW, more="sizes: 5 4 2\n")


@NRRD.add("an unknown type of numbers", NOTHING, "unreadable_format")
def nrrd_block(folder):
    _nrrd(folder, RAW, kind="block", more="block size: 2\n")


@NRRD.add("compressed with zlib where gzip is told", NOTHING, "unreadable_format")
def nrrd_zlib(folder):
    _nrrd(folder, zlib.compress(RAW), "gzip")


@NRRD.add("its header in a file of its own", NOTHING, "detached_header")
def nrrd_detached(folder):
    (folder / "image.nhdr").write_bytes(nrrd(b"", more="data file: image.raw\n"))
    (folder / "image.raw").write_bytes(RAW)
    return picture()


@NRRD.add("cut off", NOTHING, "damaged_image")
def nrrd_cut(folder):
    _nrrd(folder, RAW[:-30])


@NRRD.add("compressed with gzip, cut off", NOTHING, "damaged_image")
def nrrd_gzip_cut(folder):
    _nrrd(folder, gzip.compress(RAW)[:-30], "gzip")


@NRRD.add("compressed with gzip, with fewer voxels than told", NOTHING, "damaged_image")
def nrrd_gzip_short(folder):
    _nrrd(folder, gzip.compress(RAW[:-30]), "gzip")
