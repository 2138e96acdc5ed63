"""Log events: what may be said, how a line is written, and what it must not hold.

May import core; what other rooms do is told to it as facts of an event.
"""

from gcwatch.log.events import CATALOGUE, reference
from gcwatch.log.redact import hide_secret
from gcwatch.log.setup import configure, emit, error_frames, reconfigure, reset_logging

__all__ = [
    "CATALOGUE",
    "configure",
    "emit",
    "error_frames",
    "hide_secret",
    "reconfigure",
    "reference",
    "reset_logging",
]
