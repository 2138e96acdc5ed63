"""The sandbox's importer: what becomes an image, and what it says about the rest."""

import gzip
import struct
import zlib
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from sandbox_user import PATIENTS, SandboxUser, mha, patient, zipped

from gcwatch.sandbox import Sandbox, metaimage

SOCKET = "Image validation for socket Generic Medical Image failed with error: "
ONE_FILE = "1 file could not be imported"
SEVERAL = f"{SOCKET}Image imports should result in a single image."


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


def shape_of(user, session):
    return user.tell(session["image_set"][0])["shape"]


def voxels_of(user, job, folder):
    """The numbers of a job's output image, as downloaded."""
    image = next(each["image"] for each in job["outputs"] if each["image"])
    path = folder / "out.mha"
    path.write_bytes(user.download(user.tell(image)["files"][0]["file"]).content)
    volume, _ = metaimage.read(path, folder)
    return [number for piece in metaimage.voxels(volume) for number in piece]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("77654033/CR1", [1, 16, 16]),
        ("77654033/CR2", [1, 16, 16]),
        ("77654033/CR3", [1, 16, 16]),
        ("77654033/CT2", [4, 16, 16]),
        ("98892001/CT2N", [2, 16, 16]),
        ("98892001/CT5N", [5, 16, 16]),
        ("98892003/MR700", [7, 16, 16]),
    ],
)
def test_real_patient_becomes_one_image(alice, name, shape):
    """These patients import as one image, named after their study, and the job runs."""
    session, job = alice.copy(zipped(patient(name)), "p.zip")
    assert (session["status"], session["error_message"]) == ("Succeeded", "")
    assert (shape_of(alice, session), job["status"]) == (shape, "Succeeded")
    assert alice.tell(session["image_set"][0])["name"].endswith("-0")


@pytest.mark.parametrize("name", ["98892003/MR1", "98892003/MR2"])
def test_patient_of_several_series_fails(sandbox, alice, name):
    """Several images: the session first succeeds, then fails, and the job is cancelled."""
    sandbox.configure(import_seconds=100)
    session, job = alice.copy(zipped(patient(name)), "p.zip")
    sandbox.advance(110)
    assert alice.tell(session["api_url"])["status"] == "Succeeded"
    sandbox.advance(11)
    session, job = alice.tell(session["api_url"]), alice.job(job["pk"])
    assert (session["status"], session["error_message"]) == ("Failed", SEVERAL)
    assert (len(session["image_set"]), job["status"]) == (3, "Cancelled")
    assert alice.call("GET", session["image_set"][0]).status_code == 404


def test_truncated_slice_is_left_out_silently(alice):
    """A CT with a broken slice becomes a shorter image, with a complaint nobody must read."""
    files = patient("98892001/CT5N")
    first = min(files)
    files[first] = files[first][:-20]
    session, _ = alice.copy(zipped(files), "p.zip")
    assert (session["status"], session["error_message"]) == ("Succeeded", ONE_FILE)
    assert shape_of(alice, session) == [4, 16, 16]


def test_slice_twice_is_one_slice_more(alice):
    """The same instance under two names is counted twice."""
    files = patient("98892001/CT5N")
    files["again"] = files[min(files)]
    session, _ = alice.copy(zipped(files), "p.zip")
    assert (session["error_message"], shape_of(alice, session)) == ("", [6, 16, 16])


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"note.txt": b"hello"}, ONE_FILE),
        ({"DICOMDIR": (PATIENTS / "DICOMDIR").read_bytes()}, ONE_FILE),
        ({".a": b"", ".b": b""}, "2 files could not be imported"),
        ({"__MACOSX/._x": b"x", ".DS_Store": b"x", "desktop.ini": b"x"}, ""),
    ],
    ids=["text", "dicomdir", "dotfiles", "litter"],
)
def test_leftovers_are_counted(alice, extra, complaint):
    """Files beside an image are told, those of file managers are not."""
    session, job = alice.copy(zipped({"a.mha": mha(1)} | extra), "p.zip")
    assert (session["status"], session["error_message"]) == ("Succeeded", complaint)
    assert job["status"] == "Succeeded"


def test_zips_are_unpacked_by_content(alice):
    """A zip within a zip, whatever it is called, is unpacked."""
    inner = zipped({"a.mha": mha(1, 2)})
    session, _ = alice.copy(zipped({"sub/inner.dat": inner}), "p.mha")
    assert (session["error_message"], shape_of(alice, session)) == ("", [1, 1, 2])


