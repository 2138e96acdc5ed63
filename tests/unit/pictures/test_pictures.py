"""Small pictures: what is drawn of each format, what is not, and that nothing gets out of hand."""

import base64
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from array import array
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from support.builders import SERIES, Site, mha, until

from gcwatch.daemon.reporting import pictures, status_files
from gcwatch.files.beneath import SharePath
from gcwatch.pictures import artist, photos
from gcwatch.pictures.artist import Artist, _read_answer
from gcwatch.pictures.draw import draw_all
from gcwatch.pictures.drawings import Subject
from gcwatch.pictures.plane import find_mirroring

COLUMNS, ROWS, SLICES = 24, 16, 10


def volume(code="h", marks=((4, 5, 7),), value=900, ground=0):
    """Voxels that are all `ground`, but for some marks (column, row, slice)."""
    voxels = array(code, [ground]) * (COLUMNS * ROWS * SLICES)
    for column, row, number in marks:
        voxels[(number * ROWS + row) * COLUMNS + column] = value
    return voxels


def swapped(voxels):
    voxels.byteswap()
    return voxels


def meta_image(voxels, element="MET_SHORT", more="", *, packed=False, data="LOCAL"):
    content = zlib.compress(voxels.tobytes()) if packed else voxels.tobytes()
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = {packed}\n{more}"
        f"DimSize = {COLUMNS} {ROWS} {SLICES}\nElementType = {element}\nElementDataFile = {data}\n"
    )
    return header.encode() + (content if data == "LOCAL" else b"")


def nifti(voxels, order="<", kind=4, *, flipped=False):
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, 3, COLUMNS, ROWS, SLICES, 1, 1, 1, 1)
    struct.pack_into(order + "2h", header, 70, kind, 16)
    struct.pack_into(order + "f", header, 108, 352)
    struct.pack_into(order + "h", header, 254, 1)  # by a matrix, to the left and to the back
    struct.pack_into(order + "f", header, 280, -1)
    struct.pack_into(order + "f", header, 300, 1 if flipped else -1)
    header[344:348] = b"n+1\0"
    voxels = swapped(voxels) if order == ">" else voxels
    return bytes(header) + voxels.tobytes()


def nrrd(voxels, encoding="raw"):
    content = gzip.compress(voxels.tobytes()) if encoding == "gzip" else voxels.tobytes()
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {COLUMNS} {ROWS} {SLICES}\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        f"endian: little\nencoding: {encoding}\n\n"
    )
    return header.encode() + content


def photo(form, mode="L"):
    picture = Image.new(mode, (COLUMNS * 8, ROWS * 8))
    picture.paste(40000 if mode == "I;16" else 255, (4 * 8, 5 * 8, 5 * 8, 6 * 8))
    target = io.BytesIO()
    picture.save(target, form)
    return target.getvalue()


def drawn(tmp_path, side, content, name="x"):
    (tmp_path / name).write_bytes(content)
    [drawing] = draw_all([Subject(side, "s", (SharePath(tmp_path, name),))])
    return drawing


def pixels(drawing):
    return Image.open(io.BytesIO(base64.b64decode(drawing.data))).convert("L")


def brightest(drawing):
    """Column and row of the brightest pixel, as parts of the picture."""
    picture = pixels(drawing)
    at = max(range(picture.width * picture.height), key=picture.tobytes().__getitem__)
    return at % picture.width / picture.width, at // picture.width / picture.height


SHOWN = {
    "MetaImage": meta_image(volume()),
    "MetaImage, packed": meta_image(volume(), packed=True),
    "MetaImage, float": meta_image(volume("f"), "MET_FLOAT"),
    "MetaImage, big-endian": meta_image(
        swapped(volume()),
        more="BinaryDataByteOrderMSB = True\n",
    ),
    "NIfTI": nifti(volume()),
    "NIfTI, gzip": gzip.compress(nifti(volume())),
    "NIfTI, big-endian": nifti(volume(), ">"),
    "NRRD": nrrd(volume()),
    "NRRD, gzip": nrrd(volume(), "gzip"),
    "PNG": photo("PNG"),
    "PNG, 16 bits": photo("PNG", "I;16"),
    "JPEG": photo("JPEG"),
    "TIFF": photo("TIFF"),
    "TIFF, 16 bits": photo("TIFF", "I;16"),
}


