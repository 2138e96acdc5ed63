"""A minute of a daemon that has nothing to do, over 1000 delivered folders of 100 files each.

What it does at its start, and then once an hour (a look at every file), is measured too: its share
is added to the minute's.
"""

import time
from pathlib import Path

from tests.bench.figures import Figure, show
from tests.bench.process import cpu_seconds, peak_mib, private_mib
from tests.bench.service import serving, settled

MINUTE, HOUR = 60.0, 3600.0


def bench(folder: Path, rounds: int) -> None:
    """Measure one daemon for so many minutes, and tell."""
    site = settled(folder)
    with serving(site) as daemon:
        daemon.calm_down()
        deep = cpu_seconds(daemon.pid) - daemon.start_cpu
        before = cpu_seconds(daemon.pid)
        time.sleep(MINUTE * rounds)
        idle = (cpu_seconds(daemon.pid) - before) / (MINUTE * rounds)
        peak, own = peak_mib(daemon.pid), private_mib(daemon.pid)
    show(
        "idle over 100,000 settled files",
        [
            Figure("of a core", 100 * (idle + deep / HOUR), "%", 1),
            Figure("of it the hourly look at every file", 100 * deep / HOUR, "%"),
            Figure("memory at most", peak, "MiB", 80),
            Figure("of it not shared with other programs", own, "MiB"),
        ],
    )
