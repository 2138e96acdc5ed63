"""A sandbox as a process of its own, until it is told to stop."""

import json
import signal
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import TextIO

from gcwatch.sandbox.sandbox import Sandbox
from gcwatch.sandbox.settings import Settings


def serve(
    folder: Path,
    port: int = 0,
    *,
    tls: bool = False,
    settings: Settings | None = None,
    out: TextIO | None = None,
) -> None:
    """Run a sandbox until SIGTERM or SIGINT; to be called in the main thread.

    When it is ready, one line of JSON is written: `url` (root of the API, ending in a slash),
    `token`, `algorithms` (slugs), `control`, and with TLS `ca` (a file).

    Args:
        folder: Where it keeps its files.
        port: Of the API; 0 picks a free one.
        tls: Serve https.
        settings: How it behaves.
        out: Where the line goes; standard output by default.
    """
    caught: SimpleQueue[int] = SimpleQueue()  # an event's lock may be held by what is interrupted
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
        caught.get()
