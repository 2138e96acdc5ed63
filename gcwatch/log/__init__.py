"""The log: the catalogue of events, how each becomes a line or an entry, and what is hidden.

No other room's objects may come in here but those of `core`: others pass facts as plain values.
"""

from typing import TYPE_CHECKING

from gcwatch.log.events import CATALOGUE, reference
from gcwatch.log.redact import hide_secret

if TYPE_CHECKING:
    from gcwatch.log.setup import configure, emit, error_frames, reconfigure, reset_logging
else:  # the same at run time, imported when it is used: structlog takes a while
    from gcwatch.late import late_names

    __getattr__ = late_names(
        __name__,
        dict.fromkeys(
            ("configure", "emit", "error_frames", "reconfigure", "reset_logging"),
            "gcwatch.log.setup",
        ),
    )

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
