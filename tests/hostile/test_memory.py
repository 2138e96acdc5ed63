"""The whole daemon, a real process, under hostile files: little memory, and a quick end."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.builders import Site, until
from support.hostile_files import HOSTILE_FILES, write_hostile

MOST_KIB = 150 << 10
MOST_TOGETHER_KIB = 200 << 10
"""Four cases are judged at the same time."""
STOP_SECONDS = 10
AS_INSTALLED = """import sys
sys.modules["numpy"] = None  # only tests install it, and pydicom would load it
import runpy
runpy.run_module("gcwatch", run_name="__main__")
"""
A_FEW = ("deflated DICOM", "NRRD line", "TIFF loop")


def peak_kib(process):
    """The most memory that a process has had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def run_under(site, what):
    """Drop hostile folders and a good one; return the daemon's peak of memory in KiB."""
    site.configure(settle="100ms", poll="100ms")
    for number, each in enumerate(what):
        write_hostile(site.inbox / f"hostile-{number}", each)
    site.drop("good")
    command = [sys.executable, "-c", AS_INSTALLED, "run", "--config", site.file]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: "good" in site.delivered())
            until(lambda: len(settled(site)) == len(what), 300)
            return peak_kib(process)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0


def settled(site):
    """The hostile folders that have a note, or were delivered as something harmless."""
    notes = (each.name.removesuffix(".failed.txt") for each in site.outbox.glob("*.failed.txt"))
    return {*notes, *site.delivered()} - {"good"}


def test_a_few_hostile_files_take_little_memory(sandbox, tmp_path):
    """The rest of the corpus is for make prove."""
    assert run_under(Site(tmp_path, sandbox), A_FEW) < MOST_KIB


def test_a_stop_does_not_wait_for_a_folder_that_takes_long_to_read(sandbox, tmp_path):
    """A heap of headers that take half a minute; the next start looks at them again."""
    site = Site(tmp_path, sandbox)
    site.configure(settle="100ms", poll="100ms")
    write_hostile(site.inbox / "p1", "long header")
    for number in range(30):
        (site.inbox / "p1" / f"{number}.dcm").hardlink_to(site.inbox / "p1" / "x.dcm")
    site.listen()
    with site.running():
        until(lambda: site.said("case.settled"))
        begun = time.monotonic()
    assert time.monotonic() - begun < STOP_SECONDS
    assert not site.said("step.crashed")
    assert site.case().is_open


@pytest.mark.prove
@pytest.mark.parametrize("what", HOSTILE_FILES)
def test_a_hostile_file_takes_little_memory_and_stops_no_other_case(sandbox, tmp_path, what):
    """One at a time, so that it is known which one took the memory."""
    assert run_under(Site(tmp_path, sandbox), [what]) < MOST_KIB


@pytest.mark.prove
def test_all_hostile_files_together_take_little_memory(sandbox, tmp_path):
    """Several are read at the same time."""
    assert run_under(Site(tmp_path, sandbox), [*HOSTILE_FILES]) < MOST_TOGETHER_KIB
