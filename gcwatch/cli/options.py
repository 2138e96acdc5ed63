"""What several commands share: their options, and how they are stopped."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gcwatch import log

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Config file; else $GCWATCH_CONFIG, ./gcwatch.toml or /etc/gcwatch/gcwatch.toml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for programs.")]


_ENDS = (signal.SIGTERM, signal.SIGINT)


def chosen(context: typer.Context, config: Path | None) -> Path | None:
    """Return the config file that was named, after the command or before it."""
    named: Path | None = config or context.find_root().obj
    return named


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = threading.Event()
    caught: list[int] = []

    def note(number: int, _frame: object) -> None:
        caught.append(number)
        for each in _ENDS:
            signal.signal(each, signal.SIG_DFL)
        stop.set()

    def tell() -> None:
        stop.wait()
        if caught:
            log.emit("daemon.stopping", signal=signal.Signals(caught[0]).name)

    usual = {number: signal.signal(number, note) for number in _ENDS}
    # A handler that logs could interrupt a line that is being written.
    teller = threading.Thread(target=tell, name="signals", daemon=True)
    teller.start()
    try:
        yield stop
    finally:
        stop.set()
        teller.join()
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def heard_hangups() -> Iterator[threading.Event]:
    """Yield an event that SIGHUP sets, which ends nothing meanwhile."""
    heard = threading.Event()
    usual = signal.signal(signal.SIGHUP, lambda _number, _frame: heard.set())
    try:
        yield heard
    finally:
        signal.signal(signal.SIGHUP, usual)
