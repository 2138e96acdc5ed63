"""From a command to its end: `--version`, `--help` and `status`, beside another gcwatch's.

    make bench ARGS="start --base /path/to/another/.venv/bin/python"

The two take turns, so that both find the same machine. Bytecode is there, as pip makes it.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure, show
from tests.bench.process import children_cpu

CONFIG = """\
state = "state"
[platform]
url = "http://127.0.0.1:9/api/v1/"
token_file = "token"
[[route]]
name = "lobes"
inbox = "in"
outbox = "out"
algorithm = "lobes"
settle = "0s"
"""
MOST_SECONDS = {"--version": 0.3, "--help": 0.3, "status": 0.6}


@dataclass(frozen=True)
class Program:
    """A gcwatch, by its Python, and a site to call it in."""

    python: Path
    folder: Path
    environment: Mapping[str, str]

    def call(self, command: str) -> tuple[float, float]:
        """Call a command; the seconds it took, and of them the CPU's."""
        cpu, begun = children_cpu(), time.perf_counter()
        subprocess.run(
            [self.python, "-m", "gcwatch", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=command != "once",
        )
        return time.perf_counter() - begun, children_cpu() - cpu


def bench(folder: Path, rounds: int, base: Path | None = None) -> None:
    """Measure so many calls of each command, and tell the medians."""
    compiled = {key: os.environ[key] for key in os.environ.keys() - {"PYTHONDONTWRITEBYTECODE"}}
    programs = [_installed(folder / "here", Path(sys.executable), compiled)]
    if base:  # it imports its own modules, whatever is on the path here
        own = {key: compiled[key] for key in compiled.keys() - {"PYTHONPATH"}}
        programs.append(_installed(folder / "base", base, own))
    figures = []
    for command, most in MOST_SECONDS.items():
        turns = [[program.call(command) for program in programs] for _ in range(rounds)]
        medians = [
            [statistics.median(each) for each in zip(*some, strict=True)]
            for some in zip(*turns, strict=True)
        ]
        for name, (seconds, cpu) in zip(("", ", base"), medians, strict=False):
            figures.append(Figure(f"{command}{name}", seconds, "s", None if name else most))
            figures.append(Figure("of it CPU", cpu, "s"))
        if base:
            figures.append(Figure("times faster than the base", medians[1][0] / medians[0][0]))
    show("start of a command", figures)


def _installed(folder: Path, python: Path, environment: Mapping[str, str]) -> Program:
    """Make a site with a journal of one case, which waits as there is no platform."""
    (folder / "in" / "p1").mkdir(parents=True)
    (folder / "in" / "p1" / "ct.mha").write_bytes(b"")
    (folder / "out").mkdir()
    (folder / "token").write_text("t" * 64)
    (folder / "gcwatch.toml").write_text(CONFIG)
    program = Program(python, folder, environment)
    program.call("once")
    return program
