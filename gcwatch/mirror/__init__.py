"""The way down: an archive kept complete in a local folder."""

from gcwatch.mirror.last_run import LastRun, read_last_run
from gcwatch.mirror.run import (
    MirrorContext,
    MirrorProgress,
    MirrorSummary,
    failure_reason,
    log_fields,
    no_progress,
    run_mirror,
)

__all__ = [
    "LastRun",
    "MirrorContext",
    "MirrorProgress",
    "MirrorSummary",
    "failure_reason",
    "log_fields",
    "no_progress",
    "read_last_run",
    "run_mirror",
]
