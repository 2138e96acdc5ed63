"""The commands, as people and programs use them: what they print and how they end."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import requests
from support.builders import Site, mha, series, until, vendors_image

from gcwatch.cli import main
from gcwatch.cli.app import COMMANDS as LISTED
from gcwatch.cli.app import load_command
from gcwatch.cli.errors import explain
from gcwatch.cli.signals import heard_hangups, stoppable
from gcwatch.core import errors
from gcwatch.core.reasons import Reason
from gcwatch.core.text import printable_name
from gcwatch.journal.hosts.presence import running_daemon

COMMANDS = [
    "init",
    "run",
    "once",
    "mirror",
    "check",
    "plan",
    "status",
    "show",
    "health",
    "audit",
    "retry",
    "withdraw",
    "send",
    "fetch",
    "list",
    "journal",
    "schema",
    "systemd",
    "sandbox",
    "demo",
]
PROGRAM = [sys.executable, "-m", "gcwatch"]


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command in this process; its exit code, what it printed, what it said."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@contextmanager
def started(*arguments, program=PROGRAM, **how):
    """A command as a process of its own, ended with the test."""
    process = subprocess.Popen(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def lines_of(process):
    """Collect a process's log lines while it runs, so that its pipe never fills up; in the end all.

    Its end has to be awaited within.
    """
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stderr)), daemon=True)
    reader.start()
    yield lines
    reader.join()


def latest(site, name="p1"):
    """A folder's latest case, or None before it is found."""
    with site.watch() as watch:
        return next((case for case in watch.cases() if case.folder == name), None)


def events(lines):
    return [json.loads(line)["event"] for line in lines]


# --- the program ---------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_and_no_noise(run, option):
    """Whoever asks for help sees the commands in the order of their use, nothing of shells."""
    code, out, _ = run(option)
    assert code == 0
    assert re.findall(r"^│ (\w+) ", out.partition("Commands")[2], re.MULTILINE) == COMMANDS
    assert "completion" not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command):
    """Each command has a help text of its own."""
    code, out, _ = run(command, "-h")
    assert code == 0
    assert f"gcwatch {command}" in out


def test_the_list_of_commands_says_what_each_says_of_itself():
    """The lines of `--help` are the first ones of each command's own help."""
    assert list(LISTED) == COMMANDS
    for name, (_, line) in LISTED.items():
        first = load_command(name).help.partition("\n\n")[0]
        assert line == first.replace("\n", " ")


def imported(*arguments):
    """The libraries that a command imports, in a process of its own."""
    program = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from gcwatch.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


WORKERS = {"apscheduler", "pydicom", "requests", "structlog", "watchdog", "werkzeug"}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_import_nothing_that_takes_long(option):
    """Whoever asks what the program is does not wait for what it can do."""
    assert imported(option) & {*WORKERS, "pydantic", "sqlite3", "gcwatch.api"} == set()


def test_status_imports_nothing_that_works_on_cases(site):
    """It reads config and journal; platform, images and schedules are others' work."""
    site.drop("p1", vendors_image())
    site.run_once()
    assert imported("status", "--config", site.file) & WORKERS == set()


def test_version_is_told(run):
    """A support call begins with the version."""
    assert run("--version")[:2] == (0, "gcwatch 0.1.0\n")


@pytest.mark.parametrize(
    "arguments", [["bogus"], ["run", "--bogus"], ["show"], ["retry"], ["withdraw"], ["run", "x"]]
)
def test_wrong_usage_ends_with_64(run, arguments):
    """Usage errors have the code of sysexits, not Typer's."""
    code, _, err = run(*arguments)
    assert code == 64
    assert err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.StateError("No.", "Do this."), 78, "No.\n  Do this."),
        (errors.TokenRefused("Invalid token"), 77, "Invalid token"),
        (errors.Unreachable(Reason("unreachable", {"call": "GET /", "error": "E"})), 69, "GET /"),
        (errors.Refused("POST /x/", 400, ["Bad", "Worse"]), 69, "Bad; Worse"),
        (errors.NotYet(Reason("busy", {"seconds": 3, "message": "429"}), 3), 75, "busy"),
        (PermissionError(13, "Permission denied", "/x"), 74, "/x: Permission denied"),
        (errors.Stopped("stopped"), 1, "stopped"),
    ],
)
def test_every_kind_of_error_has_words_and_a_code(error, code, said):
    """Errors become prose and exit codes in one place."""
    text, found = explain(error)
    assert found == code
    assert said in text


