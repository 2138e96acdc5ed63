"""Files that hold less than their header says are refused before anything is sent."""

import bz2
import gzip
import io
import struct
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.voxel_files import (
    VOXELS,
    WHOLE_VOLUMES,
    compressed_meta_image,
    meta_image,
    nifti,
    nifti2,
    nrrd,
)
from support.whole_files import jpeg, png, tiff

from gcwatch.core.errors import CannotSend
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images
from gcwatch.imaging.checks import voxel_sizes
from gcwatch.inbox import tree

PACKED = gzip.compress(nifti(), mtime=0)
STREAM = zlib.compress(VOXELS)
PICTURES = {"a.png": png(), "a.jpg": jpeg(), "a.tif": tiff(), "b.tif": tiff(big=True)}
GOOD = WHOLE_VOLUMES | PICTURES


def recognise(files, integrity="refuse"):
    with tempfile.TemporaryDirectory() as inbox:
        folder = Path(inbox, "p1")
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        listed = tree.source_files(SharePath.of(folder), ())
        ((image,), _) = images.recognise_images(listed, integrity=integrity)
        return image


def problem(name, data, integrity="refuse"):
    with pytest.raises(CannotSend) as caught:
        recognise({name: data}, integrity)
    assert caught.value.reason.code == "damaged_image"
    return caught.value.reason.facts["problem"]


@pytest.mark.parametrize("name", GOOD)
def test_a_whole_file_is_one_image(name):
    """Nothing is held against it."""
    assert recognise({name: GOOD[name]}).warnings == ()


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_a_file_that_is_cut_anywhere_is_refused(name, data):
    """Wherever a copy breaks off, also where a lab wants warnings instead."""
    size = data.draw(st.integers(1, len(GOOD[name]) - 1))
    assert problem(name, GOOD[name][:size], data.draw(st.sampled_from(["refuse", "warn"])))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("members.nii.gz", gzip.compress(nifti()[:500]) + gzip.compress(nifti()[500:])),
        ("zeros.nii.gz", PACKED + bytes(512)),
        ("garbage.nii.gz", PACKED + b"garbage"),
        ("longer.nii", nifti() + b"more"),
        ("longer.nii.gz", gzip.compress(nifti() + b"more")),
        ("longer.mha", meta_image(VOXELS + b"more")),
        ("longer-stream.mha", compressed_meta_image(zlib.compress(VOXELS + b"more"))),
        ("behind.mha", compressed_meta_image(STREAM + b"more", len(STREAM))),
        ("gzip.mha", compressed_meta_image(gzip.compress(VOXELS))),
        ("longer.nrrd", nrrd(VOXELS + b"more")),
        ("members.nrrd", nrrd(gzip.compress(VOXELS[:99]) + gzip.compress(VOXELS[99:]), "gzip")),
    ],
)
def test_what_the_platform_reads_rightly_is_not_refused(name, data):
    """Panimg 0.18.2 reads all of these with all voxels."""
    assert recognise({name: data}).warnings == ()


SHORT = "the file holds 300 of 640 bytes of voxels"
CUT_OFF = "its compressed data is cut off"
DAMAGED = "its compressed data is damaged"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.nii", nifti(voxels=VOXELS[:300]), SHORT),
        ("a.nii", nifti(voxels=b""), "the file holds 0 of 640 bytes of voxels"),
        ("a.nii.gz", gzip.compress(nifti(voxels=VOXELS[:300])), SHORT),
        ("plain.nii.gz", nifti(voxels=VOXELS[:300]), SHORT),
        ("no-trailer.nii.gz", PACKED[:-8], CUT_OFF),
        ("crc.nii.gz", PACKED[:-8] + bytes(4) + PACKED[-4:], DAMAGED),
        (
            "half-member.nii.gz",
            gzip.compress(nifti()[:500]) + gzip.compress(nifti()[500:])[:200],
            CUT_OFF,
        ),
        ("text.nii", b"no image" * 99, "it has no NIfTI header"),
        ("a.mha", meta_image(VOXELS[:300]), SHORT),
        ("half.mha", compressed_meta_image(zlib.compress(VOXELS[:300])), SHORT),
        ("cut.mha", compressed_meta_image(STREAM[:300]), CUT_OFF),
        ("checksum.mha", compressed_meta_image(STREAM[:-4] + bytes(4)), DAMAGED),
        ("wrong-size.mha", compressed_meta_image(STREAM, 100), CUT_OFF),
        (
            "members.mha",
            compressed_meta_image(gzip.compress(VOXELS[:300]) + gzip.compress(VOXELS[300:])),
            SHORT,
        ),
        (
            "no-size.mha",
            meta_image(STREAM, "CompressedData = True\n"),
            "its header has no CompressedDataSize",
        ),
        ("a.nrrd", nrrd(VOXELS[:300]), SHORT),
        ("half.nrrd", nrrd(gzip.compress(VOXELS[:300]), "gzip"), SHORT),
        ("no-trailer.nrrd", nrrd(gzip.compress(VOXELS)[:-8], "gzip"), CUT_OFF),
    ],
)
def test_what_is_missing_is_said(name, data, words):
    """Panimg 0.18.2 refuses some of these, and fills the others with zeros or other memory."""
    assert problem(name, data) == words


