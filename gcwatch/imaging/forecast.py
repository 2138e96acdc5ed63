"""Forecasts from a file's header which image the platform makes of it.

It follows the platform's importer and the readers in it (panimg 0.18.2 with SimpleITK, tifffile
and Pillow). An image of a kind that the importer refuses, or that only its maker's software can
read, is unknown.
"""

import functools
import math
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.imaging.checks.importable_volumes import NIFTI_VECTOR_INTENT, nifti_has_scale
from gcwatch.imaging.checks.streams import read_at
from gcwatch.imaging.checks.text_header import NRRD_PLACES, nrrd_fields, read_nrrd_header
from gcwatch.imaging.checks.tiff import read_tiff_values
from gcwatch.imaging.formats import Kind
from gcwatch.imaging.jpeg import read_jpeg_header

_COLOR_SPACES = {1: "GRAY", 3: "RGB", 4: "RGBA"}
"""By numbers for each voxel; the importer refuses others."""

_LEAST_AXES, _MOST_AXES = 2, 4
_START_BYTES = 16 * 1024


def forecast_file(kind: Kind, stream: BinaryIO) -> ImageForecast:
    """Given a file of one of the formats that are one file, at its start, return its forecast."""
    reader = _READERS.get(kind)
    return reader(stream) if reader else UNKNOWN


def _volume(
    sizes: Sequence[int], spacing: Sequence[float], pixel_type: str, channels: int = 1
) -> ImageForecast:
    """Given sizes and spacings along x, y and so on, return the forecast."""
    color_space = _COLOR_SPACES.get(channels, "")
    if not _LEAST_AXES <= len(sizes) <= _MOST_AXES or not color_space or min(sizes) < 1:
        return UNKNOWN
    if not all(map(math.isfinite, spacing)) or 0 in spacing:
        return UNKNOWN
    known = [abs(step) for step in spacing[:3]]
    return ImageForecast(
        shape=tuple(sizes)[::-1],
        color_space=color_space,
        voxel_sizes=(*known, *[None] * (3 - len(known))),
        times=sizes[3] if len(sizes) == _MOST_AXES else None,
        pixel_type=pixel_type,
    )


def _parse_numbers(text: str) -> list[float]:
    """Return the numbers in a text; [] if one is no number."""
    try:
        return [float(number) for number in text.split()]
    except ValueError:
        return []


def _parse_counts(text: str) -> list[int]:
    parts = text.split()
    return [int(part) for part in parts] if all(map(str.isdecimal, parts)) else []


# --- MetaImage ---------------------------------------------------------------------------------

_META_TYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG": "int32",
    "MET_ULONG": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}


def forecast_meta_image(fields: Mapping[str, str]) -> ImageForecast:
    """Given the fields of a MetaImage's header, return its forecast."""
    sizes = _parse_counts(fields.get("DimSize", ""))
    told = fields.get("ElementSpacing", fields.get("ElementSize"))
    spacing = [1.0] * len(sizes) if told is None else _parse_numbers(told)
    channels = _parse_counts(fields.get("ElementNumberOfChannels", "1"))
    element = fields.get("ElementType", "").removesuffix("_ARRAY")
    if len(spacing) != len(sizes) or fields.get("NDims") != str(len(sizes)) or len(channels) != 1:
        return UNKNOWN
    return _volume(sizes, spacing, _META_TYPES.get(element, ""), channels[0])


# --- NIfTI -------------------------------------------------------------------------------------

_NIFTI_TYPES = {
    2: ("uint8", 1),
    4: ("int16", 1),
    8: ("int32", 1),
    16: ("float32", 1),
    64: ("float64", 1),
    128: ("uint8", 3),
    256: ("int8", 1),
    512: ("uint16", 1),
    768: ("uint32", 1),
    1024: ("int64", 1),
    1280: ("uint64", 1),
    2304: ("uint8", 4),
}
"""Type of a number, and numbers for each voxel, by the datatype of a NIfTI header (nifti1.h)."""

_NIFTI_UNITS_MM = {1: 1000.0, 3: 0.001}
_NIFTI_MOST_AXES = 7
_NIFTI_HEADER_BYTES = 348


def _forecast_nifti(stream: BinaryIO) -> ImageForecast:
    header = stream.read(_START_BYTES)
    if header.startswith(b"\x1f\x8b"):
        try:
            header = zlib.decompressobj(32 + zlib.MAX_WBITS).decompress(header, _NIFTI_HEADER_BYTES)
        except zlib.error:
            return UNKNOWN
    if len(header) < _NIFTI_HEADER_BYTES:
        return UNKNOWN
    order = "<" if header[:4] == struct.pack("<i", _NIFTI_HEADER_BYTES) else ">"
    rank, *dims = struct.unpack_from(order + "8h", header, 40)
    intent, kind = struct.unpack_from(order + "2h", header, 68)
    steps = struct.unpack_from(order + "7f", header, 80)
    slope, intercept = struct.unpack_from(order + "2f", header, 112)
    pixel_type, channels = _NIFTI_TYPES.get(kind, ("", 0))
    if not _LEAST_AXES <= rank <= _NIFTI_MOST_AXES:
        return UNKNOWN
    sizes = [max(1, number) for number in dims[:rank]]
    is_vector = intent == NIFTI_VECTOR_INTENT
    if is_vector and rank > _MOST_AXES:
        # The fifth axis holds the numbers of a voxel.
        channels, sizes = sizes[_MOST_AXES], sizes[:_MOST_AXES]
    # One plane stays a volume, but of vectors it is a picture.
    while len(sizes) > (_LEAST_AXES if is_vector else 3) and sizes[-1] == 1:
        sizes.pop()
    unit = _NIFTI_UNITS_MM.get(header[123] & 7, 1.0)
    # A step of 0, or none, counts as 1 (nifti1_io).
    spacing = [unit * (step if math.isfinite(step) and step else 1.0) for step in steps]
    if nifti_has_scale(slope, intercept) and pixel_type != "float64":
        pixel_type = "float32"
    return _volume(sizes, spacing[: len(sizes)], pixel_type, channels)