# --- bad input -----------------------------------------------------------------------------------

_BAD = """\
[platform]
url = "http://example.org"

[[route]]
name = "lobes"
inbox = "in"
outbox = "in/out"
algorithm = "copy-image"
settle = 30
mirror = "x"
"""


@pytest.mark.parametrize("command", ["run", "once", "plan", "status"])
def test_all_problems_of_a_config_are_told_at_once(run, tmp_path, command):
    """Each problem has its line, its path and a hint; the exit code is 78."""
    file = tmp_path / "gcwatch.toml"
    file.write_text(_BAD)
    code, out, err = run(command, "--config", file)
    assert (code, out) == (78, "")
    assert "4 problems" in err
    for line, path in [(2, "platform.url"), (7, "outbox"), (9, "settle"), (10, "mirror")]:
        assert re.search(rf"line {line}: .*{path} ", err), path
    assert 'write it with units, as a string: "30s"' in err


def test_check_tells_a_configs_problems_as_findings(run, tmp_path):
    """Check shows the same problems as crosses, for people and for programs."""
    file = tmp_path / "gcwatch.toml"
    file.write_text(_BAD)
    code, out, _ = run("check", "--json", "--config", file)
    found = json.loads(out)
    assert (code, found["ok"]) == (78, False)
    assert {each["where"].rpartition(":")[2] for each in found["findings"]} == {"2", "7", "9", "10"}
    assert run("check", "--config", file)[1].count("✗") == 4


def test_without_a_config_it_is_told_where_one_was_looked_for(run, tmp_path, monkeypatch):
    """Nothing named, nothing in the usual places: 78, with all the places."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GCWATCH_CONFIG", raising=False)
    code, _, err = run("status")
    assert code == 78
    assert str(tmp_path / "gcwatch.toml") in err
    assert "/etc/gcwatch/gcwatch.toml" in err


def test_the_config_may_be_named_in_every_way(run, site, monkeypatch):
    """Before the command, after it, by the environment, by the working directory."""
    assert run("--config", site.file, "check", "--offline")[0] == 0
    assert run("check", "--offline", "--config", site.file)[0] == 0
    monkeypatch.chdir(site.folder)
    monkeypatch.delenv("GCWATCH_CONFIG", raising=False)
    assert run("check", "--offline")[0] == 0
    monkeypatch.chdir("/")
    monkeypatch.setenv("GCWATCH_CONFIG", str(site.file))
    assert run("check", "--offline")[0] == 0


# --- once ----------------------------------------------------------------------------------------


def test_once_delivers_and_ends_with_0(run, site):
    """Everything delivered: 0, and the outcome for programs."""
    site.drop("p1")
    code, out, _ = run("once", "--json", "--config", site.file)
    assert code == 0
    assert json.loads(out) == {"delivered": 1, "failed": 0, "waiting": 0, "waits": {}}
    assert site.delivered() == ["p1"]


def test_once_writes_json_lines_and_nothing_else_on_a_pipe(site):
    """A script reads lines; no progress, no colours, no summary among them."""
    site.drop("p1")
    ended = subprocess.run(
        [*PROGRAM, "once", "--config", str(site.file)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "case.delivered" in events(ended.stderr.splitlines())


def test_once_shows_progress_on_a_terminal(site):
    """On a terminal the lines are readable, and how many cases are where is drawn below them."""
    site.drop("p1", series())
    site.sandbox.configure(job_seconds=10_000, average_duration=0.0)
    screen, terminal = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [*PROGRAM, "once", "--config", str(site.file)], stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        for chunk in _read_all(screen):
            shown += chunk
            if b"1 running" in shown:
                site.sandbox.configure(job_seconds=0.0)
    shown = shown.decode()
    assert process.returncode == 0
    assert "case.delivered" in shown
    assert '"event"' not in shown
    assert "1 running" in shown
    assert "1 delivered, 0 failed, 0 waiting" in shown


def _read_all(screen):
    while True:
        try:
            yield os.read(screen, 4096)
        except OSError:  # the other side is closed
            os.close(screen)
            return


def test_once_ends_with_3_when_a_case_failed(run, site):
    """A patient that can't be sent makes the exit code 3; the others are delivered."""
    site.drop("p1")
    site.drop("x-ray", vendors_image())
    code, out, _ = run("once", "--json", "--config", site.file)
    assert (code, json.loads(out)["failed"]) == (3, 1)
    assert site.delivered() == ["p1"]


