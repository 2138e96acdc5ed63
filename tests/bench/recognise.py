"""From a folder of 1000 slices to the judgement of its image, beside another gcwatch's.

    make bench ARGS="recognise --base /path/to/another/.venv/bin/python"

The two take turns, so that both find the same machine and the files in memory. Headers are read and
judged, for a route that de-identifies; nothing is packed or sent.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Figure, show
from tests.bench.material import make_series

SLICES = 1000
MOST_RATIO = 1.1

RECOGNISE = """
import sys, time
from pathlib import Path
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images
from gcwatch.inbox import tree
try:
    from gcwatch.imaging.dicom.procedure import local_procedure
    options = {"procedure": local_procedure()}
except ImportError:  # an older gcwatch
    options = {"deidentify": True}
place = Path(sys.argv[1])
files = tree.source_files(SharePath.of(place), ())
begun, cpu = time.perf_counter(), time.process_time()
[image], left = images.recognise_images(files, **options)
print(time.perf_counter() - begun, time.process_time() - cpu)
"""


def bench(folder: Path, rounds: int, base: Path | None = None) -> None:
    """Measure so many judgements, and tell the medians; the first of each is not counted."""
    series = folder / "in" / "ct"
    make_series(series, SLICES)
    pythons = [Path(sys.executable), *([base] if base else [])]
    turns = [[_recognise(python, series) for python in pythons] for _ in range(rounds + 1)][1:]
    medians = [
        [statistics.median(each) for each in zip(*some, strict=True)]
        for some in zip(*turns, strict=True)
    ]
    figures = []
    for name, (seconds, cpu) in zip(("", ", base"), medians, strict=False):
        figures.append(Figure(f"{SLICES} slices judged{name}", seconds, "s"))
        figures.append(Figure("of it CPU", cpu, "s"))
    if base:
        ratio = statistics.median(mine[1] / other[1] for mine, other in turns)
        figures.append(Figure("times the CPU of the base", ratio, "", MOST_RATIO))
    show("recognising a CT", figures)


def _recognise(python: Path, series: Path) -> tuple[float, float]:
    """Judge a series in a process of its own; the seconds it took, and of them the CPU's."""
    own = {key: os.environ[key] for key in os.environ.keys() - {"PYTHONPATH"}}
    command = [python, "-c", RECOGNISE, series]
    said = subprocess.run(
        command, cwd=series, env=own, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, cpu = map(float, said.stdout.split())
    return seconds, cpu
