"""Watches drop folders and sends each new patient folder to grand-challenge.org, exactly once.

Example::

    with gcwatch.open("gcwatch.toml") as watch:
        outcome = watch.run_once()
        for case in watch.cases():
            print(case.key, gcwatch.stage(case))

    [sent] = gcwatch.send("patient-1", algorithm="lobes", output="results")
"""

from gcwatch.api import Outcome, Watch
from gcwatch.api import open_watch as open  # noqa: A004 -- reads as gcwatch.open
from gcwatch.commands.send.send import Sent, send
from gcwatch.core.case import Case
from gcwatch.core.checklist import stage
from gcwatch.core.errors import (
    ConfigError,
    GcwatchError,
    Misused,
    StateError,
    TokenRefused,
    Unreachable,
)
from gcwatch.core.reasons import explain
from gcwatch.core.timing import Pace
from gcwatch.version import VERSION

__all__ = [
    "VERSION",
    "Case",
    "ConfigError",
    "GcwatchError",
    "Misused",
    "Outcome",
    "Pace",
    "Sent",
    "StateError",
    "TokenRefused",
    "Unreachable",
    "Watch",
    "explain",
    "open",
    "send",
    "stage",
]
