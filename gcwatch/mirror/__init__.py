"""The way down: an archive kept complete in a local folder."""

from gcwatch.mirror.memory import Memory, recall
from gcwatch.mirror.run import Means, Progress, Report, mirror, no_progress, reason_of, words

__all__ = [
    "Means",
    "Memory",
    "Progress",
    "Report",
    "mirror",
    "no_progress",
    "reason_of",
    "recall",
    "words",
]
