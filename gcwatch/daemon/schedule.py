"""APScheduler: when to survey, poll, mirror and tidy."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from gcwatch import log
from gcwatch.daemon.wakeup import Wakeup

_LATE = 60.0
"""Seconds that a survey may be late besides."""


class Schedule:
    """When to wake: surveys and upkeep at fixed distances, and an alarm for the next due case."""

    def __init__(self, wakeup: Wakeup, *, survey: float, upkeep: float) -> None:
        self._wakeup = wakeup
        self._alarm: float | None = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.add_listener(_tell, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._survey = survey
        self._heard = self._rested = time.monotonic()
        self._every("survey", self._look, survey)
        self._every("upkeep", wakeup.request_upkeep, upkeep)

    def _every(self, name: str, ring: Callable[[], None], seconds: float) -> None:
        now = datetime.now(UTC)
        self._scheduler.add_job(ring, "interval", seconds=seconds, id=name, next_run_time=now)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def _look(self) -> None:
        self._heard = time.monotonic()
        if self._heard >= self._rested:
            self._wakeup.request_scan()

    def rest(self, seconds: float) -> None:
        """Ring for no survey for so long; news and other wishes to look still count."""
        self._rested = time.monotonic() + seconds

    def is_alive(self) -> bool:
        """Whether surveys are still rung for; one may be late, as on a busy machine."""
        return time.monotonic() < self._heard + 3 * self._survey + _LATE

    def stop(self) -> None:
        """End; its jobs only ring, so there is none to wait for."""
        self._scheduler.shutdown(wait=False)

    def wake_at(self, at: float | None) -> None:
        """Given when the next case is due (or None), set the alarm."""
        if at == self._alarm:
            return
        self._alarm = at
        if at is not None:
            when = datetime.fromtimestamp(at, UTC)
            self._scheduler.add_job(
                self._wakeup.wake, "date", run_date=when, id="due", replace_existing=True
            )

    def no_mirror(self, name: str) -> None:
        """Given a mirror that is not there any more, take back its alarm."""
        with suppress(JobLookupError):
            self._scheduler.remove_job(f"mirror:{name}")

    def mirror_at(self, name: str, at: float) -> None:
        """Given a mirror and when its next run is due, set its alarm."""
        when = datetime.fromtimestamp(at, UTC)
        self._scheduler.add_job(
            self._wakeup.request_mirror,
            "date",
            run_date=when,
            args=[name],
            id=f"mirror:{name}",
            replace_existing=True,
        )


def _tell(event: JobExecutionEvent) -> None:
    """APScheduler swallows what goes wrong; the log does not."""
    if event.exception is not None:
        log.emit("scheduler.job_failed", job=event.job_id, error=event.exception)
    else:
        log.emit("scheduler.job_missed", job=event.job_id)
