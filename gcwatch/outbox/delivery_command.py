"""Runs a command of the config: without a shell, bounded in time and in what it may say."""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gcwatch.threads.heartbeats import heartbeat

LONGEST_RUN_SECONDS: Final = 1800.0
"""A command that takes longer is ended, and counts as failed."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON: Final = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
"""All that a command gets of gcwatch's environment; the token may be in the rest."""

_GRACE_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.5
_READ_BYTES: Final = 65536
_KEPT_BYTES: Final = 500
"""So much is kept of what a command writes: the end, where the error mostly is."""


@dataclass(frozen=True)
class CommandResult:
    """How a command ended: its `problem` in words, "" if it ended well, and the end of its output.

    The output may name patients.
    """

    seconds: float
    problem: str = ""
    output: str = ""


def find_program(program: str) -> str | None:
    """Given the first word of a command, return the path of its program; None if there is none."""
    return shutil.which(program, path=_PATH)


def run_command(
    arguments: Sequence[str],
    *,
    longest_seconds: float = LONGEST_RUN_SECONDS,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run a command until it ends, and end all that it has started; return how it ended.

    *given* is its standard input; *environment* is added to its environment.

    Raise as `heartbeat` does if the daemon stops: then the command has been ended.
    """
    begin = time.monotonic()
    # A file in memory: a command that does not read it blocks nobody.
    stdin = os.memfd_create("given")
    try:
        os.write(stdin, given)
        os.lseek(stdin, 0, os.SEEK_SET)
        process = subprocess.Popen(  # noqa: S603 -- what the config says, with arguments as a list
            arguments,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**_environment(), **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        return CommandResult(0.0, f"can't be started: {error.strerror}")
    finally:
        os.close(stdin)
    assert process.stdout is not None, "it is a pipe"
    output = _Output(process.stdout.fileno())
    try:
        has_ended = _wait(process.pid, output, begin + longest_seconds)
    finally:
        _end_group(process.pid)
        code = process.wait()
        output.read_rest()
        process.stdout.close()
    seconds = round(time.monotonic() - begin, 1)
    problem = _problem(code) if has_ended else f"took longer than {longest_seconds / 60:g} minutes"
    return CommandResult(seconds, problem, output.text)


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PATH": _PATH, **passed_on}


def _problem(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}" if code else ""


class _Output:
    """The end of what a command writes into a pipe; the rest is read and forgotten."""

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self.pipe = pipe
        self.is_open = True
        self._end = b""

    def read(self) -> bool:
        """Read what is there, up to a limit; return whether there was anything."""
        try:
            data = os.read(self.pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        self.is_open = bool(data)
        self._end = (self._end + data)[-_KEPT_BYTES:]
        return bool(data)

    def read_rest(self) -> None:
        """Read what is left once nobody of the command's group can write any more."""
        # A process that left the group may still write: what a pipe holds is at most 1 MiB.
        for _ in range(2**20 // _READ_BYTES):
            if not self.read():
                return

    @property
    def text(self) -> str:
        """Return it as text."""
        return self._end.decode("utf-8", "backslashreplace").strip()


def _wait(pid: int, output: _Output, deadline: float) -> bool:
    """Wait for the end of a process, reading what it writes; return False at the deadline."""
    process = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.register(output.pipe, select.POLLIN)
        while True:
            heartbeat()
            ready = {number for number, _ in poll.poll(_LOOK_SECONDS * 1000)}
            if process in ready:
                return True
            if time.monotonic() >= deadline:
                return False
            if output.pipe in ready:
                output.read()
                if not output.is_open:
                    poll.unregister(output.pipe)
    finally:
        os.close(process)


def _end_group(pid: int) -> None:
    """End a process that is not reaped yet, and all that it has started and that is still there."""
    process = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(0):
            os.killpg(pid, signal.SIGTERM)
            poll.poll(_GRACE_SECONDS * 1000)
        # Its number is not given away before it is reaped, so this group is still its own.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(process)
