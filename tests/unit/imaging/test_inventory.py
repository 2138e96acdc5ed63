"""What is removed, replaced and kept is told by comparing an original with what goes out of it."""

import gzip
import io
import tempfile
from contextlib import contextmanager

import numpy as np
import PIL.Image
import pydicom
import pytest
import tifffile
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from support.planted import FILES, GRAY, SECRET
from support.slices import one_slice
from support.voxel_files import meta_image, nifti, nrrd

from gcwatch.core.rules.region import parse_region
from gcwatch.imaging.deidentification.deidentify import NO_RULES, Deidentifier, DicomRules
from gcwatch.imaging.dicom.procedure import local_procedure
from gcwatch.imaging.formats import Image
from gcwatch.imaging.inventory.files import compare_files
from gcwatch.imaging.scrub.formats import scrub_file

SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "TIFF": ".tif",
    "BigTIFF": ".tif",
    "OME-TIFF": ".tif",
    "NIfTI": ".nii",
    "NRRD": ".nrrd",
    "MetaImage": ".mha",
}
PLACES = {
    "MetaImage": {"MetaImage Comment", "MetaImage other field", "bytes behind the voxels"},
    "MetaImage, compressed": {"bytes behind the voxels"},
    "MetaImage, laterality": {"MetaImage Laterality"},
    "NIfTI": {
        *("NIfTI db_name", "NIfTI descrip", "NIfTI aux_file", "NIfTI intent_name"),
        *("NIfTI extensions", "bytes behind the NIfTI"),
    },
    "NIfTI in gzip": {"gzip name", "gzip time", "NIfTI descrip", "bytes behind the NIfTI"},
    "NRRD": {"NRRD comment", "NRRD other field", "bytes behind the voxels"},
    "NRRD in gzip": {"gzip name", "bytes behind the voxels"},
    "NRRD, content": {"NRRD content"},
    "PNG": {
        *("PNG tEXt", "PNG zTXt", "PNG iTXt", "PNG tIME", "PNG eXIf", "PNG other chunk"),
        *("bytes behind the compressed pixels of the PNG", "bytes behind the PNG"),
    },
    "JPEG": {"JPEG comment", "JPEG EXIF, bytes of no field", "bytes behind the JPEG"},
    "TIFF": {
        *("TIFF ImageDescription", "TIFF DateTime", "TIFF Artist", "TIFF HostComputer"),
        *("TIFF tag 65000", "bytes of the TIFF that no page refers to"),
    },
}


@contextmanager
def opened(content):
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        stream.seek(0)
        yield stream


def compared(old, new, *blank):
    with opened(old) as before, opened(new) as after:
        return compare_files(before, after, tuple(map(parse_region, blank))).changes


def scrub(content, suffix):
    target = io.BytesIO()
    with opened(content) as stream:
        scrub_file(Image("PNG", suffix, ()), stream)(target)
    return target.getvalue()


def scrubbed(name):
    return scrub(FILES[name], SUFFIXES[name.split()[0].rstrip(",")])


def places(changes, action):
    return {each.place for each in changes if each.action == action}


@pytest.mark.parametrize("name", FILES)
def test_each_place_that_loses_a_name_is_told(name):
    """The places have names; none of them is what the file says of itself."""
    changes = compared(FILES[name], scrubbed(name))
    gone = places(changes, "removed") | places(changes, "replaced")
    assert gone >= PLACES.get(name, set())
    assert gone
    assert any(
        "pixels" in each or "voxels" in each or "picture" in each
        for each in places(changes, "kept")
    )
    assert not any(SECRET.decode() in each.place + each.by for each in changes)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_goes_out_as_it_is_loses_nothing(name):
    """What is not removed is never said to be: the two files are compared."""
    changes = compared(FILES[name], FILES[name])
    assert {each.action for each in changes} == {"kept"}


