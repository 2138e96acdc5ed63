"""The sandbox's importer: what becomes an image, and what it says about the rest."""

import gzip
import io
import struct
import zlib
from pathlib import Path

import PIL.Image
import pytest
from pydicom.data import get_testdata_file
from support.sandbox_user import PATIENTS, SandboxUser, mha, patient, zipped

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
    volume, _ = metaimage.read_volume(path, folder)
    return [number for piece in metaimage.read_voxels(volume) for number in piece]


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
    sandbox.configure(import_seconds=1000)
    session, job = alice.copy(zipped(patient(name)), "p.zip")
    sandbox.advance(1100)
    assert alice.tell(session["api_url"])["status"] == "Succeeded"
    sandbox.advance(110)
    session, job = alice.tell(session["api_url"]), alice.job(job["pk"])
    assert (session["status"], session["error_message"]) == ("Failed", SEVERAL)
    assert (len(session["image_set"]), job["status"]) == (3, "Cancelled")
    assert alice.call("GET", session["image_set"][0]).status_code == 404


def test_truncated_slice_fails_its_whole_series(alice):
    """A CT with a slice whose pixels are cut off is no image (recording 23)."""
    files = patient("98892001/CT5N")
    first = min(files)
    files[first] = files[first][:-20]
    session, _ = alice.copy(zipped(files), "p.zip")
    assert session["error_message"] == f"{SOCKET}5 files could not be imported."


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
    struct.pack_into("<i", head, 0, 348)
    head[344:348] = b"n+1\0"
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


def saved_picture(kind, mode="L"):
    """A picture of 5 x 4 pixels."""
    out = io.BytesIO()
    PIL.Image.new(mode, (5, 4)).save(out, kind)
    return out.getvalue()


def sized_tiff(*changes, channels=1):
    """A TIFF of 4 x 3 pixels of 0.1 x 0.2 mm, without the pixels."""
    photometric = {1: 1, 3: 2}[channels]
    end = 8 + 2 + 6 * 12 + 4
    tags = {256: 4, 257: 3, 262: photometric, 282: end, 283: end + 8, 296: 3} | dict(changes)
    entries = b"".join(
        struct.pack("<HHII", tag, 5 if tag in {282, 283} else 4, 1, value)
        for tag, value in tags.items()
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + bytes(4) + struct.pack("<4I", 100, 1, 50, 1)


def test_tiff_stays_tiff(alice):
    """A TIFF with a resolution is kept as a .tif of type TIFF."""
    content = sized_tiff()
    session = alice.session(alice.upload(content, "a.tif"))["api_url"]
    alice.start(generic_medical_image={"upload_session": session})
    image = alice.tell(alice.tell(session)["image_set"][0])
    assert (image["files"][0]["image_type"], image["width"], image["height"]) == ("TIFF", 4, 3)
    assert alice.download(image["files"][0]["file"]).content == content


@pytest.mark.parametrize(("mode", "channels"), [("RGB", [3]), ("L", [])])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_pictures_are_recognised(alice, kind, mode, channels):
    """PNG and JPEG become images of their size and channels."""
    session, _ = alice.copy(saved_picture(kind, mode), "misnamed")
    assert shape_of(alice, session) == [4, 5, *channels]


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


def slidedat(**other):
    general = {"IMAGENUMBER_X": 4, "IMAGENUMBER_Y": 3}
    sections = {
        "GENERAL": general,
        "HIERARCHICAL": {"INDEXFILE": "Index.dat"},
        "DATAFILE": {"FILE_COUNT": 2, "FILE_0": "Data0000.dat", "FILE_1": "Data0001.dat"},
    }
    lines = [
        line
        for name, keys in sections.items()
        for line in (f"[{name}]", *(f"{key} = {value}" for key, value in (keys | other).items()))
    ]
    return "\ufeff".encode() + "\r\n".join(lines).encode()


def mirax(without=()):
    """A slide as its scanner exports it; the .mrxs itself is a small JPEG."""
    files = {
        "a.mrxs": saved_picture("jpeg"),
        "a/Slidedat.ini": slidedat(),
        "a/Index.dat": b"index",
        "a/Data0000.dat": b"data",
        "a/Data0001.dat": b"data",
    }
    return {name: content for name, content in files.items() if name not in without}


def hamamatsu(section="Virtual Microscope Specimen", without=()):
    listed = (
        f"[{section}]\r\nNoJpegColumns=2\r\nNoJpegRows=1\r\nImageFile=a.jpg\r\n"
        "ImageFile(1,0)=b.jpg\r\nMapFile=map.jpg\r\nOptimisationFile=a.opt\r\n"
    )
    names = ("a.jpg", "b.jpg", "map.jpg")
    files = {"a.vms": listed.encode(), "a.opt": b"x"} | {
        name: saved_picture("jpeg") for name in names
    }
    return {name: content for name, content in files.items() if name not in without}


def tiff(width=4, height=3, big=False):
    """The head of a TIFF without a resolution; whole-slide formats are such files."""
    if big:
        entries = struct.pack("<HHQQHHQQ", 256, 4, 1, width, 257, 4, 1, height)
        return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2) + entries + bytes(8)
    entries = struct.pack("<HHIIHHII", 256, 4, 1, width, 257, 4, 1, height)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)


