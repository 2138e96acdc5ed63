"""Kinds of MetaImage: whole, odd and cut."""

import zlib

from support.importer.dicom_files import random_voxels
from support.importer.kinds import NOTHING, RIGHT, WRONG, Kinds
from support.importer.volumes import RAW, SPACING, VOXELS, picture

META = Kinds("MetaImage")


def meta(data, element="MET_SHORT", *, dims=(5, 4, 3), extra="", file="LOCAL"):
    """The bytes of a MetaImage."""
    numbers = " ".join(map(str, dims))
    widths = " ".join(map(str, (*SPACING, 1.0, 1.0)[: len(dims)]))
    head = (
        f"ObjectType = Image\nNDims = {len(dims)}\nBinaryData = True\n{extra}DimSize = {numbers}\n"
        f"ElementSpacing = {widths}\nElementType = {element}\nElementDataFile = {file}\n"
    )
    return head.encode() + data


def _meta(folder, *arguments, **more):
    (folder / "image.mha").write_bytes(meta(*arguments, **more))


def _zlib_fields(stream):
    return f"CompressedData = True\nCompressedDataSize = {len(stream)}\n"


_PACKED = zlib.compress(RAW)


@META.add("plain", RIGHT)
def meta_plain(folder):
    _meta(folder, RAW)
    return picture()


@META.add("compressed", RIGHT)
def meta_zlib(folder):
    _meta(folder, _PACKED, extra=_zlib_fields(_PACKED))
    return picture()


@META.add("with a data file", RIGHT)
def meta_pair(folder):
    (folder / "image.mhd").write_bytes(meta(b"", file="image.raw"))
    (folder / "image.raw").write_bytes(RAW)
    return picture()


@META.add("with a compressed data file", RIGHT)
def meta_zraw(folder):
    (folder / "image.mhd").write_bytes(meta(b"", file="image.zraw", extra=_zlib_fields(_PACKED)))
    (folder / "image.zraw").write_bytes(_PACKED)
    return picture()


@META.add("without its data file", NOTHING, "damaged_image")
def meta_lonely(folder):
    (folder / "image.mhd").write_bytes(meta(b"", file="image.raw"))


@META.add("with a list of data files", NOTHING, "damaged_image")
def meta_list(folder):
    (folder / "image.mhd").write_bytes(meta(b"0.raw\n1.raw\n2.raw\n", file="LIST"))
    for index, plane in enumerate(VOXELS):
        (folder / f"{index}.raw").write_bytes(plane.tobytes())
    return picture()


@META.add("a data file with a header of its own", RIGHT)
def meta_header_size(folder):
    (folder / "image.mhd").write_bytes(meta(b"", file="image.raw", extra="HeaderSize = 16\n"))
    (folder / "image.raw").write_bytes(bytes(16) + RAW)
    return picture()


@META.add("a data file whose own header pushes the end out", NOTHING, "damaged_image")
def meta_header_short(folder):
    (folder / "image.mhd").write_bytes(meta(b"", file="image.raw", extra="HeaderSize = 16\n"))
    (folder / "image.raw").write_bytes(RAW)


@META.add("big-endian", RIGHT)
def meta_big(folder):
    _meta(folder, VOXELS.astype(">i2").tobytes(), extra="BinaryDataByteOrderMSB = True\n")
    return picture()


@META.add("numbers as text", RIGHT)
def meta_text(folder):
    text = " ".join(map(str, VOXELS.ravel())).encode()
    whole = meta(text + b"\n").replace(b"BinaryData = True", b"BinaryData = False")
    (folder / "image.mha").write_bytes(whole)
    return picture()


@META.add("numbers as text, cut off", NOTHING, "damaged_image")
def meta_text_cut(folder):
    text = b"7 " * (VOXELS.size - 9)
    whole = meta(text + b"\n").replace(b"BinaryData = True", b"BinaryData = False")
    (folder / "image.mha").write_bytes(whole)


@META.add("colour", RIGHT)
def meta_colour(folder):
    voxels = random_voxels(3, 4, 5, 3, dtype="u1")
    _meta(folder, voxels.tobytes(), "MET_UCHAR", extra="ElementNumberOfChannels = 3\n")
    return picture(voxels)


