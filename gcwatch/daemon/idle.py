"""Decides what `gcwatch once` leaves to a later run."""

import threading
import time
from collections.abc import Collection, Sequence
from typing import Final

from gcwatch.core.case import Case
from gcwatch.core.events import Event, Postponed
from gcwatch.core.reasons import needs_person

ENOUGH_TRIES: Final = 4
"""Tries after which `gcwatch once` leaves a case to a later run."""

BUSY_SECONDS: Final = 600.0
"""So long a case waits in one run for a platform that asks again and again for a pause."""


class BusyWaits:
    """Measures how long each case has met nothing but a platform that asks for a pause (429)."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def on_event(self, case: Case, event: Event) -> None:
        """Given a case and what has just happened to it, begin to measure, go on, or end it."""
        is_busy = isinstance(event, Postponed) and event.reason.code == "busy"
        with self._lock:
            if is_busy:
                self._since.setdefault(case.key, time.monotonic())
            else:
                self._since.pop(case.key, None)

    def has_lasted(self, case: Case) -> bool:
        """Whether a case has waited long enough for one run."""
        now = time.monotonic()
        return now - self._since.get(case.key, now) >= BUSY_SECONDS


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
