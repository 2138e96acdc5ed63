"""Images of other formats than DICOM go out without what a header says beside the picture."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms
from support.planted import (
    FILES,
    GRAY,
    SECRET,
    archive_with_secrets,
    find_names,
    jpeg_with_secrets,
    profile_with_secrets,
)
from support.voxel_files import VOXELS, meta_image
from support.whole_files import jpeg, png, tiff

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import explain
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.formats import Image
from gcwatch.imaging.scrub.formats import scrub_file
from gcwatch.imaging.scrub.icc import clean_profile
from gcwatch.imaging.scrub.tiff import scrub_tiff
from gcwatch.inbox import tree


def send(folder, spool, **options):
    chosen = BundleOptions(socket="image", **options)
    files = tree.source_files(SharePath.of(folder), ())
    made = bundle.image_bundle(files, chosen, spool=spool, stem="k1")
    return made.written()


def sent_bytes(tmp_path, content, name="a"):
    """What goes out of a folder with one file; zipped files are joined."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    made = send(folder, tmp_path / "spool")
    return Path(made.file if isinstance(made.file, Path) else str(made.file.place)).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_no_planted_name_goes_out(tmp_path, name):
    """It is in the file at every place that the format has for texts, and behind the picture."""
    assert find_names(FILES[name])
    assert not find_names(sent_bytes(tmp_path, FILES[name]))


@pytest.mark.parametrize("name", FILES)
def test_an_archive_behind_an_image_stays_here(tmp_path, name):
    """The importer would unpack it: it looks for the table of a zip at the end of a file."""
    archive = archive_with_secrets()
    assert find_names(archive)
    assert b"PK" not in sent_bytes(tmp_path, FILES[name] + archive)


@pytest.mark.parametrize("name", FILES)
def test_the_same_file_gives_the_same_bytes(tmp_path, name):
    """After a crash, parts that are stored already stay valid; a clean file does not change."""
    first = sent_bytes(tmp_path / "1", FILES[name])
    assert sent_bytes(tmp_path / "2", FILES[name]) == first
    assert sent_bytes(tmp_path / "3", first) == first


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BigTIFF, big-endian", "TIFF with tiles"])
def test_the_pixels_stay(tmp_path, kind):
    """An independent reader reads the same from both."""
    read = tifffile.imread if "TIFF" in kind else lambda file: np.array(PIL.Image.open(file))
    sent = sent_bytes(tmp_path, FILES[kind])
    assert np.array_equal(read(io.BytesIO(sent)), read(io.BytesIO(FILES[kind])))


def test_a_jpeg_keeps_only_the_orientation_of_its_exif(tmp_path):
    """Viewers turn the picture by it."""
    picture = PIL.Image.open(io.BytesIO(sent_bytes(tmp_path, jpeg_with_secrets())))
    assert dict(picture.getexif()) == {274: 6}


