"""Log events: what may be said, how a line is written, and what it must not hold.

May import core; what other rooms do is told to it as facts of an event.
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
