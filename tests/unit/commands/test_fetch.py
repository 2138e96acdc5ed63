"""`gcwatch fetch`: an archive, an algorithm's results, a study's answers, without a config file."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from support.builders import mha, sha256
from support.sandbox_user import SandboxUser

import gcwatch
from gcwatch.cli import main
from gcwatch.core.errors import Misused, StateError
from gcwatch.mirrors.last_run import lock_mirror

ALGORITHM = "threshold"


class Here:
    """Somebody with a token and an empty folder."""

    def __init__(self, folder, sandbox):
        self.folder, self.sandbox = folder, sandbox
        self.token, self.state = folder / "token", folder / "state"
        self.token.touch(0o600)
        self.token.write_text(sandbox.token)

    def start(self, threshold, algorithm=ALGORITHM, *, voxel=5):
        with SandboxUser(self.sandbox) as user:
            image = {"user_uploads": [user.upload(mha(voxel, 6))]}
            pk = user.start(algorithm, ct_image=image, threshold={"value": threshold})
            user.job(pk)
        self.sandbox.forget_calls()
        return pk

    def fetch(self, **what):
        """Fetch into the folder `out`."""
        return gcwatch.fetch(
            self.folder / "out",
            **{"algorithm": ALGORITHM, **what},
            url=self.sandbox.url,
            token_file=self.token,
            state=self.state,
            quiet=True,
        )

    def names(self):
        return sorted(each.name for each in (self.folder / "out").glob("[!.]*"))

    def receipt(self, name):
        return json.loads((self.folder / "out" / name / "gcwatch.json").read_bytes())

    def command(self, capsys, *arguments):
        """The exit code of the command, and what it prints."""
        where = ["--url", self.sandbox.url, "--token-file", str(self.token), "--json"]
        with pytest.raises(SystemExit) as end:
            main(["fetch", *arguments, str(self.folder / "out"), *where])
        return end.value.code, capsys.readouterr()


@pytest.fixture
def here(tmp_path, sandbox, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path, sandbox)


def test_the_results_of_all_jobs_are_fetched_once(here):
    """One folder a job, named by its pk, with what went in; the second call fetches what is new."""
    jobs = sorted(here.start(threshold) for threshold in (1, 5.5))

    summary = here.fetch()

    assert (summary.mirror, summary.items, summary.fetched) == (ALGORITHM, 2, 2)
    assert here.names() == jobs
    for pk in jobs:
        receipt = here.receipt(pk)
        assert (receipt["target"]["job"], receipt["status"]) == (pk, "Succeeded")
        made = here.sandbox.platform_state.jobs[pk]
        assert [each["socket"] for each in receipt["inputs"]] == ["ct-image", "threshold"]
        assert receipt["inputs"][1]["value"] in {1, 5.5}
        told = {f["path"]: f["sha256"] for o in receipt["outputs"] for f in o["files"]}
        assert len(told) == len(made.outputs) == 4
        for path, digest in told.items():
            assert sha256((here.folder / "out" / pk / path).read_bytes()) == digest

    here.sandbox.forget_calls()
    assert here.fetch().fetched == 0
    assert len(here.sandbox.calls()) == 2, "the algorithm, and one page of jobs"
    new = here.start(3)
    assert here.fetch().fetched == 1
    assert new in here.names()


def test_jobs_are_chosen_by_how_they_ended(here):
    """Those that run and those that failed are left out, or asked for; what is here stays."""
    good, bad = here.start(1), here.start(2)
    here.sandbox.platform_state.jobs[bad].status = "Failed"
    here.sandbox.platform_state.jobs[bad].outputs.clear()

    assert here.fetch().items == 1
    summary = here.fetch(status="failed")

    assert (summary.items, summary.fetched, summary.gone) == (2, 1, 0)
    assert here.names() == sorted([good, bad])
    assert here.receipt(bad)["status"] == "Failed"


@pytest.mark.parametrize(("days", "found"), [(1, 0), (0, 2), (-1, 2)])
def test_jobs_are_chosen_by_the_day_of_their_results(here, days, found):
    """The storage tells the day; results that are here are not asked for again."""
    here.start(1)
    here.start(2)
    since = datetime.now(UTC).date() + timedelta(days=days)

    assert here.fetch(since=since).fetched == found

    here.sandbox.forget_calls()
    assert here.fetch(since=since).fetched == 0
    if found:
        assert len(here.sandbox.calls()) == 2


def test_only_jobs_after_the_first_old_one_are_asked_for_their_day(here):
    """The list begins with the oldest: one that is old ends the search."""
    for threshold in range(4):
        here.start(threshold)

    here.fetch(since=date(2999, 1, 1))

    storage = [call for call in here.sandbox.calls() if call["host"] != "api"]
    assert len(storage) == 1


def test_an_archive_is_fetched(here):
    """As a mirror does it."""
    here.sandbox.add_item("ct-archive", "p1", {"ct-image": ("a.mha", mha(1)), "threshold": 2.5})

    assert here.fetch(algorithm=None, archive="ct-archive").fetched == 1

    assert here.names() == ["p1"]
    assert json.loads((here.folder / "out" / "p1" / "threshold.json").read_bytes()) == 2.5


def test_the_answers_of_a_study_are_fetched(here):
    """As a mirror does it."""
    here.sandbox.add_user("anna")
    question = here.sandbox.add_question("lung-study", "Remark", "Text")
    case = here.sandbox.add_display_set("lung-study", "p1")
    here.sandbox.add_answer(case, question, "nothing to see", username="anna")

    assert here.fetch(algorithm=None, reader_study="lung-study").answers == 1

    assert "nothing to see" in (here.folder / "out" / "answers.csv").read_text("utf-8-sig")


def test_a_folder_has_one_source(here):
    """A second study would replace the answers of the first; an emptied folder is free again."""
    here.fetch(algorithm=None, reader_study="lung-study")
    with pytest.raises(Misused, match="fetched of reader study lung-study"):
        here.fetch(algorithm=None, reader_study="second-study")
    here.fetch(algorithm=None, reader_study="lung-study")
    shutil.rmtree(here.folder / "out")
    here.fetch(algorithm=None, reader_study="second-study")


def test_an_interrupted_call_is_continued(here):
    """What was fetched is not fetched again; what is damaged or deleted is."""
    first, second = sorted([here.start(1), here.start(2)])
    here.fetch()
    shutil.rmtree(here.folder / "out" / first)
    (here.folder / "out" / second / "report.csv").unlink()

    summary = here.fetch()

    assert (summary.fetched, summary.changed) == (1, 1)
    shutil.rmtree(here.folder / "out")
    assert here.fetch().fetched == 2


def test_two_calls_do_not_fill_one_folder_at_a_time(here):
    """The second one says that the first one works."""
    here.start(1)
    here.fetch()
    [lock] = (here.state / "mirrors").glob("fetch-*.lock")
    with lock_mirror(here.state, lock.stem), pytest.raises(StateError):
        here.fetch()


def test_exactly_one_slug_is_given(here):
    """Two, or none, are refused before a call."""
    for wrong in ({"archive": "ct-archive"}, {"algorithm": None}):
        with pytest.raises(Misused):
            here.fetch(**wrong)
    assert not (here.folder / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["algorithm", ALGORITHM], 0),
        (["algorithm", ALGORITHM, "--status", "failed", "--since", "2026-01-01"], 0),
        (["archive", "ct-archive"], 0),
        (["reader-study", "lung-study"], 0),
        (["archive", "nowhere"], 75),
        (["archive", "ct-archive", "--status", "failed"], 64),
        (["archive", "a slug"], 64),
    ],
)
def test_the_command_ends_as_a_mirror_does(here, capsys, arguments, code):
    """Its exit codes are those of `gcwatch mirror`."""
    found, printed = here.command(capsys, *arguments)
    assert found == code
    if code == 0:
        assert json.loads(printed.out)["mirror"] == arguments[1]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"since": "2026-11-01"}, "since is not a date"),
        ({"since": datetime(2026, 11, 1, tzinfo=UTC)}, "since is not a date"),
        ({"status": "running"}, "no status running"),
        ({"algorithm": None, "archive": "ct-archive", "status": "failed"}, "jobs of an algorithm"),
        ({"archive": "ct-archive"}, "One slug"),
    ],
)
def test_arguments_that_fit_nothing_are_refused_in_words(here, what, says):
    with pytest.raises(Misused, match=says) as refused:
        here.fetch(**what)
    assert refused.value.hint


def test_an_error_in_a_script_says_what_it_means(here):
    """A traceback shows the sentence, not the code alone."""
    with pytest.raises(gcwatch.GcwatchError, match="Algorithm nope does not exist") as unseen:
        here.fetch(algorithm="nope")
    assert "Check the slug" in unseen.value.hint


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder_is_no_place_for_results(here, make):
    make(here.folder / "out")
    with pytest.raises(Misused, match="is not a folder"):
        here.fetch()
    with pytest.raises(Misused, match="is not a folder"):
        gcwatch.send(here.token, algorithm="copy-image", output="out", state=here.state)


@pytest.mark.usefixtures("here")
def test_a_variable_of_the_shell_that_is_empty_names_no_folder():
    """`gcwatch fetch algorithm SLUG "$DIR"` would else fill the folder in which it was called."""
    with pytest.raises(Misused, match="empty"):
        gcwatch.fetch("", archive="ct-archive")
    with pytest.raises(Misused, match="empty"):
        gcwatch.send("", archive="ct-archive", inputs={"ct-image": "*"})
