"""What a process has taken."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


def peak_mib(process: int | str = "self") -> float:
    """The most memory that a process has had; unlike ru_maxrss not what its parent had."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu_seconds(process: int | str = "self") -> float:
    """The CPU time that all threads of a process have taken, in user space and in the kernel."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def private_mib(process: int) -> float:
    """The memory that would be free if a process ended now."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(sizes) / 1024


def children_cpu() -> float:
    """The CPU time that all children of this process that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Taken(NamedTuple):
    """What a command took: CPU time of all its processes, and the most memory of the first."""

    cpu_seconds: float
    peak_mib: float


_MEASURED = """
import atexit, runpy, sys
file, *sys.argv[1:] = sys.argv[1:]
from tests.bench.process import peak_mib
atexit.register(lambda: open(file, "w").write(str(peak_mib())))
runpy.run_module("gcwatch", run_name="__main__", alter_sys=True)
"""


def run_gcwatch(*words: str, exit_code: int = 0) -> Taken:
    """Call a command of gcwatch; what it took."""
    with tempfile.NamedTemporaryFile("r") as file:
        before = children_cpu()
        command = [sys.executable, "-c", _MEASURED, file.name, *words]
        done = subprocess.run(command, check=False, capture_output=True)
        assert done.returncode == exit_code, (done.stdout[-2000:], done.stderr[-2000:])
        return Taken(children_cpu() - before, float(file.read()))
