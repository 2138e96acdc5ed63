"""`gcwatch run` at a soak's pace: the command itself, in a process; nothing else differs.

A hospital's pace would leave a lost reply alone for three minutes, and a soak has fifteen. On
SIGUSR2 the process writes what it really holds, which from outside can't be told from what its
allocators keep for later.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import gcwatch
from gcwatch.cli import main
from gcwatch.core.timing import Pace

# The doubt is longer than a busy sandbox can take to answer a call whose caller is dead.
PACE = Pace(survey=3.0, backoff=0.3, slowest=10.0, doubt=15.0, upkeep=20.0, refused=1.0, lease=5.0)

HELD = "GCWATCH_SOAK_HELD"
"""The environment variable with the file that is written."""


class _Mallinfo(ctypes.Structure):
    """What mallinfo2(3) returns, of all arenas together."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def held():
    """How many blocks Python holds once its garbage is out, and KiB that all others hold."""
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return {"blocks": sys.getallocatedblocks(), "held": (info.uordblks + info.hblkhd) // 1024}


def _tell(*_):
    file = Path(os.environ[HELD])
    new = file.with_suffix(".new")
    new.write_text(json.dumps(held()))
    new.rename(file)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, _tell)
    gcwatch.open = partial(gcwatch.open, pace=PACE)
    main(sys.argv[1:])
