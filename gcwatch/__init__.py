"""Watches drop folders and sends each new patient folder to grand-challenge.org, exactly once.

Example::

    with gcwatch.open("gcwatch.toml") as watch:
        outcome = watch.run_once()
        for case in watch.cases():
            print(case.key, gcwatch.stage(case))

    [sent] = gcwatch.send("patient-1", algorithm="lobes", output="results")
"""

from gcwatch.cases import Case
from gcwatch.errors import ConfigError, GcwatchError, Misused, StateError, TokenRefused, Unreachable
from gcwatch.oneoff import Sent, send
from gcwatch.reasons import explain
from gcwatch.steps import Pace, stage
from gcwatch.version import VERSION
from gcwatch.watch import Outcome, Watch
from gcwatch.watch import open_watch as open  # noqa: A004 -- reads as gcwatch.open

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
