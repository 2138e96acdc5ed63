"""Kinds of pictures and slides: TIFF, PNG, JPEG and slides made of TIFF."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import PIL.Image
import tifffile

from support.importer.dicom_files import random_voxels
from support.importer.judge import Picture
from support.importer.kinds import NOTHING, RIGHT, UNFOUND, WRONG, Kinds

_GRAY = random_voxels(40, 48, dtype="u1")
_COLOUR = random_voxels(40, 48, 3, dtype="u1")

# --- TIFF --------------------------------------------------------------------------------------

TIFF = Kinds("TIFF")
_SIZED = {"resolution": (100, 100), "resolutionunit": "CENTIMETER", "metadata": None}


def _tiff(folder, voxels=_GRAY, name="image.tif", **more):
    path = folder / name
    tifffile.imwrite(path, voxels, **(_SIZED | {"photometric": "minisblack"} | more))
    return path


@TIFF.add("shades of gray", RIGHT)
def tiff_gray(folder):
    _tiff(folder)
    return Picture(_GRAY)


@TIFF.add("the suffix .tiff", RIGHT)
def tiff_suffix(folder):
    _tiff(folder, name="image.tiff")
    return Picture(_GRAY)


@TIFF.add("colour", RIGHT)
def tiff_colour(folder):
    _tiff(folder, _COLOUR, photometric="rgb")
    return Picture(_COLOUR)


@TIFF.add("16 bits", RIGHT)
def tiff_16(folder):
    _tiff(folder, _GRAY.astype("u2"))
    return Picture(_GRAY)


@TIFF.add("tiles, compressed", RIGHT)
def tiff_tiles(folder):
    _tiff(folder, tile=(16, 16), compression="zlib")
    return Picture(_GRAY)


@TIFF.add("BigTIFF, big-endian", RIGHT)
def tiff_big(folder):
    _tiff(folder, bigtiff=True, byteorder=">")
    return Picture(_GRAY)


@TIFF.add("without a resolution", NOTHING, "unreadable_format")
def tiff_unsized(folder):
    _tiff(folder, resolution=None, resolutionunit=None)
    _remove_tags(folder / "image.tif", 282, 283)
    return Picture(_GRAY)


@TIFF.add("without the number of its rows", NOTHING, "unreadable_format")
def tiff_without_rows(folder):
    _tiff(folder)
    _remove_tags(folder / "image.tif", 257)
    return Picture(_GRAY)


@TIFF.add("tiles without the number of their rows", WRONG, "unreadable_format")
def tiff_without_tile_rows(folder):
    _tiff(folder, tile=(16, 16))
    _remove_tags(folder / "image.tif", 323)
    return Picture(_GRAY)


def _remove_tags(path, *tags):
    """Give these tags of the first directory numbers that no reader knows."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [data[start + 2 + 12 * n : start + 14 + 12 * n] for n in range(count)]
    for entry in entries:
        if struct.unpack_from("<H", entry)[0] in tags:
            struct.pack_into("<H", entry, 0, 60_000 + struct.unpack_from("<H", entry)[0])
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    data[start + 2 : start + 2 + 12 * count] = b"".join(entries)
    path.write_bytes(data)


@TIFF.add("a resolution without a unit", NOTHING, "unreadable_format")
def tiff_unitless(folder):
    _tiff(folder, resolutionunit="NONE")
    return Picture(_GRAY)


@TIFF.add("a resolution of zero", NOTHING, "unreadable_format")
def tiff_zero(folder):
    path = _tiff(folder, resolution=(77, 1))
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<2I", 77, 1), struct.pack("<2I", 0, 1)))
    return Picture(_GRAY)


@TIFF.add("colours for print (CMYK)", NOTHING, "unreadable_format")
def tiff_cmyk(folder):
    voxels = random_voxels(40, 48, 4, dtype="u1")
    _tiff(folder, voxels, photometric="separated")
    return Picture(voxels)


@TIFF.add("white as zero", NOTHING, "unreadable_format")
def tiff_white(folder):
    _tiff(folder, photometric="miniswhite")
    return Picture(_GRAY)


@TIFF.add("a palette", NOTHING, "unreadable_format")
def tiff_palette(folder):
    _tiff(folder, photometric="palette", colormap=np.arange(768, dtype="u2").reshape(3, 256))
    return Picture(_GRAY)


