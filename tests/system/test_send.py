"""One-off sending: paths to a target, without a config file, with the daemon's promises."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from itertools import count

import pytest
from support.builders import (
    FAST,
    Site,
    check_nothing_half_done,
    check_results,
    mha,
    series,
    until,
    vendors_image,
    voxels,
)
from support.victims import SIGKILLED, die_at_every_kind

import gcwatch
from gcwatch.cli import main
from gcwatch.commands.send.options import Access, SendOptions
from gcwatch.commands.send.parent import SeveralCases
from gcwatch.commands.send.send import SendSession
from gcwatch.core.errors import ConfigError, Misused, StateError, TokenRefused, Unreachable
from gcwatch.sandbox import Sandbox

PROGRAM = [sys.executable, "-m", "gcwatch", "send"]
STUDY = {"reader_study": "lung-study", "inputs": {"ct-image": "*.mha"}}
ARCHIVE = {"archive": "ct-archive", "inputs": {"ct-image": "*.mha", "comment": {"value": "a"}}}


class Desk:
    """Somebody's own folder beside a sandbox: files to send, a place for results, a state."""

    def __init__(self, folder, sandbox):
        self.folder, self.sandbox = folder, sandbox
        self.output, self.state = folder / "out", folder / "state"
        self.token = folder / "token"
        folder.mkdir(exist_ok=True)
        self.token.touch(0o600)
        self.token.write_text(sandbox.token)

    def put(self, name, content=None):
        """A file, or (by a dict of its files) a folder."""
        path = self.folder / name
        if isinstance(content, dict):
            for inner, each in content.items():
                self.put(f"{name}/{inner}", each)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mha() if content is None else content)
        return path

    def patient(self, name="p1"):
        return self.put(name, {"image.mha": mha(1, 2, 3, 4)})

    def access(self):
        return {"url": self.sandbox.url, "token_file": self.token, "state": self.state}

    def order(self, paths, **more):
        """What is asked for: without a target, to copy an image."""
        is_other = "reader_study" in more or "archive" in more
        target = {} if is_other else {"algorithm": "copy-image", "output": self.output}
        return {"paths": paths, **target, "poll": "50ms", **self.access(), **more}

    def send(self, paths, **more):
        return gcwatch.send(**{"pace": FAST, **self.order(paths, **more)})

    def command(self, *arguments):
        return ["--url", self.sandbox.url, "--token-file", self.token, "--poll", "50ms", *arguments]

    def jobs(self):
        return self.sandbox.state()["jobs"]

    def made(self, kind):
        """What the platform has of a kind: jobs, display_sets or items."""
        return self.sandbox.state()[kind]