@pytest.mark.parametrize("content", SHOWN.values(), ids=SHOWN)
def test_each_format_is_drawn(tmp_path, content):
    """The mark is where it is in the image; of a volume, in the slice that has it."""
    drawing = drawn(tmp_path, "result", content)
    column, row = brightest(drawing)
    assert (int(column * COLUMNS), int(row * ROWS)) == (4, 5)
    assert (drawing.number, drawing.count) in {(8, 10), (1, 1)}
    assert not drawing.is_empty
    assert len(drawing.data) < 8000


def test_a_header_with_its_data_file_is_drawn(tmp_path):
    """`.mhd` and `.raw`; a data file elsewhere is not opened."""
    (tmp_path / "x.raw").write_bytes(volume().tobytes())
    assert brightest(drawn(tmp_path, "result", meta_image(volume(), data="x.raw")))[0] > 0
    away = drawn(tmp_path, "result", meta_image(volume(), data="../x.raw"))
    assert (away.data, away.problem) == ("", "its voxels are in several files")


def test_a_series_is_sorted_by_place_whatever_its_files_are_called(tmp_path):
    """The slice in the middle is that of the patient, not that of the list of files."""
    [*files] = sorted(SERIES.iterdir(), key=lambda file: pydicom.dcmread(file).SliceLocation)
    for number, file in zip((3, 1, 4, 0, 2), files, strict=True):
        (tmp_path / f"{number}.dcm").write_bytes(file.read_bytes())
    places = tuple(SharePath(tmp_path, f"{number}.dcm") for number in range(5))
    [drawing] = draw_all([Subject("input", "ct", places)])
    assert (drawing.number, drawing.count) == (3, 5)
    alone = drawn(tmp_path, "input", files[2].read_bytes())
    assert drawing.data == alone.data


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("SC_rgb_gdcm_KY.dcm", "SC_rgb_rle.dcm"),
    ],
)
def test_a_slice_is_the_same_picture_in_every_compression(tmp_path, first, second):
    """Run lengths, JPEG 2000 and both byte orders hold the same pixels."""
    content = [Path(get_testdata_file(name)).read_bytes() for name in (first, second)]
    pictures = [drawn(tmp_path, "input", each) for each in content]
    assert pictures[0].data == pictures[1].data != ""


@pytest.mark.parametrize("packed", [False, True])
def test_an_input_is_drawn_where_its_result_is(tmp_path, packed):
    """Both show the same part of the patient, also if they have different numbers of slices."""
    (tmp_path / "mask").write_bytes(meta_image(volume("B", value=1), "MET_UCHAR", packed=True))
    (tmp_path / "scan").write_bytes(meta_image(volume(ground=-7), packed=packed))
    files = {"input": "scan", "result": "mask"}
    drawings = draw_all(
        [Subject(side, side, (SharePath(tmp_path, name),)) for side, name in files.items()]
    )
    assert [(each.subject, each.number) for each in drawings] == [(0, 8), (1, 8)]


def test_an_empty_mask_is_told(tmp_path):
    """In words, as a black picture may also be a dark one."""
    assert drawn(tmp_path, "result", meta_image(volume(marks=()))).is_empty
    black = io.BytesIO()
    Image.new("L", (9, 9)).save(black, "PNG")
    assert drawn(tmp_path, "result", black.getvalue()).is_empty
    assert not drawn(tmp_path, "result", meta_image(volume())).is_empty


