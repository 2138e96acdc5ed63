"""Keeps the daemon's mirrors: when each is due, and what comes of a run."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gcwatch import log, mirror
from gcwatch.config import Every, Mirror
from gcwatch.errors import CaseError, NotYet, Refused, StateError, TokenRefused, Unreachable
from gcwatch.mirror import Means, Report
from gcwatch.reasons import Reason
from gcwatch.steps import Pace
from gcwatch.watching import Bell, Schedule

Told = Callable[[str, int, int], None]
"""Told a mirror's name, how many bytes have moved, and of how many (0 if that is not known)."""


@dataclass(frozen=True)
class Keeper:
    """The mirrors of a daemon. What came of each last run is in `outcomes`.

    `alive` is told a mirror's name and how far its run is, at every sign of progress.
    A run is asked for by a ring of the bell; `work` is done by a worker, one at a time a mirror.
    """

    mirrors: Sequence[Mirror]
    means: Means
    pace: Pace
    bell: Bell
    schedule: Schedule
    told: Told
    alive: Callable[[str, int, int, int], None]
    outcomes: dict[str, Report | Reason] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, at_once: bool) -> None:
        """Ask for the first run of each: now, or at its time if that is a time of the day."""
        for each in self.mirrors:
            if at_once or isinstance(each.every, Every):
                self.bell.mirror(each.name)
            else:
                self._arm(each, each.every.after(self.means.clock()))

    def work(self, name: str) -> None:
        """Run a mirror, and ask for its next run; folders that it made may be cases.

        Raises:
            TokenRefused: when the platform does not take the token; the wish for a run is kept.
            Stopped: when the daemon is stopping.
        """
        [settings] = [each for each in self.mirrors if each.name == name]
        self.bell.mirroring(name)
        wait: float | None = None
        try:
            wait = self._run(settings)
        except TokenRefused:
            self.bell.mirror(name)
            raise
        finally:
            now = self.means.clock()
            self._arm(settings, settings.every.after(now) if wait is None else now + wait)
            self.told(name, 0, 0)
            self.bell.look()

    def _arm(self, settings: Mirror, at: float) -> None:
        self.schedule.mirror_at(settings.name, at)

    def _run(self, settings: Mirror) -> float | None:
        """Run a mirror; return after how many seconds to try again, or None if it went well."""
        name = settings.name

        def progress(done: int, items: int, moved: int) -> None:
            self.alive(name, done, items, moved)
            if moved:
                self.told(name, moved, 0)

        try:
            report = mirror.mirror(settings, self.means, progress)
        except StateError:
            return self.pace.survey  # somebody runs it by hand at this moment
        except (CaseError, Unreachable, Refused) as error:
            return self._failed(name, error)
        self._tries.pop(name, None)
        self.outcomes[name] = report
        return None

    def _failed(self, name: str, error: CaseError | Unreachable | Refused) -> float:
        """Note what went wrong, and say it unless it was the same before."""
        reason = mirror.reason_of(error)
        before = self.outcomes.get(name)
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        asked = error.wait if isinstance(error, NotYet) else 0.0
        wait = max(asked, min(self.pace.backoff * 2.0 ** (tries - 1), self.pace.slowest))
        if not isinstance(before, Reason) or before.code != reason.code:
            log.emit("mirror.failed", mirror=name, seconds=round(wait), **mirror.words(reason))
        self.outcomes[name] = reason
        return wait
