"""When each mirror of the daemon runs, and the outcome of its last run."""

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
from gcwatch.daemon.waking.schedule import Schedule
from gcwatch.daemon.waking.wakeup import Wakeup
from gcwatch.mirrors.outcome import MirrorSummary, failure_reason, log_fields
from gcwatch.mirrors.run import MirrorContext, run_mirror

MirrorBytes = Callable[[str, int, int], None]
"""Called with a mirror's name, the bytes that have moved, and of how many (0: unknown)."""


@dataclass
class MirrorScheduler:
    """The mirrors of a daemon. The result of each last run is in `outcomes`.

    `on_bytes` and `on_progress` are told how far a run is. The wakeup requests a run; a worker does
    it by `run_mirror`, at most one at a time for each mirror.
    """

    mirrors: Sequence[Mirror]
    clock: Callable[[], float]
    pace: Pace
    wakeup: Wakeup
    schedule: Schedule
    on_bytes: MirrorBytes
    on_progress: Callable[[str, int, int, int], None]
    outcomes: dict[str, MirrorSummary | Reason] = field(default_factory=dict)
    _begun: dict[str, float] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)
    _runs: dict[str, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, at_once: bool) -> None:
        """Request the first run of each: now, or at its next time if it has a cron expression."""
        for each in self.mirrors:
            self._request_first_run(each, at_once=at_once)

    def _request_first_run(self, each: Mirror, *, at_once: bool) -> None:
        if at_once or isinstance(each.every, Every):
            self.wakeup.request_mirror(each.name)
        else:
            self._schedule(each, each.every.after(self.clock()))

    def restart(self) -> None:
        """Request the next run of each mirror again, by the clock as it is now."""
        for each in self.mirrors:
            self._schedule_next_run(each.name, None)

    def follow(self, mirrors: Sequence[Mirror]) -> None:
        """Keep other mirrors from now on. Stop the runs of mirrors that are gone or changed.

        A changed mirror runs again, and continues from what is there.
        """
        former = {each.name: each for each in self.mirrors}
        self.mirrors = mirrors
        for name in former.keys() - {each.name for each in mirrors}:
            self._stop(name)
            self.wakeup.mirror_started(name)
            self.schedule.cancel_mirror(name)
        for each in mirrors:
            if former.get(each.name) != each:
                self._request_first_run(each, at_once=self._stop(each.name))

    @property
    def is_stopping(self) -> bool:
        """Whether a stopped run has not ended yet; another mirror may have its folder by now."""
        with self._lock:
            return any(run.is_set() for run in self._runs.values())

    def stop(self) -> None:
        """Stop all runs under way; the next run of each continues there."""
        for name in [*self._runs]:
            self._stop(name)

    def _stop(self, name: str) -> bool:
        """Stop a mirror's run; return whether there is one."""
        with self._lock:
            run = self._runs.get(name)
        if run is not None:
            run.set()
        return run is not None

    def _settings_of(self, name: str) -> Mirror | None:
        return next((each for each in self.mirrors if each.name == name), None)

    def run_mirror(self, name: str, context: MirrorContext) -> None:
        """Run a mirror, and ask for its next run; folders that it made may be cases.

        Raises:
            TokenRefused: when the platform does not take the token; the request stays.
            Stopped: when the daemon is stopping, or follows other settings.
        """
        with self._running(name, context) as (settings, own):
            # First, so that a request during the run leads to another run.
            self.wakeup.mirror_started(name)
            self._begun[name] = self.clock()
            wait: float | None = None
            try:
                wait = self._run(settings, own)
            except TokenRefused:
                self.wakeup.request_mirror(name)
                raise
            finally:
                self._schedule_next_run(name, wait)
                # 0 of 0 ends the progress bar.
                self.on_bytes(name, 0, 0)
                self.wakeup.request_scan()

    def leave(self, name: str) -> None:
        """Ask for a mirror's next run: another host runs it at this moment."""
        self.wakeup.mirror_started(name)
        self._begun[name] = self.clock()
        self._schedule_next_run(name, None)

    @contextmanager
    def _running(self, name: str, context: MirrorContext) -> Iterator[tuple[Mirror, MirrorContext]]:
        """Yield the settings and a context whose run can be stopped without the others."""
        stop = threading.Event()
        with self._lock:
            self._runs[name] = stop
        try:
            settings = self._settings_of(
                name
            )  # read after the run is known, so that whoever changes the settings can stop it
            if settings is None:
                raise Stopped
            context.transfers.require_running()
            yield settings, replace(context, transfers=replace(context.transfers, stop=stop))
        finally:
            with self._lock:
                del self._runs[name]

    def _schedule_next_run(self, name: str, wait: float | None) -> None:
        """Ask for the next run, if the mirror is still there."""
        settings, now = self._settings_of(name), self.clock()
        if settings is not None:
            due = settings.every.after_run(now, self._begun.get(name, now))
            self._schedule(settings, due if wait is None else now + wait)

    def _schedule(self, settings: Mirror, at: float) -> None:
        self.schedule.run_mirror_at(settings.name, at)

    def _run(self, settings: Mirror, context: MirrorContext) -> float | None:
        """Run a mirror; return after how many seconds to try again, or None if it went well."""
        name = settings.name

        def progress(done: int, items: int, moved: int) -> None:
            self.on_progress(name, done, items, moved)
            if moved:
                self.on_bytes(name, moved, 0)

        try:
            summary = run_mirror(settings, context, progress)
        except StateError:
            return self.pace.survey  # somebody runs it by hand at this moment
        except (CaseError, Unreachable, Refused) as error:
            return self._on_failure(name, error)
        self._tries.pop(name, None)
        self.outcomes[name] = summary
        return None

    def _on_failure(self, name: str, error: CaseError | Unreachable | Refused) -> float:
        """Remember what went wrong, and log it unless the last run had the same reason."""
        reason = failure_reason(error)
        before = self.outcomes.get(name)
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        asked = error.wait if isinstance(error, NotYet) else 0.0
        wait = max(asked, retry_pause(tries, self.pace.backoff, self.pace.slowest))
        if not isinstance(before, Reason) or before.code != reason.code:
            log.emit("mirror.failed", mirror=name, seconds=round(wait), **log_fields(reason))
        self.outcomes[name] = reason
        return wait
