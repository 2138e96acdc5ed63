"""Kinds of NIfTI: whole, odd and cut."""

import gzip

import nibabel
import numpy as np

from support.importer.dicom_files import random_voxels
from support.importer.kinds import NOTHING, RIGHT, WRONG, Kinds
from support.importer.volumes import SPACING, VOXELS, picture

NIFTI = Kinds("NIfTI")


def nifti(voxels=VOXELS, order="<", make=nibabel.Nifti1Image, **fields):
    """The bytes of a NIfTI file; `fields` are set in its header."""
    # nibabel wants to be told that 8 bytes are meant.
    dtype = voxels.dtype if voxels.dtype.itemsize == 8 and voxels.dtype.kind in "iu" else None
    image = make(voxels.T, np.eye(4), dtype=dtype)
    image.header.set_zooms((*SPACING, *[1.0] * 4)[: voxels.ndim])
    if order == ">":
        header = image.header.as_byteswapped(">")
        image = make(image.dataobj, np.eye(4), header, dtype=dtype)
    data = bytearray(image.to_bytes())
    header = image.header.__class__(bytes(data[: image.header.sizeof_hdr]), order, check=False)
    for field, value in fields.items():
        header[field] = value
    data[: len(header.binaryblock)] = header.binaryblock
    return bytes(data)


def _nifti(folder, data, name="image.nii"):
    (folder / name).write_bytes(data)


@NIFTI.add("whole numbers", RIGHT)
def nifti_plain(folder):
    _nifti(folder, nifti())
    return picture()


@NIFTI.add("compressed", RIGHT)
def nifti_gz(folder):
    _nifti(folder, gzip.compress(nifti()), "image.nii.gz")
    return picture()


@NIFTI.add("compressed in two parts", RIGHT)
def nifti_members(folder):
    whole = nifti()
    _nifti(folder, gzip.compress(whole[:400]) + gzip.compress(whole[400:]), "image.nii.gz")
    return picture()


@NIFTI.add("compressed, but named .nii", NOTHING)
def nifti_named_plain(folder):
    _nifti(folder, gzip.compress(nifti()))
    return picture()


@NIFTI.add("plain, but named .nii.gz", RIGHT)
def nifti_named_gz(folder):
    _nifti(folder, nifti(), "image.nii.gz")
    return picture()


@NIFTI.add("a suffix in capitals", NOTHING)
def nifti_capitals(folder):
    _nifti(folder, nifti(), "IMAGE.NII")
    return picture()


@NIFTI.add("big-endian", RIGHT)
def nifti_big(folder):
    _nifti(folder, nifti(order=">"))
    return picture()


@NIFTI.add("numbers with a fraction", RIGHT)
def nifti_float(folder):
    voxels = (VOXELS / 7).astype("<f4")
    _nifti(folder, nifti(voxels))
    return picture(voxels)


def _with_hole(hole, dtype):
    voxels = (VOXELS / 7).astype(dtype)
    voxels[1, 2, 3] = hole
    return voxels


@NIFTI.add("voxels that are no numbers (NaN)", WRONG, "values_differ")
def nifti_nan(folder):
    voxels = _with_hole(np.nan, "<f4")
    _nifti(folder, nifti(voxels))
    return picture(voxels)


@NIFTI.add("an infinite voxel, big-endian, compressed", WRONG, "values_differ")
def nifti_infinite(folder):
    voxels = _with_hole(-np.inf, ">f8")
    _nifti(folder, gzip.compress(nifti(voxels, ">")), "image.nii.gz")
    return picture(voxels)


@NIFTI.add("the largest number", RIGHT)
def nifti_largest(folder):
    voxels = _with_hole(np.finfo("f4").max, "<f4")
    _nifti(folder, nifti(voxels) + b"\xff" * 9)
    return picture(voxels)


@NIFTI.add("bytes with a scale", RIGHT)
def nifti_scaled(folder):
    voxels = VOXELS.astype("u1")
    _nifti(folder, nifti(voxels, scl_slope=0.5, scl_inter=-10))
    return picture(voxels * 0.5 - 10)


@NIFTI.add("64-bit numbers", RIGHT)
def nifti_long(folder):
    _nifti(folder, nifti(VOXELS.astype("<i8")))
    return picture()


@NIFTI.add("one plane", RIGHT)
def nifti_flat(folder):
    _nifti(folder, nifti(VOXELS[0]))
    return picture(VOXELS[0])


@NIFTI.add("over time", RIGHT)
def nifti_times(folder):
    voxels = random_voxels(2, 3, 4, 5)
    _nifti(folder, nifti(voxels))
    return picture(voxels)


@NIFTI.add("colour (RGB)", RIGHT)
def nifti_colour(folder):
    voxels = random_voxels(3, 4, 5, 3, dtype="u1")
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    _nifti(folder, nifti(voxels.view(kind)[..., 0]))
    return picture(voxels)


