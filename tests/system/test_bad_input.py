"""Whatever is dropped: what can't be right earns its sentence, in the note, in the plan, in status.

Each case is dropped into a real inbox beside a real platform. What is said there has to name the
file or the place, and the platform has to stay as it was.
"""

import json
import os
import re
from dataclasses import dataclass, field

import pytest
from support.builders import FAST, PATIENTS, Site, mha
from support.whole_files import WHOLE

from gcwatch import config
from gcwatch.cli import main
from gcwatch.commands import plan
from gcwatch.core.reasons import explain
from gcwatch.wording.case_view import case_view

STUDY = {"algorithm": None, "reader_study": "lung-study"}
ARCHIVE = {"algorithm": None, "archive": "ct-archive"}
CT = {"ct-image": "**"}
TEXT = b"only text"

CT_SERIES, OTHER_SERIES = PATIENTS / "98892001" / "CT5N", PATIENTS / "98892003" / "MR700"
FILES = {f"{path.name}.dcm": path.read_bytes() for path in sorted(CT_SERIES.iterdir())}
SLICE = sorted(FILES)[2]
"""The third of five slices."""


@dataclass(frozen=True)
class Bad:
    """A folder that can't be sent: what is in it, for which route, and what is said of it."""

    name: str
    files: dict[str, bytes]
    plain: str
    detail: str
    route: dict[str, object] = field(default_factory=lambda: {**STUDY, "inputs": CT})

    def __str__(self):
        return self.name


def without(*names):
    return {name: content for name, content in FILES.items() if name not in names}


def having(**changed):
    return {**FILES, **changed}


def of(socket, source="*"):
    return {**STUDY, "inputs": {socket: source}}


def file(name, socket, problem, content=TEXT, plain="is not of the kind"):
    return Bad(f"{socket} {problem}", {name: content}, plain, problem, of(socket))


HEADER = (
    b"ObjectType = Image\nNDims = 3\nDimSize = 4 1 1\nElementType = MET_SHORT\n"
    b"ElementDataFile = voxels.raw\n"
)
TWO_SERIES = {
    f"{folder.name}/{path.name}": path.read_bytes()
    for folder in (CT_SERIES, OTHER_SERIES)
    for path in folder.iterdir()
}

SERIES = [
    Bad("two series", TWO_SERIES, "contains more than one image", "2 DICOM series"),
    Bad(
        "a slice missing",
        without(SLICE),
        "Slices of this image series are missing",
        "1 of 5 slices is missing, at InstanceNumber 9 to 7",
    ),
    Bad(
        "a slice cut off",
        having(**{SLICE: FILES[SLICE][:-100]}),
        "damaged or incomplete",
        f"{SLICE}: pixel data is cut off",
    ),
    Bad(
        "a slice unreadable",
        having(**{SLICE: bytes(3000)}),
        "damaged or incomplete",
        f"{SLICE}: no DICOM",
    ),
    Bad("a slice empty", having(**{SLICE: b""}), "is empty", f"{SLICE} has 0 bytes"),
    Bad(
        "a slice there twice",
        having(copy=FILES[SLICE]),
        "there twice",
        f"copy and {SLICE} are the same instance",
    ),
]
OTHERS = [
    Bad(
        "no files that match",
        {"notes.txt": TEXT},
        "A file is missing",
        "No file matches",
        of("ct-image", "*.mha"),
    ),
    Bad("no image", {"notes.txt": TEXT}, "no image that", "none of them is an image"),
    Bad("two images", {"a.mha": mha(1), "b.mha": mha(2)}, "more than one image", "2 "),
    Bad(
        "an MHD without its raw file",
        {"image.mhd": HEADER},
        "damaged or incomplete",
        "its data file is missing",
    ),
    Bad("an image cut off", {"image.mha": mha()[:-3]}, "damaged or incomplete", "image.mha: "),
    Bad("an image empty", {"image.mha": b""}, "is empty", "image.mha has 0 bytes"),
    file("x.pdf", "letter", "as PDF file it should be a PDF, but it is not"),
    file("x.csv", "report-csv", "as CSV file it should be", WHOLE["thumb.png"]),
    file("x.png", "screenshot", "as Thumbnail png it should be a PNG picture, but it is not"),
    file(
        "x.mp4", "film", "as MP4 file it should be an MP4 film, but it is a PNG", WHOLE["thumb.png"]
    ),
    file("x.txt", "letter", "its name does not end in .pdf", WHOLE["report.pdf"]),
    file("x.png", "screenshot", "x.png for socket", WHOLE["thumb.png"][:-6], "damaged"),
    file(
        "x.json", "clinical-info", "is not valid JSON", b'{"a": 1,}', "damaged or is not valid JSON"
    ),
    file("x.json", "lesion-boxes", "as Multiple 2D bounding boxes, ", b'{"a": 1}'),
    Bad(
        "a value that is no JSON",
        {"v.json": b"0.5 or so"},
        "damaged or is not valid JSON",
        "v.json for socket threshold is not valid JSON",
        of("threshold", "v.json"),
    ),
    Bad(
        "a value of another type",
        {"v.json": b'"half"'},
        "is not what is needed",
        "The value for socket threshold (Float)",
        of("threshold", {"json": "v.json"}),
    ),
    Bad(
        "a value of another shape",
        {"v.json": b'{"name": "x"}'},
        "is not what is needed",
        "The value for socket lesion-box (2D bounding box)",
        of("lesion-box", "v.json"),
    ),
    Bad(
        "a literal of the wrong type",
        {"image.mha": mha()},
        "is not what is needed",
        "The value for socket threshold (Float)",
        {"algorithm": "threshold", "inputs": {"ct-image": "*", "threshold": {"value": "half"}}},
    ),
    Bad(
        "a literal for an image",
        {"image.mha": mha()},
        "can't send",
        "it takes a file, not a value",
        of("ct-image", {"value": 1}),
    ),
    Bad(
        "a socket that does not exist",
        {"image.mha": mha()},
        "the platform does not know this kind of input",
        "The platform knows no socket no-such-socket",
        of("no-such-socket"),
    ),
    Bad(
        "a socket that the algorithm does not have",
        {"image.mha": mha()},
        "needs other files than those",
        "takes exactly the sockets pet-image",
        {"algorithm": "segment-lungs", "inputs": {"pet-image": "*"}},
    ),
    Bad(
        "no number to sort by",
        {"image.mha": mha()},
        "holds no number",
        "gives no whole number",
        {**STUDY, "inputs": CT, "names": "keep", "order": "{number}"},
    ),
]


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path / "site", sandbox)


