"""Disks that are full or read-only at any moment: real file systems without room.

Each is a pause that is told, and after it everything goes on: nothing is lost, nothing sent twice.
"""

import io
import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.builders import Site, lines_of, mha, put, series, until
from support.disks import may_mount, small_disk
from support.hostile import hostile
from support.mirrored import Mirrored

from gcwatch import config, log
from gcwatch.cli import main
from gcwatch.core.errors import CaseError, JournalUnavailable
from gcwatch.core.reasons import Reason
from gcwatch.daemon import platform_gate
from gcwatch.daemon.upkeep import clear_spool
from gcwatch.journal.hosts.presence import pause_reason

pytestmark = pytest.mark.skipif(not may_mount(), reason="no right to mount (unshare --mount)")

START = {
    "full": """
mount -t tmpfs -o size=4m none "$1" || exit 9
dd if=/dev/zero of="$1/filling" bs=64k 2> /dev/null
exec "$2" -m gcwatch run --config "$3"
""",
    "read-only": """
mount -t tmpfs -o size=4m,ro none "$1" || exit 9
exec "$2" -m gcwatch run --config "$3"
""",
    "without inodes": """
mount -t tmpfs -o size=4m,nr_inodes=1 none "$1" || exit 9
exec "$2" -m gcwatch run --config "$3"
""",
}
TROUBLES = ["full", "read-only"]


@contextmanager
def started_on(site, trouble):
    """The daemon in a mount namespace of its own, where its state directory can't be written."""
    site.state.mkdir()
    command = [
        *("unshare", "--mount", "sh", "-c", START[trouble], "sh"),
        *(site.state, sys.executable, site.file),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def mend(process, state):
    """Make room, and let it be written to, where only that process sees it."""
    enter = ["nsenter", f"--mount=/proc/{process.pid}/ns/mnt"]
    subprocess.run([*enter, "mount", "-o", "remount,rw,nr_inodes=1000", state], check=True)
    Path(f"/proc/{process.pid}/root{state}/filling").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "trouble",
    ["full", *(pytest.param(each, marks=pytest.mark.prove) for each in START if each != "full")],
)
def test_a_start_on_a_full_disk_waits_and_goes_on_when_there_is_room(sandbox, tmp_path, trouble):
    """It says so, sends nothing meanwhile, and needs nobody but whoever makes room."""
    site = Site(tmp_path, sandbox)
    site.drop()
    with started_on(site, trouble) as process:
        until(lambda: site.said("journal.full"))
        assert process.poll() is None
        assert not site.jobs()
        mend(process, site.state)
        until(lambda: site.delivered() == ["p1"])
    assert process.returncode == 0


