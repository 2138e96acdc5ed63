"""A route that expects a number of files or slices waits for exactly that."""

import io
import json

import pydicom
import pytest
from support.builders import Site, mha, series, until, waiting

from gcwatch import config, log
from gcwatch.commands import check, plan
from gcwatch.core.errors import ConfigError
from gcwatch.core.reasons import explain
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.series import count_slices
from gcwatch.inbox import completeness, tree

pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")
"""Watchdog says so when a folder and its sub-folder appear together; it means nothing."""

SLICES = list(series().items())


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose log is written down."""
    site = Site(tmp_path / "site", sandbox)
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def is_delivered(watch):
    return any(case.ending == "delivered" for case in watch.cases())


def judged(site, files, **route):
    """The code and the facts of what is wrong with a folder of these files; None if nothing."""
    site.configure(**route)
    folder = site.drop(files=files)
    [found] = config.load(site.file).routes
    reason = completeness.wrong_number(found, folder.name)
    return None if reason is None else (reason.code, dict(reason.facts))


# --- waiting -------------------------------------------------------------------------------------


def test_a_case_waits_until_all_files_are_there(site):
    """Fewer are told with both numbers, and so are more; the right number is sent."""
    site.configure(expect=len(SLICES))
    folder = site.drop(files=dict(SLICES[:2]))
    with site.running() as watch:
        case = waiting(watch, "files_missing")
        assert explain(case.wait.reason).plain == (
            f"2 of {len(SLICES)} files are here; the folder waits for the rest."
        )
        for name, content in [*SLICES[2:], ("one-too-many.dcm", SLICES[0][1])]:
            (folder / f".{name}").write_bytes(content)
            (folder / f".{name}").rename(folder / name)
        case = waiting(watch, "files_unexpected")
        assert f"{len(SLICES) + 1} files, but {len(SLICES)} are" in explain(case.wait.reason).plain
        assert not site.jobs()
        (folder / "one-too-many.dcm").unlink()
        until(lambda: is_delivered(watch))
    assert site.receipt()["inputs"][0]["files"] == len(SLICES)


def test_a_marker_does_not_replace_the_number(site):
    """Both are needed: the marker may be copied first."""
    site.configure(expect=len(SLICES), ready="READY.txt")
    folder = site.drop(files={**dict(SLICES[:-1]), "READY.txt": b""})
    with site.running() as watch:
        waiting(watch, "files_missing")
        (folder / SLICES[-1][0]).write_bytes(SLICES[-1][1])
        until(lambda: is_delivered(watch))


def test_a_number_in_a_file_is_waited_for_and_followed(site):
    """First the file is missing, then it names more slices than there are."""
    expect = {"file": "study.json", "key": "slices", "count": "slices"}
    site.configure(expect=expect, ignore=["study.json"])
    folder = site.drop(files={**dict(SLICES[:-1]), "notes.txt": b"x"})
    with site.running() as watch:
        case = waiting(watch, "number_missing")
        assert "study.json" in explain(case.wait.reason).plain
        (folder / "study.json").write_text(json.dumps({"slices": len(SLICES)}))
        case = waiting(watch, "files_missing")
        assert explain(case.wait.reason).plain.startswith(
            f"{len(SLICES) - 1} of {len(SLICES)} slices are here"
        )
        (folder / SLICES[-1][0]).write_bytes(SLICES[-1][1])
        until(lambda: is_delivered(watch))


def test_each_series_has_its_own_number(site):
    """The file with the number is in the patient's folder."""
    site.configure(cases="series", integrity="warn", expect={"file": "count.txt"})
    files = {f"mr/{name}": content for name, content in SLICES[:-1]}
    folder = site.drop(files={**files, "count.txt": str(len(SLICES)).encode()})
    with site.running() as watch:
        waiting(watch, "files_missing")
        (folder / "mr" / SLICES[-1][0]).write_bytes(SLICES[-1][1])
        until(lambda: is_delivered(watch))


def test_plan_and_check_tell_what_is_expected(site):
    """Before anything is sent: what the route expects, and what a folder lacks."""
    site.configure(expect={"number": 300, "count": "slices"})
    site.drop(files=dict(SLICES))
    settings = config.load(site.file)
    [route] = plan.plan(settings)
    [folder] = route.folders
    assert (folder.verdict, folder.reason.code) == ("wait", "files_missing")
    [told] = [each for each in check.check(settings, offline=True) if each.what == "expect"]
    assert "300 slices" in told.detail
    site.configure(expect={"file": "count.txt"})
    [told] = [
        each for each in check.check(config.load(site.file), offline=True) if each.what == "expect"
    ]
    assert "count.txt" in told.detail


