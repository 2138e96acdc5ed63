"""Journals on either database, as tests open them, and what happens to a case in them."""

import time
from pathlib import Path

from gcwatch.core import events, folding
from gcwatch.core.case import Input, Snapshot, Target, Upload
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace
from gcwatch.journal.hosts.ownership import Owner
from gcwatch.journal.journal import Journal

SNAPSHOT = Snapshot("digest", 1, 10, 7)
EVENTS = (
    events.FolderChanged(SNAPSHOT),
    events.FolderSettled(),
    events.Planned(
        (Input("ct", "image", "**"), Input("x", "value", value={"a": [1, None]})),
        Target("a", "https://x/a/", "lobes", 3.0),
    ),
    events.UploadStarted(Upload("ct", "u", "s3", "https://x/u/", "k.mha", 10, 16, 3.0)),
    events.UploadCompleted("u", "ff"),
    events.SessionCreated("ct", "https://x/s/"),
    events.SubmissionAttempted(),
    events.AttemptFailed(
        Reason("unreachable", {"call": "POST", "error": "x"}, {"file": "m\udce9"})
    ),
    events.Submitted("j", "https://x/j/"),
    events.StillRunning("Executing"),
)
"""A case that runs; names need not be text."""


def open_journal(place, clock=time.time, pace_of=lambda _: Pace(), *, host="one", **how):
    """A journal in a state directory or at an address, as a host of that name opens it."""
    owner = None if isinstance(place, Path) else Owner(host, host, "")
    return Journal(place, clock, pace_of, owner, **how)


def fold(book, key):
    """The case that its events make."""
    return folding.fold_events(key, ((each.at, each.event) for each in book.history(key)))