def test_once_ends_with_77_when_the_token_is_refused(run, site):
    """A refused token is nobody's failure: the case stays open."""
    site.drop("p1")
    site.use_token("0" * 64)
    code, _, err = run("once", "--config", site.file)
    assert code == 77
    assert "Make a new token" in err
    assert site.case().is_open


def test_once_ends_with_69_when_the_platform_is_away(run, site):
    """A platform that can't be reached is told from cases that wait for something else."""
    site.drop("p1")
    site.file.write_text(site.file.read_text().replace(site.sandbox.url, "http://127.0.0.1:9/api/"))
    site.run_once()  # at a pace that tires soon
    code, out, _ = run("once", "--json", "--config", site.file)
    assert code == 69
    assert set(json.loads(out)["waits"].values()) == {"unreachable"}


def test_once_ends_with_75_when_a_case_waits(run, site):
    """What takes a person, or hours, is not waited for."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    code, out, _ = run("once", "--json", "--config", site.file)
    assert code == 75
    assert set(json.loads(out)["waits"].values()) == {"waiting_for_marker"}


# --- run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_in_order(site, number):
    """It says so, lets steps out, and ends with 0."""
    with started("run", "--config", site.file) as process, lines_of(process) as lines:
        until(lambda: "watch.started" in events(lines))
        process.send_signal(number)
        assert process.wait(60) == 0
    assert events(lines)[-2:] == ["daemon.stopping", "daemon.stopped"]


def test_a_second_signal_ends_the_daemon_at_once(site):
    """Whoever can't wait for a slow call does not have to."""
    site.sandbox.configure(latency=100.0)
    site.drop("p1")
    with started("run", "--config", site.file) as process, lines_of(process) as lines:
        until(site.sandbox.calls)
        process.send_signal(signal.SIGINT)
        until(lambda: "daemon.stopping" in events(lines))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    site.sandbox.configure(latency=0.0)


def test_a_stop_waits_only_so_long_for_a_call_that_nobody_answers(site):
    """It ends by itself, says that it cut something, and the next run sends the case once."""
    hasty = "from gcwatch.cli import signals, main; signals.GRACE_SECONDS = 0.5; main()"
    program = [sys.executable, "-c", hasty]
    site.sandbox.configure(latency=100.0)
    site.drop("p1")
    running = started("run", "--config", site.file, program=program)
    with running as process, lines_of(process) as lines:
        until(site.sandbox.calls)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert events(lines)[-2:] == ["daemon.stopping", "daemon.cut_short"]
    site.sandbox.configure(latency=0.0)

    site.run_once()

    assert len(site.jobs()) == 1


@pytest.mark.parametrize(
    ("listening", "number"), [(heard_hangups, signal.SIGHUP), (stoppable, signal.SIGTERM)]
)
def test_a_signal_may_come_at_any_moment(listening, number):
    """Even between taking an event's lock and giving it back: it is heard, and nobody hangs."""
    with listening() as heard:
        with heard._cond:
            os.kill(os.getpid(), number)
        until(heard.is_set)


def test_a_second_daemon_is_refused_with_78(run, site):
    """Two daemons on one state directory would send twice."""
    with site.running():
        until(lambda: running_daemon(site.state))
        code, _, err = run("run", "--config", site.file)
    assert code == 78
    assert f"process {os.getpid()}" in err


# --- status and show -----------------------------------------------------------------------------


def test_status_makes_no_journal(run, site):
    """To look leaves no trace: with sudo it would be a journal that the daemon can't write."""
    code, _, err = run("status", "--config", site.file)
    assert code == 78
    assert str(site.state) in err
    assert not site.state.exists()


