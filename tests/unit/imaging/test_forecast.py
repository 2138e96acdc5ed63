"""What is foretold of each format; `tests/importer` compares it with panimg."""

import gzip
import io
import shutil
import struct

import pytest
from pydicom.data import get_testdata_file
from support.slices import at_time, one_slice, series
from support.voxel_files import nifti, nrrd
from support.whole_files import jpeg, png

from gcwatch.core.forecast import UNKNOWN, ImageForecast, ReportedImage, is_as_foretold
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.dicom.procedure import is_removed, local_procedure, platform_procedure
from gcwatch.imaging.forecast import forecast_file, forecast_meta_image
from gcwatch.inbox import tree

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def foretold(kind, data):
    return forecast_file(kind, io.BytesIO(data))


def volume(*shape, sizes=(1.0, 1.0, 1.0), kind="int16", **more):
    times = shape[0] if len(shape) == 4 else None
    return ImageForecast(shape, "GRAY", sizes, times, kind, **more)


# --- single files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, volume(6, 20, 30, sizes=(0.7, 0.8, 2.5))),
        ({"ElementSpacing": "-0.7 0.8 2.5"}, volume(6, 20, 30, sizes=(0.7, 0.8, 2.5))),
        ({"ElementSpacing": "0 0.8 2.5"}, UNKNOWN),
        ({"ElementSpacing": "nan 0.8 2.5"}, UNKNOWN),
        ({"ElementNumberOfChannels": "2"}, UNKNOWN),
        ({"DimSize": "30 20 6 2"}, UNKNOWN),
        ({"DimSize": "x"}, UNKNOWN),
        (
            {"NDims": "2", "DimSize": "30 20", "ElementSpacing": "0.7 0.8"},
            ImageForecast((20, 30), "GRAY", (0.7, 0.8, None), None, "int16"),
        ),
        (
            {"NDims": "4", "DimSize": "30 20 6 4", "ElementSpacing": "0.7 0.8 2.5 9"},
            volume(4, 6, 20, 30, sizes=(0.7, 0.8, 2.5)),
        ),
        (
            {"ElementNumberOfChannels": "3", "ElementType": "MET_UCHAR_ARRAY"},
            ImageForecast((6, 20, 30), "RGB", (0.7, 0.8, 2.5), None, "uint8"),
        ),
    ],
)
def test_a_meta_image_is_foretold_by_its_fields(changed, expected):
    """Sizes come in the platform's order; what the importer refuses is unknown."""
    whole = {"NDims": "3", "DimSize": "30 20 6", "ElementSpacing": "0.7 0.8 2.5"}
    assert forecast_meta_image({**whole, "ElementType": "MET_SHORT", **changed}) == expected


def changed_nifti(layout, offset, *values):
    data = bytearray(nifti())
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (nifti(), volume(5, 8, 8)),
        (nifti(">"), volume(5, 8, 8)),
        (gzip.compress(nifti()), volume(5, 8, 8)),
        (changed_nifti("<4h", 40, 3, 8, 8, 1), volume(1, 8, 8)),
        (changed_nifti("<6h", 40, 5, 8, 8, 5, 2, 1), volume(2, 5, 8, 8)),
        (changed_nifti("<6h", 40, 5, 8, 8, 5, 2, 2), UNKNOWN),
        (changed_nifti("<3f", 80, -2, 0, 3), volume(5, 8, 8, sizes=(2.0, 1.0, 3.0))),
        (changed_nifti("B", 123, 1), volume(5, 8, 8, sizes=(1000.0, 1000.0, 1000.0))),
        (changed_nifti("<2f", 112, 2, 0), volume(5, 8, 8, kind="float32")),
        (changed_nifti("<2f", 112, float("nan"), 0), volume(5, 8, 8)),
        (changed_nifti("<h", 70, 32), UNKNOWN),
        (nifti()[:200], UNKNOWN),
        (b"\x1f\x8b" + bytes(400), UNKNOWN),
    ],
)
def test_a_nifti_is_foretold_by_its_header(data, expected):
    """Axes of one voxel at the end go, units become mm, a scale makes floating-point numbers."""
    assert foretold("NIfTI", data) == expected


COLOURED_NRRD = b"""NRRD0004
type: uchar
sizes: 3 8 7 5
kinds: RGB-color space space space
spacings: nan 1 2 nan

"""


def changed_nrrd(old, new):
    return nrrd().replace(old, new)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (nrrd(), volume(5, 8, 8)),
        (nrrd(newline="\r\n"), volume(5, 8, 8)),
        (changed_nrrd(b"(0,0,1)", b"(0,3,4)"), volume(5, 8, 8, sizes=(1.0, 1.0, 5.0))),
        (changed_nrrd(b"(0,0,1)", b"(0,x,4)"), UNKNOWN),
        (changed_nrrd(b"(1,0,0) ", b""), UNKNOWN),
        (changed_nrrd(b"sizes: 8 8 5", b"sizes: 8"), UNKNOWN),
        (
            COLOURED_NRRD,
            ImageForecast((5, 7, 8), "RGB", (1.0, 2.0, 1.0), None, "uint8"),
        ),
        (b"NRRD0004\ntype: uchar\nsizes: 2 8 7 5\nkinds: list domain domain domain\n\n", UNKNOWN),
        (b"NRRD0004\ntype: short\nsizes: 8 7 5 2\n\n", volume(2, 5, 7, 8)),
    ],
)
def test_an_nrrd_is_foretold_by_its_fields(data, expected):
    """An axis of colours is no axis of the image."""
    assert foretold("NRRD", data) == expected


