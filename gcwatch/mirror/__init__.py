"""Mirrors: an archive of the platform kept as a complete copy in a local folder.

Nothing about inboxes, cases or the journal may come in: a mirror knows only its receipts on disk.
"""

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
