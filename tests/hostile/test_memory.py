"""The whole daemon, a real process, under hostile files and answers: little memory, a quick end."""

import gzip
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.builders import Site, until
from support.hostile import hostile
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


@contextmanager
def real_daemon(site):
    """The daemon as a process, which ends within seconds."""
    command = [sys.executable, "-c", AS_INSTALLED, "run", "--config", site.file]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0


def run_under(site, what):
    """Drop hostile folders and a good one; return the daemon's peak of memory in KiB."""
    site.configure(settle="100ms", poll="100ms")
    for number, each in enumerate(what):
        write_hostile(site.inbox / f"hostile-{number}", each)
    site.drop("good")
    with real_daemon(site) as process:
        until(lambda: "good" in site.delivered())
        until(lambda: len(settled(site)) == len(what), 300)
        return peak_kib(process)


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


# --- answers --------------------------------------------------------------------------------------

MANY = 300 << 20
HEAVY_ANSWERS = {
    "a long text": lambda: (b'{"pk": "' + b"x" * MANY + b'"}', {}),
    "very many numbers": lambda: (b'{"results": [' + b"1," * (MANY // 2) + b"1]}", {}),
    "very many objects": lambda: (b'{"results": [' + b"{}," * (MANY // 3) + b"{}]}", {}),
    "deep": lambda: (b"[" * MANY, {}),
    "many small lists": lambda: (b"[" + b"[]," * 1_000_000 + b"[]]", {}),
    "a bomb": lambda: (gzip.compress(bytes(MANY), 1), {"Content-Encoding": "gzip"}),
    "a long header": lambda: (b"{}", {"X-Long": "x" * (20 << 20)}),
    "many headers": lambda: (b"{}", {f"X-{number}": "x" * 60_000 for number in range(2000)}),
    "a long address": lambda: (b"", {"Location": "https://x/" + "y" * (20 << 20)}),
}
MOST_OPEN_FILES = 60


@pytest.mark.prove
@pytest.mark.parametrize("what", HEAVY_ANSWERS)
def test_a_heavy_answer_takes_little_memory_and_few_open_files(sandbox, tmp_path, what):
    """Each kind of question is answered so once; the case is delivered all the same."""
    body, headers = HEAVY_ANSWERS[what]()
    asked = set()
    site = Site(tmp_path, sandbox)
    site.configure(settle="100ms", poll="100ms")
    site.drop("good")

    def heavy(reply):
        status = 302 if "Location" in headers else reply.status
        merged = {**reply.headers, **headers}
        return replace(reply, status=status, body=body, file=None, headers=merged)

    def is_first_of_its_kind(call):
        # By turns would not do: a step that asks twice would then never get both answers.
        kind = re.sub("[0-9a-f-]{36}|[0-9]+", "*", call.path)
        is_first = call.method == "GET" and kind not in asked
        asked.update({kind} if is_first else ())
        return is_first

    with hostile(sandbox, heavy, is_first_of_its_kind), real_daemon(site) as process:
        until(lambda: "good" in site.delivered(), 300)
        assert peak_kib(process) < MOST_KIB
        assert len([*Path(f"/proc/{process.pid}/fd").iterdir()]) < MOST_OPEN_FILES
    assert len(asked) > 5
    assert len(site.jobs()) == 1