@NIFTI.add("complex numbers", WRONG, "unreadable_format")
def nifti_complex(folder):
    voxels = VOXELS.astype("<c8")
    _nifti(folder, nifti(voxels))
    return picture(voxels)


@NIFTI.add("five dimensions", NOTHING, "unreadable_format")
def nifti_5d(folder):
    voxels = random_voxels(2, 2, 3, 4, 5)
    _nifti(folder, nifti(voxels))
    return picture(voxels)


@NIFTI.add("vectors of three numbers", RIGHT)
def nifti_vector(folder):
    voxels = random_voxels(3, 1, 3, 4, 5).astype("<f4")
    _nifti(folder, nifti(voxels, intent_code=1007))
    return picture(np.moveaxis(voxels[:, 0], 0, -1))


@NIFTI.add("a plane of vectors", RIGHT)
def nifti_vector_plane(folder):
    voxels = random_voxels(3, 1, 1, 4, 5)
    _nifti(folder, nifti(voxels, intent_code=1007))
    return picture(np.moveaxis(voxels[:, 0, 0], 0, -1))


@NIFTI.add("vectors over time", RIGHT)
def nifti_vector_times(folder):
    voxels = random_voxels(3, 2, 2, 4, 5)
    _nifti(folder, nifti(voxels, intent_code=1007))
    return picture(np.moveaxis(voxels, 0, -1))


@NIFTI.add("three numbers that are not called vectors", NOTHING, "unreadable_format")
def nifti_unnamed_vectors(folder):
    voxels = random_voxels(3, 1, 2, 4, 5)
    _nifti(folder, nifti(voxels))
    return picture(np.moveaxis(voxels[:, 0], 0, -1))


@NIFTI.add("displacements", NOTHING, "unreadable_format")
def nifti_displacements(folder):
    voxels = random_voxels(3, 1, 2, 4, 5)
    _nifti(folder, nifti(voxels, intent_code=1006))
    return picture(np.moveaxis(voxels[:, 0], 0, -1))


@NIFTI.add("one dimension", NOTHING, "unreadable_format")
def nifti_line(folder):
    _nifti(folder, nifti(VOXELS[0, 0]))
    return picture(VOXELS[0, 0])


@NIFTI.add("an intercept without a slope", WRONG, "values_differ")
def nifti_half_scale(folder):
    _nifti(folder, nifti(scl_slope=0, scl_inter=5))
    return picture()


@NIFTI.add("axes that are not at right angles", NOTHING, "unreadable_format")
def nifti_sheared(folder):
    _nifti(folder, nifti(sform_code=2, qform_code=0, srow_x=[1, 0.5, 0, 0]))
    return picture()


@NIFTI.add("an axis without voxels", WRONG, "unreadable_format")
def nifti_without(folder):
    _nifti(folder, nifti(dim=[3, 5, 0, 3, 1, 1, 1, 1]))


@NIFTI.add("an axis of less than no voxels", NOTHING, "unreadable_format")
def nifti_negative(folder):
    _nifti(folder, nifti(dim=[3, -5, 4, 3, 1, 1, 1, 1]))


@NIFTI.add("a spacing that is no number", WRONG, "unreadable_format")
def nifti_no_spacing(folder):
    _nifti(folder, nifti(pixdim=[1, np.nan, 1, 1, 1, 1, 1, 1]))


@NIFTI.add("directions that are no numbers", NOTHING, "unreadable_format")
def nifti_no_direction(folder):
    _nifti(folder, nifti(sform_code=1, srow_x=[np.nan, 0, 0, 0]))


@NIFTI.add("voxels that begin within the header", WRONG, "unreadable_format")
def nifti_offset(folder):
    _nifti(folder, nifti(vox_offset=0))
    return picture()


@NIFTI.add("no NIfTI inside", NOTHING, "damaged_image")
def nifti_text(folder):
    _nifti(folder, b"no image" * 99)


@NIFTI.add("NIfTI-2", NOTHING, "damaged_image")
def nifti_2(folder):
    _nifti(folder, nifti(make=nibabel.Nifti2Image))
    return picture()


@NIFTI.add("more bytes than needed", RIGHT)
def nifti_longer(folder):
    _nifti(folder, nifti() + bytes(99))
    return picture()


@NIFTI.add("cut off", WRONG, "damaged_image")
def nifti_cut(folder):
    _nifti(folder, nifti()[:-60])


@NIFTI.add("compressed, cut off", WRONG, "damaged_image")
def nifti_gz_cut(folder):
    _nifti(folder, gzip.compress(nifti())[:-40], "image.nii.gz")


@NIFTI.add("compressed, with fewer voxels than told", WRONG, "damaged_image")
def nifti_gz_short(folder):
    _nifti(folder, gzip.compress(nifti()[:-60]), "image.nii.gz")


@NIFTI.add("compressed, with a wrong checksum", NOTHING, "damaged_image")
def nifti_gz_checksum(folder):
    packed = gzip.compress(nifti())
    _nifti(folder, packed[:-8] + bytes(4) + packed[-4:], "image.nii.gz")
    return picture()