@pytest.mark.parametrize(
    ("files", "size"),
    [
        (mirax(), (4, 3)),
        (hamamatsu(), (10, 4)),
        *(({f"a{suffix}": tiff()}, (4, 3)) for suffix in (".svs", ".NDPI", ".scn", ".bif")),
        ({"a.svs": tiff(70_000, 60_000, big=True)}, (70_000, 60_000)),
    ],
    ids=["mrxs", "vms", "svs", "ndpi", "scn", "bif", "bigtiff"],
)
def test_slide_becomes_one_tiff(alice, files, size):
    """A whole-slide image with all its companions is one TIFF, and nothing is left over."""
    session, job = alice.copy(zipped(files), "p.zip")
    assert (session["error_message"], job["status"]) == ("", "Succeeded")
    image = alice.tell(session["image_set"][0])
    (file,) = image["files"]
    assert (file["image_type"], image["width"], image["height"]) == ("TIFF", *size)
    assert alice.download(file["file"]).content[:2] == b"II"
    assert image["name"].endswith(".tif")


def test_uncompressed_hamamatsu_slide_is_taken(alice):
    """A .vmu is read as a .vms is; nobody knows the size of its parts."""
    files = hamamatsu("Uncompressed Virtual Microscope Specimen")
    files["a.vmu"] = files.pop("a.vms")
    session, _ = alice.copy(zipped(files), "p.zip")
    assert (session["status"], session["error_message"]) == ("Succeeded", "")


def test_black_tiff_of_a_slide_can_be_imported_again(alice):
    """What stands for a converted slide is a TIFF of its size with a resolution."""
    session, _ = alice.copy(zipped(mirax()), "p.zip")
    (file,) = alice.tell(session["image_set"][0])["files"]
    content = alice.download(file["file"]).content
    again, _ = alice.copy(content, "again.tif")
    assert shape_of(alice, again) == [1, 3, 4]


NRRD = b"NRRD0004\ntype: unsigned char\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n"


@pytest.mark.parametrize(
    ("name", "content", "told", "sizes"),
    [
        ("a.tif", sized_tiff(), ([1, 3, 4], "GRAY"), (0.1, 0.2, None)),
        ("a.tif", sized_tiff(channels=3), ([1, 3, 4], "RGB"), (0.1, 0.2, None)),
        ("a.tif", sized_tiff((262, 6)), ([1, 3, 4], "YCBCR"), (0.1, 0.2, None)),
        ("a.png", saved_picture("png", "RGB"), ([4, 5], "RGB"), (None, None, None)),
        (
            "a.nrrd",
            NRRD + b"spacings: 0.5 nan -2\n\n" + bytes(24),
            ([2, 3, 4], "GRAY"),
            (0.5, 1, 2),
        ),
        (
            "a.nrrd",
            NRRD + b"space directions: (0.5,0,0) (0,1,0) (0,3,4)\n\n" + bytes(24),
            ([2, 3, 4], "GRAY"),
            (0.5, 1, 5),
        ),
    ],
)
def test_an_image_tells_its_shape_colours_and_sizes(alice, name, content, told, sizes):
    """As the platform does (recording 23): a TIFF has one plane, a picture no sizes in mm."""
    session, _ = alice.copy(content, name)
    image = alice.tell(session["image_set"][0])
    found = tuple(image[f"voxel_{axis}_mm"] for axis in ("width", "height", "depth"))
    assert (image["shape_without_color"], image["color_space"]) == told
    assert found == pytest.approx(sizes)


@pytest.mark.parametrize("change", [(262, 0), (296, 1), (282, 1 << 20)])
def test_a_tiff_without_a_size_or_known_colours_is_left_over(alice, change):
    """White as zero, a resolution without a unit, and one that is not there."""
    session, _ = alice.copy(sized_tiff(change), "a.tif")
    assert session["status"] == "Failed"


@pytest.mark.parametrize(
    "missing", ["a/Slidedat.ini", "a/Index.dat", "a/Data0000.dat", "a/Data0001.dat"]
)
def test_mirax_without_a_companion_is_its_thumbnail(alice, missing):
    """The platform then takes the .mrxs for the JPEG that it is: a small wrong image."""
    session, _ = alice.copy(zipped(mirax(without=[missing])), "p.zip")
    assert (session["status"], session["error_message"]) == (
        "Succeeded",
        "3 files could not be imported",
    )
    assert shape_of(alice, session) == [4, 5]


def test_mirax_needs_its_folder(alice):
    """Sent file by file, without the folder, a slide is its thumbnail, too."""
    uploads = [alice.upload(content, name.split("/")[-1]) for name, content in mirax().items()]
    session = alice.session(*uploads)["api_url"]
    alice.start(generic_medical_image={"upload_session": session})
    session = alice.tell(session)
    assert session["error_message"] == "4 files could not be imported"
    assert shape_of(alice, session) == [4, 5]