@pytest.fixture
def desk(tmp_path, sandbox):
    return Desk(tmp_path / "desk", sandbox)


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch, tmp_path):
    """No config file, token or state of whoever runs the tests."""
    for name in ("GCWATCH_CONFIG", "GRAND_CHALLENGE_AUTHORIZATION", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "desk" / "state"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


# --- how the platform is reached -----------------------------------------------------------------


def exit_code(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_certificates_are_given_by_an_option(desk, tmp_path, capsys):
    """A network that inspects TLS has its own authority; without it, the option is named."""
    desk.patient()
    with Sandbox(tmp_path / "tls", tls=True) as sandbox:
        desk.sandbox = sandbox
        desk.token.write_text(sandbox.token)
        place = [str(desk.folder / "p1"), "--algorithm", "copy-image", "--output", str(desk.output)]
        common = ["send", *place, *map(str, desk.command())]
        assert exit_code(common) == 69
        assert "--ca-bundle FILE" in " ".join(capsys.readouterr().err.split())
        assert exit_code([*common, "--ca-bundle", str(tmp_path / "none.pem")]) == 64
        assert exit_code([*common, "--ca-bundle", str(sandbox.ca)]) == 0


def test_a_config_of_the_platform_alone_is_enough(desk, monkeypatch):
    """Whoever sends by hand has no route."""
    file = desk.put("gcwatch.toml", f'[platform]\nurl = "{desk.sandbox.url}"\n'.encode())
    desk.patient()
    access = {"config": file, "url": None, "token_file": desk.token}
    [sent] = desk.send(desk.folder / "p1", **access)
    assert sent.ending == "delivered"
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", desk.sandbox.token)
    assert exit_code(["check", "--config", str(file)]) == 0


# --- what is sent --------------------------------------------------------------------------------


def test_a_folder_becomes_a_job_and_its_results_a_folder(desk):
    """The tutorial's run in one call: results, receipt and link."""
    [sent] = desk.send(desk.patient())

    assert (sent.folder, sent.ending, sent.earlier) == ("p1", "delivered", False)
    assert sent.result == desk.output / "p1"
    check_results(desk.sandbox, sent.result)
    assert {file.name for file in sent.outputs if file.exists()} >= {"results.json"}
    assert sent.link.endswith(f"/copy-image/jobs/{desk.jobs()[0]['pk']}/")
    assert (desk.folder / "p1" / "image.mha").read_bytes() == mha(1, 2, 3, 4)


def test_several_folders_are_several_cases(desk):
    """As in an inbox: each folder is a case; a series is one image."""
    sent = desk.send([desk.patient("p1"), desk.put("p2", series())])

    assert [each.folder for each in sent] == ["p1", "p2"]
    assert len(desk.jobs()) == 2
    check_nothing_half_done(desk.output)


def test_several_files_are_one_case_for_several_sockets(desk):
    """Each socket gets its own file, wherever it lies, or a value."""
    files = [desk.put("a/ct.mha", mha(1, 2, 3, 4)), desk.put("b/pet.mha", mha(5, 6, 7, 8))]
    inputs = {"ct-image": "**/ct.mha", "pet-image": "**/pet.mha"}

    [sent] = desk.send(files, algorithm="two-images", inputs=inputs)

    assert sent.ending == "delivered"
    assert len(desk.jobs()[0]["inputs"]) == 2


def test_a_value_goes_along(desk):
    """A number beside an image; the result is computed from both."""
    inputs = {"ct-image": "*.mha", "threshold": {"value": 2.5}}

    [sent] = desk.send(
        desk.put("scan.v2.mha", mha(1, 2, 3, 4)), algorithm="threshold", inputs=inputs
    )

    assert sent.result == desk.output / "scan"
    assert json.loads((sent.result / "voxel-count.json").read_bytes()) == 2


@pytest.mark.parametrize(
    ("target", "kind", "page"),
    [(STUDY, "display_sets", "/lung-study/"), (ARCHIVE, "items", "/ct-archive/")],
)
def test_a_case_for_a_reader_study_or_an_archive_needs_no_output(desk, target, kind, page):
    """One display set or item, its link, and a receipt in the state."""
    [sent] = desk.send(desk.patient(), **target)

    assert sent.ending == "delivered"
    assert page in sent.link
    [made] = desk.made(kind)
    assert made["title"] == sent.case
    assert (sent.result / "gcwatch.json").exists()
    assert desk.state in sent.result.parents
    assert not desk.output.exists()


def test_links_to_files_are_what_they_lead_to(desk):
    """A checkout of links is sent as the files that it stands for."""
    real = desk.put("pool/7f3a", mha(4, 3, 2, 1))
    (desk.folder / "ct.mha").symlink_to(real)

    [sent] = desk.send(desk.folder / "ct.mha")

    [image] = sent.result.glob("generic-medical-image/*.mha")
    assert voxels(image.read_bytes()) == voxels(mha(4, 3, 2, 1))


def test_what_lies_beside_the_paths_is_nobodys_business(desk):
    """Neither other folders nor other files of the same place are sent or looked at."""
    path = desk.patient()
    desk.patient("p2")
    (desk.folder / "secret").mkdir(mode=0o000)

    [sent] = desk.send(path)

    assert sent.ending == "delivered"
    assert len(desk.jobs()) == 1


def test_the_platform_hears_no_name(desk):
    """Folder and file names stay here, unless they may be kept."""
    path = desk.put("doe-peter", {"doe-peter-ct.mha": mha()})

    [sent] = desk.send(path, **STUDY)

    heard = json.dumps([desk.sandbox.state(), desk.sandbox.calls()])
    assert "doe" not in heard
    assert sent.case in heard
    desk.send(path, archive="ct-archive", inputs={"ct-image": "*.mha"}, names="keep")
    assert desk.made("items")[0]["title"].startswith("doe-peter ")


def test_results_are_used_again_where_they_came_from(desk):
    """A folder of results goes on to a reader study without its images being uploaded."""
    [first] = desk.send(desk.patient())
    desk.sandbox.forget_calls()

    [second] = desk.send(
        first.result, reader_study="lung-study", inputs={"ct-image": "**/*.mha"}, reuse=True
    )

    assert second.ending == "delivered"
    assert len(desk.made("display_sets")) == 1
    assert not [call for call in desk.sandbox.calls() if "/uploads/" in call["path"]]


def test_progress_is_told(desk):
    """A program hears how far each transfer is, and when it has ended."""
    told = []

    [sent] = desk.send(desk.put("p1", series()), progress=lambda *facts: told.append(facts))

    assert {key for key, _, _ in told} == {sent.case}
    assert any(moved == total > 0 for _, moved, total in told)
    assert told[-1][1:] == (0, 0)


# --- a folder of patients' folders ----------------------------------------------------------------


@pytest.fixture
def ward(desk):
    """Three patients in one folder; beside them a list, an empty folder and a hidden file."""
    for name in ("p1", "p2", "p3"):
        desk.patient(f"ward/{name}")
    desk.put("ward/patients.csv", b"name,age\n")
    desk.put("ward/.DS_Store", b"")
    (desk.folder / "ward" / "later").mkdir()
    return desk.folder / "ward"


def test_the_folders_in_a_folder_are_offered(desk, ward, run):
    """The whole can't be one case: nothing is sent, and a sentence says how each is sent."""
    command = desk.command(ward, "--algorithm", "copy-image", "--output", desk.output)

    code, out, err = run(*command)

    assert (code, out) == (64, "")
    assert "ward holds 3 folders (p1, p2, p3)" in err
    assert "more than one image" in err
    assert "--each" in err
    assert desk.jobs() == []
    code, out, err = run(*command, "--each")
    assert code == 0
    assert out.splitlines() == [str(desk.output / name) for name in ("p1", "p2", "p3")]
    assert "Not sent from ward: 1 empty folder and 1 file." in err


def test_a_program_sends_each_folder_in_a_folder(desk, ward):
    """What is offered is an argument; the error tells a program what is in the folder."""
    with pytest.raises(SeveralCases) as caught:
        desk.send(ward)
    assert [path.name for path in caught.value.paths] == ["p1", "p2", "p3"]
    assert {each.folder for each in desk.send(ward, each=True)} == {"p1", "p2", "p3"}
    with pytest.raises(Misused, match="holds no folder with files"):
        desk.send(ward / "p1", each=True)


@pytest.mark.parametrize(
    ("folders", "order"),
    [
        ({"scan/image.mha": mha(), "scan/about.txt": b"x", "note/a.txt": b"y"}, {}),
        (
            {"ct/a.mha": mha(1, 2), "pet/a.mha": mha(3, 4)},
            {
                "algorithm": "two-images",
                "inputs": {"ct-image": "ct/*", "pet-image": "pet/*"},
            },
        ),
    ],
)
def test_a_patients_folder_with_several_folders_is_one_case(desk, folders, order):
    """One image, or one for each input: it can be sent as it is, and nobody asks."""
    [sent] = desk.send(desk.put("p1", folders), **order)
    assert (sent.folder, sent.ending) == ("p1", "delivered")


def test_on_a_terminal_it_asks_once(desk, ward):
    """It lists what it found at 80 columns; after a yes, all are sent, and no link is cut."""
    code, shown = _answer(desk, ward, lambda _, screen: os.write(screen, b"y\n"))

    assert code == 0
    assert re.search(rb"p1 +p2 +p3", shown)
    root = desk.sandbox.url.removesuffix("/api/v1/")
    links = [f"{root}/algorithms/copy-image/jobs/{job['pk']}/" for job in desk.jobs()]
    assert len(links) == 3
    assert all(link.encode() in shown for link in links)


@pytest.mark.prove
@pytest.mark.parametrize(
    "answer",
    [
        lambda _, screen: os.write(screen, b"n\n"),
        lambda process, _: process.send_signal(signal.SIGINT),
    ],
)
def test_a_no_and_ctrl_c_at_the_question_send_nothing(desk, ward, answer):
    """Both end it at once, with the code of what is stopped."""
    code, _ = _answer(desk, ward, answer)
    assert code == 130
    assert desk.jobs() == []


def _answer(desk, ward, answer):
    """Send a ward on a terminal of 80 columns, and answer its question; exit code and screen."""
    command = desk.command(ward, "--algorithm", "copy-image", "--output", desk.output)
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *map(str, command)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "COLUMNS": "80"},
    ) as process:
        os.close(terminal)
        shown = b""
        for more in _read_all(screen):
            shown += more
            if b"own? [Y/n]" in shown and b"own? [Y/n]" not in shown[: -len(more)]:
                assert desk.jobs() == []
                answer(process, screen)
    return process.returncode, shown


