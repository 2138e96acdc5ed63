"""APScheduler decides when the loop wakes: for scans, due cases, mirrors and upkeep.

The loop itself runs what is due (`Schedule.run_due`), so the scheduler needs no thread.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.debug import DebugExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.base import BaseScheduler

from gcwatch import log
from gcwatch.daemon.waking.wakeup import Wakeup

_LONGEST_WAIT_SECONDS = 3600.0


class _LoopScheduler(BaseScheduler):  # type: ignore[misc] # APScheduler 3 has no types
    """A scheduler without a thread; `wake` is called when something is due earlier than before."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(
            timezone=UTC,
            # In the thread that runs what is due: the jobs only set events.
            executors={"default": DebugExecutor()},
            # A job that missed its time, perhaps for hours in a suspend, still runs, but once.
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._wake = wake

    def shutdown(self, wait: bool = True) -> None:
        """See `BaseScheduler`; it is abstract there, although this is all there is to do."""
        super().shutdown(wait)

    def wakeup(self) -> None:
        """APScheduler calls this when its list of jobs has changed."""
        self._wake()

    def run_due(self) -> float:
        """Run what is due; return how many seconds there are until something is due again."""
        seconds = self._process_jobs()
        return _LONGEST_WAIT_SECONDS if seconds is None else float(seconds)


class Schedule:
    """Wakes the loop for scans and upkeep at fixed intervals, and when the next case is due."""

    def __init__(self, wakeup: Wakeup, *, survey: float, upkeep: float) -> None:
        self._wakeup = wakeup
        self._alarm: float | None = None
        self._scheduler = _LoopScheduler(wakeup.wake)
        self._scheduler.add_listener(_log_job_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._survey, self._upkeep = survey, upkeep
        self._rested = time.monotonic()
        self.restart()

    def restart(self) -> None:
        """Request a scan and upkeep now, and again at each interval from now on.

        The scheduler waits for times of the day: if the clock was set back, they are far away.
        """
        self._alarm = None
        self._every("survey", self._request_scan, self._survey)
        self._every("upkeep", self._wakeup.request_upkeep, self._upkeep)

    def _every(self, name: str, request: Callable[[], None], seconds: float) -> None:
        now = datetime.now(UTC)
        self._scheduler.add_job(
            request,
            "interval",
            seconds=seconds,
            id=name,
            next_run_time=now,
            replace_existing=True,
        )

    def start(self) -> None:
        """Take the jobs that were added; the first ones are due at once."""
        self._scheduler.start()

    def run_due(self) -> float:
        """Request what is due; return how many seconds there are until something is due again."""
        return self._scheduler.run_due()

    def _request_scan(self) -> None:
        if time.monotonic() >= self._rested:
            self._wakeup.request_scan()

    def rest(self, seconds: float) -> None:
        """Request no scan for so long; what the watcher or others request still counts."""
        self._rested = time.monotonic() + seconds

    def stop(self) -> None:
        """Stop the scheduler; its jobs only set events, so there is nothing to wait for."""
        self._scheduler.shutdown(wait=False)

    def wake_at(self, at: float | None) -> None:
        """Given when the next case is due (or None), wake the loop then."""
        if at == self._alarm:
            return
        self._alarm = at
        if at is not None:
            when = datetime.fromtimestamp(at, UTC)
            self._scheduler.add_job(
                self._wakeup.wake, "date", run_date=when, id="due", replace_existing=True
            )

    def cancel_mirror(self, name: str) -> None:
        """Given a mirror that is gone, cancel its next run."""
        with suppress(JobLookupError):
            self._scheduler.remove_job(f"mirror:{name}")

    def run_mirror_at(self, name: str, at: float) -> None:
        """Given a mirror and when its next run is due, request it then."""
        when = datetime.fromtimestamp(at, UTC)
        self._scheduler.add_job(
            self._wakeup.request_mirror,
            "date",
            run_date=when,
            args=[name],
            id=f"mirror:{name}",
            replace_existing=True,
        )


def _log_job_event(event: JobExecutionEvent) -> None:
    """Log what APScheduler would only pass to its own logger."""
    if event.exception is not None:
        log.emit("scheduler.job_failed", job=event.job_id, error=event.exception)
    else:
        log.emit("scheduler.job_missed", job=event.job_id)
