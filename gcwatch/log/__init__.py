"""The log: the catalogue of events, how each becomes a line or an entry, and what is hidden.

No other room's objects may come in here but those of `core`: others pass facts as plain values.
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
