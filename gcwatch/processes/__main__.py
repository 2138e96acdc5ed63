"""Runs a module as another process of this program: it ends when its parent ends.

Usage: python -m gcwatch.processes MODULE PARENT
"""

import ctypes
import os
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Run the module, unless the parent is gone already."""
    _, module, parent = sys.argv
    del sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