# --- NRRD --------------------------------------------------------------------------------------

_NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "int8"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "uint8"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int"), "int16"),
    **dict.fromkeys(("int16", "int16_t"), "int16"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int"), "uint16"),
    **dict.fromkeys(("uint16", "uint16_t"), "uint16"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "int32"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "uint32"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "int64"),
    **dict.fromkeys(("signed long long", "signed long long int"), "int64"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "uint64"),
    "unsigned long long int": "uint64",
    "float": "float32",
    "double": "float64",
}

_NRRD_DIRECTION = re.compile(r"none|\(([^)]*)\)")


def _forecast_nrrd(stream: BinaryIO) -> ImageForecast:
    fields = nrrd_fields(read_nrrd_header(stream))
    sizes = _parse_counts(fields.get("sizes", ""))
    kinds = fields.get("kinds", "").split() or ["domain"] * len(sizes)
    spacing = _nrrd_spacing(fields, len(sizes))
    if not sizes or len(kinds) != len(sizes) or len(spacing) != len(sizes):
        return UNKNOWN
    places = [axis for axis, kind in enumerate(kinds) if kind in NRRD_PLACES]
    channels = [size for axis, size in enumerate(sizes) if axis not in places]
    if len(channels) > 1:
        return UNKNOWN
    return _volume(
        [sizes[axis] for axis in places],
        [spacing[axis] for axis in places],
        _NRRD_TYPES.get(fields.get("type", ""), ""),
        *channels,
    )


def _nrrd_spacing(fields: Mapping[str, str], count: int) -> list[float]:
    """Return the distance of voxels along each axis; 1 where the header tells none."""
    if directions := fields.get("space directions"):
        vectors = [match[1] for match in _NRRD_DIRECTION.finditer(directions)]
        steps = [
            math.hypot(*_parse_numbers(vector.replace(",", " "))) if vector else 1.0
            for vector in vectors
        ]
    else:
        steps = _parse_numbers(fields.get("spacings", "")) or [1.0] * count
    return [1.0 if math.isnan(step) else step for step in steps]


# --- pictures ----------------------------------------------------------------------------------

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_PHOTOMETRIC = 256, 257, 262
_TIFF_X, _TIFF_Y, _TIFF_UNIT = 282, 283, 296
_TIFF_COLOR_SPACES = {1: "GRAY", 2: "RGB", 6: "YCBCR"}
_TIFF_UNITS_MM = {2: 25.4, 3: 10.0}


def _forecast_tiff(stream: BinaryIO) -> ImageForecast:
    """The importer tells of the first page only, and no type of its numbers."""
    found = read_tiff_values(stream)
    width, height, photometric, unit = (
        next(iter(found.get(tag, ())), 0)
        for tag in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_PHOTOMETRIC, _TIFF_UNIT)
    )
    color_space = _TIFF_COLOR_SPACES.get(photometric, "")
    if not width or not height or not color_space:
        return UNKNOWN
    sizes = [
        _TIFF_UNITS_MM[unit] * below / above if unit in _TIFF_UNITS_MM and above and below else None
        for above, below in ((*found.get(tag, ()), 0, 0)[:2] for tag in (_TIFF_X, _TIFF_Y))
    ]
    return ImageForecast((1, height, width), color_space, (*sizes, None))


_PNG_HEADER = struct.Struct(">LLBB")
_PNG_HEADER_BEGIN = 16
_PNG_COLORS = {0: "GRAY", 2: "RGB", 3: "GRAY", 4: "RGBA", 6: "RGBA"}
"""Color spaces by color type: a palette's numbers stay; gray with opacity is read in 16 bits."""


def _forecast_png(stream: BinaryIO) -> ImageForecast:
    start = stream.read(_PNG_HEADER_BEGIN + _PNG_HEADER.size)
    if len(start) < _PNG_HEADER_BEGIN + _PNG_HEADER.size:
        return UNKNOWN
    width, height, bits, color = _PNG_HEADER.unpack_from(start, _PNG_HEADER_BEGIN)
    if (color, bits) in {(0, 1), (4, 8)}:
        return UNKNOWN  # the importer refuses both
    pixel_type = "uint16" if (color, bits) == (0, 16) else "uint8"
    return _picture(width, height, _PNG_COLORS.get(color, ""), pixel_type)


def _forecast_jpeg(stream: BinaryIO) -> ImageForecast:
    picture, _ = read_jpeg_header(functools.partial(read_at, stream))
    if picture is None:
        return UNKNOWN
    color_space = _COLOR_SPACES.get(picture.channels, "")
    return _picture(picture.columns, picture.rows, color_space, "uint8")


def _picture(width: int, height: int, color_space: str, pixel_type: str) -> ImageForecast:
    if not color_space:
        return UNKNOWN
    return ImageForecast((height, width), color_space, pixel_type=pixel_type)


_READERS: Mapping[Kind, Callable[[BinaryIO], ImageForecast]] = {
    "NIfTI": _forecast_nifti,
    "NRRD": _forecast_nrrd,
    "TIFF": _forecast_tiff,
    "PNG": _forecast_png,
    "JPEG": _forecast_jpeg,
}
