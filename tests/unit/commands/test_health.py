"""`gcwatch health`: three levels in one line, without a name."""

import json
import subprocess
import sys

import pytest
from support.builders import Site, mha, until

from gcwatch.commands.health import Level, judge_health
from gcwatch.commands.status import read_overview

PROGRAM = [sys.executable, "-m", "gcwatch"]


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path / "site", sandbox)


def judged(watch):
    return judge_health(read_overview(watch))


def test_without_a_daemon_it_is_not_working(site):
    with site.watch() as watch:
        found = judged(watch)
    assert (found.level, found.why) == (
        Level.NOT_WORKING,
        "no gcwatch runs (gcwatch run, or the service)",
    )


def test_a_running_daemon_with_nothing_to_do_is_well(site):
    with site.running() as watch:
        until(lambda: judged(watch).line.startswith("gcwatch: well: 0 open cases | open=0 "))


def test_a_failed_case_needs_somebody_and_is_not_named(site):
    site.drop("DOE^JANE", {"image.mha": mha()[:-9]})
    with site.running() as watch:
        until(lambda: judged(watch).why == "1 case failed")
        found = judged(watch)
    assert found.level == Level.NEEDS_SOMEBODY
    assert "DOE" not in found.line + json.dumps(found.record())


def test_files_that_are_no_case_need_somebody(site):
    (site.inbox / "loose.mha").write_bytes(mha())
    with site.running() as watch:
        until(lambda: judged(watch).why == "1 file or folder not sent")


def test_a_case_that_waits_for_a_disk_needs_somebody(site):
    """Nothing of it comes out until somebody mounts the outbox again, or makes room."""
    with site.running() as watch:
        site.outbox.rename(site.outbox.with_name("unmounted"))
        site.drop()
        until(lambda: judged(watch).why == "1 open case waiting for somebody")


def test_an_inbox_that_cannot_be_reached_is_not_working(site):
    """Its route is named: an operator gave it that name."""
    with site.running() as watch:
        until(lambda: judged(watch).level == Level.WELL)
        site.inbox.rename(site.inbox.with_name("elsewhere"))
        until(lambda: judged(watch).why == "the inbox of route lobes can't be reached")


def test_a_refused_token_is_not_working(site):
    """All work is paused."""
    site.use_token("wrong")
    site.drop()
    with site.running() as watch:
        until(lambda: judged(watch).line.startswith("gcwatch: not working: All work is paused"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text, "no gcwatch runs"),
        (lambda text: text.replace("lobes", "-"), "1 problem"),
    ],
)
def test_the_command_ends_with_the_level(site, change, why):
    """A mistake in the config is one line as well."""
    with site.watch():
        pass
    site.file.write_text(change(site.file.read_text()))
    said = subprocess.run(
        [*PROGRAM, "health", "--config", str(site.file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (2, "")
    assert said.stdout.startswith("gcwatch: not working: ")
    assert why in said.stdout
    assert said.stdout.count("\n") == 1