@pytest.mark.parametrize(
    "content",
    [
        mha(1, 2, 3)[:-1],
        zipped({"a.mhd": mha(1).replace(b"LOCAL", b"a.raw")[:-2]}),
        b"",
        bytes(range(256)) * 20,
        b"\x89PNG\r\n\x1a\n",
        zipped({"a.mha": mha(1).replace(b"MET_SHORT", b"MET_STRING")}),
    ],
    ids=["truncated", "no raw", "empty", "garbage", "png head", "element"],
)
def test_what_is_no_image_fails(alice, content):
    """Nothing to import: session Failed, job Cancelled, and the upload stays."""
    upload = alice.upload(content)
    session = alice.session(upload)["api_url"]
    pk = alice.start(generic_medical_image={"upload_session": session})
    session = alice.tell(session)
    assert (session["status"], session["error_message"]) == ("Failed", f"{SOCKET}{ONE_FILE}.")
    assert alice.job(pk)["status"] == "Cancelled"
    assert alice.tell(upload)["status"] == "Completed"


def test_duplicate_names_fail(alice):
    """Two uploads of one name go into a job, and fail there."""
    uploads = [alice.upload(mha(1)), alice.upload(mha(2))]
    pk = alice.start(generic_medical_image={"user_uploads": uploads})
    (session,) = alice.tell("cases/upload-sessions/")["results"]
    reason = "Duplicate files uploaded, please try again with a unique set of files."
    assert (session["error_message"], alice.job(pk)["status"]) == (f"{SOCKET}{reason}", "Cancelled")


def test_open_upload_fails(alice):
    """An upload that is not complete is accepted, and fails."""
    upload = alice.begin()["api_url"]
    pk = alice.start(generic_medical_image={"user_uploads": [upload]})
    assert alice.job(pk)["status"] == "Cancelled"
    (session,) = alice.tell("cases/upload-sessions/")["results"]
    assert session["error_message"] == f"{SOCKET}An unexpected error occurred."


def test_expired_uploads_fail(sandbox, alice):
    """A session whose uploads are gone has nothing to import."""
    session = alice.session(alice.upload(mha(1)))["api_url"]
    sandbox.expire_uploads()
    alice.start(generic_medical_image={"upload_session": session})
    assert alice.tell(session)["error_message"] == f"{SOCKET}."


def broken_zip():
    content = bytearray(zipped({"a.mha": mha(*range(50))}))
    content[60:70] = bytes(10)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"), [("..", b"x"), ("a.zip", broken_zip())], ids=["dots", "broken zip"]
)
def test_importer_that_breaks_down_says_little(alice, name, content):
    """What the importer trips over is an unexpected error, and the next import works."""
    upload = alice.session(alice.upload(content, name))["api_url"]
    alice.start(generic_medical_image={"upload_session": upload})
    assert alice.tell(upload)["error_message"] == f"{SOCKET}An unexpected error occurred."
    assert alice.copy(mha(1))[1]["status"] == "Succeeded"


def compressed():
    head, data = mha(3, -1, 4).split(b"LOCAL\n")
    packed = zlib.compress(data)
    extra = f"CompressedData = True\nCompressedDataSize = {len(packed)}\n".encode()
    return head.replace(b"NDims", extra + b"NDims") + b"LOCAL\n" + packed


def nifti():
    head = bytearray(352)
    struct.pack_into("<8h", head, 40, 3, 3, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<h", head, 70, 4)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", head, 108, 352)
    return bytes(head) + struct.pack("<3h", 3, -1, 4)


def nrrd():
    head = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 1 1\nendian: little\nencoding: gzip\n\n"
    return head + gzip.compress(struct.pack("<3h", 3, -1, 4))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mha", mha(3, -1, 4)),
        ("a.mha", compressed()),
        (
            "a.zip",
            zipped(
                {
                    "a.mhd": mha(3, -1, 4).split(b"LOCAL")[0] + b"a.raw\n",
                    "a.raw": struct.pack("<3h", 3, -1, 4),
                }
            ),
        ),
        (
            "a.mha",
            mha(*struct.unpack("<3h", struct.pack(">3h", 3, -1, 4))).replace(
                b"NDims", b"BinaryDataByteOrderMSB = True\nNDims"
            ),
        ),
        ("a.nii", nifti()),
        ("a.nii.gz", gzip.compress(nifti())),
        ("a.nrrd", nrrd()),
    ],
    ids=["mha", "compressed", "mhd", "big-endian", "nifti", "nifti.gz", "nrrd"],
)
def test_voxels_survive_the_import(alice, tmp_path, name, content):
    """The image is rewritten, but its voxels are those that were sent."""
    _, job = alice.copy(content, name)
    assert voxels_of(alice, job, tmp_path) == [3, -1, 4]


