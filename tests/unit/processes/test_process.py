"""Other processes of this program: their answers, their ends, and what they know."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.builders import until

from gcwatch.core.errors import Stopped
from gcwatch.processes.process import run_in_process

PATIENCE = 60.0
WAIT = b"import time; time.sleep(600)\n"


def go_on():
    """Let the process work."""


def run(lines, patience=PATIENCE, still_wanted=go_on):
    """Let Python's own `code`, which does what it reads, be the module."""
    return run_in_process("code", lines, patience, still_wanted)


def test_it_answers_and_knows_no_token(monkeypatch):
    """Its environment holds what it needs, and nothing else."""
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", "Bearer secret")
    answer = run(b"import os; print('answer', sorted(os.environ))\n")
    assert b"answer" in answer
    assert b"AUTHORIZATION" not in answer


def test_a_request_and_an_answer_may_be_large():
    """More than a pipe holds, and read late: the files of a large series."""
    late = b"import time; time.sleep(0.5)\n"
    answer = run(late + b"#" * 1_000_000 + b"\nprint('x' * 1000000)\n")
    assert b"x" * 1_000_000 in answer


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_end_of_a_process_is_told_and_no_more(number):
    """A decoder that crashes ends no daemon."""
    assert run(b"import os; os.kill(os.getpid(), %d)\n" % number) is None


def test_a_process_that_takes_too_long_is_ended():
    assert run(WAIT, patience=0.1) is None


def test_a_process_that_is_wanted_no_more_is_ended():
    """A stop does not wait for it."""
    asked = []

    def refuse():
        asked.append(1)
        if len(asked) > 2:
            raise Stopped

    with pytest.raises(Stopped):
        run(WAIT, still_wanted=refuse)


def has_ended(pid):
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


PARENT = """
from gcwatch.processes.process import run_in_process
told = b"import os, time; open({place!r}, 'w').write(str(os.getpid())); time.sleep(600)\\n"
run_in_process("code", told, 600, lambda: None)
"""


def test_a_process_ends_with_its_parent(tmp_path):
    """A daemon that is killed leaves nobody behind who writes into its spool."""
    place = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(place=str(place))])
    until(lambda: place.exists() and place.read_text())
    parent.kill()
    parent.wait()
    until(lambda: has_ended(place.read_text()))