# --- once ----------------------------------------------------------------------------------------


def test_the_same_again_sends_nothing(desk):
    """What was delivered is told of, without a call to the platform."""
    path = desk.patient()
    [first] = desk.send(path)
    desk.sandbox.forget_calls()

    [second] = desk.send(path)

    assert second.earlier
    assert (second.case, second.link, second.outputs) == (first.case, first.link, first.outputs)
    assert desk.sandbox.calls() == []


def test_another_output_gets_what_stands_delivered(desk):
    """It is copied without a call to the platform, once; and nothing is sent again."""
    path, other = desk.patient(), desk.folder / "other"
    [first] = desk.send(path)
    desk.sandbox.forget_calls()

    [second] = desk.send(path, output=other)
    [third] = desk.send(path, output=other)

    assert (second.earlier, second.result, second.brought) == (True, other / "p1", "copied")
    assert [*other.iterdir()] == [second.result]
    check_results(desk.sandbox, second.result)
    assert (third.result, third.brought) == (second.result, "")
    assert desk.send(path)[0].result == first.result
    assert desk.sandbox.calls() == []


@pytest.mark.parametrize("loss", ["changed", "gone"])
def test_results_that_do_not_stand_any_more_are_fetched_again(desk, loss):
    """A result that a person changed or moved away is not passed on as the algorithm's."""
    [first] = desk.send(desk.patient())
    [image] = first.result.glob("generic-medical-image/*.mha")
    if loss == "changed":
        image.write_bytes(b"changed by a person")
    else:
        shutil.rmtree(first.result)

    [again] = desk.send(desk.folder / "p1", output=desk.folder / "other")

    assert (again.ending, again.brought) == ("delivered", "fetched")
    check_results(desk.sandbox, again.result)
    assert len(desk.jobs()) == 1


