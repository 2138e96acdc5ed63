"""What a process has taken."""

import os
import resource
from pathlib import Path

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
