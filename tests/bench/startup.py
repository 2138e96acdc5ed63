"""From the start of the process to its READY, over 1000 delivered folders of 100 files each.

Beside it, in turn, what Python takes to start and to look at the same files by `os.walk` and
`os.stat`. Files and bytecode are in memory, as on a machine that has run for a while.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.figures import Figure, show
from tests.bench.service import serving, settled

WALK = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        os.stat(os.path.join(folder, name))
"""


def bench(folder: Path, rounds: int) -> None:
    """Measure so many starts, and tell the medians."""
    site = settled(folder)
    walks, starts, cpus = [], [], []
    for _ in range(rounds):
        walks.append(walk(site.inbox))
        with serving(site) as daemon:
            starts.append(daemon.start_seconds)
            cpus.append(daemon.start_cpu)
    start, baseline = statistics.median(starts), statistics.median(walks)
    show(
        "start over 100,000 settled files",
        [
            Figure("until READY", start, "s", 3),
            Figure("of it CPU", statistics.median(cpus), "s"),
            Figure("times a walk over the files", start / baseline),
        ],
    )


def walk(inbox: Path) -> float:
    """Look at every file below a folder, in a process of its own; the seconds that took."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", WALK, str(inbox)], check=True)
    return time.perf_counter() - begun