def test_results_that_can_not_be_brought_are_no_success(desk, run):
    """The folder would be empty: it waits, with the reason, and the same command continues."""
    [first] = desk.send(desk.patient())
    shutil.rmtree(first.result)
    other = desk.folder / "other"
    command = desk.command(desk.folder / "p1", "--algorithm", "copy-image", "--output", other)
    desk.sandbox.fault("status", path="/cases/images/", status=404, times=None)

    code, out, err = run(*command)

    assert (code, out) == (75, "")
    assert "its results could not be put into this output folder" in err
    desk.sandbox.clear_faults()
    assert run(*command)[:2] == (0, f"{other / 'p1'}\n")


@pytest.mark.parametrize("option", [{"title": "Case {key}"}, {"names": "keep"}])
def test_another_title_or_name_is_refused_not_ignored(desk, option):
    """What stands on the platform keeps its title; a new case can have another."""
    path = desk.patient()
    [first] = desk.send(path, **STUDY)

    with pytest.raises(Misused, match=f"sent with.* {next(iter(option))}"):
        desk.send(path, **STUDY, **option)

    assert len(desk.made("display_sets")) == 1
    [again] = desk.send(path, **STUDY, **option, again=True)
    assert not again.earlier
    assert desk.send(path, **STUDY, **option)[0].case == again.case != first.case


def test_a_case_under_way_keeps_its_title(desk):
    """Nor does --again change it; before anything is planned, the latest title counts."""
    path, stop = desk.patient(), threading.Event()
    stop.set()
    desk.send(path, **STUDY, title="A {key}", stop=stop)
    desk.sandbox.configure(import_seconds=3600.0)
    going = threading.Event()
    thread = threading.Thread(
        target=lambda: desk.send(path, **STUDY, title="B {key}", stop=going), daemon=True
    )
    thread.start()
    until(lambda: desk.made("display_sets"))
    going.set()
    thread.join()

    for again in (False, True):
        with pytest.raises(Misused, match='was begun with the title "B'):
            desk.send(path, **STUDY, title="C {key}", again=again)

    desk.sandbox.configure(import_seconds=0.0)
    desk.sandbox.advance(3600.0)
    [sent] = desk.send(path, **STUDY, title="B {key}")
    [made] = desk.made("display_sets")
    assert made["title"] == f"B {sent.case}"


def test_the_same_folder_twice_is_one_case(desk):
    """However its name is written."""
    path = desk.patient()
    (desk.folder / "link").symlink_to(path)

    sent = desk.send([path, f"{path}/", desk.folder / "x" / ".." / "p1", desk.folder / "link"][:2])
    sent += desk.send(desk.folder / "link")

    assert len({each.case for each in sent}) == 1
    assert len(desk.jobs()) == 1


def test_again_makes_a_new_case(desk):
    """Its results stand beside the first; the same call without it tells of the latest."""
    path = desk.patient()
    desk.send(path)

    [sent] = desk.send(path, again=True)

    assert len(desk.jobs()) == 2
    assert sent.result == desk.output / "p1.2"
    assert desk.send(path)[0].case == sent.case


@pytest.mark.parametrize("change", ["content", "value", "target"])
def test_another_content_value_or_target_is_another_case(desk, change):
    """Only the same is the same."""
    path = desk.patient()
    order = {"algorithm": "threshold", "inputs": {"ct-image": "*.mha", "threshold": {"value": 1}}}
    desk.send(path, **order)
    match change:
        case "content":
            desk.put("p1/image.mha", mha(9, 9, 9))
        case "value":
            order["inputs"]["threshold"] = {"value": 2}
        case "target":
            order = {"algorithm": "copy-image"}

    [sent] = desk.send(path, **order)

    assert not sent.earlier
    assert len(desk.jobs()) == 2


