"""Watches drop folders and sends each new patient folder to grand-challenge.org, exactly once.

Example::

    with gcwatch.open("gcwatch.toml") as watch:
        outcome = watch.run_once()
        for case in watch.cases():
            print(case.key, gcwatch.stage(case))

    [sent] = gcwatch.send("patient-1", algorithm="lobes", output="results")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gcwatch.api import Outcome, Watch
    from gcwatch.api import open_watch as open  # noqa: A004 -- reads as gcwatch.open
    from gcwatch.commands.send.runs import Sent
    from gcwatch.core.case import Case
    from gcwatch.core.checklist import stage
    from gcwatch.core.errors import (
        ConfigError,
        GcwatchError,
        Misused,
        StateError,
        Stopped,
        TokenRefused,
        Unreachable,
    )
    from gcwatch.core.reasons import explain
    from gcwatch.core.timing import Pace
    from gcwatch.functions import fetch, mirror, send
    from gcwatch.mirrors.outcome import MirrorSummary
    from gcwatch.version import VERSION
else:  # the same at run time, imported when it is used: `gcwatch --help` needs none of it
    from gcwatch.late import late_names

    __getattr__ = late_names(
        __name__,
        {
            "VERSION": "gcwatch.version",
            "Case": "gcwatch.core.case",
            "ConfigError": "gcwatch.core.errors",
            "GcwatchError": "gcwatch.core.errors",
            "MirrorSummary": "gcwatch.mirrors.run",
            "Misused": "gcwatch.core.errors",
            "Outcome": "gcwatch.api",
            "Pace": "gcwatch.core.timing",
            "Sent": "gcwatch.commands.send.runs",
            "StateError": "gcwatch.core.errors",
            "Stopped": "gcwatch.core.errors",
            "TokenRefused": "gcwatch.core.errors",
            "Unreachable": "gcwatch.core.errors",
            "Watch": "gcwatch.api",
            "explain": "gcwatch.core.reasons",
            "fetch": "gcwatch.functions",
            "mirror": "gcwatch.functions",
            "open": "gcwatch.api:open_watch",
            "send": "gcwatch.functions",
            "stage": "gcwatch.core.checklist",
        },
    )

__all__ = [
    "VERSION",
    "Case",
    "ConfigError",
    "GcwatchError",
    "MirrorSummary",
    "Misused",
    "Outcome",
    "Pace",
    "Sent",
    "StateError",
    "Stopped",
    "TokenRefused",
    "Unreachable",
    "Watch",
    "explain",
    "fetch",
    "mirror",
    "open",
    "send",
    "stage",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
