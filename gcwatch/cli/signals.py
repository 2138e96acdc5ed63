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

    So does a call that is not answered within `GRACE_SECONDS`; its work goes on at the next start.
    """
    stop, ended = threading.Event(), threading.Event()
    caught: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: object) -> None:
        for each in _STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        caught.put(number)

    def tell() -> None:
        number = caught.get()
        if not number:
            return
        log.emit("daemon.stopping", signal=signal.Signals(number).name)
        stop.set()
        if not ended.wait(GRACE_SECONDS):
            log.emit("daemon.cut_short", seconds=round(GRACE_SECONDS))
            os.kill(os.getpid(), number)

    usual = {number: signal.signal(number, note) for number in _STOP_SIGNALS}
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