def test_an_order_that_overlaps_with_an_earlier_one_sends_what_is_new(desk):
    """What was sent is known by itself, not by the call it was part of."""
    paths = [desk.patient("p1"), desk.patient("p2"), desk.patient("p3")]
    desk.send(paths[:2])

    sent = desk.send(paths[1:])

    assert [each.earlier for each in sent] == [True, False]
    assert len(desk.jobs()) == 3


def test_what_is_not_asked_for_is_left_alone(desk):
    """Whoever stops an order because of a wrong patient does not go on with it by the next."""
    paths = [desk.patient("wrong"), desk.patient("right")]
    stop = threading.Event()
    stop.set()
    assert [each.ending for each in desk.send(paths, stop=stop)] == [None, None]

    [sent] = desk.send(paths[1])

    assert sent.folder == "right"
    assert len(desk.jobs()) == 1


def test_the_same_at_the_same_time_is_refused(desk):
    """Two processes with one order would send twice; another order may go on beside it."""
    path = desk.patient()
    access = Access(**desk.access())
    options = SendOptions(algorithm="copy-image", output=desk.output, poll="50ms")
    first = SendSession([path], options, access)
    try:
        with pytest.raises(StateError, match=f"Process {os.getpid()}"):
            SendSession([path], options, access)
        assert desk.send(desk.patient("p2"))[0].ending == "delivered"
        assert first.run()[0].ending == "delivered"
    finally:
        first.close()
    assert len(desk.jobs()) == 2


def test_a_daemon_of_the_same_state_is_not_in_the_way(desk, tmp_path):
    """With its config file, a one-off uses its platform and its state, not its routes."""
    site = Site(tmp_path / "site", desk.sandbox)
    path = desk.patient()

    with site.running():
        [sent] = gcwatch.send(
            path,
            algorithm="copy-image",
            output=desk.output,
            config=site.file,
            poll="50ms",
            pace=FAST,
        )
        site.drop("p9")
        until(lambda: site.delivered() == ["p9"])

    assert sent.ending == "delivered"
    assert (site.state / "send").is_dir()


# --- whatever goes wrong -------------------------------------------------------------------------

KINDS = {
    "algorithm": ({}, "jobs"),
    "reader_study": (STUDY, "display_sets"),
    "archive": (ARCHIVE, "items"),
}


def check_sent_once(desk, target, kind):
    """One object on the platform, one result, and the same call says so."""
    [sent] = desk.send(desk.folder / "p1", **target)
    assert (sent.ending, sent.earlier) == ("delivered", True)
    assert len(desk.made(kind)) == 1
    if not target:
        check_nothing_half_done(desk.output)
        check_results(desk.sandbox, sent.result)
        assert [*desk.output.iterdir()] == [desk.output / "p1"]


@pytest.mark.parametrize(
    "name",
    ["algorithm", *(pytest.param(n, marks=pytest.mark.prove) for n in ("reader_study", "archive"))],
)
def test_the_same_call_goes_on_though_it_is_killed_again_and_again(victims, tmp_path, desk, name):
    """SIGKILL at each kind of commit, reply and file change in turn: sent once, and all of it."""
    target, kind = KINDS[name]
    order = desk.order(desk.patient(), **target)

    kinds = die_at_every_kind(partial(victims.send, desk.sandbox, order), tmp_path / "points")

    check_sent_once(desk, target, kind)
    assert len(kinds) >= 30


@pytest.mark.prove
@pytest.mark.parametrize("loss", ["nothing", "gone"])
def test_results_are_brought_whole_though_it_is_killed(victims, tmp_path, desk, loss):
    """SIGKILL at each kind of file change and reply: the other folder is complete, and one."""
    [first] = desk.send(desk.patient())
    if loss == "gone":
        shutil.rmtree(first.result)
    other = desk.folder / "other"
    order = desk.order(desk.folder / "p1", output=other)

    def check():
        if other.exists():
            check_nothing_half_done(other)

    die_at_every_kind(partial(victims.send, desk.sandbox, order), tmp_path / "points", check)

    [sent] = desk.send(desk.folder / "p1", output=other)
    check_results(desk.sandbox, sent.result)
    assert [*other.iterdir()] == [other / "p1"]
    assert len(desk.jobs()) == 1


