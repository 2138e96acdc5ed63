"""A daemon as one of several hosts, at a test's pace.

`python -m support.host CONFIG VARIANT SECONDS`: by a clock that is so many seconds ahead.
"""

import io
import signal
import sys
import threading
import time
from pathlib import Path

from gcwatch import config, log
from gcwatch.api import Watch
from support import broken_variants
from support.builders import FAST


def main():
    file, variant, ahead = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = config.load(file)
    log.configure(settings.log, stream=io.StringIO(), host=settings.log_host)
    if variant:
        broken_variants.VARIANTS[variant]()
    watch = Watch(settings, pace=FAST, clock=lambda: time.time() + ahead)
    try:
        watch.run(stop)
    finally:
        watch.close()


if __name__ == "__main__":
    main()