def test_status_says_why_a_case_waits(run, site):
    """In words: what the case waits for, and that nothing works on it."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    site.run_once()
    _, out, _ = run("status", "--config", site.file)
    assert "No gcwatch is running here" in out
    assert "1 settling" in out
    assert "The folder is not marked as complete yet." in out
    assert "The marker file READY.txt is not there." in out


def test_status_lists_failures_with_names_and_hints(run, site):
    """Names are shown, for they stay in the building."""
    site.drop("doe-archibald", vendors_image())
    site.run_once()
    _, out, _ = run("status", "--config", site.file)
    assert "doe-archibald" in out
    assert "De-identification refused 6154" in out
    assert "export it in another format" in " ".join(out.split())
    assert "deidentify" not in out


def test_status_speaks_json(run, site):
    """A monitor reads the same facts, and whether a daemon is at work."""
    site.drop("p1", vendors_image())
    with site.running():
        until(lambda: (case := latest(site)) and case.ending)
        _, out, _ = run("status", "--json", "--config", site.file)
    found = json.loads(out)
    assert found["daemon"] == os.getpid()
    assert found["counts"] == {"failed": 1}
    [case] = found["cases"]
    assert (case["stage"], case["reason"], case["folder"]) == ("failed", "not_deidentified", "p1")


def test_status_follows(site):
    """A line whenever something changed, until a signal ends it in order."""
    site.run_once()
    with started("status", "--follow", "--json", "--config", site.file) as process:
        assert json.loads(process.stdout.readline())["cases"] == []
        site.drop("p1")
        site.run_once()
        assert any(json.loads(line)["counts"] for line in process.stdout)
        process.terminate()
        assert process.wait(60) == 0


def test_status_says_when_a_case_is_overdue(run, site):
    """A case that is due and does not move, as while the token is refused, is told of."""
    site.drop("p1")
    with site.watch(clock=lambda: 1_000_000.0) as watch:
        watch.journal.open_case("lobes", "p1")
    _, out, _ = run("status", "--config", site.file)
    assert "It has been due for" in out


def test_a_folders_name_commands_no_terminal(run, site):
    """Escape sequences in a name are shown, not obeyed."""
    site.drop("evil\x1b[2J[bold]", vendors_image())
    site.run_once()
    _, out, _ = run("status", "--config", site.file)
    assert "\x1b" not in out
    assert r"evil\x1b[2J[bold]" in out


def test_show_tells_the_whole_history(run, site):
    """What happened, when, in words; where the receipt lies; how the case is known outside."""
    site.drop("p1", series())
    site.run_once()
    case = site.case()
    for name in (case.key, f"lobes/{case.key}", "lobes/p1", "p1"):
        code, out, _ = run("show", name, "--config", site.file)
        assert code == 0
    assert case.submission.url in out
    assert str(site.outbox / "p1" / "gcwatch.json") in out
    assert "Folder complete: unchanged for" in " ".join(out.split())
    told = re.findall(r"^\d{4}-\d\d-\d\d [\d:]{8}  (\S+)", out, re.MULTILINE)
    assert [told[0], told[-1]] == ["case.found", "case.delivered"]


def test_show_speaks_json(run, site):
    """A program gets the reason, the names, the hint and each event."""
    site.drop("p1", vendors_image())
    site.run_once()
    _, out, _ = run("show", "p1", "--json", "--config", site.file)
    found = json.loads(out)
    assert found["reason"] == "not_deidentified"
    assert "export it in another format" in found["hint"]
    assert "remove it from the folder" in found["advice"]
    assert found["see"] == [str(site.outbox / "p1.failed.txt")]
    [failed] = [each for each in found["history"] if each["event"] == "case.failed"]
    assert "6154" in failed["sentence"]


@pytest.mark.parametrize("command", ["show", "retry", "withdraw"])
def test_an_unknown_case_is_told_with_its_neighbours(run, site, command):
    """A slip of the finger is answered with what may have been meant."""
    site.drop("patient-17")
    site.run_once()
    code, _, err = run(command, "lobes/patient-71", "--config", site.file)
    assert code == 64
    assert "There is no case lobes/patient-71." in err
    assert "lobes/patient-17" in err


# --- retry and withdraw --------------------------------------------------------------------------


def test_retry_takes_a_failed_case_up_again(run, site):
    """Without a daemon it is noted, and the next run goes on."""
    site.drop("p1", vendors_image())
    site.run_once()
    site.configure(deidentify=False)
    code, out, _ = run("retry", "lobes/p1", "--config", site.file)
    assert code == 0
    assert "is tried again from the start" in out
    assert "No gcwatch is running" in out
    assert site.run_once().delivered == 1
    assert not list(site.outbox.glob("*.failed.txt"))


def test_retry_reaches_a_running_daemon(run, site):
    """The daemon takes up what is retried beside it."""
    site.drop("p1", vendors_image())
    with site.running():
        until(lambda: (case := latest(site)) and case.ending)
        _, out, _ = run("retry", "--failed", "--config", site.file)
        until(lambda: (case := latest(site)).round == 2 and case.ending)
    assert "No gcwatch is running" not in out


def test_retry_of_all_that_failed_may_find_nothing(run, site):
    """Nothing failed is no error."""
    site.run_once()
    code, out, _ = run("retry", "--failed", "--config", site.file)
    assert (code, out) == (0, "No case has failed.\n")


def test_retry_of_a_delivered_case_never_replaces_its_results(run, site):
    """It becomes a new case, whose results stand beside the first."""
    site.drop("p1")
    site.run_once()
    first = site.case()
    _, out, _ = run("retry", first.key, "--config", site.file)
    assert f"a new case, for the folder of {first.key}" in out
    site.run_once()
    assert site.delivered() == ["p1", "p1.2"]
    code, _, err = run("retry", first.key, "--config", site.file)
    assert code == 64
    assert f"The latest is {site.case().key}." in err


def test_withdraw_tells_what_a_failed_case_has_left_on_the_platform(run, site):
    """Readers see the display set without its image; note and `send` have its address, too."""
    lungs = {"lung-segmentation": "*.mha"}  # takes no voxels but 1 and 2
    site.configure(algorithm=None, reader_study="lung-study", inputs=lungs)
    site.drop("p1", {"a.mha": mha(7, 8, 9, 10)})
    site.run_once()
    case = site.case()
    assert case.failure.code == "item_import_failed"
    assert case.submission.url in site.note()
    assert "The platform shows an incomplete case." in site.note()
    _, out, _ = run("withdraw", case.key, "--config", site.file)
    assert "Its display set stays on the platform" in out
    assert case.submission.url in out
    assert f"gcwatch retry {case.key}" in out


def test_a_plan_without_routes_says_what_the_mirrors_do(run, site):
    """It prints no empty page."""
    text = site.file.read_text().partition("[[route]]")[0]
    text += '[[mirror]]\nname = "lungs"\narchive = "ct-archive"\noutbox = "copy"\n'
    site.file.write_text(text)
    code, out, _ = run("plan", "--config", site.file)
    assert code == 0
    assert "Mirror lungs would copy archive ct-archive to" in " ".join(out.split())


def test_withdraw_ends_a_case_beside_the_daemon(run, site):
    """A withdrawn case is left alone; one that has ended stays as it is."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    with site.running():
        key = until(lambda: (case := latest(site)) and case.wait and case.key)
        code, out, _ = run("withdraw", key, "--config", site.file)
        assert (code, out) == (0, f"{key}: is left alone from now on.\n")
        _, out, _ = run("withdraw", key, "--config", site.file)
    assert "nothing to withdraw" in out
    assert site.case().ending == "withdrawn"
    assert site.jobs() == []