def test_a_record_of_an_earlier_version_knows_no_title(desk):
    """It was written without one: nothing is refused that may be as it was."""
    [first] = desk.send(desk.patient(), **STUDY)
    [record] = (desk.state / "send").glob("*.json")
    told = json.loads(record.read_bytes())
    record.write_text(json.dumps({key: told[key] for key in ("order", "route", "outbox")}))
    [second] = desk.send(desk.folder / "p1", **STUDY, title="Case {key}")
    assert (second.earlier, second.case) == (True, first.case)


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "death"),
    [
        ("algorithm", "before_commit"),
        ("algorithm", "platform_write"),
        ("algorithm", "file_change"),
        ("reader_study", "platform_write"),
        ("archive", "platform_write"),
    ],
)
def test_the_same_call_goes_on_wherever_the_first_was_killed(victims, tmp_path, name, death):
    """SIGKILL at every commit, platform write and file change: sent once, and all of it."""
    target, kind = KINDS[name]
    for number in count(1):
        with Sandbox(tmp_path / f"s{number}") as sandbox:
            desk = Desk(tmp_path / f"desk{number}", sandbox)
            order = desk.order(desk.patient(), **target)
            status = victims.send(sandbox, order, **{death: number})
            if status == SIGKILLED:
                sandbox.clear_faults()
                assert victims.send(sandbox, order) == 0
            else:
                assert status == 0
            check_sent_once(desk, target, kind)
        if status != SIGKILLED:
            break
    assert number > (1 if death == "platform_write" else 8)


@pytest.mark.parametrize("name", KINDS)
def test_a_case_is_sent_once_though_every_sort_of_call_loses_a_reply(desk, name):
    """The first reply of each sort of call is lost after it was applied."""
    target, kind = KINDS[name]
    desk.sandbox.lose_each_once()

    desk.send(desk.patient(), **target)

    check_sent_once(desk, target, kind)


def test_what_fails_is_told_and_tried_again_by_the_same_call(desk):
    """The others are delivered; once the cause is mended the failed one is sent."""
    paths = [desk.put("x-ray", vendors_image()), desk.patient()]

    failed, delivered = desk.send(paths)

    assert (failed.ending, failed.reason) == ("failed", "not_deidentified")
    assert failed.why
    assert failed.hint
    assert delivered.ending == "delivered"
    assert "the same gcwatch send" in (desk.output / "x-ray.failed.txt").read_text()
    other = desk.folder / "other"
    mended, earlier = desk.send(paths, deidentify=False, output=other)
    assert (mended.ending, mended.result) == ("delivered", other / "x-ray")
    assert (earlier.earlier, earlier.result) == (True, other / "p1")


def test_an_open_case_is_delivered_to_both_places(desk):
    """What was fetched lies where the first call wanted it; the same call elsewhere gets a copy."""
    path = desk.patient()
    desk.sandbox.configure(job_seconds=3600.0, average_duration=0.0)
    stop = threading.Event()
    with desk_running(desk, path, stop) as sent:
        until(desk.jobs)
    assert sent[0].ending is None
    desk.sandbox.advance(3600.0)

    [after] = desk.send(path, output=desk.folder / "elsewhere")

    assert (after.result, after.brought) == (desk.folder / "elsewhere" / "p1", "copied")
    check_results(desk.sandbox, desk.output / "p1")
    check_results(desk.sandbox, after.result)
    assert len(desk.jobs()) == 1


class desk_running:  # noqa: N801 - reads as a function
    """A send at work in a thread, stopped at the end; gives what came of it."""

    def __init__(self, desk, path, stop):
        self.sent = []
        self.stop = stop
        self.thread = threading.Thread(target=lambda: self.sent.extend(desk.send(path, stop=stop)))

    def __enter__(self):
        self.thread.start()
        return self.sent

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def test_a_platform_that_is_away_is_no_failure(desk):
    """What could not be asked is raised; nothing is remembered of it."""
    with pytest.raises(Unreachable):
        desk.send(desk.patient(), url="http://127.0.0.1:9/api/v1/")
    assert desk.send(desk.folder / "p1")[0].ending == "delivered"


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_without_a_token_that_is_taken_nothing_is_sent(desk, token):
    """No token, or one that the platform does not know."""
    order = desk.order(desk.patient(), token=token)
    del order["token_file"]
    with pytest.raises(TokenRefused):
        gcwatch.send(**order)
    assert desk.jobs() == []


def test_a_token_may_be_given_in_any_way(desk, monkeypatch):
    """In the call, by a file, by the environment."""
    order = {**desk.order(desk.patient()), "pace": FAST}
    del order["token_file"]
    assert gcwatch.send(**order, token=desk.sandbox.token)[0].ending == "delivered"
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", f"Bearer {desk.sandbox.token}")
    assert gcwatch.send(**{**order, "again": True})[0].ending == "delivered"