def test_the_data_file_of_a_header_is_checked_too():
    """A compressed data file that holds half of the voxels."""
    header = meta_image(b"", "CompressedData = True\n", "a.zraw")
    assert recognise({"a.mhd": header, "a.zraw": STREAM}).warnings == ()
    with pytest.raises(CannotSend) as caught:
        recognise({"a.mhd": header, "a.zraw": zlib.compress(VOXELS[:300])})
    assert caught.value.reason.facts["problem"] == SHORT
    assert caught.value.reason.names == {"file": "a.zraw"}


def test_gzip_named_nii_goes_out_under_the_name_that_the_platform_reads():
    """Panimg 0.18.2 refuses gzip that is named .nii."""
    assert recognise({"a.nii": PACKED}).suffix == ".nii.gz"


@pytest.mark.parametrize("data", [nifti2(), nifti2(">"), gzip.compress(nifti2())])
def test_nifti_2_is_refused_with_what_to_do(data):
    """Panimg 0.18.2 reads none, not even as nibabel writes it."""
    words = "it is NIfTI-2, which the platform can't read: convert it to NIfTI-1"
    assert problem("a.nii", data) == words


def test_an_nrrd_in_bzip2_is_refused():
    """Panimg 0.18.2 can't read it."""
    with pytest.raises(CannotSend) as caught:
        recognise({"a.nrrd": nrrd(bz2.compress(VOXELS), "bzip2")})
    assert caught.value.reason.code == "unreadable_format"


@pytest.mark.parametrize(("dims", "kind"), [((5, 4, 4, 4, 1, 3), 4), ((3, 4, 4, 4), 128)])
def test_a_scale_of_vectors_or_colours_is_refused(dims, kind):
    """It kills the process of the importer (panimg 0.18.2), so its own tests can't show it."""
    head = bytearray(nifti()[:352])
    struct.pack_into(f"<{len(dims)}h", head, 40, *dims)
    struct.pack_into("<3h", head, 68, 1007 if kind == 4 else 0, kind, 16)
    whole = bytes(head) + bytes(4 * 4 * 4 * 3 * 2)
    assert recognise({"a.nii": whole}).suffix == ".nii"
    struct.pack_into("<2f", head, 112, 2.0, 0.0)
    with pytest.raises(CannotSend) as caught:
        recognise({"a.nii": bytes(head) + bytes(4 * 4 * 4 * 3 * 2)})
    assert caught.value.reason.code == "unreadable_format"


def test_more_than_deflate_can_hold_is_refused_unread():
    """The header of a small file may tell any size."""
    words = voxel_sizes.find_compressed_damage(io.BytesIO(), 1000, 10**9)
    assert words == "1000 bytes of compressed data can't hold 1000000000 bytes of voxels"


def test_decompressing_needs_little_memory():
    """64 MiB of voxels, of which at most a few pieces are in memory."""
    stream = zlib.compress(bytes(64 * 2**20))
    tracemalloc.start()
    assert voxel_sizes.find_compressed_damage(io.BytesIO(stream), len(stream), 64 * 2**20) == ""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