def test_images_with_other_axes_are_shown_alike(tmp_path):
    """A NIfTI that counts to the front is turned, so that input and result can be compared."""
    plain = drawn(tmp_path, "result", nifti(volume()))
    turned = drawn(tmp_path, "result", nifti(volume(marks=((4, ROWS - 6, 7),)), flipped=True))
    more = "TransformMatrix = 1 0 0 0 -1 0 0 0 1\n"
    meta = drawn(tmp_path, "result", meta_image(volume(marks=((4, ROWS - 6, 7),)), more=more))
    assert plain.data == turned.data == meta.data
    assert find_mirroring((0, 1, 0), (0, 0, 1)) == (False, True)  # sagittal: the head is above
    assert find_mirroring((-1, 0, 0), (0, 0, -1)) == (True, False)


def test_a_text_is_no_image(tmp_path):
    """Values and letters among the results have no picture and no words."""
    (tmp_path / "a.json").write_text("{}")
    assert draw_all([Subject("result", "a", (SharePath(tmp_path, "a.json"),))]) == []


# --- what is not drawn ----------------------------------------------------------------------------

HUGE = (
    b"ObjectType = Image\nNDims = 3\nDimSize = 100000 100000 9\nElementType = MET_SHORT\n"
    b"ElementDataFile = LOCAL\n"
)
DAMAGED = {
    "cut": (meta_image(volume())[:-900], "its end is missing"),
    "cut in zlib": (meta_image(volume(), packed=True)[:-9], "its end is missing"),
    "huge": (HUGE, "it is too large to draw"),
    "no numbers": (meta_image(volume()).replace(b"24 16 10", b"24 16 xx"), "it can't be read"),
    "no channel": (
        meta_image(volume(), more="ElementNumberOfChannels = 0\n"),
        "its voxels are of a rare kind",
    ),
    "cut PNG": (photo("PNG")[:60], "it can't be read"),
    "a slide": (b"FOCTFDS" + bytes(900), "images of this format are not drawn here"),
    "text": (
        meta_image(volume()).replace(b"BinaryData = True", b"BinaryData = False"),
        "its voxels are written as text",
    ),
}


@pytest.mark.parametrize(("content", "says"), DAMAGED.values(), ids=DAMAGED)
def test_what_can_t_be_drawn_has_words(tmp_path, content, says):
    """Whatever the file is like."""
    drawing = drawn(tmp_path, "result", content, "x.mha" if says.endswith("missing") else "x")
    assert (drawing.data, drawing.problem) == ("", says)


def test_a_picture_that_would_not_fit_in_memory_is_not_decoded(tmp_path):
    """A PNG of some kilobytes may claim 4 gigapixels."""
    png = bytearray(photo("PNG"))
    png[16:24] = struct.pack(">2I", 60_000, 60_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    drawing = drawn(tmp_path, "result", bytes(png))
    assert drawing.problem == "it is too large to draw"


def test_of_a_slide_neither_label_nor_largest_page_is_drawn(tmp_path, monkeypatch):
    """The smallest page that is large enough and has the shape of the first one."""
    pages = [
        Image.new("L", size, grey)
        for size, grey in (((2000, 1000), 10), ((400, 200), 200), ((300, 300), 90), ((40, 20), 50))
    ]
    target = io.BytesIO()
    pages[0].save(target, "TIFF", save_all=True, append_images=pages[1:])
    monkeypatch.setattr(photos, "MAX_IMAGE_PIXELS", 100_000)
    picture = pixels(drawn(tmp_path, "input", target.getvalue()))
    assert picture.getextrema() == (200, 200)


def test_a_link_is_not_followed(tmp_path):
    """Who can write to the share has no picture of a file elsewhere drawn."""
    (tmp_path / "secret").write_bytes(meta_image(volume()))
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "x.mha").symlink_to(tmp_path / "secret")
    [drawing] = draw_all([Subject("result", "x", (SharePath(tmp_path / "share", "x.mha"),))])
    assert (drawing.data, drawing.problem) == ("", "it can't be read")


# --- the process that draws -----------------------------------------------------------------------


def subject(tmp_path, content=None):
    (tmp_path / "im\udcff.mha").write_bytes(content or meta_image(volume()))
    return Subject("result", "lungs", (SharePath(tmp_path, "im\udcff.mha"),))