@TIFF.add("cut off", WRONG, "damaged_image")
def tiff_cut(folder):
    path = _tiff(folder)
    path.write_bytes(path.read_bytes()[:-500])


@TIFF.add("strips that are too short", WRONG, "damaged_image")
def tiff_short(folder):
    path = _tiff(folder, rowsperstrip=20)
    data = path.read_bytes()
    for code in ("<2I", "<2H"):
        data = data.replace(struct.pack(code, 960, 960), struct.pack(code, 960, 500))
    path.write_bytes(data)


@TIFF.add("compressed with LZW, damaged within", WRONG, UNFOUND)
def tiff_lzw_damaged(folder):
    path = _tiff(folder, compression="lzw", rowsperstrip=40)
    data = bytearray(path.read_bytes())
    data[-400:-300] = bytes(100)
    path.write_bytes(data)


@TIFF.add("tiles in zlib that hold too few pixels", WRONG, "damaged_image")
def tiff_short_tiles(folder):
    path = _tiff(folder, tile=(16, 16), compression="zlib")
    data = path.read_bytes()
    start = data.index(b"\x78", 8)
    short = zlib.compress(bytes(100), 0)
    path.write_bytes(data[:start] + short + data[start + len(short) :])


@TIFF.add("compressed with zlib, damaged within", WRONG, "damaged_image")
def tiff_damaged(folder):
    path = _tiff(folder, compression="zlib", rowsperstrip=40)
    data = bytearray(path.read_bytes())
    data[-400:-300] = bytes(100)
    path.write_bytes(data)


# --- slides ------------------------------------------------------------------------------------

SLIDES = Kinds("slide")


def _slide(folder, name="slide.svs", **more):
    path = folder / name
    description = "Aperio Image Library v1\r\n48x40 |AppMag = 20|MPP = 0.5"
    options = {"tile": (16, 16), "photometric": "rgb", "compression": "jpeg"} | more
    tifffile.imwrite(
        path, np.full_like(_COLOUR, 77), description=description, metadata=None, **options
    )
    return path


