"""A daemon as one of several hosts, at a test's pace: `python -m support.host CONFIG VARIANT`."""

import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import gcwatch
from gcwatch import config, log
from support import broken_variants
from support.builders import FAST
from support.hosts import LEASE_SECONDS

PACE = replace(FAST, lease=LEASE_SECONDS)


def main():
    file, variant = Path(sys.argv[1]), sys.argv[2]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log.configure(config.load(file).log)
    if variant:
        broken_variants.VARIANTS[variant]()
    with gcwatch.open(file, pace=PACE) as watch:
        watch.run(stop)


if __name__ == "__main__":
    main()