def untouched(site):
    """Nothing is on the platform: no upload, no session, no image, no job, no case."""
    counts = site.sandbox.state()["counts"]
    return not any(counts.values())


def planned(site):
    [route] = plan.plan(config.load(site.file))
    [folder] = route.folders
    return folder


@pytest.mark.parametrize("bad", [*SERIES, *OTHERS], ids=str)
def test_it_is_refused_in_words_before_anything_is_sent(site, bad):
    """The plan and the note say the same, and the platform never hears of it."""
    site.configure(**bad.route)
    site.drop("patient", bad.files)
    foreseen = planned(site)
    assert foreseen.verdict == "refuse"
    site.run_once()
    note = site.note("patient")
    assert bad.plain in note.partition("\n")[0]
    assert bad.detail in note
    words = explain(foreseen.reason)
    assert words.plain in note
    assert words.detail in note
    assert words.advice in note
    assert words.hint in note
    sender, _, it = note.partition("\nFor IT:\n")
    assert "gcwatch " not in sender
    assert words.detail in it
    assert untouched(site)
    assert not site.delivered()


# --- integrity = "warn" ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", SERIES[1:], ids=str)
def test_what_is_let_through_is_told_everywhere(site, bad):
    """Plan, log, receipt and status warn in the same words; the log without names."""
    site.configure(**bad.route, integrity="warn")
    site.drop("patient", bad.files)
    foreseen = planned(site)
    assert foreseen.verdict == "send"
    site.listen()
    site.run_once()
    assert site.delivered() == ["patient"]
    told = [explain(reason).detail for reason in foreseen.warnings]
    assert any(bad.detail in each for each in told)
    assert site.receipt("patient")["warnings"] == told
    assert list(case_view(site.case("patient"), FAST, 0.0).warnings) == told
    said = site.said("case.warned")
    assert [each["reason"] for each in said] == [reason.code for reason in foreseen.warnings]
    assert not any(SLICE in json.dumps(each) for each in site.said())


def test_two_series_are_never_let_through(site):
    """Nobody can tell which of them is meant."""
    site.configure(**STUDY, inputs=CT, integrity="warn")
    site.drop("patient", TWO_SERIES)
    site.run_once()
    assert "2 DICOM series" in site.note("patient")
    assert untouched(site)


# --- names ----------------------------------------------------------------------------------------

LONGEST = "x" * 255
ODD = [LONGEST, "🫁" * 60, "🫁", "a...", "-", "~", "{folder}", "%s", "a b", "a\nb", "\u202egnp.txt"]


@pytest.mark.parametrize("names", ["opaque", "keep"])
@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name)[:12])
def test_any_folder_name_is_delivered_under_that_name(site, name, names):
    """The result has the folder's own name; the platform sees a plain title."""
    site.configure(**STUDY, inputs=CT, names=names)
    site.drop(name)
    site.run_once()
    assert site.delivered() == [name]
    [case] = site.sandbox.state()["display_sets"]
    assert re.fullmatch("[A-Za-z0-9 ._-]{1,200}", case["title"])


@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name)[:12])
def test_any_folder_name_can_be_explained(site, name):
    """The note stands beside the results, under a name that the file system takes."""
    site.configure(**STUDY, inputs=CT)
    site.drop(name, {"notes.txt": TEXT})
    assert planned(site).verdict == "refuse"
    site.run_once()
    [note] = [path for path in site.outbox.iterdir() if not path.name.startswith(".")]
    assert note.name.endswith(".failed.txt")
    assert note.name[:10] == f"{name}.failed.txt"[:10]
    assert "no image that" in note.read_text()


