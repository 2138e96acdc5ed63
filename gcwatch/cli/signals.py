"""How signals reach a running command: SIGTERM and SIGINT stop it, SIGHUP reloads its config."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from gcwatch import log

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

GRACE_SECONDS = 30.0
"""How long a stop waits at most for what is under way."""


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second signal ends the process at once.

    So does work that has not ended `GRACE_SECONDS` after the first; the next start continues it.
    """
    stop, ended = threading.Event(), threading.Event()
    caught: SimpleQueue[int] = SimpleQueue()

    def catch_signal(number: int, _frame: object) -> None:
        for each in _STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        caught.put(number)

    def stop_when_caught() -> None:
        number = caught.get()
        if not number:
            return
        log.emit("daemon.stopping", signal=signal.Signals(number).name)
        stop.set()
        if not ended.wait(GRACE_SECONDS):
            log.emit("daemon.cut_short", seconds=round(GRACE_SECONDS))
            # `catch_signal` restored the default action: the signal now ends the process.
            os.kill(os.getpid(), number)

    usual = {number: signal.signal(number, catch_signal) for number in _STOP_SIGNALS}
    # The handler itself must not log or set the event: it could interrupt a half-written log line,
    # or wait for ever for the event's lock, which the interrupted thread holds.
    watcher = threading.Thread(target=stop_when_caught, name="signals", daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        stop.set()
        ended.set()
        caught.put(0)
        watcher.join()
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def heard_hangups() -> Iterator[threading.Event]:
    """Yield an event that SIGHUP sets; the signal does not end the process meanwhile."""
    heard = threading.Event()
    caught: SimpleQueue[int] = SimpleQueue()

    def set_when_caught() -> None:
        while caught.get():
            heard.set()

    usual = signal.signal(signal.SIGHUP, lambda number, _frame: caught.put(number))
    watcher = threading.Thread(
        target=set_when_caught, name="hang-ups", daemon=True
    )  # see `stoppable`
    watcher.start()
    try:
        yield heard
    finally:
        signal.signal(signal.SIGHUP, usual)
        caught.put(0)
        watcher.join()