@pytest.mark.parametrize("missing", ["a.jpg", "b.jpg", "map.jpg"])
def test_hamamatsu_without_a_companion_is_several_pictures(alice, missing):
    """Its parts are then pictures of their own, which are too many."""
    session, job = alice.copy(zipped(hamamatsu(without=[missing])), "p.zip")
    assert (session["error_message"], job["status"]) == (SEVERAL, "Cancelled")
    assert len(session["image_set"]) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.svs", b"no tiff"),
        ("a.ndpi", b"II*\0" + struct.pack("<I", 9999)),
        ("a.bif", b"II*\0" + struct.pack("<IH", 8, 0)),
        ("a.vms", b"[Virtual Microscope Specimen]\nImageFile=a.jpg\n"),
        ("a.vms", b"[Something else]\n"),
        ("a.vmu", b"no sections"),
        ("a.mrxs", b"no jpeg"),
    ],
)
def test_what_only_has_a_slides_name_fails(alice, name, content):
    """A suffix makes no slide."""
    session, _ = alice.copy(content, name)
    assert session["error_message"] == f"{SOCKET}{ONE_FILE}."


def topcon(kind=b"FDS", **chunks):
    parts = [b"FOCT" + kind, struct.pack("<II", 2, 1000)]
    for name, content in chunks.items():
        key = f"@{name}".encode()
        parts += [bytes([len(key)]), key, struct.pack("<I", len(content)), content]
    return b"".join([*parts, b"\0"])


PARAMETERS = bytes(12) + struct.pack("<3d", 6.0, 6.0, 2.6)
SCAN = bytes(1) + struct.pack("<4I", 3, 1, 16, 2) + bytes(5) + struct.pack("<6H", *range(6))
SLICE = b"\0\0\0\x0cjP  rest"
PACKED = bytes(9) + struct.pack("<4I", 3, 1, 2, 0) + 2 * (struct.pack("<I", len(SLICE)) + SLICE)


def heidelberg(*slices):
    """A file whose slices are those of the series that are named."""
    parts = [b"CMDb" + bytes(60)]
    for place, series in enumerate(slices):
        head = struct.pack(
            "<12s8IiHHII", b"MDbData", *[0] * 5, 1, 1, series, 2 * place, 1, 0, 0x40000000, 0
        )
        parts += [head, struct.pack("<5I", 0, 0, 0, 4, 2), bytes(2 * 4 * 2)]
    return b"".join(parts)


FDS = topcon(IMG_SCAN_03=SCAN, PARAM_SCAN_04=PARAMETERS, IMG_OBS=b"")
FDA = topcon(b"FDA", IMG_JPEG=PACKED, PARAM_SCAN_04=PARAMETERS, IMG_FUNDUS=b"")


@pytest.mark.parametrize(
    ("name", "content", "shape"),
    [
        ("a.fds", FDS, [2, 1, 3]),
        ("a.fda", FDA, [2, 1, 3]),
        ("a.e2e", heidelberg(1, 1, 1), [3, 4, 2]),
        ("A.E2E", heidelberg(1), [1, 4, 2]),
        ("renamed", FDS, [2, 1, 3]),
    ],
)
def test_tomography_becomes_one_volume(alice, name, content, shape):
    """A file of each maker is one volume of its slices."""
    session, _ = alice.copy(content, name)
    assert (session["status"], shape_of(alice, session)) == ("Succeeded", shape)
    assert alice.tell(session["image_set"][0])["name"] == name


def test_plain_tomography_keeps_its_voxels(alice, tmp_path):
    """Voxels that are stored plainly survive."""
    _, job = alice.copy(FDS, "a.fds")
    assert voxels_of(alice, job, tmp_path) == list(range(6))


def test_tomography_of_two_eyes_is_two_images(alice):
    """Two series in one file are too many."""
    session, _ = alice.copy(heidelberg(1, 2), "a.e2e")
    assert (session["error_message"], len(session["image_set"])) == (SEVERAL, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.fds", b"nothing"),
        ("a.fds", topcon(PARAM_SCAN_04=PARAMETERS, IMG_OBS=b"")),
        ("a.fds", topcon(IMG_SCAN_03=SCAN, PARAM_SCAN_04=PARAMETERS)),
        ("a.fds", topcon(IMG_SCAN_03=SCAN[:-2], PARAM_SCAN_04=PARAMETERS, IMG_OBS=b"")),
        (
            "a.fda",
            topcon(b"FDA", IMG_JPEG=PACKED[:-20], PARAM_SCAN_04=PARAMETERS, IMG_FUNDUS=b""),
        ),
        ("a.fda", topcon(b"FDA", IMG_JPEG=PACKED, IMG_FUNDUS=b"")),
        ("a.e2e", b"CMDb MDbData"),
        ("a.e2e", b"CMDb"),
    ],
    ids=[
        "garbage",
        "no scan",
        "no fundus",
        "short scan",
        "short slices",
        "no parameters",
        "short chunk",
        "no slices",
    ],
)
def test_tomography_that_is_none_fails(alice, name, content):
    """Damaged files are not imported, nor are those that lack a part."""
    session, _ = alice.copy(content, name)
    assert session["error_message"] == f"{SOCKET}{ONE_FILE}."
