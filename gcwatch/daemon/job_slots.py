"""Jobs of ours that have ended: each leaves room on the platform for one case that waits for it."""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.checklist import stage
from gcwatch.core.events import Event
from gcwatch.core.rules.priority import next_keys

_HELD: Final = "too_many_jobs"
_LAST_OF_JOB: Final = (events.Succeeded, events.Rejected, events.Withdrawn)


class JobSlots:
    """Counts the jobs that have ended since a held case was last started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._freed = self._taken = 0

    def on_event(self, case: Case, event: Event) -> None:
        """Given a case and what has just happened to it, count its job if that was its end."""
        if (
            isinstance(event, _LAST_OF_JOB)
            and case.kind == "algorithm"
            and stage(case) == "running"
        ):
            with self._lock:
                self._freed += 1

    def take_held(
        self, cases: Iterable[Case], rank_of: Callable[[Case], int] = lambda _: 0
    ) -> list[str]:
        """Given open cases, oldest first, return the keys of those that may try again now.

        These are as many as jobs have ended; `cases` is not read if none has. *rank_of* gives the
        rank of a case; a lower one goes first.
        """
        with self._lock:
            freed, self._freed = self._freed, 0
        if not freed:
            return []
        held = [case for case in cases if case.wait and case.wait.reason.code == _HELD]
        ranked, oldest = (
            [case.key for case in order] for order in (sorted(held, key=rank_of), held)
        )
        chosen = next_keys(ranked, oldest, self._taken, freed)
        self._taken += len(chosen)
        return chosen
