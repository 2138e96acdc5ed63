"""Debian's own rsync copies into an inbox: half a patient is never sent."""

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest
from support.builders import Clock, Site, check_history, series, until, waiting

from gcwatch.core.temporary_names import is_temporary

RSYNC = shutil.which("rsync")

pytestmark = [
    pytest.mark.skipif(RSYNC is None, reason="rsync is not installed (apt install rsync)"),
    pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning"),
]


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path / "site", sandbox, settle="1m")


@pytest.fixture
def source(tmp_path):
    """A patient's folder elsewhere: a series, and a file that takes seconds to copy."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name, content in series().items():
        (folder / name).write_bytes(content)
    (folder / "report.pdf").write_bytes(os.urandom(1_500_000))
    return folder


@contextmanager
def copying(source, target, *options):
    """A slow rsync, which is ended in any case; all of its processes are one group."""
    command = [RSYNC, "--archive", "--bwlimit=400", *options, f"{source}/", f"{target}/"]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def temporary_files(folder):
    """Relative names of files that rsync is writing, or has not put into their places yet."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in found if any(map(is_temporary, path.parts))]


@pytest.mark.parametrize("options", [(), ("--delay-updates",), ("--partial-dir=.rsync-partial",)])
def test_a_folder_that_rsync_fills_waits_until_rsync_is_done(site, source, options):
    """However long it pauses: status names its temporary file, and all slices arrive."""
    clock, folder = Clock(), site.inbox / "p1"
    with site.running(clock=clock) as watch, copying(source, folder, *options) as rsync:
        until(lambda: folder.exists() and temporary_files(folder))
        os.killpg(rsync.pid, signal.SIGSTOP)
        [name, *_] = temporary_files(folder)
        case = waiting(watch, "copy_under_way")
        assert case.wait.reason.names["file"] == name
        clock.ahead = 1000.0
        until(lambda: watch.cases()[0].touched - case.touched > 900)
        assert not site.jobs()

        os.killpg(rsync.pid, signal.SIGCONT)
        assert rsync.wait(60) == 0
        assert temporary_files(folder) == []
        until(lambda: (seen := watch.cases()[0].seen) and seen.files == len(series()) + 1)
        until(lambda: watch.cases()[0].seen.copies is None)
        clock.ahead = 2000.0
        until(lambda: site.delivered() == ["p1"])
        check_history(watch)
    [sent] = site.receipt()["inputs"]
    assert sent["files"] == len(series())
    assert len(site.jobs()) == 1


def test_a_folder_waits_for_an_rsync_that_was_broken_off(site, source):
    """What is left of a file waits in a hidden folder until somebody copies again."""
    clock, folder, options = Clock(), site.inbox / "p1", ("--partial-dir=.rsync-partial",)
    with site.running(clock=clock) as watch:
        with copying(source, folder, *options) as rsync:
            until(lambda: folder.exists() and temporary_files(folder))
            os.killpg(rsync.pid, signal.SIGTERM)
            rsync.wait(60)
        [name] = temporary_files(folder)
        assert name.startswith(".rsync-partial/")
        until(lambda: waiting(watch, "copy_under_way").wait.reason.names["file"] == name)
        clock.ahead = 7200.0
        assert waiting(watch, "copy_stopped").wait.reason.names["file"] == name
        assert not site.jobs()

        with copying(source, folder, "--bwlimit=0", *options) as rsync:
            assert rsync.wait(60) == 0
        until(lambda: watch.cases()[0].seen.copies is None)
        clock.ahead = 3 * 7200.0
        until(lambda: site.delivered() == ["p1"])
    assert site.receipt()["inputs"][0]["files"] == len(series())