def other_voxel(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def picture(form, pixels):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


PAIRS = {
    **{
        name: (meta(), other_voxel(meta()))
        for name, meta in (("MetaImage", meta_image), ("NIfTI", nifti), ("NRRD", nrrd))
    },
    "NIfTI in gzip": (
        gzip.compress(nifti(), mtime=0),
        gzip.compress(other_voxel(nifti()), mtime=0),
    ),
    **{form: (picture(form, GRAY), picture(form, GRAY[::-1])) for form in ("png", "jpeg", "tiff")},
}


@pytest.mark.parametrize("name", PAIRS)
def test_changed_pixels_are_told(name):
    """A picture that is no longer the same is not called kept."""
    changes = compared(*PAIRS[name])
    assert any(
        each.endswith(("pixels", "voxels", "picture")) for each in places(changes, "replaced")
    )


def dicom(folder, **more):
    one_slice(folder / "1", 1, (0, 0, 0), **more)
    return (folder / "1").read_bytes()


def deidentified(content, rules=NO_RULES):
    target = io.BytesIO()
    with opened(content) as stream:
        Deidentifier(local_procedure(), rules).prepare_copy(stream, None).write(stream, target)
    return target.getvalue()


def test_elements_are_told_with_their_nesting(folder):
    """By keyword and tag; private ones by tag; the new value of what is replaced."""
    request = Dataset()
    request.ScheduledProcedureStepID = "DOE"
    old = dicom(
        folder, PatientName="Doe^Jane", PatientID="77", RequestAttributesSequence=[request, request]
    )
    changes = compared(old, deidentified(old))
    nested = "RequestAttributesSequence (0040,0275) > ScheduledProcedureStepID (0040,0009)"
    [step] = [each for each in changes if each.place == nested]
    assert (step.action, step.count, step.value) == ("removed", 2, "DOE")
    replaced = {each.place: each.by for each in changes if each.action == "replaced"}
    assert replaced["StudyInstanceUID (0020,000D)"] == "a new UID"
    assert replaced["PatientName (0010,0010)"] == '"DUMMY^PATIENT^^^"'
    assert places(changes, "kept") >= {"Rows (0028,0010)", "PixelData (7FE0,0010)"}


def test_what_is_hidden_beside_pixels_is_told(folder):
    """Bytes behind the last pixel, bytes behind the pixels, and the preamble."""
    old = bytearray(dicom(folder, PixelData=bytes(8) + b"DOE^JANE") + b"\xfc\xff\xfc\xffDOE^")
    old[:4] = b"DOE^"
    removed = places(compared(bytes(old), deidentified(bytes(old))), "removed")
    assert removed >= {"preamble", "bytes behind the last pixel", "bytes behind the pixels"}


def test_texts_in_compressed_frames_are_told(folder):
    """Comments of JPEG are set to zero; the frames are the same else."""
    comment = b"\xff\xfe\0\x0aDOE^JANE"
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\x12\x34" * 8
    one_slice(folder / "1", 1, (0, 0, 0))
    dataset = pydicom.dcmread(folder / "1")
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([b"\xff\xd8" + comment + scan + b"\xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(folder / "1")
    old = (folder / "1").read_bytes()
    changes = compared(old, deidentified(old))
    assert "PixelData (7FE0,0010)" in places(changes, "kept")
    assert "PixelData (7FE0,0010) > texts in compressed frames" in places(changes, "removed")


def test_regions_are_called_black_only_if_they_are(folder):
    """Their pixels are read from what goes out; pixels outside must stay."""
    old = dicom(folder, PixelData=bytes(range(1, 9)))
    region = "0,0,100%,1"
    new = deidentified(old, DicomRules(blank=(parse_region(region),)))
    place, pixels = f"pixels in {region}", "PixelData (7FE0,0010)"
    changes = compared(old, new, region)
    assert place in places(changes, "replaced")
    assert pixels in places(changes, "kept")
    assert place in places(compared(old, deidentified(old), region), "kept")
    assert pixels in places(compared(old, new), "replaced")


def test_pages_of_a_tiff_that_stay_here_are_told():
    """The macro image of a slide, by its size."""
    buffer = io.BytesIO()
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER", "metadata": None}
    tiled = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.zeros((96, 96), "u1"), **sized, **tiled)
        writer.write(np.full((30, 90), 7, "u1"), **sized)
    changes = compared(buffer.getvalue(), scrub(buffer.getvalue(), ".tif"))
    assert "TIFF page of 90 x 30 pixels" in places(changes, "removed")
    assert "TIFF page of 96 x 96 pixels" in places(changes, "kept")
