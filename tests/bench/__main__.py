"""What gcwatch takes: `make bench`, or `make bench ARGS=idle` for one of the measurements."""

import argparse
import tempfile
from pathlib import Path

from tests.bench import (
    answers,
    burst,
    closed,
    deidentify,
    hosts,
    idle,
    marker,
    mirror,
    recognise,
    several,
    start,
    startup,
    survey,
    uploads,
)

MEASUREMENTS = {
    "file": (uploads.bench_file, 3),
    "series": (uploads.bench_series, 3),
    "mirror": (mirror.bench, 3),
    "answers": (answers.bench, 1),
    "idle": (idle.bench, 1),
    "startup": (startup.bench, 5),
    "start": (start.bench, 9),
    "recognise": (recognise.bench, 9),
    "survey": (survey.bench, 3),
    "deidentify": (deidentify.bench, 5),
    "several": (several.bench, 5),
    "burst": (burst.bench, 1),
    "closed": (closed.bench, 3),
    "kept": (closed.bench_kept, 3),
    "marker": (marker.bench, 1),
    "hosts": (hosts.bench, 3),
}
"""Each measurement, and how often it is repeated."""

COMPARED = {start.bench, recognise.bench, survey.bench}
"""Those that are measured beside another gcwatch."""

COUNTED = {closed.bench, closed.bench_kept}
"""Those of so many cases as are asked for."""


def main() -> None:
    """Read the options; without any, measure everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", nargs="*", help=", ".join(MEASUREMENTS))
    parser.add_argument("--rounds", type=int, help="how often each is repeated")
    parser.add_argument("--dir", type=Path, help="where to work; needs 4 GiB")
    parser.add_argument(
        "--base", type=Path, help="start, recognise, survey: another gcwatch's Python"
    )
    parser.add_argument("--cases", type=int, help="closed, kept: how many cases there are")
    options = parser.parse_args()
    if unknown := set(options.what) - MEASUREMENTS.keys():
        parser.error(f"no such measurement: {', '.join(unknown)}")
    for name in options.what or MEASUREMENTS:
        bench, rounds = MEASUREMENTS[name]
        more = {"base": options.base} if bench in COMPARED else {}
        more |= {"cases": options.cases} if bench in COUNTED else {}
        with tempfile.TemporaryDirectory(dir=options.dir) as folder:
            bench(Path(folder), options.rounds or rounds, **more)


if __name__ == "__main__":
    main()