def test_another_process_draws(tmp_path):
    """With a name that is no UTF-8, too."""
    [drawing] = Artist().draw([subject(tmp_path)])
    assert (drawing.number, drawing.problem) == (8, "")


def test_it_knows_no_token_and_tells_no_name(tmp_path, monkeypatch):
    """Its environment has no secret, and its command line, which all users see, has no name."""
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", "Bearer secret")
    seen = tmp_path / "seen"
    spy = tmp_path / "spy"
    spy.write_text(f'#!/bin/sh\n{{ env; echo "$@"; }} > {seen}\necho \'{{"drawings":[]}}\'\n')
    spy.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(spy))
    assert Artist().draw([subject(tmp_path)]) == []
    assert "secret" not in seen.read_text()
    assert seen.read_text().endswith(f"-P -m gcwatch.processes gcwatch.pictures {os.getpid()}\n")


ANSWERS = {
    "nothing": "",
    "no JSON": "Segmentation fault",
    "no picture": {"data": base64.b64encode(b"<svg onload=alert(1)>").decode()},
    "not base64": {"data": '"><script>'},
    "too much": {"data": base64.b64encode(b"\x89PNG" + bytes(90_000)).decode()},
    "another subject": {"subject": 7},
    "more": {"side": "x"},
}


@pytest.mark.parametrize("told", ANSWERS.values(), ids=ANSWERS)
def test_its_answer_is_checked(told):
    """Who takes it over by a hostile image can't write into the page."""
    text = told if isinstance(told, str) else json.dumps({"drawings": [{"subject": 0, **told}]})
    assert _read_answer(text.encode(), 1) is None


def test_a_process_that_hangs_or_dies_is_no_trouble(tmp_path, monkeypatch):
    """It is ended after a while, also at a stop."""
    spy = tmp_path / "spy"
    spy.write_text("#!/bin/sh\nexec sleep 600\n")
    spy.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(spy))
    monkeypatch.setattr(artist, "PATIENCE_SECONDS", 0.2)
    assert Artist().draw([subject(tmp_path)]) is None
    monkeypatch.setattr(artist, "PATIENCE_SECONDS", 600)
    begun, stopped, answers = tmp_path / "begun", Artist(), []
    spy.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 600\n")
    drawing = threading.Thread(target=lambda: answers.append(stopped.draw([subject(tmp_path)])))
    drawing.start()
    until(begun.exists)
    stopped.stop()
    drawing.join(60)
    assert answers == [None]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    assert Artist().draw([subject(tmp_path)]) is None


def test_its_memory_is_limited():
    """An image that needs too much ends that process at most."""
    program = "from gcwatch.pictures.limits import *; limit_this_process(); bytearray(1 << 30)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.stderr.endswith(b"MemoryError\n")