@SLIDES.add(".svs", RIGHT)
def svs(folder):
    _slide(folder, resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    return Picture(np.full_like(_COLOUR, 77))


@SLIDES.add(".svs, cut off", WRONG, "damaged_image")
def svs_cut(folder):
    path = _slide(folder, resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    path.write_bytes(path.read_bytes()[:-900])


@SLIDES.add(".svs that is no TIFF", NOTHING, "damaged_image")
def svs_text(folder):
    (folder / "slide.svs").write_bytes(b"no slide" * 99)


# --- PNG ---------------------------------------------------------------------------------------

PNG = Kinds("PNG")


def _save(folder, name, image, **more):
    path = folder / name
    image.save(path, **more)
    return path


def png_chunks(data):
    """Split a PNG into its chunks: kind and content."""
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">L4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def png_of(chunks, wrong=b""):
    """Join chunks to a PNG; those of the kind `wrong` get a wrong checksum."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        checksum = zlib.crc32(kind + content) ^ (kind == wrong)
        parts.append(struct.pack(">L4s", len(content), kind) + content)
        parts.append(struct.pack(">L", checksum))
    return b"".join(parts)


@PNG.add("shades of gray", RIGHT)
def png_gray(folder):
    _save(folder, "image.png", PIL.Image.fromarray(_GRAY))
    return Picture(_GRAY)


@PNG.add("colour", RIGHT)
def png_colour(folder):
    _save(folder, "image.png", PIL.Image.fromarray(_COLOUR))
    return Picture(_COLOUR)


@PNG.add("colour with transparency", RIGHT)
def png_alpha(folder):
    voxels = random_voxels(40, 48, 4, dtype="u1")
    _save(folder, "image.png", PIL.Image.fromarray(voxels, "RGBA"))
    return Picture(voxels)


@PNG.add("gray with transparency", NOTHING, "unreadable_format")
def png_gray_alpha(folder):
    voxels = random_voxels(40, 48, 2, dtype="u1")
    _save(folder, "image.png", PIL.Image.fromarray(voxels, "LA"))
    return Picture(voxels)


@PNG.add("16 bits", RIGHT)
def png_16(folder):
    voxels = _GRAY.astype("<u2") * 200
    _save(folder, "image.png", PIL.Image.fromarray(voxels))
    return Picture(voxels)


@PNG.add("a palette", WRONG, "unreadable_format")
def png_palette(folder):
    image = PIL.Image.fromarray(_COLOUR).quantize(16)
    _save(folder, "image.png", image)
    return Picture(np.array(image.convert("RGB")))


@PNG.add("black and white (1 bit)", NOTHING, "unreadable_format")
def png_bits(folder):
    _save(folder, "image.png", PIL.Image.fromarray(_GRAY > 99))
    return Picture(_GRAY > 99)


@PNG.add("several pictures (APNG)", WRONG, "unreadable_format")
def png_film(folder):
    more = [PIL.Image.fromarray(255 - _GRAY)]
    PIL.Image.fromarray(_GRAY).save(folder / "image.png", save_all=True, append_images=more)


@PNG.add("cut off", NOTHING, "damaged_image")
def png_cut(folder):
    path = _save(folder, "image.png", PIL.Image.fromarray(_GRAY))
    path.write_bytes(path.read_bytes()[:-200])


@PNG.add("a wrong checksum of the pixels", WRONG, "damaged_image")
def png_checksum(folder):
    path = _save(folder, "image.png", PIL.Image.fromarray(_GRAY))
    path.write_bytes(png_of(png_chunks(path.read_bytes()), wrong=b"IDAT"))


@PNG.add("a wrong checksum of the header", NOTHING, "damaged_image")
def png_header_checksum(folder):
    path = _save(folder, "image.png", PIL.Image.fromarray(_GRAY))
    path.write_bytes(png_of(png_chunks(path.read_bytes()), wrong=b"IHDR"))


@PNG.add("fewer pixels than told", NOTHING, "damaged_image")
def png_short(folder):
    path = _save(folder, "image.png", PIL.Image.fromarray(_GRAY))
    chunks = [
        (kind, zlib.compress(zlib.decompress(content)[:900]) if kind == b"IDAT" else content)
        for kind, content in png_chunks(path.read_bytes())
    ]
    path.write_bytes(png_of(chunks))


@PNG.add("pixels damaged, with right checksums", NOTHING, "damaged_image")
def png_damaged(folder):
    path = _save(folder, "image.png", PIL.Image.fromarray(_GRAY))
    chunks = [
        (kind, content[:300] + bytes(50) + content[350:] if kind == b"IDAT" else content)
        for kind, content in png_chunks(path.read_bytes())
    ]
    path.write_bytes(png_of(chunks))


# --- JPEG --------------------------------------------------------------------------------------

JPEG = Kinds("JPEG")


def _jpeg(folder, voxels=_COLOUR, mode=None, **more):
    image = PIL.Image.fromarray(voxels, mode) if mode else PIL.Image.fromarray(voxels)
    path = _save(folder, "image.jpg", image, **more)
    return path, Picture(np.array(PIL.Image.open(io.BytesIO(path.read_bytes()))))


@JPEG.add("shades of gray", RIGHT)
def jpeg_gray(folder):
    return _jpeg(folder, _GRAY)[1]


@JPEG.add("colour", RIGHT)
def jpeg_colour(folder):
    return _jpeg(folder)[1]


@JPEG.add("progressive", RIGHT)
def jpeg_progressive(folder):
    return _jpeg(folder, progressive=True)[1]


@JPEG.add("colours for print (CMYK)", RIGHT)
def jpeg_cmyk(folder):
    return _jpeg(folder, random_voxels(40, 48, 4, dtype="u1"), "CMYK")[1]


@JPEG.add("12 bits", NOTHING, "unreadable_format")
def jpeg_12(folder):
    data = imagecodecs.jpeg_encode(_GRAY.astype("u2"), bitspersample=12)
    (folder / "image.jpg").write_bytes(data)


@JPEG.add("JPEG-LS", NOTHING, "unreadable_format")
def jpeg_ls(folder):
    (folder / "image.jpg").write_bytes(imagecodecs.jpegls_encode(_GRAY))


@JPEG.add("cut off", NOTHING, "damaged_image")
def jpeg_cut(folder):
    path, _ = _jpeg(folder)
    path.write_bytes(path.read_bytes()[:-400])


@JPEG.add("damaged within", WRONG, UNFOUND)
def jpeg_damaged(folder):
    path, _ = _jpeg(folder, restart_marker_blocks=3)
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(data[:half] + data[half + 200 :])