# --- schema and sandbox --------------------------------------------------------------------------


def test_schema_is_for_editors(run):
    """It names all tables, and says that others are wrong."""
    _, out, _ = run("schema")
    schema = json.loads(out)
    tables = {"platform", "limits", "log", "metrics", "alerts", "route", "mirror"}
    places = {"state", "journal", "journal_password_file", "host"}
    assert set(schema["properties"]) == places | tables
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(("schema", "key"), [("2026-07", "socket"), ("2025-11", "interface")])
def test_sandbox_serves_either_schema(tmp_path, schema, key):
    """Its first line says how to reach it; its answers are those of the month asked for."""
    with started("sandbox", "--dir", tmp_path / "s", "--schema", schema) as process:
        facts = json.loads(process.stdout.readline())
        assert (tmp_path / "s" / "token").read_text().strip() == facts["token"]
        mine = {"Authorization": f"Bearer {facts['token']}"}
        found = requests.get(
            f"{facts['url']}algorithms/?slug=values-only", headers=mine, timeout=60
        )
        body = {
            "algorithm": found.json()["results"][0]["api_url"],
            "inputs": [{"interface": "threshold", "value": 1.0}],
        }
        made = requests.post(f"{facts['url']}algorithms/jobs/", json=body, headers=mine, timeout=60)
        job = requests.get(
            f"{facts['url']}algorithms/jobs/{made.json()['pk']}/", headers=mine, timeout=60
        ).json()
        process.terminate()
        assert process.wait(60) == 0
    assert key in job["inputs"][0]


@pytest.mark.parametrize(
    ("text", "shown"), [("im\udcff.mha", r"im\xff.mha"), ("no \ud800 letter", r"no \ud800 letter")]
)
def test_whatever_a_disk_or_a_server_calls_something_can_be_shown(text, shown):
    """Bytes in no encoding, and halves of letters out of a server's JSON."""
    assert printable_name(text) == shown
