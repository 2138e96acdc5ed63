"""Totals over all that ever happened, from the events of the journal.

The journal keeps all events, so these totals do not begin again when gcwatch starts. All events are
read once after a start, in pieces, and after that only new ones.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gcwatch.core.events import (
    AttemptFailed,
    Delivered,
    FailureReported,
    FilesUploaded,
    Rejected,
    UploadCompleted,
    UploadsExpired,
    UploadStarted,
)
from gcwatch.journal.journal import Journal

_PIECE: Final = 10_000
"""Events that are read at a time; the journal is locked for so long."""

_KINDS: Final = (
    AttemptFailed.kind,
    Delivered.kind,
    FailureReported.kind,
    FilesUploaded.kind,
    Rejected.kind,
    UploadCompleted.kind,
    UploadsExpired.kind,
    UploadStarted.kind,
)


@dataclass
class Totals:
    """By route: cases delivered, bytes uploaded, the time of the last delivery.

    `failures` are by route and reason code: each failure that was reported.
    """

    delivered: Counter[str] = field(default_factory=Counter)
    uploaded: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_delivery: dict[str, float] = field(default_factory=dict)


class Tally:
    """Adds up the events of a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last = 0
        self._totals = Totals()
        self._reasons: dict[str, str] = {}
        self._sizes: dict[str, dict[str, int]] = {}

    def update(self) -> Totals:
        """Read the events that are new, and return the totals.

        Raises:
            JournalUnavailable: when the journal can't be read at the moment.
        """
        latest = self._journal.latest()
        while self._last < latest:
            end = min(self._last + _PIECE, latest)
            for key, route, at, kind, record in self._journal.events_among(self._last, end, _KINDS):
                self._add(key, route, at, kind, json.loads(record))
            self._last = end
        return self._totals

    def _add(self, key: str, route: str, at: float, kind: str, record: Mapping[str, Any]) -> None:
        match kind:
            case UploadStarted.kind:
                upload = record["upload"]
                self._sizes.setdefault(key, {})[upload["pk"]] = upload["size"]
            case UploadCompleted.kind:
                # An old journal may lack the beginning of an upload.
                self._totals.uploaded[route] += self._sizes.get(key, {}).pop(record["pk"], 0)
            case FilesUploaded.kind:
                self._totals.uploaded[route] += sum(each["size"] for each in record["uploads"])
            case UploadsExpired.kind:
                self._sizes.pop(key, None)
            case Rejected.kind | AttemptFailed.kind:
                self._reasons[key] = record["reason"]["code"]
            case FailureReported.kind:
                self._totals.failures[route, self._reasons.get(key, "")] += 1
                self._forget(key)
            case Delivered.kind:
                self._totals.delivered[route] += 1
                self._totals.last_delivery[route] = at
                self._forget(key)

    def _forget(self, key: str) -> None:
        """Forget what is needed only while a case is open."""
        self._reasons.pop(key, None)
        self._sizes.pop(key, None)
