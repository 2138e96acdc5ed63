"""APScheduler decides when the loop wakes: for scans, due cases, mirrors and upkeep."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from gcwatch import log
from gcwatch.daemon.wakeup import Wakeup

_LATE_SECONDS = 60.0
"""How late a scan may be, beside three of its intervals, before the scheduler counts as dead."""


class Schedule:
    """Wakes the loop for scans and upkeep at fixed intervals, and when the next case is due."""

    def __init__(self, wakeup: Wakeup, *, survey: float, upkeep: float) -> None:
        self._wakeup = wakeup
        self._alarm: float | None = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.add_listener(_log_job_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._survey, self._upkeep = survey, upkeep
        self._heard = self._rested = time.monotonic()
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
        """Start the scheduler's thread."""
        self._scheduler.start()

    def _request_scan(self) -> None:
        self._heard = time.monotonic()
        if self._heard >= self._rested:
            self._wakeup.request_scan()

    def rest(self, seconds: float) -> None:
        """Request no scan for so long; what the watcher or others request still counts."""
        self._rested = time.monotonic() + seconds

    def is_alive(self) -> bool:
        """Whether scans are still requested; one may be late on a busy machine."""
        return time.monotonic() < self._heard + 3 * self._survey + _LATE_SECONDS

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
