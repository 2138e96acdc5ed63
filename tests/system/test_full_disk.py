"""A disk that is full when gcwatch starts: a real file system without room."""

import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.builders import Site, until

FILL = """
mount -t tmpfs -o size=4m none "$1" || exit 9
dd if=/dev/zero of="$1/filling" bs=64k 2> /dev/null
exec "$2" -m gcwatch run --config "$3"
"""


def may_mount():
    """Whether this user may mount a file system that only a child process sees."""
    command = ["unshare", "--mount", "true"]
    return shutil.which("unshare") and not subprocess.run(command, check=False).returncode


pytestmark = pytest.mark.skipif(not may_mount(), reason="no right to mount (unshare --mount)")


@contextmanager
def started_on_a_full_disk(site):
    """The daemon in a mount namespace of its own, where its state directory has no room."""
    site.state.mkdir()
    command = [
        *("unshare", "--mount", "sh", "-c", FILL, "sh"),
        *(site.state, sys.executable, site.file),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process, Path(f"/proc/{process.pid}/root{site.state}")
        finally:
            process.send_signal(signal.SIGTERM)


def test_a_start_on_a_full_disk_waits_and_goes_on_when_there_is_room(sandbox, tmp_path):
    """It says so, sends nothing meanwhile, and needs nobody but whoever makes room."""
    site = Site(tmp_path, sandbox)
    site.drop()
    with started_on_a_full_disk(site) as (process, state):
        until(lambda: site.said("journal.full"))
        assert process.poll() is None
        assert not site.jobs()
        (state / "filling").unlink()
        until(lambda: site.delivered() == ["p1"])
    assert process.returncode == 0


def test_a_stop_does_not_wait_for_room(sandbox, tmp_path):
    """SIGTERM ends the wait at once, as a clean stop."""
    site = Site(tmp_path, sandbox)
    with started_on_a_full_disk(site) as (process, _):
        until(lambda: site.said("journal.full"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
