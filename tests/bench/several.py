"""Two large series judged, de-identified and packed at the same time, on one core and on two.

Both ways take turns over the same files, in processes of their own: with one process, as `[limits]
processes = 1` says, and with two. The start of the second process is part of the time. The headers
are those of a CT scanner, with 258 elements; nothing is sent.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Figure, show
from tests.bench.survey import make_scanner_series

SLICES = 1000

PACK = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.bundles.several import SeveralBundles
from gcwatch.inbox import tree
inbox, spool, most = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
several, options = SeveralBundles(lambda: most), BundleOptions(socket="image")
folders = [tree.source_files(SharePath.of(each), ()) for each in sorted(inbox.iterdir())]
def pack(number):
    made = several.image_bundle(folders[number], options, spool=spool / str(number), stem="k")
    made.written()
begun = time.perf_counter()
with ThreadPoolExecutor(len(folders)) as pool:
    list(pool.map(pack, range(len(folders))))
print(time.perf_counter() - begun)
"""


def bench(folder: Path, rounds: int) -> None:
    """Measure so many turns, and tell the medians."""
    inbox = folder / "in"
    for patient in range(2):
        make_scanner_series(inbox / f"patient-{patient}", patient, SLICES)
    turns = [[_pack(folder, most, turn) for most in (1, 2)] for turn in range(rounds + 1)][1:]
    one, two = (statistics.median(each) for each in zip(*turns, strict=True))
    show(
        f"two series of {SLICES} slices at the same time",
        [
            Figure("one process", one, "s"),
            Figure("two processes", two, "s"),
            Figure("times as fast", statistics.median(a / b for a, b in turns)),
        ],
    )


def _pack(folder: Path, most: int, turn: int) -> float:
    own = {key: os.environ[key] for key in os.environ.keys() - {"PYTHONPATH"}}
    spool = folder / f"spool-{turn}-{most}"
    spool.mkdir()
    command = [sys.executable, "-c", PACK, folder / "in", spool, str(most)]
    said = subprocess.run(
        command, cwd=folder, env=own, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(said.stdout)
