"""Limits of the process that draws, so that no image can take more."""

import contextlib
import ctypes
import os
import resource
from typing import Final

MEMORY_BYTES: Final = 768 * 1024 * 1024
PROCESSOR_SECONDS: Final = 60
_PR_SET_DUMPABLE: Final = 4


def limit_this_process() -> None:
    """Limit memory and time, and forbid core dumps, which would hold what images hold."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: PROCESSOR_SECONDS,
    }
    for what, most in limits.items():
        # The service may forbid the call; its own limits hold then.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))
    with contextlib.suppress(OSError):
        os.nice(10)