@META.add("two numbers at each place", NOTHING, "unreadable_format")
def meta_two(folder):
    voxels = random_voxels(3, 4, 5, 2).astype("<f4")
    _meta(folder, voxels.tobytes(), "MET_FLOAT", extra="ElementNumberOfChannels = 2\n")
    return picture(voxels)


@META.add("one plane", RIGHT)
def meta_flat(folder):
    _meta(folder, VOXELS[0].tobytes(), dims=(5, 4))
    return picture(VOXELS[0])


@META.add("over time", RIGHT)
def meta_times(folder):
    voxels = random_voxels(2, 3, 4, 5)
    _meta(folder, voxels.tobytes(), dims=(5, 4, 3, 2))
    return picture(voxels)


@META.add("five dimensions", NOTHING, "unreadable_format")
def meta_5d(folder):
    voxels = random_voxels(2, 2, 3, 4, 5)
    _meta(folder, voxels.tobytes(), dims=(5, 4, 3, 2, 2))
    return picture(voxels)


@META.add("64-bit numbers (MET_LONG_LONG)", RIGHT)
def meta_long_long(folder):
    _meta(folder, VOXELS.astype("<i8").tobytes(), "MET_LONG_LONG")
    return picture()


@META.add("times of another number than volumes", NOTHING, "unreadable_format")
def meta_content_times(folder):
    _meta(folder, RAW, extra="ContentTimes = 100000 100001\n")
    return picture()


@META.add("a window that is no number", NOTHING, "unreadable_format")
def meta_window(folder):
    _meta(folder, RAW, extra="WindowCenter = wide\n")
    return picture()


@META.add("a list of centres and one width", NOTHING, "unreadable_format")
def meta_windows(folder):
    _meta(folder, RAW, extra="WindowCenter = [40, 50]\nWindowWidth = 400\n")
    return picture()


@META.add("a field with too few numbers", WRONG, "unreadable_format")
def meta_offset(folder):
    voxels = random_voxels(3, 4, 5, 3, dtype="u1")
    extra = "Offset = 1 2\nElementNumberOfChannels = 3\n"
    _meta(folder, voxels.tobytes(), "MET_UCHAR", extra=extra)
    return picture(voxels)


@META.add("an axis without voxels", NOTHING, "unreadable_format")
def meta_without(folder):
    _meta(folder, RAW, dims=(5, 0, 3))


@META.add("a spacing of zero", NOTHING, "unreadable_format")
def meta_zero_spacing(folder):
    data = meta(RAW).replace(b"ElementSpacing = 0.5", b"ElementSpacing = 0")
    (folder / "image.mha").write_bytes(data)


@META.add("directions that are not independent", NOTHING, "unreadable_format")
def meta_singular(folder):
    _meta(folder, RAW, extra="TransformMatrix = 1 0 0 1 0 0 0 0 1\n")


@META.add("an unknown type of numbers", NOTHING, "unreadable_format")
def meta_type(folder):
    _meta(folder, RAW, "met_short")


@META.add("bytes where text is told", NOTHING, "damaged_image")
def meta_no_text(folder):
    (folder / "image.mha").write_bytes(
        meta(RAW).replace(b"BinaryData = True", b"BinaryData = False")
    )


@META.add("one dimension", NOTHING, "unreadable_format")
def meta_line(folder):
    _meta(folder, VOXELS[0, 0].tobytes(), dims=(5,))
    return picture(VOXELS[0, 0])


@META.add("cut off", NOTHING, "damaged_image")
def meta_cut(folder):
    _meta(folder, RAW[:-30])


@META.add("compressed, with fewer voxels than told", WRONG, "damaged_image")
def meta_zlib_half(folder):
    stream = zlib.compress(RAW[:60])
    _meta(folder, stream, extra=_zlib_fields(stream))


@META.add("compressed, damaged within", WRONG, "damaged_image")
def meta_zlib_damaged(folder):
    stream = _PACKED[:50] + bytes(20) + _PACKED[70:]
    _meta(folder, stream, extra=_zlib_fields(stream))
