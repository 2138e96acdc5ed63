"""What `plan` says of a folder, the daemon does; a refusal leaves nothing on the platform."""

import io
import zipfile

import pydicom
import pytest
from support.builders import PATIENTS, Clock, Site, mha, series

from gcwatch import config
from gcwatch.commands import plan

CT = {path.name: path.read_bytes() for path in (PATIENTS / "98892001" / "CT5N").iterdir()}
SLICE = CT["2062"]


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.dcm", SLICE)
    return buffer.getvalue()


def of_two_patients():
    other = pydicom.dcmread(io.BytesIO(SLICE))
    other.PatientID = "somebody else"
    buffer = io.BytesIO()
    other.save_as(buffer)
    return {**CT, "2062": buffer.getvalue()}


TARGETS = {
    "algorithm": {},
    "reader study": {
        "algorithm": None,
        "reader_study": "lung-study",
        "inputs": {"ct-image": "**/*"},
    },
    "archive": {"algorithm": None, "archive": "ct-archive", "inputs": {"ct-image": "**/*"}},
    "set in archive": {
        "algorithm": None,
        "archive": "ct-archive",
        "inputs": {"dicom-ct": "**/*"},
    },
}
FOLDERS = {
    "a series": series(),
    "a MetaImage": {"a.mha": mha()},
    "a misnamed MetaImage": {"a.jpg": mha()},
    "no image": {"a.txt": b"no image"},
    "a zip": {"a.zip": zipped()},
    "a zip named .nii": {"a.nii": zipped()},
    "two patients": of_two_patients(),
    "a cut image": {"a.mha": mha()[:-2]},
    "an empty file": {"a.dcm": b""},
    "a report": {"DICOMDIR": (PATIENTS / "DICOMDIR").read_bytes()},
    "a series and a picture": {**CT, "a.png": b"\x89PNG\r\n\x1a\n"},
    "several series": {path.name: path.read_bytes() for path in PATIENTS.rglob("CT*/*")},
}


@pytest.mark.parametrize("target", TARGETS)
def test_what_plan_says_the_daemon_does(tmp_path, sandbox, target):
    """The same verdict and the same reason; what is refused makes nothing, not an empty item."""
    site = Site(tmp_path, sandbox)
    site.configure(**TARGETS[target])
    for name, files in FOLDERS.items():
        site.drop(name, files)
    [route] = plan.plan(config.load(site.file))
    verdicts = {folder.name: folder for folder in route.folders}
    site.run_once()
    for name, folder in verdicts.items():
        case = site.case(name)
        assert folder.verdict in {"send", "refuse"}, (name, folder)
        assert (case.ending == "delivered") == (folder.verdict == "send"), (name, case.failure)
        assert case.failure == folder.reason, name
    sent = [name for name, folder in verdicts.items() if folder.verdict == "send"]
    assert {"a series"} <= {*sent} < {*FOLDERS}
    counts = sandbox.state()["counts"]
    made = "jobs" if target == "algorithm" else "display_sets" if "reader" in target else "items"
    assert counts[made] == len(sent), counts


def test_a_set_of_files_that_are_no_dicom_makes_no_empty_item(tmp_path, sandbox):
    """As on the platform's real software: an empty item, IndexError, nine minutes of tries."""
    site = Site(tmp_path, sandbox)
    site.configure(algorithm=None, archive="ct-archive", inputs={"dicom-ct": "*.mha"})
    site.drop("p1", {"a.mha": mha()})
    sandbox.forget_calls()
    site.run_once()
    case = site.case("p1")
    assert (case.ending, case.failure.code) == ("failed", "wrong_content")
    assert case.submission is None
    assert "not DICOM" in site.note("p1")
    written = [call for call in sandbox.calls() if call["method"] not in {"GET", "HEAD"}]
    assert {call["status"] for call in written} <= {400}, "only rights are asked for"


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ({"json": "limit.json"}, "missing_file", "A file is missing in this folder: limit.json."),
        ("2,5", "missing_value", "--input 'threshold=\"2,5\"'"),
    ],
)
def test_the_file_that_is_missing_beside_an_image_is_named(tmp_path, sandbox, source, code, words):
    """And whoever writes threshold=2,5 by hand learns how a text is written."""
    site = Site(tmp_path, sandbox)
    site.configure(algorithm="threshold", inputs={"ct-image": "*.mha", "threshold": source})
    site.drop("p1", {"a.mha": mha()})
    [route] = plan.plan(config.load(site.file))
    assert route.folders[0].reason.code == code
    site.run_once()
    assert site.case("p1").failure.code == code
    assert words in site.note("p1")


def test_the_time_until_a_folder_settled_is_that_of_its_round(tmp_path, sandbox):
    """After a retry, not the time since the folder was found, long before."""
    site = Site(tmp_path, sandbox)
    site.listen()
    site.drop("p1", {"a.mha": mha()[:-2]})
    site.run_once()
    clock = Clock()
    clock.ahead = 3600
    with site.watch(clock=clock) as watch:
        watch.retry(site.case("p1"))
        watch.run_once()
    first, second = site.said("case.settled")
    assert first["seconds"] < 600
    assert second["seconds"] < 600