# --- counting ------------------------------------------------------------------------------------


def test_what_is_never_content_does_not_count(site):
    """Hidden files, what the route ignores, and the file with the number."""
    files = {"a.mha": mha(), "b/c.mha": mha(), ".x": b"x", "Thumbs.db": b"x", "n.log": b"x"}
    assert judged(site, files, expect=2, ignore=["*.log"]) is None
    (site.inbox / "p1").rename(site.folder / "away")
    files["count.txt"] = b"3"
    code, facts = judged(site, files, expect={"file": "count.txt"}, ignore=["*.log"])
    assert (code, facts["found"], facts["wanted"]) == ("files_missing", 2, 3)


def test_every_picture_of_a_multi_frame_file_is_a_slice(tmp_path):
    """Reports and other formats have no slice."""
    folder = tmp_path / "in" / "p1"
    folder.mkdir(parents=True)
    dataset = pydicom.dcmread(io.BytesIO(SLICES[0][1]))
    dataset.NumberOfFrames = 3
    dataset.PixelData = dataset.PixelData * 3
    dataset.save_as(folder / "multi.dcm")
    (folder / "single.dcm").write_bytes(SLICES[1][1])
    (folder / "volume.mha").write_bytes(mha())
    (folder / "empty.dcm").touch()
    assert count_slices(tree.source_files(SharePath(tmp_path / "in") / "p1")) == 4


NUMBERS = [
    (b"2", "", True),
    (b" 2\r\n", "", True),
    (b"\xef\xbb\xbf2\n", "", True),
    ("2\r\n".encode("utf-16"), "", True),
    (b'{"n": 2}', "n", True),
    (b'{"a": {"b": "2"}}', "a.b", True),
    (b"", "", False),
    (b"two", "", False),
    (b"2.0", "", False),
    (b"-2", "", False),
    (b"0", "", False),
    (b"2 2", "", False),
    (b"99999999999999999999", "", False),
    (b'{"n": 1e400}', "n", False),
    (b'{"n": true}', "n", False),
    (b'{"n": [2]}', "n", False),
    (b'{"m": 2}', "n", False),
    (b"[2]", "n", False),
    (b"[" * 100_000, "n", False),
    (b'{"n": ' + b"9" * 5000 + b"}", "n", False),
    (b"\xff\xfe\x00", "", False),
    (b" " * 2_000_000 + b"2", "", False),
]


@pytest.mark.parametrize(("content", "key", "is_number"), NUMBERS)
def test_a_file_holds_one_number_or_is_told(site, content, key, is_number):
    """Text or JSON, whatever the encoding; nothing else is guessed."""
    expect = {"file": "n.txt", **({"key": key} if key else {})}
    found = judged(site, {"a.mha": mha(), "b.mha": mha(), "n.txt": content}, expect=expect)
    assert (found is None) == is_number
    if found:
        assert found[0] == "number_unreadable"


# --- the config ----------------------------------------------------------------------------------


def problem_of(site, **route):
    """The one mistake of a config with these keys."""
    site.configure(**route)
    with pytest.raises(ConfigError) as caught:
        config.load(site.file)
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        (0, "between 1 and 1000000"),
        (-1, "between 1 and 1000000"),
        (1_000_001, "between 1 and 1000000"),
        (True, "no number"),
        ("300", "no number"),
        (2.5, "no number"),
        ({"number": 3, "file": "n.txt"}, "no number"),
        ({"number": 3, "count": "pictures"}, "no number"),
        ({"key": "n"}, "no number"),
        ({"file": "n.txt", "key": ""}, "no number"),
        ({"file": "../n.txt"}, "inside"),
        ({"file": ".n.txt"}, "hidden"),
        ({"file": "n.part"}, "temporary"),
    ],
)
def test_a_number_that_no_case_can_have_is_refused(site, expect, words):
    """With what is wrong, and what to write."""
    problem = problem_of(site, expect=expect)
    assert words in problem.message
    assert problem.hint


def test_a_file_that_is_a_case_has_no_number(site):
    """One file is always one file."""
    assert "for folders only" in problem_of(site, cases="files", expect=1).message


def test_a_marker_with_a_temporary_name_is_refused(site):
    """It would hold back the folder that it marks."""
    assert "still being copied" in problem_of(site, ready="copy.part").message