def test_a_profile_keeps_its_colours(tmp_path):
    """The description of an ICC profile goes, and each colour stays as it was."""
    old = profile_with_secrets()
    picture = PIL.Image.open(io.BytesIO(sent_bytes(tmp_path, jpeg_with_secrets())))
    new = picture.info["icc_profile"]
    assert find_names(old)
    assert not find_names(new)
    colours = PIL.Image.fromarray(np.arange(3 * 4096, dtype="u1").reshape(64, 64, 3))
    made = []
    for profile in (old, new):
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        lab = ImageCms.createProfile("LAB")
        made.append(ImageCms.profileToProfile(colours, opened, lab, outputMode="LAB").tobytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("change", [lambda old: old[:200], lambda old: b"x" * len(old)])
def test_a_damaged_profile_does_not_go_out(change):
    """A picture without one has the usual colours."""
    assert clean_profile(change(profile_with_secrets())) == b""


def test_comments_in_tiles_of_jpeg_2000_go():
    """Slides have such tiles."""
    dataset = pydicom.dcmread(pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm"))
    [frame] = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    assert b"Created" in frame
    picture = bytearray(tiff())
    for tag, new in ((259, 34712), (273, len(picture)), (279, len(frame))):
        at = picture.index(struct.pack("<HHL", tag, 4, 1)) + 8
        struct.pack_into("<L", picture, at, new)
    target = io.BytesIO()
    scrub_tiff(io.BytesIO(bytes(picture) + frame))(target)
    assert b"Created" not in target.getvalue()
    assert b"\xff\x4f\xff\x51" in target.getvalue()


def test_a_clean_file_goes_straight_from_the_inbox(tmp_path):
    """Nothing is copied."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    (folder / "a.nii").write_bytes(FILES["NIfTI"])
    (folder / "a.nii").write_bytes(send(folder, tmp_path / "spool").file.read_bytes())
    assert not isinstance(send(folder, tmp_path / "other").file, Path)
    assert not (tmp_path / "other").exists()


def test_both_files_of_a_metaimage_are_scrubbed(tmp_path):
    """Its header and the bytes behind its voxels."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    head = meta_image(b"", "Name = DOE^JANE\n", "DOE.raw")
    (folder / "DOE.mhd").write_bytes(head)
    (folder / "DOE.raw").write_bytes(VOXELS + SECRET)
    with zipfile.ZipFile(send(folder, tmp_path / "spool").file) as archive:
        assert archive.read("image.raw") == VOXELS
        assert b"DOE" not in archive.read("image.mhd")
        assert archive.namelist() == ["image.mhd", "image.raw"]


def test_label_and_macro_of_a_tiled_tiff_stay_here(tmp_path):
    """A slide's levels go out; pages without tiles, or of another shape, do not."""
    buffer = io.BytesIO()
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER", "metadata": None}
    tiled = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(buffer) as writer:
        text = "Aperio Image Library v1\r\n96x96 |AppMag = 20|MPP = 0.5|Filename = DOE^JANE"
        writer.write(np.zeros((96, 96), "u1"), **sized, **tiled, description=text)
        writer.write(np.ones((48, 48), "u1"), **sized, **tiled)
        writer.write(np.full((30, 90), 7, "u1"), **sized)
        writer.write(np.full((32, 96), 8, "u1"), **sized, **tiled)
    with tifffile.TiffFile(io.BytesIO(sent_bytes(tmp_path, buffer.getvalue(), "a.svs"))) as sent:
        assert [page.shape for page in sent.pages] == [(96, 96), (48, 48)]
        told = sent.pages[0].description
    assert told == "Aperio Image Library\r\n96x96|AppMag = 20|MPP = 0.5"


def test_an_ome_description_keeps_its_geometry_alone(tmp_path):
    """Sizes and types stay, names and dates do not."""
    buffer = io.BytesIO()
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER"}
    facts = {"axes": "YX", "Name": SECRET.decode(), "PhysicalSizeX": 0.25}
    tifffile.imwrite(buffer, GRAY, ome=True, metadata=facts, **sized)
    assert SECRET in buffer.getvalue()
    sent = sent_bytes(tmp_path, buffer.getvalue(), "a.tif")
    assert SECRET not in sent
    assert b'PhysicalSizeX="0.25"' in sent
    assert np.array_equal(tifffile.imread(io.BytesIO(sent)), GRAY)


@pytest.mark.parametrize("suffix", ["fds", "fda", "e2e"])
def test_what_cannot_be_scrubbed_is_refused_unless_the_route_names_it(tmp_path, suffix):
    """Then it goes out as it is, with a warning."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    start = {"fds": b"FOCTFDS", "fda": b"FOCTFDA", "e2e": b"CMDb"}[suffix]
    (folder / "a").write_bytes(start + bytes(600))
    with pytest.raises(CannotSend) as caught:
        send(folder, tmp_path / "spool", unscrubbed=("mrxs",))
    assert caught.value.reason.code == "not_deidentified"
    made = send(folder, tmp_path / "spool", unscrubbed=(suffix,))
    assert [warning.code for warning in made.warnings] == ["sent_unscrubbed"]
    assert made.filename == f"k1.{suffix}"


def slide_of_a_vendor(vendor):
    """A small TIFF with the marks by which readers know a vendor's slides."""
    marks = {
        "ndpi": {"extratags": [(65420, 4, 1, 1, True)]},
        "bif": {"extratags": [(700, 7, 18, b"<iScan Name='DOE'/>"[:18], True)]},
        "scn": {"description": "<?xml version='1.0'?><scn xmlns='x'><SCN Name='DOE'/></scn>"},
        "philips": {"description": "<?xml?><DataObject ObjectType='DPUfsImport'>PHILIPS DOE"},
    }[vendor]
    buffer = io.BytesIO()
    sized = {"resolution": (100, 100), "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(buffer, GRAY, tile=(16, 16), compression="zlib", **sized, **marks)
    return buffer.getvalue()


@pytest.mark.parametrize("vendor", ["ndpi", "bif", "scn", "philips"])
def test_slides_of_vendors_are_refused_unless_the_route_names_them(tmp_path, vendor):
    """Whatever their file is called: their marks say whose they are."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    (folder / "a.tif").write_bytes(slide_of_a_vendor(vendor))
    with pytest.raises(CannotSend) as caught:
        send(folder, tmp_path / "spool", unscrubbed=("mrxs",))
    assert caught.value.reason.code == "not_deidentified"
    made = send(folder, tmp_path / "spool", unscrubbed=(vendor,))
    assert [warning.facts for warning in made.warnings] == [{"format": vendor}]


def test_what_an_earlier_version_has_spooled_is_made_anew(tmp_path):
    """That version did not clean its files as this one does."""
    folder, spool = tmp_path / "in" / "p1", tmp_path / "spool"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(FILES["NIfTI"])
    made = send(folder, spool)
    made.file.write_bytes(FILES["NIfTI"][: made.size])
    assert find_names(send(folder, spool).file.read_bytes())
    note = json.loads((spool / "k1.json").read_bytes())
    files = tree.source_files(SharePath.of(folder), ())
    options = {"deidentify": True, "keep_names": False, "integrity": "refuse"}
    total = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        total.update(file.name.encode() + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    (spool / "k1.json").write_text(json.dumps({**note, "listing": total.hexdigest()}))
    assert not find_names(send(folder, spool).file.read_bytes())


@pytest.mark.parametrize("kind", ["png", "mha"])
def test_what_holds_more_than_its_header_says_is_told_as_damaged(tmp_path, kind):
    """It may be a bomb: what is wrong is not that it can't be cleaned."""
    pixels = zlib.compress(bytes(1 << 20))
    part = struct.pack(">L", len(pixels)) + b"IDAT" + pixels
    checksum = zlib.crc32(b"IDAT" + pixels).to_bytes(4)
    content = {
        "png": png()[:33] + part + checksum + png()[-12:],
        "mha": b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_SHORT\n"
        b"CompressedData = True\nCompressedDataSize = %d\nElementDataFile = LOCAL\n"
        % len(pixels)
        + pixels,
    }
    with pytest.raises(CannotSend) as error:
        sent_bytes(tmp_path, content[kind], f"x.{kind}")
    assert error.value.reason.code == "damaged_image"
    assert "holds more than its pixels" in explain(error.value.reason).detail


CASES = [(".mha", FILES["MetaImage"]), (".nii", FILES["NIfTI"]), (".nii", FILES["NIfTI in gzip"])]
CASES += [(".nrrd", FILES["NRRD"]), (".png", FILES["PNG"]), (".jpg", FILES["JPEG"])]
CASES += [(".tif", FILES["TIFF"]), (".tif", FILES["BigTIFF, big-endian"]), (".jpg", jpeg())]
CASES += [(".tif", tiff())]


@given(st.sampled_from(CASES), st.data())
def test_damaged_files_are_refused_without_another_error(case, data):
    """Bytes of the header are any; a chain of pages that ends nowhere ends here."""
    suffix, content = case
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, min(len(changed), 600) - 1))] = data.draw(
            st.integers(0, 255)
        )
    end = data.draw(st.integers(1, len(changed)))
    try:
        write = scrub_file(Image("TIFF", suffix, ()), io.BytesIO(bytes(changed[:end])))
        write(io.BytesIO())
    except CantScrub:
        pass
