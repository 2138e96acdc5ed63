"""Keeps the daemon's mirrors: when each is due, and what comes of a run."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from gcwatch import log
from gcwatch.config import Every, Mirror
from gcwatch.core.errors import (
    CaseError,
    NotYet,
    Refused,
    StateError,
    Stopped,
    TokenRefused,
    Unreachable,
)
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace, retry_pause
from gcwatch.daemon.schedule import Schedule
from gcwatch.daemon.wakeup import Wakeup
from gcwatch.mirror.run import (
    MirrorContext,
    MirrorSummary,
    failure_reason,
    log_fields,
    run_mirror,
)

Told = Callable[[str, int, int], None]
"""Told a mirror's name, how many bytes have moved, and of how many (0 if that is not known)."""


@dataclass
class MirrorScheduler:
    """The mirrors of a daemon. What came of each last run is in `outcomes`.

    `alive` is told a mirror's name and how far its run is, at every sign of progress.
    A run is asked for by a ring of the wakeup; `work` is done by a worker, one at a time a mirror.
    """

    mirrors: Sequence[Mirror]
    clock: Callable[[], float]
    pace: Pace
    wakeup: Wakeup
    schedule: Schedule
    told: Told
    alive: Callable[[str, int, int, int], None]
    outcomes: dict[str, MirrorSummary | Reason] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _runs: dict[str, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, at_once: bool) -> None:
        """Ask for the first run of each: now, or at its time if that is a time of the day."""
        for each in self.mirrors:
            self._begin(each, at_once=at_once)

    def _begin(self, each: Mirror, *, at_once: bool) -> None:
        if at_once or isinstance(each.every, Every):
            self.wakeup.request_mirror(each.name)
        else:
            self._arm(each, each.every.after(self.clock()))

    def follow(self, mirrors: Sequence[Mirror]) -> None:
        """Keep other mirrors from now on; a run of one that is gone or changed stops.

        Of one that is changed another run begins, which goes on from there.
        """
        former = {each.name: each for each in self.mirrors}
        self.mirrors = mirrors
        for name in former.keys() - {each.name for each in mirrors}:
            self._stop(name)
            self.wakeup.mirror_started(name)
            self.schedule.no_mirror(name)
        for each in mirrors:
            if former.get(each.name) != each:
                self._begin(each, at_once=self._stop(each.name))

    @property
    def is_parting(self) -> bool:
        """Whether a run that was stopped has not ended yet: its folder may be another's by now."""
        with self._lock:
            return any(run.is_set() for run in self._runs.values())

    def stop(self) -> None:
        """Every run under way stops where it is."""
        for name in [*self._runs]:
            self._stop(name)

    def _stop(self, name: str) -> bool:
        """Stop a mirror's run; return whether there is one."""
        with self._lock:
            run = self._runs.get(name)
        if run is not None:
            run.set()
        return run is not None

    def _settings(self, name: str) -> Mirror | None:
        return next((each for each in self.mirrors if each.name == name), None)

    def work(self, name: str, means: MirrorContext) -> None:
        """Run a mirror, and ask for its next run; folders that it made may be cases.

        Raises:
            TokenRefused: when the platform does not take the token; the wish for a run is kept.
            Stopped: when the daemon is stopping, or follows other settings.
        """
        with self._running(name, means) as (settings, own):
            self.wakeup.mirror_started(name)
            wait: float | None = None
            try:
                wait = self._run(settings, own)
            except TokenRefused:
                self.wakeup.request_mirror(name)
                raise
            finally:
                self._next(name, wait)
                self.told(name, 0, 0)
                self.wakeup.request_scan()

    @contextmanager
    def _running(self, name: str, means: MirrorContext) -> Iterator[tuple[Mirror, MirrorContext]]:
        """Begin a run that can be stopped by itself."""
        stop = threading.Event()
        with self._lock:
            self._runs[name] = stop
        try:
            settings = self._settings(name)  # looked at last: whoever changes them stops the run
            if settings is None:
                raise Stopped
            means.transfers.require_running()
            yield settings, replace(means, transfers=replace(means.transfers, stop=stop))
        finally:
            with self._lock:
                del self._runs[name]

    def _next(self, name: str, wait: float | None) -> None:
        """Ask for the next run, if the mirror is still there."""
        settings, now = self._settings(name), self.clock()
        if settings is not None:
            self._arm(settings, settings.every.after(now) if wait is None else now + wait)

    def _arm(self, settings: Mirror, at: float) -> None:
        self.schedule.mirror_at(settings.name, at)

    def _run(self, settings: Mirror, means: MirrorContext) -> float | None:
        """Run a mirror; return after how many seconds to try again, or None if it went well."""
        name = settings.name

        def progress(done: int, items: int, moved: int) -> None:
            self.alive(name, done, items, moved)
            if moved:
                self.told(name, moved, 0)

        try:
            report = run_mirror(settings, means, progress)
        except StateError:
            return self.pace.survey  # somebody runs it by hand at this moment
        except (CaseError, Unreachable, Refused) as error:
            return self._failed(name, error)
        self._tries.pop(name, None)
        self.outcomes[name] = report
        return None

    def _failed(self, name: str, error: CaseError | Unreachable | Refused) -> float:
        """Note what went wrong, and say it unless it was the same before."""
        reason = failure_reason(error)
        before = self.outcomes.get(name)
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        asked = error.wait if isinstance(error, NotYet) else 0.0
        wait = max(asked, retry_pause(tries, self.pace.backoff, self.pace.slowest))
        if not isinstance(before, Reason) or before.code != reason.code:
            log.emit("mirror.failed", mirror=name, seconds=round(wait), **log_fields(reason))
        self.outcomes[name] = reason
        return wait
