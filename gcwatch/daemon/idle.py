"""Decides what `gcwatch once` leaves to a later run."""

import threading
import time
from collections.abc import Collection, Sequence
from typing import Final

from gcwatch.core.case import Case
from gcwatch.core.events import Event, Postponed, Submitted
from gcwatch.core.reasons import needs_person

ENOUGH_TRIES: Final = 4
"""Tries after which `gcwatch once` leaves a case to a later run."""

BUSY_SECONDS: Final = 600.0
"""So long a case waits in one run for a platform that again and again lets it not go on."""


_BUSY: Final = "busy"
_LOST: Final = "uploads_lost"


class BusyWaits:
    """Measures how long each case has waited for a platform that may never let it go on.

    It has met nothing but requests for a pause (429), or a platform that loses each upload.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def on_event(self, case: Case, event: Event) -> None:
        """Given a case and what has just happened to it, begin to measure, go on, or end it."""
        code = event.reason.code if isinstance(event, Postponed) else ""
        with self._lock:
            if code in {_BUSY, _LOST}:
                self._since.setdefault((case.key, code), time.monotonic())
            if code != _BUSY:
                self._since.pop((case.key, _BUSY), None)
            if isinstance(event, Submitted):  # an upload by itself may be lost again
                self._since.pop((case.key, _LOST), None)

    def has_lasted(self, case: Case) -> bool:
        """Whether a case has waited long enough for one run."""
        since = [self._since.get((case.key, code)) for code in (_BUSY, _LOST)]
        return any(
            begun is not None and time.monotonic() - begun >= BUSY_SECONDS for begun in since
        )


def all_left_to_later_run(cases: Sequence[Case], busy: BusyWaits) -> bool:
    """Given all unfinished cases, return whether none has anything to do in this run."""
    open_cases = {case.key for case in cases if case.is_open}
    return all(_is_left(case, open_cases) or busy.has_lasted(case) for case in cases)


def _is_left(case: Case, open_cases: Collection[str]) -> bool:
    """Whether a case waits for a person or for hours, or for one of `open_cases` (keys).

    A case that waits for another one is left if that is. A delivered case whose command fails is
    left after as many tries as any other.
    """
    if not case.is_open and case.command is not None:
        return case.command.attempts >= ENOUGH_TRIES
    if case.wait is None:
        return False
    if case.wait.reason.code == "same_images_under_way":
        return case.wait.reason.facts["case"] in open_cases
    return needs_person(case.wait.reason) or case.attempts >= ENOUGH_TRIES