def test_a_configs_token_goes_to_its_own_platform_only(desk, tmp_path):
    """Another url needs a token of its own."""
    site = Site(tmp_path / "site", desk.sandbox)
    elsewhere = desk.sandbox.url.replace("127.0.0.1", "localhost")
    with pytest.raises(TokenRefused, match="holds no token"):
        gcwatch.send(
            desk.patient(),
            algorithm="copy-image",
            output=desk.output,
            config=site.file,
            url=elsewhere,
        )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"algorithm": "no-such"}, "does not exist"),
        ({"algorithm": "forbidden"}, "forbidden"),
        ({"algorithm": "threshold"}, "threshold"),
        ({"inputs": {"no-such": "*"}}, "generic-medical-image"),
        ({**STUDY, "reader_study": "readers-only"}, "readers-only"),
        ({**STUDY, "reader_study": "hidden-study"}, "does not exist"),
        ({**ARCHIVE, "inputs": {"ct-image": {"value": 1}}}, "not a value"),
    ],
)
def test_a_target_that_is_not_there_or_not_for_us_is_told_at_once(desk, more, said):
    """Wrong slug, no rights, inputs that do not fit: before anything is sent or remembered."""
    with pytest.raises(ConfigError) as caught:
        desk.send(desk.patient(), **more)
    assert said in " ".join(f"{each.message} {each.hint}" for each in caught.value.problems)
    assert not (desk.state / "send").exists()
    assert not any(desk.made(kind) for kind in ("jobs", "uploads", "sessions", "display_sets"))


@pytest.mark.parametrize(
    ("path", "more", "said"),
    [
        ([], {}, "nothing to send"),
        ("p9", {}, "No such file"),
        ("empty", {}, "no files"),
        ("p1", {"algorithm": None, "archive": "ct-archive"}, "inputs"),
        ("p1", {"algorithm": None}, "One target"),
        ("p1", {"algorithm": "a", "archive": "b"}, "One target"),
        ("p1", {"output": None}, "output folder"),
        ("p1", {"names": "both"}, "names"),
        ("p1", {"title": "{key}"}, "title"),
        ("p1", {"inputs": {"ct image": "*"}}, "inputs.ct image"),
        ("p1", {"url": "http://example.org/"}, "url must start with https"),
        ("p1", {"poll": "often"}, "poll"),
    ],
)
def test_what_cannot_be_asked_for_is_told(desk, path, more, said):
    """Wrong usage, in words."""
    desk.patient()
    (desk.folder / "empty").mkdir()
    paths = path if isinstance(path, list) else desk.folder / path
    order = {**desk.order(paths), **more}
    with pytest.raises(Misused, match=re.escape(said)):
        gcwatch.send(**order)
    assert desk.sandbox.calls() == []


def test_results_must_not_lie_in_what_is_sent(desk):
    """They would be part of the case the next time."""
    with pytest.raises(Misused, match="is inside"):
        desk.send(desk.patient(), output=desk.folder / "p1" / "out")
    with pytest.raises(Misused, match="is inside"):
        desk.send(desk.patient("ward/p2").parent, output=desk.folder / "ward" / "out", each=True)


def test_a_link_out_of_a_folder_is_not_followed(desk):
    """As in an inbox; the files themselves may be given instead."""
    path = desk.patient()
    (path / "hosts.mha").symlink_to("/etc/hosts")
    with pytest.raises(Misused, match="symbolic link"):
        desk.send(path)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process; its exit code, what it printed, what it said."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["send", *map(str, arguments)])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_a_pipe_gets_the_result_and_nothing_else(desk, run):
    """A script reads where the results are; for a reader study, the link."""
    path = desk.patient()
    copy = desk.command(path, "--algorithm", "copy-image", "--output", desk.output)
    assert run(*copy) == (0, f"{desk.output / 'p1'}\n", "")
    code, out, err = run(*copy)
    assert (code, out) == (0, f"{desk.output / 'p1'}\n")
    assert "delivered before" in err
    study = desk.command(path, "--reader-study", "lung-study", "--input", "ct-image=*.mha")
    code, out, err = run(*study)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"http://\S+/lung-study/\S+\n", out)


def test_inputs_are_globs_values_and_values_of_files(desk, run):
    """What is JSON is a value; @FILE holds one; everything else is a glob."""
    path = desk.patient()
    limit = desk.put("limit.json", b"2.5")
    there = ("--algorithm", "threshold", "--output", desk.output, "--input", "ct-image=*.mha")
    for given in ("threshold=0.5", f"threshold=@{limit}"):
        code, *_ = run(*desk.command(path, *there, "--input", given, "--json"))
        assert code == 0
    counts = [desk.output / name / "voxel-count.json" for name in ("p1", "p1.2")]
    assert [json.loads(file.read_bytes()) for file in counts] == [4, 2]


