"""gcwatch's uploads beside those of the official client.

Both clients do the same job, each in a process of its own, against one sandbox in a third process,
over TLS, with 40 ms added to every reply: from opening a config (or a client) to a job that
exists. gcwatch goes its whole way through the public API: survey, settle, check, de-identify, zip,
upload, session, job, every step committed to the journal. gcapi goes the way of its documentation:
`start_algorithm_job` with the list of files. Interpreter start and imports are left out for both.

A further case times the upload of the series alone, no job: gcwatch's zip is spooled before the
clock starts, so it says what the wire costs and not what a user waits for. CPU and memory are
always the whole process's, that spooling included.
"""

from pathlib import Path

from tests.bench.compare import compare, far_away, show
from tests.bench.material import SLICES, make_big_file, make_series

MIB = 1024
"""Size of the big file."""


def bench_file(folder: Path, rounds: int) -> None:
    """Measure one big file, and tell."""
    make_big_file(folder / "big" / "patient", MIB)
    _compare(folder, rounds, {f"{MIB} MiB file": ("big", "job")})


def bench_series(folder: Path, rounds: int) -> None:
    """Measure a CT, and tell."""
    make_series(folder / "series" / "patient", SLICES)
    cases = {
        f"{SLICES} slices": ("series", "job"),
        f"{SLICES} slices, upload alone": ("series", "upload"),
    }
    _compare(folder, rounds, cases)


def _compare(folder: Path, rounds: int, cases: dict[str, tuple[str, str]]) -> None:
    with far_away(folder / "sandbox") as stand:
        show(
            {
                name: compare(stand, folder / inbox, until, rounds)
                for name, (inbox, until) in cases.items()
            }
        )
