"""A command is bounded in time and output, gets no token, and leaves nothing behind."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from support.builders import until

from gcwatch.core.errors import Stopped
from gcwatch.outbox.delivery_command import run_command
from gcwatch.threads.heartbeats import Heartbeats


def shell(script, *arguments):
    """A command that is a script: the tests' own, gcwatch uses no shell."""
    return ["/bin/sh", "-c", script, "sh", *arguments]


def is_alive(pid):
    """Whether a process runs; one that has ended and that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 0", ""),
        ("exit 3", "ended with exit code 3"),
        ("kill -9 $$", "was ended by signal 9 (Killed)"),
    ],
)
def test_it_is_told_how_a_command_ended(script, problem):
    """An exit code and a signal are told in words."""
    assert run_command(shell(script)).problem == problem


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("/nowhere/program", "can't be started: No such file or directory"),
        ("/etc/passwd", "can't be started: Permission denied"),
        ("no-such-program-anywhere", "can't be started: No such file or directory"),
    ],
)
def test_a_program_that_can_not_be_started_is_told(program, problem):
    """That is a failure of the command, not a fault of gcwatch."""
    assert run_command([program]).problem == problem


def test_arguments_reach_the_program_as_they_are():
    """There is no shell: spaces, quotes, dollars and bytes that are no text have no meaning."""
    odd = ["a b", "$(touch /tmp/x)", "';--", "*", os.fsdecode(b"p\xff"), ""]

    result = run_command(shell('for each; do printf "<%s>" "$each"; done', *odd))

    told = "".join(f"<{each}>" for each in odd)
    assert result.output == os.fsencode(told).decode("utf-8", "backslashreplace")


def test_a_command_gets_neither_token_nor_credentials(monkeypatch):
    """Of the environment it gets only what is listed, and nothing to read."""
    for name in ("GRAND_CHALLENGE_AUTHORIZATION", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("TZ", "Europe/Amsterdam")

    result = run_command(["env"])

    names = {line.partition("=")[0] for line in result.output.splitlines()}
    assert {"PATH", "TZ"} <= names <= {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"}
    assert run_command(["cat"]).problem == ""


def test_of_a_flood_of_output_only_the_end_is_kept():
    """A command that writes without end neither fills the memory nor blocks."""
    result = run_command(shell("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the reason"))

    assert not result.problem
    assert result.output.endswith("x\nthe reason")
    assert len(result.output) <= 500


def test_a_command_that_takes_too_long_is_ended_with_all_its_children(tmp_path):
    """Also one that ignores the first signal; its children do not go on."""
    pids = tmp_path / "pids"
    script = 'trap "" TERM; sleep 300 & echo $! $$ > "$1"; wait; wait; sleep 300'

    result = run_command(shell(script, str(pids)), longest_seconds=0.6)

    assert result.problem == "took longer than 0.01 minutes"
    written = pids.read_text().split() if pids.exists() else []
    until(lambda: not any(map(is_alive, written)))


def test_what_a_command_leaves_running_is_ended_with_it(tmp_path):
    """A child in the background holds neither the output nor the case."""
    pid = tmp_path / "pid"

    result = run_command(shell('sleep 300 & echo $! > "$1"; echo done', str(pid)))

    assert (result.problem, result.output) == ("", "done")
    until(lambda: not is_alive(pid.read_text().strip()))


def test_a_stop_ends_the_command(tmp_path):
    """The daemon does not wait for a command; it runs again at the next start."""
    started = tmp_path / "pid"

    def stop_once_started():
        if started.exists() and started.read_text():
            raise Stopped

    heartbeats = Heartbeats(require_running=stop_once_started)
    run = partial(run_command, shell('echo $$ > "$1"; sleep 300', str(started)))

    with heartbeats.of("worker"), pytest.raises(Stopped):
        run()

    assert not is_alive(started.read_text().strip())


def test_a_command_does_not_inherit_blocked_signals_or_files(tmp_path):
    """What gcwatch has open stays its own."""
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        result = run_command(shell("ls /proc/self/fd | wc -l; grep SigBlk /proc/self/status"))

    count, blocked = result.output.split("\n")
    assert int(count) <= 4  # three, and the folder that ls reads
    assert int(blocked.split()[1], 16) & (1 << (signal.SIGTERM - 1)) == 0