def test_json_is_one_document(desk, run):
    """Key, folder, ending, link, result and reason of each case; nothing on standard error."""
    paths = [desk.patient(), desk.put("x-ray", vendors_image())]

    code, out, err = run(
        *desk.command(*paths, "--algorithm", "copy-image", "--output", desk.output, "--json")
    )

    assert (code, err) == (3, "")
    first, second = json.loads(out)["sent"]
    assert (first["folder"], first["ending"]) == ("p1", "delivered")
    assert first["result"] == str(desk.output / "p1")
    assert first["case"].startswith("send-")
    assert first["link"].startswith("http://")
    assert (second["ending"], second["reason"]) == ("failed", "not_deidentified")
    assert (second["result"], second["outputs"]) == (None, [])


def test_a_failure_is_explained_on_standard_error(desk, run):
    """In words, with what to do."""
    code, out, err = run(
        *desk.command(
            desk.put("x-ray", vendors_image()), "--algorithm", "copy-image", "--output", desk.output
        )
    )
    assert (code, out) == (3, "")
    assert err.startswith("x-ray: ")
    code, out, _ = run(
        *desk.command(desk.folder / "x-ray", "--no-deidentify"),
        *("--algorithm", "copy-image", "--output", desk.output),
    )
    assert (code, out) == (0, f"{desk.output / 'x-ray'}\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], 64),
        (["p1"], 64),
        (["p1", "--algorithm", "copy-image"], 64),
        (["p1", "--algorithm", "copy-image", "--archive", "x", "--output", "out"], 64),
        (["p9", "--algorithm", "copy-image", "--output", "out"], 64),
        (["p1", "--archive", "ct-archive", "--input", "nothing"], 64),
        (["p1", "--archive", "ct-archive", "--input", "a=*", "--input", "a=*"], 64),
        (["p1", "--archive", "ct-archive", "--input", "a=@broken"], 64),
        (["p1", "--archive", "ct-archive", "--input", "a=@p9"], 74),
        (["p1", "--algorithm", "no-such", "--output", "out"], 78),
        (["p1", "--algorithm", "forbidden", "--output", "out"], 78),
        (["p1", "--algorithm", "no-credits", "--output", "out"], 75),
        (["p1", "--algorithm", "always-fails", "--output", "out"], 3),
        (["p1", "--algorithm", "copy-image", "--output", "out", "--config", "none.toml"], 78),
        (["p1", "--algorithm", "copy-image", "--output", "out", "--token-file", "p9"], 77),
        (["p1", "--algorithm", "copy-image", "--output", "out", "--url", "http://[::1]:9/"], 69),
    ],
)
def test_the_exit_code_tells_what_to_do(desk, run, monkeypatch, arguments, expected):
    """The codes of the other commands."""
    desk.patient()
    desk.put("broken", b"{")
    monkeypatch.chdir(desk.folder)
    code, out, err = run(*desk.command(*arguments))
    assert (code, out) == (expected, "")
    assert err


def test_a_signal_stops_it_in_order_and_the_same_command_goes_on(desk, run):
    """It says so, ends with 130, and what was submitted is fetched by the next."""
    desk.sandbox.configure(job_seconds=3600.0, average_duration=0.0)
    command = desk.command(desk.patient(), "--algorithm", "copy-image", "--output", desk.output)
    with subprocess.Popen(
        [*PROGRAM, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(desk.jobs)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Run the same command again" in err
    desk.sandbox.advance(3600.0)
    assert run(*command)[0] == 0
    assert len(desk.jobs()) == 1


JOB_SHOWN = b"The job has been (queued|running) on the platform"


def test_progress_is_shown_on_a_terminal(desk):
    """People see where each case is, and at the end the link and the results."""
    desk.sandbox.configure(job_seconds=3600.0, average_duration=0.0)
    command = desk.command(desk.patient(), "--algorithm", "copy-image", "--output", desk.output)
    screen, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(
        [*PROGRAM, *map(str, command)], stdout=terminal, stderr=terminal, env=environment
    ) as process:
        os.close(terminal)
        shown = b""
        for more in _read_all(screen):
            shown += more
            if b"running" in shown and re.search(JOB_SHOWN, shown):
                desk.sandbox.configure(job_seconds=0.0)
    assert process.returncode == 0
    shown = shown.decode()
    assert str(desk.output / "p1") in shown
    assert '"event"' not in shown


def _read_all(screen):
    while True:
        try:
            yield os.read(screen, 4096)
        except OSError:  # the other side is closed
            os.close(screen)
            return
