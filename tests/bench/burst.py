"""100,000 files in 1000 folders, written into a watched inbox: every folder is found, once.

Half of the folders are written while the daemon runs. The others stand empty and watched when it
is stopped, are filled, and then it goes on: the kernel's queue of events, which watchdog reads, has
long overflowed. The platform is the sandbox, which runs 16 jobs and ends none: what is found
settles, is looked through and planned, and is sent as far as the limits let it.
"""

import time
from contextlib import closing
from pathlib import Path

from gcwatch.journal.journal import Journal
from tests.bench.figures import Figure, show
from tests.bench.material import fill, make_cases
from tests.bench.process import cpu_seconds, peak_mib
from tests.bench.service import CASES, FILES, Daemon, Site, serving, warm_up
from tests.bench.stand import standing
from tests.bench.startup import walk

HALF = len(CASES) // 2
_HEARD = 5.0
"""Seconds in which the daemon hears of empty folders and watches them."""


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
            watched = _found(site, daemon, _write(site), HALF)
            deaf = _found(site, daemon, _write_unheard(site, daemon), len(CASES))
            peak = peak_mib(daemon.pid)
    _check(site)
    baseline = walk(site.inbox) / 2
    show(
        "a burst of 100,000 files in 1000 folders, each found once",
        [
            *_figures("watched", watched, baseline),
            *_figures("unheard", deaf, baseline),
            Figure("times that the queue overflowed", len(site.said("watch.overflowed"))),
            Figure("memory at most", peak, "MiB"),
        ],
    )


def _write(site: Site) -> float:
    """Write half of the folders; when the last was written."""
    make_cases(site.inbox, CASES[:HALF], FILES)
    return time.time()


def _write_unheard(site: Site, daemon: Daemon) -> float:
    """Write the others while the daemon can't hear of it; when it could again."""
    for name in CASES[HALF:]:
        (site.inbox / name).mkdir()
    site.await_told("case.settled", HALF)
    time.sleep(_HEARD)
    with daemon.stopped():
        for name in CASES[HALF:]:
            fill(site.inbox / name, FILES)
    return time.time()


def _found(site: Site, daemon: Daemon, written: float, count: int) -> tuple[float, float]:
    """Wait until so many folders were found; the seconds that took, and the CPU time."""
    before = cpu_seconds(daemon.pid)
    site.await_told("case.found", count)
    return max(site.said("case.found")) - written, cpu_seconds(daemon.pid) - before


def _figures(how: str, found: tuple[float, float], baseline: float) -> list[Figure]:
    return [
        Figure(f"{how}: until the last was found, after it was written", found[0], "s"),
        Figure(f"{how}: in walks over as many files", found[0] / baseline),
        Figure(f"{how}: CPU meanwhile", found[1], "s"),
    ]


def _check(site: Site) -> None:
    with closing(Journal(site.folder / "state")) as journal:
        found = [case.folder for case in journal.cases()]
    assert sorted(found) == CASES, "a folder was not found, or was found twice"
    assert site.said("watch.overflowed"), "nothing was lost, so nothing is proved"
