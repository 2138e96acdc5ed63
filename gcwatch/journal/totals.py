"""Totals over all that ever happened, which the journal keeps beside its cases.

They do not begin again when gcwatch starts, and stay when the cases that made them are pruned.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gcwatch.core.case import Case
from gcwatch.core.events import Delivered, Event, FailureReported, FilesUploaded, UploadCompleted


@dataclass
class Totals:
    """By route: cases delivered, bytes uploaded, the time of the last delivery.

    `failures` are by route and reason code: each failure that was reported.
    """

    delivered: Counter[str] = field(default_factory=Counter)
    uploaded: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_delivery: dict[str, float] = field(default_factory=dict)


class Amount(NamedTuple):
    """What an event adds to one total of its route; `reason` is the code of a failure, else ""."""

    what: str
    reason: str
    number: int


def amount_of(before: Case, event: Event) -> Amount | None:
    """Given a case and the event that follows, return what the event adds to the totals."""
    match event:
        case Delivered():
            return Amount("delivered", "", 1)
        case FailureReported():
            return Amount("failed", before.failure.code if before.failure else "", 1)
        case UploadCompleted(pk):
            size = sum(upload.size for upload in before.uploads if upload.pk == pk)
            return Amount("uploaded", "", size)
        case FilesUploaded(uploads):
            return Amount("uploaded", "", sum(upload.size for upload in uploads))
        case _:
            return None


def totals_of(rows: Iterable[tuple[str, str, str, int, float]]) -> Totals:
    """Given the rows of the table (route, what, reason, number, time of the last), return them."""
    found = Totals()
    for route, what, reason, number, at in rows:
        if what == "delivered":
            found.delivered[route] = number
            found.last_delivery[route] = at
        elif what == "uploaded":
            found.uploaded[route] = number
        else:
            found.failures[route, reason] = number
    return found