def png_of(bits, color):
    return png()[:24] + bytes([bits, color]) + png()[26:]


def jpeg_of(channels):
    frame = struct.pack(">HBHHB", 8 + 3 * channels, 8, 20, 30, channels) + bytes(3 * channels)
    return jpeg().replace(b"\xff\xda", b"\xff\xc2" + frame + b"\xff\xda", 1)


def picture(color_space, height=1, width=1, kind="uint8"):
    return ImageForecast((height, width), color_space, pixel_type=kind)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("PNG", png_of(8, 0), picture("GRAY")),
        ("PNG", png_of(16, 0), picture("GRAY", kind="uint16")),
        ("PNG", png_of(8, 2), picture("RGB")),
        ("PNG", png_of(8, 6), picture("RGBA")),
        ("PNG", png_of(8, 4), UNKNOWN),
        ("PNG", png_of(1, 0), UNKNOWN),
        ("PNG", png()[:20], UNKNOWN),
        ("JPEG", jpeg_of(1), picture("GRAY", 20, 30)),
        ("JPEG", jpeg_of(3), picture("RGB", 20, 30)),
        ("JPEG", jpeg_of(4), picture("RGBA", 20, 30)),
        ("JPEG", jpeg(), UNKNOWN),
        ("JPEG", jpeg()[:6], UNKNOWN),
        ("OCT", b"FDS", UNKNOWN),
    ],
)
def test_a_picture_is_foretold_by_its_header(kind, data, expected):
    """Pictures have two axes and no voxel sizes."""
    assert foretold(kind, data) == expected


def page(*fields, order="<"):
    """A TIFF whose directory has these fields: tag, type, and one number or a fraction."""
    entries, extra = b"", b""
    begin = 8 + 2 + 12 * len(fields) + 4
    for tag, kind, *values in fields:
        value = values[0]
        if len(values) > 1:
            value = begin + len(extra)
            extra += struct.pack(order + "2L", *values)
        stored = struct.pack(order + ("HH" if kind == 3 else "L"), *[value, 0][: 5 - kind or 1])
        entries += struct.pack(order + "HHL", tag, kind, 1) + stored
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HL", 42, 8)
    return head + struct.pack(order + "H", len(fields)) + entries + bytes(4) + extra


