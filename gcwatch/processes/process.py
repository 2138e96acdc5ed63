"""Lets another process of this program do some work, and waits for its answer."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final

_KEPT_VARIABLES: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
"""The process gets no others: one of them may hold the token."""

_LOOK_SECONDS: Final = 0.2


def run_in_process(
    module: str, request: bytes, patience_seconds: float, still_wanted: Callable[[], None]
) -> bytes | None:
    """Let another process run a module; return what it writes, None if it ends badly.

    Args:
        module: It reads the request on its standard input, and answers on its standard output.
        request: What is asked for. Names are not in the command line, where every user of this
            machine could read them.
        patience_seconds: A process that takes longer is ended.
        still_wanted: Called a few times a second. What it raises ends the process, and is raised.
    """
    # -P: no module is taken from the current folder.
    command = [sys.executable, "-P", "-m", "gcwatch.processes", module, str(os.getpid())]
    try:
        with _in_memory(request) as stdin:
            process = subprocess.Popen(  # noqa: S603 - the command is this program
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ},
                process_group=0,  # Ctrl-C is for gcwatch, which then ends the process
            )
    except OSError:  # this machine has no room for another process
        return None
    with process:
        try:
            answer = _await_answer(process, patience_seconds, still_wanted)
        finally:
            process.kill()
    return answer if process.returncode == 0 else None


def _in_memory(request: bytes) -> BinaryIO:
    """Return a file without a name that holds a request: nobody has to wait until it is read."""
    file = os.fdopen(os.memfd_create("request"), "w+b")
    file.write(request)
    file.seek(0)
    return file


def _await_answer(
    process: "subprocess.Popen[bytes]", patience_seconds: float, still_wanted: Callable[[], None]
) -> bytes | None:
    end = time.monotonic() + patience_seconds
    while time.monotonic() < end:
        still_wanted()
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_LOOK_SECONDS)[0]
    return None
