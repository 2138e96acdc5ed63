"""Volumes that Hypothesis draws: NIfTI, MetaImage and NRRD with any header, whole or cut."""

import gzip
import zlib

import numpy as np
from hypothesis import strategies as st

from support.importer.dicom_files import random_voxels
from support.importer.drawn import Case, cuts
from support.importer.judge import Picture
from support.importer.meta_kinds import meta
from support.importer.nifti_kinds import nifti

_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
_STEPS = st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0, 10.0])


@st.composite
def _voxels(draw, most_axes=5, channels=(1,)):
    """Draw voxels with an axis for the numbers of a voxel, and the spacing along x, y and so on."""
    axes = draw(st.sampled_from([2, 3, 3, 3, 4, 4, *range(1, most_axes + 1)]))
    sizes = draw(st.lists(st.integers(1, 4), min_size=axes, max_size=axes))
    count = draw(st.sampled_from(channels))
    kind = draw(st.sampled_from(_TYPES))
    voxels = random_voxels(*sizes, count, seed=draw(st.integers(0, 9)), dtype="i4").astype(kind)
    if kind.startswith("i") and draw(st.booleans()):
        voxels = -voxels
    if draw(st.booleans()):
        voxels = (voxels > 60).astype(kind)  # may be segments
    return voxels, tuple(draw(_STEPS) for _ in sizes)


def _picture(voxels, spacing):
    return Picture(voxels[..., 0] if voxels.shape[-1] == 1 else voxels, spacing[:3])


# --- NIfTI -------------------------------------------------------------------------------------


@st.composite
def nifti_files(draw):
    voxels, spacing = draw(_voxels(most_axes=6))
    voxels = voxels[..., 0]
    if voxels.dtype.kind == "f" and draw(st.integers(0, 4)) == 0:
        voxels.flat[draw(st.integers(0, voxels.size - 1))] = draw(
            st.sampled_from([np.nan, np.inf, 3e38])
        )
    order = draw(st.sampled_from("<>"))
    unit, factor = draw(st.sampled_from([(0, 1), (2, 1), (1, 1000), (3, 0.001), (10, 1)]))
    fields = {"pixdim": [1, *spacing, *[1] * (7 - len(spacing))], "xyzt_units": unit}
    # The importer's reader crashes this process at a scale of vectors (test_images.py).
    if voxels.ndim < 5 and draw(st.booleans()):
        slope, intercept = draw(st.sampled_from([(2.0, 0.0), (0.5, -10.0), (1.0, 3.0), (0.0, 5.0)]))
        fields |= {"scl_slope": slope, "scl_inter": intercept}
    if draw(st.booleans()):
        fields["intent_code"] = draw(
            st.sampled_from([0, 2, 1001, 1004, 1005, 1006, 1007, 1007, 1011])
        )
    if draw(st.booleans()):
        fields |= {"qform_code": draw(st.integers(0, 2)), "sform_code": draw(st.integers(0, 2))}
        shear = draw(st.sampled_from([0, 0, 1e-3, 0.02, 0.5]))
        fields["srow_x"] = [spacing[0], shear, 0, 0]
    whole = nifti(voxels.astype(voxels.dtype.newbyteorder(order)), order, **fields)
    truth = _nifti_truth(voxels, fields, [step * factor for step in spacing])
    name = draw(st.sampled_from(["image.nii", "image.nii.gz", "IMAGE.NII.GZ", "image"]))
    if draw(st.booleans()):
        whole = gzip.compress(whole, mtime=0)
    return Case({name: draw(cuts(whole))}, truth)


def _nifti_truth(voxels, fields, spacing):
    """The voxels as the standard says: scaled, vectors along the fifth axis."""
    slope = fields.get("scl_slope", 0.0)
    scaled = voxels if not slope else voxels * slope + fields["scl_inter"]
    while scaled.ndim > 5 and scaled.shape[0] == 1:
        scaled = scaled[0]
    if scaled.ndim == 5 and scaled.shape[0] > 1:
        scaled = np.moveaxis(scaled, 0, -1)
        scaled = scaled[0] if scaled.shape[0] == 1 else scaled
    return Picture(scaled, tuple(spacing[:3]))


# --- MetaImage ---------------------------------------------------------------------------------