SIZE = [(256, 3, 30), (257, 4, 20)]
FINE = [(282, 5, 1000, 1), (283, 5, 500, 1), (296, 3, 3)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            [*SIZE, (262, 3, 1), *FINE],
            ImageForecast((1, 20, 30), "GRAY", (0.01, 0.02, None)),
        ),
        (
            [*SIZE, (262, 3, 2), (282, 5, 254, 10), (283, 5, 254, 10), (296, 3, 2)],
            ImageForecast((1, 20, 30), "RGB", (1.0, 1.0, None)),
        ),
        (
            [*SIZE, (262, 3, 6), (282, 5, 0, 1), (296, 3, 2)],
            ImageForecast((1, 20, 30), "YCBCR"),
        ),
        ([*SIZE, (262, 3, 0), *FINE], UNKNOWN),
        ([(262, 3, 1), *FINE], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_a_tiff_is_foretold_by_its_first_page(fields, expected, order):
    """It has a depth of 1, and a voxel size if its resolution has a unit."""
    assert foretold("TIFF", page(*fields, order=order)) == expected


def test_a_damaged_tiff_is_unknown():
    """A directory beyond the end, or one that tells too many fields, is read to the end only."""
    assert foretold("TIFF", b"II*\0\xff\xff\0\0") == UNKNOWN
    assert foretold("TIFF", b"II*\0\x08\0\0\0\xff\xff" + bytes(40)) == UNKNOWN
    assert foretold("TIFF", b"II*\0") == UNKNOWN


# --- DICOM series ------------------------------------------------------------------------------


def image_of(folder, **options):
    files = tree.source_files(SharePath.of(folder), ())
    [image], _ = images.recognise_images(files, integrity="warn", **options)
    return image


def test_a_series_is_foretold_from_its_headers(folder):
    """The slices lie at their mean distance, and a falling stack is turned round."""
    series(folder, [8, 6, 4, 2, 0], PixelSpacing=[0.5, 0.75])
    forecast = image_of(folder).forecast
    assert forecast == volume(5, 2, 2, sizes=(0.5, 0.75, 2.0), order=(4, 3, 2, 1, 0))


def test_a_gap_makes_the_slices_thicker(folder):
    """This is what the platform makes of a series without a slice (recording 23)."""
    series(folder, [0, 2, 6, 8])
    assert image_of(folder).forecast.voxel_sizes[2] == pytest.approx(8 / 3)


def test_a_series_over_time_has_four_axes_unless_its_times_are_removed(folder):
    """De-identification removes TemporalPositionIndex: what is sent is one volume."""
    for time in range(3):
        for height in range(4):
            number = 4 * time + height + 1
            path = folder / str(number)
            one_slice(path, number, (0, 0, 2 * height), **at_time(time))
    known = image_of(folder).forecast
    assert (known.shape, known.times) == ((3, 4, 2, 2), 3)
    assert image_of(folder, procedure=platform_procedure()).forecast.shape == (12, 2, 2)


def test_what_is_removed_does_not_count(folder):
    """CT_small tells 5 mm between slices; its de-identified copy is a slice of 1 mm."""
    path = folder / "ct.dcm"
    shutil.copy(get_testdata_file("CT_small.dcm"), path)
    kept = image_of(folder).forecast
    assert kept.shape == (1, 128, 128)
    assert kept.voxel_sizes == (0.661468, 0.661468, 5.0)
    assert image_of(folder, procedure=platform_procedure()).forecast.voxel_sizes[2] == 1.0
    assert is_removed(platform_procedure(), MR, "RescaleSlope")
    assert not is_removed(local_procedure(), MR, "RescaleSlope")


def test_what_can_not_be_foretold_is_unknown(folder):
    """Slices without numbers can't be sorted, and equal numbers have no order."""
    series(folder, [0, 2, 4])
    one_slice(folder / "2", 1, (-10, -20, 2))
    forecast = image_of(folder).forecast
    assert (forecast.shape, forecast.order, forecast.voxel_sizes[2]) == ((3, 2, 2), (), None)
    one_slice(folder / "2", None, (-10, -20, 2))
    assert image_of(folder).forecast == UNKNOWN


def test_a_dicom_image_set_is_not_one_image(folder):
    """The platform keeps its files apart, and tells no size of it."""
    series(folder, [0, 2, 4])
    assert image_of(folder, joined=False).forecast == UNKNOWN


# --- on the way --------------------------------------------------------------------------------


def test_the_forecast_stands_in_the_spool(folder):
    """A bundle that is found again after a restart has the same forecast."""
    series(folder, [0, 2, 4], PixelSpacing=[1, 1])
    files = tree.source_files(SharePath.of(folder), ())
    spool = folder.parent / "spool"
    options = BundleOptions(socket="ct")
    made = bundle.image_bundle(files, options, spool=spool, stem="k1").written()
    written = (spool / "k1.zip").stat().st_mtime_ns
    again = bundle.image_bundle(files, options, spool=spool, stem="k1")
    assert again == made
    assert (spool / "k1.zip").stat().st_mtime_ns == written
    assert made.forecast.shape == (3, 2, 2)


# --- comparing ---------------------------------------------------------------------------------

CT_FORETOLD = ImageForecast((4, 16, 16), "GRAY", (0.5, 0.5, 2.0), None, "float32")
MASKS = ImageForecast((2, 4, 16, 16), "GRAY", (0.5, 0.5, 2.0), 2, "uint8")


@pytest.mark.parametrize(
    ("forecast", "shape", "color_space", "sizes", "agrees"),
    [
        (CT_FORETOLD, (4, 16, 16), "GRAY", (0.5, 0.5, 2.0), True),
        (CT_FORETOLD, (4, 16, 16), "GRAY", (0.50001, 0.5, 1.9999), True),
        (CT_FORETOLD, (3, 16, 16), "GRAY", (0.5, 0.5, 2.0), False),
        (CT_FORETOLD, (4, 16, 16), "RGB", (0.5, 0.5, 2.0), False),
        (CT_FORETOLD, (4, 16, 16), "GRAY", (0.5, 0.5, 2.01), False),
        (CT_FORETOLD, (4, 16, 16), "GRAY", (0.5, 0.5, None), False),
        (CT_FORETOLD, (4, 16, 16), "GRAY", (0.5, 0.5, float("nan")), False),
        (CT_FORETOLD, (None, None), "GRAY", (0.5, 0.5, 2.0), False),
        (UNKNOWN, (3, 16, 16), "RGB", (0.5, None, 2.0), True),
        (MASKS, (2, 4, 16, 16), "GRAY", (0.5, 0.5, 2.0), True),
        (MASKS, (4, 16, 16), "GRAY", (0.5, 0.5, 2.0), True),
        (MASKS, (2, 16, 16), "GRAY", (0.5, 0.5, 2.0), False),
    ],
)
def test_only_what_is_known_is_compared(forecast, shape, color_space, sizes, agrees):
    """Volumes of 8 bits may be segmentations, of which the platform tells no times."""
    assert is_as_foretold(forecast, ReportedImage(shape, color_space, sizes)) is agrees
