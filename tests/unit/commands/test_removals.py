"""`gcwatch plan --show-removed`: for a data protection officer, before anything is sent."""

import json
import os
import pty
import subprocess
import sys

import pydicom
import pytest
from support.builders import CAPTURE_CLASS, Site, mha, series, vendors_image, xray
from support.planted import FILES, SECRET
from support.slices import one_slice

from gcwatch import config
from gcwatch.cli import main
from gcwatch.commands.removals import show_removals
from gcwatch.core.errors import Misused


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        return int(end.value.code or 0), capsys.readouterr().out

    return run


def shown(site, *names, **options):
    return {each.name: each for each in show_removals(config.load(site.file), names, **options)}


def removed(folder):
    return {
        each.place for group in folder.groups for each in group.changes if each.action == "removed"
    }


def replaced(folder):
    return {
        each.place: each.by
        for group in folder.groups
        for each in group.changes
        if each.action == "replaced"
    }


def test_it_tells_which_file_is_compared(site):
    """Large slides take minutes."""
    site.drop("p17", series())
    told = []
    shown(site, "p17", offline=True, progress=lambda *seen: told.append(seen))
    files = told[-1][2]
    assert told == [("lobes/p17", number, files if number else 0) for number in range(files + 1)]


@pytest.mark.parametrize("offline", [False, True])
def test_alike_files_are_one_group(site, offline):
    """A series is told once, not slice by slice; what is not sent is named."""
    site.drop("p17", {**series(), "report.txt": b"Dear colleague"})
    folder = shown(site, "p17", offline=offline)["p17"]
    [group] = folder.groups
    assert len(group.names) == len(series())
    assert group.form == "DICOM"
    assert "PatientAge (0010,1010)" in removed(folder)
    assert replaced(folder)["StudyInstanceUID (0020,000D)"] == "a new UID"
    assert folder.not_sent == {"report.txt": "it is no part of the image"}


def test_nothing_is_sent_and_offline_nothing_is_asked(site):
    """It leaves no trace."""
    site.drop("p17", series())
    before = sorted(site.folder.rglob("*"))
    site.sandbox.forget_calls()
    shown(site, offline=True)
    assert site.sandbox.calls() == []
    shown(site)
    assert {call["method"] for call in site.sandbox.calls()} == {"GET"}
    assert sorted(site.folder.rglob("*")) == before


def test_an_image_set_gets_the_platform_s_procedure(site):
    """It keeps the character set, the local one does not; offline the latest case tells which."""
    kept = "SpecificCharacterSet (0008,0005)"
    site.configure(algorithm="dicom-in")
    site.drop("p17", series())
    assert kept not in removed(shown(site)["p17"])
    assert kept in removed(shown(site, offline=True)["p17"])
    site.run_once()
    assert kept not in removed(shown(site, offline=True)["p17"])


def test_values_and_files_are_told_as_such(site):
    """Values, files that go out as they are, and files that no input asks for."""
    inputs = {"ct-image": "*.mha", "threshold": {"json": "limit.json"}}
    site.configure(algorithm="threshold", inputs=inputs)
    site.drop("p1", {"a.mha": mha(), "limit.json": b"2.5", "b.txt": b"b"})
    for offline in (False, True):
        folder = shown(site, offline=offline)["p1"]
        assert [group.socket for group in folder.groups] == ["ct-image"]
        assert folder.values == ("threshold",)
        assert folder.not_sent == {"b.txt": "no input asks for it"}


@pytest.mark.parametrize("cases", ["folders", "files", "series"])
@pytest.mark.parametrize(
    "route",
    [
        {"algorithm": "copy-image"},
        {"algorithm": None, "archive": "ct-archive", "inputs": {"ct-image": "**/*"}},
        {"algorithm": None, "reader_study": "ct-reader", "inputs": {"ct-image": "**/*"}},
    ],
    ids=["algorithm", "archive", "reader study"],
)
def test_each_layout_and_each_target_is_shown(site, cases, route):
    """A folder's name stands for all its series."""
    site.configure(cases=cases, **route)
    if cases == "files":
        (site.inbox / "p1.mha").write_bytes(FILES["MetaImage"])
        [folder] = shown(site, "p1.mha", offline=True).values()
        assert "MetaImage Comment" in removed(folder)
    else:
        site.drop("p1", series())
        [folder] = shown(site, "lobes/p1", offline=True).values()
        assert "PatientAge (0010,1010)" in removed(folder)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (vendors_image(), "not_deidentified"),
        (xray(CAPTURE_CLASS), "burned_in"),
        ({"a.mha": mha()[:-2]}, "damaged_image"),
        ({"a.txt": b"no image"}, "no_image"),
    ],
)
def test_what_is_refused_says_why(site, files, code):
    """The whole folder, or the file that can't be de-identified."""
    site.drop("p1", files)
    folder = shown(site)["p1"]
    told = [folder.refused, *(group.refused for group in folder.groups)]
    assert [reason.code for reason in told if reason] == [code]


def test_labels_of_slides_are_named(site):
    """They stay here."""
    site.drop("p1", {})
    slide = pydicom.uid.VLWholeSlideMicroscopyImageStorage
    for name, kind in (("1", "VOLUME"), ("2", "LABEL")):
        types = ["ORIGINAL", "PRIMARY", kind]
        one_slice(site.inbox / "p1" / name, 1, SOPClassUID=slide, ImageType=types)
    assert shown(site, offline=True)["p1"].not_sent == {"2": "label of a slide"}


def test_a_folder_that_is_in_no_inbox_is_told(site, run):
    """A name that was typed wrong is no empty answer."""
    with pytest.raises(Misused, match="p18"):
        shown(site, "p18", offline=True)
    code, _ = run("plan", "p18", "--config", site.file)
    assert code == 64


def test_values_are_shown_on_a_terminal_only(site, run):
    """Names are not printed into files, pipes or JSON, and not without being asked for."""
    site.drop("p1", {"a.png": FILES["PNG"]})
    options = ("plan", "--show-removed", "--offline", "--config", site.file)
    code, out = run(*options)
    assert code == 0
    assert "PNG tEXt" in out
    assert SECRET.decode() not in out
    code, out = run(*options, "--json")
    [group] = json.loads(out)["folders"][0]["groups"]
    assert {"place": "PNG tEXt", "count": 1} in group["removed"]
    assert SECRET.decode() not in out
    assert run(*options, "--values")[0] == run(*options, "--values", "--json")[0] == 64
    assert SECRET.decode() in on_terminal(*options, "--values")
    assert SECRET.decode() not in on_terminal(*options)


def on_terminal(*arguments):
    screen, terminal = pty.openpty()
    text = b""
    command = [sys.executable, "-m", "gcwatch", *map(str, arguments)]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal):
        os.close(terminal)
        while True:
            try:
                chunk = os.read(screen, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            text += chunk
    os.close(screen)
    return text.decode()
