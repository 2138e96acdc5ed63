"""The memory that de-identification takes does not grow with the file."""

import gzip
import struct
import subprocess
import sys

import pytest
from support.slices import one_slice
from support.voxel_files import nifti

SIDE, SLICES = 1024, 150
VOXEL_BYTES = SIDE * SIDE * SLICES * 2
MOST_KIB = 40 << 10
"""More than the buffers; the file has 300 MiB."""

CODE = """
import resource, sys
from pathlib import Path
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.inbox import tree

def peak(folder):
    files = tree.source_files(SharePath.of(Path(folder)), ())
    options = BundleOptions(socket="s")
    made = bundle.image_bundle(files, options, spool=Path(folder + ".spool"), stem="k")
    assert isinstance(made.file, Path), "it was clean"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

small = peak(sys.argv[1])
print(peak(sys.argv[2]) - small)
"""


def header(kind, slices):
    """The bytes before the voxels, which end with a text that has to go."""
    size = f"DimSize = {SIDE} {SIDE} {slices}" if kind == "MetaImage" else ""
    if kind == "MetaImage":
        fields = f"ObjectType = Image\nNDims = 3\nComment = DOE^JANE\n{size}\n"
        return f"{fields}ElementType = MET_SHORT\nElementDataFile = LOCAL\n".encode()
    if kind == "NRRD":
        fields = f"NRRD0004\n# DOE^JANE\ntype: short\ndimension: 3\nsizes: {SIDE} {SIDE} {slices}\n"
        return f"{fields}endian: little\nencoding: raw\n\n".encode()
    head = bytearray(nifti()[:352])
    head[148:156] = b"DOE^JANE"
    struct.pack_into("<8h", head, 40, 3, SIDE, SIDE, slices, 1, 1, 1, 1)
    return bytes(head)


def write_file(path, kind, slices):
    """Write a file of this kind, mostly a hole."""
    count = SIDE * SIDE * slices * 2
    if kind == "DICOM":
        one_slice(path, 1, NumberOfFrames=slices, Rows=SIDE, Columns=SIDE)
        content = path.read_bytes()
        start = content.index(b"\xe0\x7f\x10\0OW") + 8
        path.write_bytes(content[:start] + struct.pack("<L", count))
    elif kind == "NIfTI in gzip":
        with gzip.open(path, "wb", 1) as file:
            file.write(header(kind, slices))
            for _ in range(slices):
                file.write(bytes(count // slices))
        return
    else:
        path.write_bytes(header(kind, slices))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + count)


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["MetaImage", "NRRD", "NIfTI", "NIfTI in gzip", "DICOM"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    """A file of 300 MiB takes no more than one of 4 MiB, and the buffers."""
    folders = []
    for slices in (2, SLICES):
        folder = tmp_path / f"{slices}"
        folder.mkdir()
        write_file(folder / "1", kind, slices)
        folders.append(str(folder))
    told = subprocess.check_output([sys.executable, "-c", CODE, *folders], text=True)
    assert int(told) < MOST_KIB
