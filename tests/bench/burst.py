"""100,000 files in 1000 folders, written into a watched inbox: every folder is found, once.

The platform is the sandbox, which runs 16 jobs and ends none: what is found settles, is looked
through and planned, and is sent as far as the limits let it.
"""

import time
from contextlib import closing
from pathlib import Path

from gcwatch.journal import Journal
from tests.bench.figures import Figure, show
from tests.bench.material import make_cases
from tests.bench.process import cpu_seconds, peak_mib
from tests.bench.service import CASES, FILES, Site, serving, warm_up
from tests.bench.stand import standing
from tests.bench.startup import walk


def bench(folder: Path, rounds: int) -> None:
    """Measure so many bursts."""
    for number in range(rounds):
        _burst(folder / str(number))


def _burst(folder: Path) -> None:
    with standing(folder / "sandbox") as stand:
        stand.ask("configure", job_seconds=1e9)
        site = Site(folder, stand.facts, 'settle = "1s"')
        warm_up(site)
        with serving(site) as daemon:
            begun = time.time()
            make_cases(site.inbox, CASES, FILES)
            dropped = time.time()
            site.await_told("case.found", len(CASES))
            found_cpu = cpu_seconds(daemon.pid) - daemon.start_cpu
            site.await_told("case.settled", len(CASES))
            peak = peak_mib(daemon.pid)
    _check(site)
    baseline = walk(site.inbox)
    found, settled = max(site.said("case.found")), max(site.said("case.settled"))
    show(
        "a burst of 100,000 files in 1000 folders, each found once",
        [
            Figure("to write them", dropped - begun, "s"),
            Figure("times that watchdog lost its queue", len(site.said("watch.overflowed"))),
            Figure("until the last was found, after it was written", found - dropped, "s"),
            Figure("in walks over the files", (found - dropped) / baseline),
            Figure("until the last had settled", settled - dropped, "s"),
            Figure("CPU until all were found", found_cpu, "s"),
            Figure("memory at most", peak, "MiB"),
        ],
    )


def _check(site: Site) -> None:
    with closing(Journal(site.folder / "state")) as journal:
        found = [case.folder for case in journal.cases()]
    assert sorted(found) == CASES, "a folder was not found, or was found twice"
