"""What wakes the daemon: watchdog's early news, APScheduler's times, and one bell for both.

Neither decides anything. Their threads only ring the bell; a ring while the daemon is busy is
remembered once. What is missed here, the next survey finds.
"""

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from gcwatch import log

_NEWS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]
"""What can make a folder appear, complete it or take it away; mere writes would only flood."""


_MOST_GONE = 1000
"""Folders that may leave an inbox before its watch is made anew; see `_Ring`."""

_LATE = 60.0
"""Seconds that a survey may be late besides."""


class Bell:
    """Wakes the daemon; remembers what for."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._look = threading.Event()
        self._tidy = threading.Event()
        self._mirrors: set[str] = set()
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Something is done or due."""
        self._rung.set()

    def look(self) -> None:
        """The inboxes may hold something new."""
        self._look.set()
        self._rung.set()

    def tidy(self) -> None:
        """It is time for upkeep."""
        self._tidy.set()
        self._rung.set()

    def mirror(self, name: str) -> None:
        """It is time to run a mirror."""
        with self._lock:
            self._mirrors.add(name)
        self._rung.set()

    def mirrors(self) -> frozenset[str]:
        """Return the mirrors that it is time for; keeps each wish until `mirroring`."""
        with self._lock:
            return frozenset(self._mirrors)

    def mirroring(self, name: str) -> None:
        """A mirror's run begins."""
        with self._lock:
            self._mirrors.discard(name)

    def wait(self, seconds: float) -> None:
        """Return at the next ring, or after *seconds*."""
        self._rung.wait(seconds)
        self._rung.clear()

    def is_time_to_look(self) -> bool:
        """Whether to look at the inboxes; keeps the wish until `looked`."""
        return self._look.is_set()

    def looked(self) -> None:
        """The look begins: what comes from now on is news again."""
        self._look.clear()

    def is_time_to_tidy(self) -> bool:
        """Whether upkeep was rung for, once a ring."""
        if not self._tidy.is_set():
            return False  # and nothing to clear: it may be rung for at this very moment
        self._tidy.clear()
        return True


class _Ring(FileSystemEventHandler):
    """A handler that only rings: it runs under the observer's lock and must not raise.

    `lost` tells that the folder was deleted: the watch is dead, whatever stands there now. `gone`
    counts the folders that were taken out of it: one that was moved elsewhere stays watched there,
    and the system grants only so many watches.
    """

    def __init__(self, bell: Bell, folder: Path) -> None:
        self._bell = bell
        self._folder = str(folder)
        self.lost = False
        self.gone = 0

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something happened to an inbox, or below it."""
        if isinstance(event, DirDeletedEvent):
            self.gone += 1
            self.lost = self.lost or event.src_path == self._folder
        self._bell.look()


class _Overflow(logging.Handler):
    """watchdog tells of a lost queue only in its own log: then everything is looked at."""

    def __init__(self, bell: Bell) -> None:
        super().__init__(logging.WARNING)
        self._bell = bell

    def emit(self, record: logging.LogRecord) -> None:
        """Watchdog has something to say about its queue."""
        del record
        log.emit("watch.overflowed")
        self._bell.look()


@dataclass(frozen=True)
class _Watched:
    """A folder as it was when it was put under watch."""

    identity: tuple[int, int]
    ring: _Ring
    watch: ObservedWatch

    def still(self, identity: tuple[int, int] | None) -> bool:
        """Whether it is still watched well; a folder made anew may be given the old one's inode."""
        return self.identity == identity and not self.ring.lost and self.ring.gone < _MOST_GONE


class Watcher:
    """Early news of inboxes. One that is missing, replaced or unwatchable is tried again.

    Where the system grants no watches at all, there is no early news.
    """

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._overflow = _Overflow(bell)
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, _Watched] = {}
        self._failed: set[Path] = set()

    def start(self) -> None:
        """Begin to listen."""
        logging.getLogger("watchdog.observers.inotify_c").addHandler(self._overflow)
        # A folder that appears while watchdog walks the tree is found twice, which does no harm.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._observer = Observer()
            self._observer.start()
        except OSError as error:  # the limit of inotify instances, which all programs share
            self._observer = None
            log.emit("watch.failed", error=error)

    def stop(self) -> None:
        """Stop listening."""
        logging.getLogger("watchdog.observers.inotify_c").removeHandler(self._overflow)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def is_alive(self) -> bool:
        """Whether news still arrive, where there are any to be had."""
        return self._observer is None or self._observer.is_alive()

    def watch(self, inbox: Path) -> None:
        """Given an inbox, see to it that the folder which now stands there is watched."""
        if self._observer is None:
            return
        identity = _identity(inbox)
        known = self._watches.get(inbox)
        if known and known.still(identity):
            return
        if known:
            self._observer.unschedule(known.watch)
            del self._watches[inbox]
        if identity is None:
            return
        ring = _Ring(self._bell, inbox)
        try:
            watch = self._observer.schedule(ring, str(inbox), recursive=True, event_filter=_NEWS)
        except OSError as error:
            if inbox not in self._failed:
                log.emit("watch.failed", error=error)
            self._failed.add(inbox)
        else:
            self._watches[inbox] = _Watched(identity, ring, watch)
            self._failed.discard(inbox)

    def only(self, inboxes: Collection[Path]) -> None:
        """Given the inboxes that there are, watch no other any more."""
        for gone in self._watches.keys() - set(inboxes):
            if self._observer is not None:
                self._observer.unschedule(self._watches.pop(gone).watch)

    @property
    def folders(self) -> int:
        """How many inboxes are watched."""
        return len(self._watches)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return which folder stands at a path; a remounted share is another one."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if os.access(folder, os.R_OK | os.X_OK) else None


class Schedule:
    """When to wake: surveys and upkeep at fixed distances, and an alarm for the next due case."""

    def __init__(self, bell: Bell, *, survey: float, upkeep: float) -> None:
        self._bell = bell
        self._alarm: float | None = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.add_listener(_tell, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
        self._survey = survey
        self._heard = self._rested = time.monotonic()
        self._every("survey", self._look, survey)
        self._every("upkeep", bell.tidy, upkeep)

    def _every(self, name: str, ring: Callable[[], None], seconds: float) -> None:
        now = datetime.now(UTC)
        self._scheduler.add_job(ring, "interval", seconds=seconds, id=name, next_run_time=now)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def _look(self) -> None:
        self._heard = time.monotonic()
        if self._heard >= self._rested:
            self._bell.look()

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
                self._bell.ring, "date", run_date=when, id="due", replace_existing=True
            )

    def no_mirror(self, name: str) -> None:
        """Given a mirror that is not there any more, take back its alarm."""
        with suppress(JobLookupError):
            self._scheduler.remove_job(f"mirror:{name}")

    def mirror_at(self, name: str, at: float) -> None:
        """Given a mirror and when its next run is due, set its alarm."""
        when = datetime.fromtimestamp(at, UTC)
        self._scheduler.add_job(
            self._bell.mirror,
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
