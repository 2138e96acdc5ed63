"""Run a sandbox until a signal stops it."""

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TextIO

from gcwatch.sandbox.sandbox import Sandbox
from gcwatch.sandbox.settings import Settings

_LONGEST_WAIT_SECONDS = 1.0


def serve(
    folder: Path,
    port: int = 0,
    *,
    tls: bool = False,
    settings: Settings | None = None,
    out: TextIO | None = None,
) -> None:
    """Run a sandbox until SIGTERM or SIGINT. Call it in the main thread.

    When it is ready, it writes one line of JSON: `url` (root of the API, ending in a slash),
    `token`, `algorithms` (slugs), `control`, and with TLS `ca` (a file).

    Args:
        folder: Folder for its files.
        port: Port of the API; 0 picks a free one.
        tls: Serve https.
        settings: Limits, times and the schema of answers.
        out: Stream for the line; standard output by default.
    """
    caught: SimpleQueue[int] = (
        SimpleQueue()
    )  # not an Event: the interrupted thread may hold its lock
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _frame: caught.put(number))
    with Sandbox(folder, settings, port, tls=tls) as sandbox:
        facts = {
            "url": sandbox.url,
            "token": sandbox.token,
            "algorithms": sandbox.slugs,
            "control": sandbox.control,
        }
        if sandbox.ca:
            facts["ca"] = str(sandbox.ca)
        print(json.dumps(facts), file=out or sys.stdout, flush=True)
        _wait_for(caught)


def _wait_for(caught: SimpleQueue[int]) -> None:
    # Python handles a signal between two instructions. One that comes just before a wait without
    # an end would be handled after it: never.
    while True:
        with suppress(Empty):
            caught.get(timeout=_LONGEST_WAIT_SECONDS)
            return
