"""From a marker file's appearance to the first call of the platform's API.

The daemon is idle beside 1000 delivered folders; the time is taken where the call comes in. The
marker comes last, into a folder that stands there already, or with the folder, by one rename.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.figures import Figure, show
from tests.bench.material import make_case, make_cases
from tests.bench.service import CASES, Site, deliver, serving, warm_up
from tests.bench.stand import Stand, standing

DROPS, FILES = 25, 100
MARKER = "READY.txt"
MOST_MS = 60
_PAUSE = 0.5
"""Seconds for which nothing happens before a marker appears: more than a scan's pause after what
came before."""


def bench(folder: Path, rounds: int) -> None:
    """Measure so many times 25 drops of either kind, and tell the medians."""
    with standing(folder / "sandbox") as stand:
        site = Site(folder, stand.facts, f'ready = "{MARKER}"', 'poll = "100ms"')
        make_cases(site.inbox, CASES, 1)
        deliver(site)
        warm_up(site)
        with serving(site) as daemon:
            daemon.calm_down()
            last = [_drop(site, stand, f"last-{n}", _complete) for n in range(rounds * DROPS)]
            moved = [_drop(site, stand, f"moved-{n}", _move_in) for n in range(rounds * DROPS)]
    show(
        "from the marker's appearance to the first call",
        [
            Figure("marker last, median", 1000 * statistics.median(last), "ms", MOST_MS),
            Figure("marker last, nine in ten", 1000 * statistics.quantiles(last, n=10)[-1], "ms"),
            Figure("moved in with it, median", 1000 * statistics.median(moved), "ms", MOST_MS),
            Figure("moved in, nine in ten", 1000 * statistics.quantiles(moved, n=10)[-1], "ms"),
        ],
    )


def _drop(site: Site, stand: Stand, name: str, mark: Callable[[Site, str], float]) -> float:
    """Drop a folder and wait until it is delivered; the seconds from marker to call."""
    delivered = len(site.said("case.delivered"))
    stand.ask("forget_calls")
    marked = mark(site, name)
    site.await_told("case.delivered", delivered + 1)
    first = min(call["at"] for call in stand.ask("calls") if call["host"] == "api")
    return float(first) - marked


def _complete(site: Site, name: str) -> float:
    """Drop a folder without its marker, and then that; when it appeared."""
    waiting = len(site.said("case.postponed"))
    make_case(site.inbox / name, FILES)
    site.await_told("case.postponed", waiting + 1)
    time.sleep(_PAUSE)
    appeared = time.time()
    (site.inbox / name / MARKER).touch()
    return appeared


def _move_in(site: Site, name: str) -> float:
    """Move a folder in that holds its marker; when it appeared."""
    make_case(site.folder / name, FILES)
    (site.folder / name / MARKER).touch()
    time.sleep(_PAUSE)
    appeared = time.time()
    (site.folder / name).rename(site.inbox / name)
    return appeared
