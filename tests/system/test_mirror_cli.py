"""`gcwatch mirror NAME`, and what `status` and `check` tell of mirrors."""

import json
import os
import pty
import subprocess
import sys
from functools import partial

import pytest
from support.builders import FAST, mha
from support.mirrored import Mirrored

import gcwatch
from gcwatch.cli import main
from gcwatch.mirrors.last_run import lock_mirror


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


@pytest.fixture
def site(tmp_path, sandbox):
    """A mirror of an archive with two items."""
    made = Mirrored(tmp_path / "site", sandbox)
    made.add("p1", generic_medical_image=mha(1))
    made.add("p2", generic_medical_image=mha(2))
    return made


def test_mirror_brings_an_archive_here_and_ends_with_0(run, site):
    """The report is JSON for programs; a second run has nothing to do."""
    code, out, _ = run("mirror", "cts", "--json", "--config", site.file)
    assert code == 0
    report = json.loads(out)
    assert (report["items"], report["fetched"], report["failed"]) == (2, 2, 0)
    assert site.names() == ["p1", "p2"]

    code, out, _ = run("mirror", "cts", "--json", "--config", site.file)
    assert (code, json.loads(out)["unchanged"]) == (0, 2)


def test_mirror_shows_progress_on_a_terminal(site):
    """Items and bytes are drawn below the lines, and the sum is a sentence."""
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "gcwatch", "mirror", "cts", "--config", str(site.file)]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while chunk := _read(screen):
            shown += chunk
    os.close(screen)
    assert process.returncode == 0
    text = shown.decode()
    assert "2 of 2 items" in text
    assert "cts: 2 items, 2 fetched" in text
    assert "mirror.item_fetched" in text


def _read(screen):
    try:
        return os.read(screen, 65536)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("trouble", "code", "says"),
    [
        ("unknown", 64, "Mirrors: cts."),
        ("item", 3, "mirror.item_failed"),
        ("archive", 75, "no access"),
        ("away", 69, "status page"),
        ("token", 77, "not accepted"),
        ("busy", 78, "works on mirror cts"),
        ("folder", 75, "No such file"),
    ],
)
def test_mirror_tells_what_is_wrong_and_ends_accordingly(  # noqa: PLR0917 -- a row of the table
    run, site, monkeypatch, trouble, code, says
):
    """Each kind of trouble has its exit code and its words."""
    monkeypatch.setattr(gcwatch, "open", partial(gcwatch.open, pace=FAST))  # no pause of 20 s
    name, sandbox = "cts", site.sandbox
    match trouble:
        case "unknown":
            name = "ctx"
        case "item":
            sandbox.fault("status", path="/media/", times=4, status=404)
            sandbox.fault("status", path="cases/images/", times=1, status=404, body="{}")
        case "archive":
            sandbox.revoke(site.archive)
        case "away":
            sandbox.fault("status", path="archives/", times=None, status=502)
        case "token":
            sandbox.configure(token_valid=False)
        case "folder":
            site.outbox.rmdir()
    if trouble == "busy":
        with lock_mirror(site.state, "cts"):
            found, _, err = run("mirror", name, "--config", site.file)
    else:
        found, _, err = run("mirror", name, "--config", site.file)
    assert found == code
    assert says in err


def test_status_tells_of_mirrors(run, site):
    """Items, what left, the last run and the next one; after trouble also why."""
    run("mirror", "cts", "--config", site.file)
    site.sandbox.remove_item(site.archive, "p2")
    run("mirror", "cts", "--config", site.file)

    _, out, _ = run("status", "--json", "--config", site.file)
    [told] = json.loads(out)["mirrors"]
    assert (told["mirror"], told["items"], told["gone"], told["reason"]) == ("cts", 2, 1, "")
    assert told["ended"] < told["next"]

    site.sandbox.revoke(site.archive)
    run("mirror", "cts", "--config", site.file)
    _, out, _ = run("status", "--config", site.file)
    assert "ct-archive" in out
    assert "can't be seen" in out


def test_check_looks_at_mirrors(run, site):
    """The folder and the archive each have their tick, or their cross with a hint."""
    code, out, _ = run("check", "--config", site.file)
    assert code == 0
    assert out.count("mirror cts") == 2

    site.sandbox.revoke(site.archive)
    site.outbox.rmdir()
    code, out, _ = run("check", "--config", site.file)
    assert code == 78
    assert "mkdir -p" in out
    assert "no access" in out


def test_once_ends_with_3_when_an_item_could_not_be_had(run, site):
    """What came of each mirror stands in the JSON."""
    site.sandbox.fault("status", path="cases/images/", times=1, status=404, body="{}")

    code, out, _ = run("once", "--json", "--config", site.file)

    assert code == 3
    assert json.loads(out)["mirrors"]["cts"]["failed"] == 1