def test_a_stop_does_not_wait_for_room(sandbox, tmp_path):
    """SIGTERM ends the wait at once, as a clean stop."""
    site = Site(tmp_path, sandbox)
    with started_on(site, "full") as process:
        until(lambda: site.said("journal.full"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


# --- any folder, at any moment --------------------------------------------------------------------

TOLD_BY = {
    "state": "journal.full",
    "state/spool": "case.faltered",
    "out": "case.faltered",
    "done": "case.faltered",
    "in": "case.faltered",
    "logs": "log.failed",
    "reports": "report.failed",
}
"""By folder, the event that says that it can't be written."""

MOMENTS = {
    "the start": ("", "nothing"),
    "the judgement": ("GET", "/algorithms/"),
    "the upload": ("POST", "/uploads/"),
    "a part": ("PUT", ""),
    "the session": ("POST", "/upload-sessions/"),
    "the job": ("POST", "/jobs/"),
    "the poll": ("GET", "/jobs/"),
}

QUICK = {
    ("state", "full", "the job"),
    ("state/spool", "read-only", "the start"),
    ("out", "full", "the poll"),
    ("done", "read-only", "the upload"),
    ("logs", "read-only", "the start"),
}


def is_possible(folder, trouble, moment):
    """Whether a disk can get so at that moment, and gcwatch writes there afterwards."""
    if folder == "state":
        return trouble == "full" and moment != "the start"
    if folder == "logs":
        return moment == "the start"  # later there is room in the file's last block
    if folder == "in":
        return trouble == "read-only"  # files are moved from a full disk
    return folder != "state/spool" or moment in {"the start", "the judgement"}


ROWS = [
    pytest.param(row, marks=() if row in QUICK else pytest.mark.prove)
    for row in ((f, t, m) for f in TOLD_BY for t in TROUBLES for m in MOMENTS)
    if is_possible(*row)
]


class WatchedSite(Site):
    """A site with each folder that can be named; its log goes to a stream, too."""

    def __init__(self, folder, sandbox):
        for name in ("logs", "reports", "done"):
            (folder / name).mkdir()
        super().__init__(
            folder,
            sandbox,
            after="move",
            done="done",
            report="reports/lobes.txt",
        )
        self.file.write_text(self.file.read_text().replace("log.jsonl", "logs/log.jsonl"))
        self.stream = io.StringIO()

    def listen(self):
        log.configure(config.load(self.file).log, stream=self.stream)

    def said(self, event=None):
        lines = map(json.loads, self.stream.getvalue().splitlines())
        return [line for line in lines if event in {None, line["event"]}]

    def is_done(self):
        return self.delivered() == ["p1"] and (self.folder / "done" / "p1").exists()


def at(moment, act):
    """Return what calls *act* once, at the first call of that moment; it never matches a call."""
    method, part = MOMENTS[moment]
    lock, acted = threading.Lock(), threading.Event()

    def matches(call):
        with lock:
            if call.method == method and part in call.path and not acted.is_set():
                acted.set()
                act()
        return False

    return matches


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_a_disk_without_room_is_a_pause(monkeypatch, sandbox, tmp_path, row):
    """The trouble is told, and when it is over one job is made and delivered."""
    folder, trouble, moment = row
    monkeypatch.setattr(platform_gate, "DISK_PAUSE_SECONDS", 0.2)
    site = WatchedSite(tmp_path, sandbox)
    with small_disk(tmp_path / folder) as disk:
        put(site.inbox / "p1", series())
        if moment == "the start":
            disk.make(trouble)
        site.listen()
        with (
            hostile(sandbox, lambda reply: reply, at(moment, lambda: disk.make(trouble))),
            site.running(),
        ):
            until(lambda: site.said(TOLD_BY[folder]))
            if folder == "state":
                until(lambda: pause_reason(site.state) == Reason("disk_full"))
            disk.mend()
            until(site.is_done)
            until(lambda: pause_reason(site.state) is None)
        assert not site.said("step.crashed")
        assert len(site.jobs()) == 1
        assert lines_of(tmp_path / "logs" / "log.jsonl"), "each line can be read"


# --- commands on such a disk ----------------------------------------------------------------------

COMMANDS = ("status", "audit", "plan", "check", "health", "show lobes/p1", "once")
FORESEEN_CODES = {0, 1, 2, 3, 69, 74, 75, 78}


@pytest.mark.parametrize("is_new", [True, False], ids=["nothing done yet", "one case delivered"])
@pytest.mark.parametrize(
    ("folder", "trouble"),
    [
        pytest.param(folder, trouble, marks=() if folder == "state" else pytest.mark.prove)
        for folder in TOLD_BY
        for trouble in TROUBLES
    ],
)
def test_no_command_shows_a_traceback_on_such_a_disk(make_site, capsys, folder, trouble, is_new):
    """A sentence, an exit code that the docs know, and nothing is sent twice."""
    site = make_site(is_done=not is_new)
    found = {}
    with small_disk(site.folder / folder) as disk:
        disk.make(trouble)
        for command in COMMANDS:
            code, told = outcome([*command.split(), "--config", str(site.file)], capsys)
            if code not in FORESEEN_CODES or "Traceback" in told or "fault" in told:
                found[command] = (code, told[-300:])
        log.reset_logging()  # closes the log file while its disk is full
    assert found == {}
    assert len(site.jobs()) <= 1


@pytest.fixture
def make_site(sandbox, tmp_path):
    """Makes a site with one folder, which is dealt with or not."""

    def make(*, is_done):
        site = WatchedSite(tmp_path, sandbox)
        put(site.inbox / "p1", series())
        if is_done:
            assert site.run_once().delivered == 1
        return site

    return make


def outcome(arguments, capsys):
    """Run a command; return its exit code and what it said."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    told = capsys.readouterr()
    return end.value.code, told.out + told.err


def test_what_cannot_be_removed_from_the_spool_is_told_and_no_fault(sandbox, tmp_path):
    """A crash left it there, and the disk is read-only now."""
    site = WatchedSite(tmp_path, sandbox)
    spool = site.state / "spool"
    (spool / "lobes-abcdefgh-1").mkdir(parents=True)
    site.listen()
    with small_disk(spool) as disk, site.watch() as watch:
        disk.make("read-only")
        clear_spool(spool, watch.journal)
        assert [line["error"] for line in site.said("spool.kept")] == ["Read-only file system"]
        disk.mend()
        clear_spool(spool, watch.journal)
        assert not [*spool.iterdir()]


# --- a mirror -------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("folder", ["mirror", "state"])
def test_a_mirror_on_such_a_disk_is_complete_when_there_is_room(sandbox, tmp_path, folder, trouble):
    """A run ends with a sentence; the next one brings what is missing."""
    site = Mirrored(tmp_path, sandbox)
    site.add("p1", generic_medical_image=mha(*range(3000)))
    site.run()
    site.add("p2", generic_medical_image=mha(*range(3001)))
    with small_disk(tmp_path / folder) as disk:
        disk.make(trouble)
        with pytest.raises((CaseError, JournalUnavailable)) as error:
            site.run()
        assert "disk" in getattr(error.value, "reason", Reason("disk")).code
        disk.mend()
        assert site.run().failed == 0
        assert site.names() == ["p1", "p2"]
        site.check_nothing_half_done()
