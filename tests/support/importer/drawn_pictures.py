"""Pictures that Hypothesis draws: TIFF, PNG and JPEG of many types, whole or cut."""

import io

import numpy as np
import PIL.Image
import tifffile
from hypothesis import strategies as st

from support.importer.dicom_files import random_voxels
from support.importer.drawn import Case, cuts
from support.importer.judge import Picture

_SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def _voxels(draw, kinds, channels):
    """Draw the pixels of a picture; the last axis holds colours, if there are several."""
    sizes, count = draw(_SIZES), draw(st.sampled_from(channels))
    kind = draw(st.sampled_from(kinds))
    shape = (*sizes, count) if count > 1 else sizes
    return random_voxels(*shape, seed=draw(st.integers(0, 9)), dtype="i4").astype(kind)


@st.composite
def tiff_files(draw):
    voxels = draw(_voxels(("u1", "u1", "u2", "i2", "u4", "i4", "f4", "f8"), (1, 1, 3, 4)))
    is_color = voxels.ndim > 2
    options = {
        "photometric": "rgb" if is_color else "minisblack",
        "metadata": None,
        "compression": draw(st.sampled_from([None, None, "zlib", "lzw", "packbits"])),
        "byteorder": draw(st.sampled_from("<>")),
        "bigtiff": draw(st.booleans()),
        "resolution": draw(st.sampled_from([(100, 100), (100, 50), (0.5, 0.5)])),
        "resolutionunit": draw(st.sampled_from(["CENTIMETER", "INCH", "CENTIMETER", "NONE"])),
    }
    layout = draw(st.sampled_from(["strips", "rows", "tiles"]))
    if layout == "tiles":
        options["tile"] = (16, 16)
    elif layout == "rows":
        options["rowsperstrip"] = draw(st.integers(1, 9))
    if is_color and voxels.shape[-1] == 4:
        options["extrasamples"] = ["unassalpha"]
    if is_color and draw(st.booleans()):
        options["planarconfig"] = "separate"
        voxels = np.ascontiguousarray(np.moveaxis(voxels, -1, 0))  # as readers return them
    out = io.BytesIO()
    tifffile.imwrite(out, voxels, **options)
    return Case({"image.tif": draw(cuts(out.getvalue()))}, Picture(voxels))


@st.composite
def png_files(draw):
    if draw(st.integers(0, 3)) == 0:
        voxels = draw(_voxels(("u2",), (1,)))
    else:
        voxels = draw(_voxels(("u1",), (1, 1, 2, 3, 4)))
    out = io.BytesIO()
    how = {"compress_level": draw(st.integers(0, 9)), "optimize": draw(st.booleans())}
    PIL.Image.fromarray(voxels).save(out, "png", **how)
    name = draw(st.sampled_from(["image.png", "IMAGE.PNG", "image", "image.jpg"]))
    truth = Picture(voxels)
    return Case({name: draw(cuts(out.getvalue()))}, truth)


@st.composite
def jpeg_files(draw):
    voxels = draw(_voxels(("u1",), (1, 3)))
    out = io.BytesIO()
    how = {
        "quality": draw(st.integers(1, 95)),
        "progressive": draw(st.booleans()),
        "optimize": draw(st.booleans()),
        "comment": draw(st.sampled_from([b"", b"\xff\xd9 in a text"])),
        "restart_marker_rows": draw(st.sampled_from([0, 1])),
    }
    PIL.Image.fromarray(voxels).save(out, "jpeg", **how)
    shown = np.asarray(PIL.Image.open(io.BytesIO(out.getvalue())))
    name = draw(st.sampled_from(["image.jpg", "image.JPEG", "image", "image.png"]))
    return Case({name: draw(cuts(out.getvalue()))}, Picture(shown))
