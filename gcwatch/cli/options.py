"""What several commands share: their options, and how they are stopped."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import typer

from gcwatch import log
from gcwatch.core.errors import Misused

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Config file; else $GCWATCH_CONFIG, ./gcwatch.toml or /etc/gcwatch/gcwatch.toml.",
        show_default=False,
    ),
]


def flag(name: str, what: str) -> Any:
    """Given the name of an option without a value, and what it does, return the option."""
    return typer.Option(name, metavar="", help=what)


def sockets(where: str) -> Any:
    """Given where values may stand, return the option that says what each socket gets."""
    return typer.Option(
        "--input",
        metavar="SOCKET=WHAT",
        help='What a socket gets; once for each: a glob ("ct=*.mha"), @FILE for the value in '
        f"{where}, or a value as JSON (threshold=0.5).",
    )


Json = Annotated[bool, flag("--json", "Print JSON, for programs.")]
Offline = Annotated[bool, flag("--offline", "Do not ask the platform.")]
Url = Annotated[str | None, typer.Option(metavar="URL", help="The root of the platform's API.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that holds the API token.")
]
_ENDS = (signal.SIGTERM, signal.SIGINT)

GRACE = 30.0
"""Seconds after which a stop waits no longer for what is under way."""


def chosen(context: typer.Context, config: Path | None) -> Path | None:
    """Return the config file that was named, after the command or before it."""
    named: Path | None = config or context.find_root().obj
    return named


def by_socket(given: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Given texts such as `ct-image=**/*.dcm`, yield each socket with what it gets.

    Raises:
        Misused: one is not like that, or a socket comes twice.
    """
    seen: set[str] = set()
    for each in given:
        socket, equals, what = each.partition("=")
        if not (socket and equals and what) or socket in seen:
            problem = "is given twice" if socket in seen else "is not SOCKET=WHAT"
            raise Misused(f"--input {each} {problem}.", 'For example: --input "ct-image=*.mha"')
        seen.add(socket)
        yield socket, what


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second signal ends the process at once.

    So does a call that nobody answers, after `GRACE`: what it was about goes on at the next start.
    """
    stop, ended = threading.Event(), threading.Event()
    caught: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: object) -> None:
        for each in _ENDS:
            signal.signal(each, signal.SIG_DFL)
        caught.put(number)

    def tell() -> None:
        number = caught.get()
        if not number:
            return
        log.emit("daemon.stopping", signal=signal.Signals(number).name)
        stop.set()
        if not ended.wait(GRACE):
            log.emit("daemon.cut_short", seconds=round(GRACE))
            os.kill(os.getpid(), number)

    usual = {number: signal.signal(number, note) for number in _ENDS}
    # A handler that logs could interrupt a line that is being written, and one that sets an event
    # could wait for ever for a lock of it which the interrupted thread holds.
    teller = threading.Thread(target=tell, name="signals", daemon=True)
    teller.start()
    try:
        yield stop
    finally:
        stop.set()
        ended.set()
        caught.put(0)
        teller.join()
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def heard_hangups() -> Iterator[threading.Event]:
    """Yield an event that SIGHUP sets, which ends nothing meanwhile."""
    heard = threading.Event()
    caught: SimpleQueue[int] = SimpleQueue()

    def tell() -> None:
        while caught.get():
            heard.set()

    usual = signal.signal(signal.SIGHUP, lambda number, _frame: caught.put(number))
    teller = threading.Thread(target=tell, name="hang-ups", daemon=True)  # as in `stoppable`
    teller.start()
    try:
        yield heard
    finally:
        signal.signal(signal.SIGHUP, usual)
        caught.put(0)
        teller.join()