def test_the_daemon_itself_loads_no_decoder():
    """What makes no page takes no memory for it, and no decoder of images runs in the daemon."""
    program = (
        "import sys, gcwatch.daemon.daemon, gcwatch.wording.status_page\n"
        "sys.exit(bool({'PIL', 'jinja2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- on the page ----------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, sandbox, monkeypatch):
    """Whoever writes or draws at the end has a minute, however busy this machine is."""
    monkeypatch.setattr(status_files, "_STOP_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(status_files, "_LOOK_PATIENCE_SECONDS", 60.0)
    return Site(tmp_path, sandbox, report="status.html")


def shown(site):
    """How many pictures the page has of what was sent, and of what came back."""
    text = (site.folder / "status.html").read_text()
    return text.count('alt="Sent, '), text.count('alt="Result, ')


def kept(site):
    folder = site.state / pictures.FOLDER
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_a_delivery_gets_its_pictures(site):
    """What was sent and what came back, also at the end of a single run; drawn once."""
    site.drop("p1", {"image.mha": mha(1, 2, 3, 4)})
    site.run_once()
    assert shown(site) == (1, 1)
    [file] = (site.state / pictures.FOLDER).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    drawn_at = file.stat().st_mtime_ns
    site.run_once()
    assert shown(site) == (1, 1)
    assert file.stat().st_mtime_ns == drawn_at


def test_a_series_that_the_route_leaves_out_is_not_drawn(site):
    """The picture is of what was sent, also if another series has more slices."""
    site.configure(report="status.html", only={"Modality": "CT"})
    other = {f"mr/{n}.dcm": Path(get_testdata_file("MR_small.dcm")).read_bytes() for n in range(9)}
    slices = {path.name: path.read_bytes() for path in SERIES.iterdir()}
    site.drop("p1", slices | other)
    site.run_once()
    [file] = (site.state / pictures.FOLDER).iterdir()
    sent = json.loads(file.read_text())["pictures"][0]
    assert (sent["side"], sent["drawing"]["count"]) == ("input", 5)


def test_a_share_that_hangs_holds_up_no_stop(site, monkeypatch):
    """The thread that lists files for a picture is left behind."""
    site.configure(report="status.txt")
    site.drop("p1")
    site.run_once()
    gate, usual, hanging = threading.Event(), os.scandir, threading.Event()

    def hang(*where):
        if threading.current_thread().name == "pictures":
            hanging.set()
            gate.wait(60)
        return usual(*where)

    monkeypatch.setattr(os, "scandir", hang)
    monkeypatch.setattr(pictures, "_STOP_PATIENCE_SECONDS", 0.05)
    with site.watch() as watch:
        [route], [case] = watch.settings.routes, watch.journal.delivered("lobes", 1)
        with pictures.PictureShelf(site.state) as shelf:
            assert shelf.pictures_of(route, [case], {case.key}) == {}
            assert hanging.wait(60)
    gate.set()
    shelf._thread.join(60)
    assert kept(site) == []


def test_a_running_daemon_adds_them(site):
    """The page comes first, the pictures when they are drawn."""
    with site.running():
        site.drop("p1")
        until(lambda: (site.folder / "status.html").exists() and shown(site) == (1, 1))


def test_they_can_be_switched_off(site):
    """Nothing is drawn; what was drawn before is removed."""
    site.drop("p1")
    site.run_once()
    assert len(kept(site)) == 1
    site.configure(report="status.html", pictures=False)
    site.run_once()
    assert shown(site) == (0, 0)
    assert kept(site) == []


@pytest.mark.parametrize("after", ["delete", "move"])
def test_no_picture_shows_what_the_share_does_not(site, after):
    """A deleted folder has no picture; one that was moved has it while it is there."""
    done = {"done": "done"} if after == "move" else {}
    site.configure(report="status.html", after=after, **done)
    site.drop("p1")
    site.run_once()
    assert shown(site) == ((1, 1) if after == "move" else (0, 1))
    if after == "move":
        (site.folder / "done" / "p1").rename(site.folder / "taken")
        site.run_once()
        assert shown(site) == (0, 1)


def test_pictures_of_cases_that_are_not_shown_are_removed(site, monkeypatch):
    """The latest ones have pictures, the others' are not kept."""
    monkeypatch.setattr(pictures, "MAX_CASES", 1)
    site.drop("p1")
    site.run_once()
    [first] = kept(site)
    site.drop("p2")
    site.run_once()
    [second] = kept(site)
    assert first != second
    site.configure(report="status.txt")
    site.run_once()
    assert kept(site) == []


def test_what_ends_the_process_is_tried_a_few_times(site, monkeypatch, tmp_path):
    """It may have been the machine's fault; but no start is held up by it for ever."""
    tries, spy = tmp_path / "tries", tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\necho x >> {tries}\nkill -9 $$\n")
    spy.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(spy))
    site.drop("p1")
    for _ in range(5):
        site.run_once()
    assert tries.read_text().count("x") == 3
    assert "No picture: it takes too much time or memory." in (
        (site.folder / "status.html").read_text()
    )


def test_a_damaged_picture_file_is_drawn_again(site):
    """Whatever became of the state directory."""
    site.drop("p1")
    site.run_once()
    [name] = kept(site)
    Path(site.state / pictures.FOLDER / name).write_text("{")
    site.run_once()
    assert shown(site) == (1, 1)