def test_dicom_voxels_are_rescaled(alice, tmp_path):
    """Slope and intercept are applied, and slices are in order of position."""
    content = (PATIENTS / "98892001" / "CT5N" / "2062").read_bytes()
    _, job = alice.copy(content, "one.dcm")
    stored = struct.unpack("<256h", content[-512:])
    assert voxels_of(alice, job, tmp_path) == [number - 1024 for number in stored]


def test_tiff_stays_tiff(alice):
    """A TIFF with a resolution is kept as a .tif of type TIFF."""
    tags = [(256, 4), (257, 3), (282, 0), (283, 0)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries
    session = alice.session(alice.upload(content, "a.tif"))["api_url"]
    alice.start(generic_medical_image={"upload_session": session})
    image = alice.tell(alice.tell(session)["image_set"][0])
    assert (image["files"][0]["image_type"], image["width"], image["height"]) == ("TIFF", 4, 3)
    assert alice.download(image["files"][0]["file"]).content == content


@pytest.mark.parametrize(
    ("name", "head", "size"),
    [
        (
            "a.png",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 5, 4, 8, 2, 0, 0, 0),
            3,
        ),
        (
            "a.jpg",
            b"\xff\xd8\xff\xe0\0\4ab\xff\xc0" + struct.pack(">HBHHB", 11, 8, 4, 5, 1) + bytes(9),
            1,
        ),
    ],
    ids=["png", "jpeg"],
)
def test_pictures_are_recognised(alice, name, head, size):
    """PNG and JPEG become images of their size and channels."""
    session, _ = alice.copy(head, name)
    shape = shape_of(alice, session)
    assert shape[:2] == [4, 5]
    assert shape[2:] == ([] if size == 1 else [size])


def test_several_folders_are_several_images(alice):
    """Each folder of a zip is imported by itself."""
    session, job = alice.copy(zipped({"a/x.mha": mha(1), "b/x.mha": mha(2)}), "p.zip")
    assert (session["error_message"], job["status"]) == (SEVERAL, "Cancelled")


def test_upload_of_several_parts_is_one_file(alice):
    """Parts are put together in order, whatever order they came in."""
    content = mha(*range(3_000_000), element="MET_INT", code="i")
    cut = 5 * 1024**2
    upload = alice.begin()
    tags = []
    for number, part in ((2, content[cut : 2 * cut]), (3, content[2 * cut :]), (1, content[:cut])):
        reply = alice.put(alice.url_of(upload, number), data=part, timeout=60)
        tags.append((number, reply.headers["ETag"]))
    assert alice.complete(upload, *sorted(tags)).status_code == 200
    image = {"user_uploads": [upload["api_url"]]}
    pk = alice.start("threshold", ct_image=image, threshold={"value": 2_999_989.5})
    assert [each["value"] for each in alice.job(pk)["outputs"] if each["value"]] == [10]


def test_raw_file_may_begin_with_anything(alice, tmp_path):
    """A negative HeaderSize means that the voxels are at the end."""
    head = mha(3, -1, 4).split(b"ElementDataFile")[0]
    files = {
        "a.mhd": head + b"HeaderSize = -1\nElementDataFile = a.raw\n",
        "a.raw": b"anything" + struct.pack("<3h", 3, -1, 4),
    }
    _, job = alice.copy(zipped(files), "a.zip")
    assert voxels_of(alice, job, tmp_path) == [3, -1, 4]


def test_slice_without_number_is_no_image(alice):
    """A group whose slices have no order is left over as a whole."""
    files = patient("98892001/CT5N")
    name = min(files)
    tag = b"\x20\x00\x13\x00IS"
    assert tag in files[name]
    files[name] = files[name].replace(tag, b"\x20\x00\x12\x00IS")
    session, _ = alice.copy(zipped(files), "p.zip")
    assert session["error_message"] == f"{SOCKET}5 files could not be imported."


def test_compressed_dicom_has_its_shape(alice):
    """Encapsulated pixels are not decoded, but their image is there."""
    content = Path(get_testdata_file("JPEG2000.dcm")).read_bytes()
    session, _ = alice.copy(content, "one.dcm")
    assert (session["status"], shape_of(alice, session)) == ("Succeeded", [1, 1024, 256])