_META_TYPES = dict(
    zip(
        _TYPES,
        (
            "UCHAR",
            "CHAR",
            "USHORT",
            "SHORT",
            "UINT",
            "INT",
            "ULONG_LONG",
            "LONG_LONG",
            "FLOAT",
            "DOUBLE",
        ),
        strict=True,
    )
)
_META_FIELDS = (
    "",
    "",
    "",
    "Comment = some text\n",
    "WindowCenter = 40\nWindowWidth = 400\n",
    "WindowCenter = [40, 50]\nWindowWidth = [400, 500]\n",
    "WindowCenter = [40, 50]\n",
    "SliceThickness = thin\n",
    "ContentTimes = 100000 100001\nExposures = 1 2\n",
    "Laterality = left\n",
)


@st.composite
def meta_files(draw):
    voxels, spacing = draw(_voxels(channels=(1, 1, 1, 1, 3, 3, 4, 2, 5)))
    swapped, packed, detached = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    dims = voxels.shape[-2::-1]
    data = voxels.astype(voxels.dtype.newbyteorder(">" if swapped else "<")).tobytes()
    extra = draw(st.sampled_from(_META_FIELDS))
    if draw(st.booleans()):
        extra += f"Offset = {' '.join(['7'] * len(dims))}\n"
    extra += "BinaryDataByteOrderMSB = True\n" if swapped else ""
    extra += f"ElementNumberOfChannels = {voxels.shape[-1]}\n" if voxels.shape[-1] > 1 else ""
    if packed:
        data = zlib.compress(data)
        extra += "CompressedData = True\n"
        extra += f"CompressedDataSize = {len(data)}\n" if draw(st.booleans()) else ""
    data = draw(cuts(data))
    element = f"MET_{_META_TYPES[voxels.dtype.str[1:]]}"
    head = meta(b"", element, dims=dims, extra=extra, file="image.raw" if detached else "LOCAL")
    head = _set_spacing(head, spacing)
    files = {"image.mhd": head, "image.raw": data} if detached else {"image.mha": head + data}
    return Case(files, _picture(voxels, spacing))


def _set_spacing(head, spacing):
    lines = [
        f"ElementSpacing = {' '.join(map(str, spacing))}".encode()
        if line.startswith(b"ElementSpacing")
        else line
        for line in head.split(b"\n")
    ]
    return b"\n".join(lines)


# --- NRRD --------------------------------------------------------------------------------------

_NRRD_TYPES = dict(
    zip(
        _TYPES,
        (
            "uchar",
            "int8",
            "unsigned short",
            "short",
            "uint32",
            "int",
            "uint64",
            "int64",
            "float",
            "double",
        ),
        strict=True,
    )
)


@st.composite
def nrrd_files(draw):
    voxels, spacing = draw(_voxels(channels=(1, 1, 1, 1, 3, 3, 4, 2, 5)))
    places, count = voxels.ndim - 1, voxels.shape[-1]
    sizes, kinds, steps = list(voxels.shape[-2::-1]), ["domain"] * places, list(spacing)
    if count > 1:
        kind = draw(st.sampled_from(["vector", "list", "RGB-color", "point"]))
        sizes, kinds, steps = [count, *sizes], [kind, *kinds], [float("nan"), *steps]
    swapped = draw(st.booleans())
    data = voxels.astype(voxels.dtype.newbyteorder(">" if swapped else "<")).tobytes()
    encoding = draw(st.sampled_from(["raw", "gzip", "gz", "ascii", "hex"]))
    if encoding in {"gzip", "gz"}:
        data = gzip.compress(data, mtime=0)
    elif encoding == "hex":
        data = data.hex().encode()
    elif encoding == "ascii":
        data = " ".join(map(str, voxels.ravel().tolist())).encode()
    lines = [
        f"NRRD000{draw(st.integers(1, 5))}",
        f"type: {_NRRD_TYPES[voxels.dtype.str[1:]]}",
        f"dimension: {len(sizes)}",
        f"sizes: {' '.join(map(str, sizes))}",
        f"endian: {'big' if swapped else 'little'}",
        f"encoding: {encoding}",
    ]
    if places == 3 and draw(st.booleans()):
        lines += ["space: left-posterior-superior", f"space directions: {_directions(steps)}"]
    else:
        lines += [f"spacings: {' '.join(map(str, steps))}"]
    if count > 1 or draw(st.booleans()):
        lines += [f"kinds: {' '.join(kinds)}"]
    if draw(st.booleans()):
        lines += ["# a comment", "key:=value"]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    head = newline.join([*lines, "", ""]).encode()
    return Case({"image.nrrd": head + draw(cuts(data))}, _picture(voxels, spacing))


def _directions(steps):
    axes = iter(range(3))
    return " ".join(
        "none" if np.isnan(step) else f"({','.join(map(str, np.eye(3)[next(axes)] * step))})"
        for step in steps
    )