@pytest.mark.parametrize("name", ["...", "....", ".hidden"])
def test_a_name_that_begins_with_a_dot_is_no_case(site, name):
    """Such folders are hidden; whoever makes one does not mean a patient."""
    site.configure(**STUDY, inputs=CT)
    site.drop(name)
    [route] = plan.plan(config.load(site.file))
    assert not route.folders
    site.run_once()
    assert untouched(site)


# --- what only the platform can tell --------------------------------------------------------------


def status(site, capsys):
    """What `gcwatch status` prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["status", "--config", str(site.file)])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("target", "plain", "detail"),
    [
        (
            {"reader_study": "readers-only"},
            "may not use",
            "reader study readers-only, but may not add",
        ),
        ({"archive": "public-archive"}, "may not use", "archive public-archive, but may not add"),
        ({"algorithm": "forbidden"}, "may not use", "algorithm forbidden, but may not run it"),
        (
            {"reader_study": "hidden-study"},
            "can't be used",
            "Reader study hidden-study does not exist",
        ),
        ({"archive": "hidden-archive"}, "can't be used", "Archive hidden-archive does not exist"),
        ({"algorithm": "no-such"}, "can't be used", "Algorithm no-such does not exist"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else "",
)
def test_without_rights_a_case_waits_and_says_so(site, capsys, target, plain, detail):
    """It is not the patient's fault: nothing fails, and status tells whom to ask."""
    inputs = {} if "algorithm" in target else {"inputs": CT}
    site.configure(**{"algorithm": None, **target, **inputs})
    site.drop("patient")
    foreseen = planned(site)
    assert foreseen.verdict == "wait"
    assert detail in explain(foreseen.reason).detail
    site.run_once()
    said = status(site, capsys)
    assert plain in said
    assert detail in said
    state = site.sandbox.state()
    assert not any(state[kind] for kind in ("jobs", "display_sets", "items", "images"))
    assert not list(site.outbox.glob("*.failed.txt"))


def test_an_archive_that_does_not_take_a_socket_says_which(site):
    """Only the call that fills the item tells; the item stays empty, all or none."""
    inputs = {"ct-image": "*.mha", "threshold": {"value": 0.5}}
    site.configure(algorithm=None, archive="restricted", inputs=inputs)
    site.drop("patient")
    site.run_once()
    note = site.note("patient")
    assert note.startswith("The archive does not take this kind of content.")
    assert "Threshold" in note or "threshold" in note
    assert [item["values"] for item in site.sandbox.state()["items"]] == [[]]
    assert not site.sandbox.state()["images"]


def test_a_case_that_readers_have_answered_is_left_alone(site):
    """A retry after the answers can't change what was read."""
    site.configure(**STUDY, inputs={"lung-segmentation": "*.mha"})
    site.drop("patient", {"mask.mha": mha(7, code="B", element="MET_UCHAR")})
    site.run_once()
    assert "voxel values" in site.note("patient")
    [case] = site.sandbox.state()["display_sets"]
    site.sandbox.add_answer(case["pk"])
    with site.watch() as watch:
        watch.retry(watch.find("lobes/patient"))
    site.run_once()
    note = site.note("patient")
    assert "can't be changed any more: readers have answered" in note
    assert "Remove the answers on the platform" in note
    [after] = site.sandbox.state()["display_sets"]
    assert (after["values"], after["answers"]) == ([], 1)


def test_a_link_to_nothing_is_tried_again_and_then_told(site):
    """It may be about to appear; after some tries somebody has to look."""
    site.configure(**STUDY, inputs=CT)
    folder = site.drop("patient")
    (folder / "gone.dcm").symlink_to(site.inbox / "patient" / "nothing")
    assert planned(site).verdict == "wait"
    site.run_once()
    case = site.case("patient")
    reason = case.failure or case.wait.reason
    assert (reason.code, reason.names["file"]) == ("file_unreadable", "gone.dcm")
    assert untouched(site)


def test_a_link_out_of_the_inbox_is_not_followed(site):
    """What lies elsewhere was not dropped."""
    site.configure(**STUDY, inputs=CT)
    folder = site.drop("patient")
    (site.folder / "secret.mha").write_bytes(mha())
    (folder / "more.mha").symlink_to(site.folder / "secret.mha")
    assert planned(site).verdict == "refuse"
    site.run_once()
    assert "more.mha is a symbolic link that leads out of its folder" in site.note("patient")
    assert untouched(site)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(site):
    """A scanner's user wrote it for nobody else."""
    site.configure(**STUDY, inputs=CT)
    folder = site.drop("patient", FILES)
    (folder / SLICE).chmod(0)
    site.run_once()
    case = site.case("patient")
    reason = case.failure or case.wait.reason
    assert (reason.code, reason.names["file"]) == ("file_unreadable", SLICE)
    assert untouched(site)
