"""Keeps the reports of routes: written when something has changed, and now and then to show life.

A share may be away, full, or hang whoever writes to it. So each report is written by a thread of
its own, which nobody waits for; there is at most one for each, and its trouble is told once.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from gcwatch import log
from gcwatch.config import Route, Settings
from gcwatch.core.errors import JournalUnavailable
from gcwatch.core.timing import Pace
from gcwatch.files.atomic import error_text, write_atomically
from gcwatch.journal.journal import Journal
from gcwatch.journal.progress import NOTHING
from gcwatch.threads.periodic import PeriodicThread
from gcwatch.wording import case_view, status_file
from gcwatch.wording.status_file import StatusFileFacts
from gcwatch.wording.why_waiting import DaemonSnapshot

MODE: Final = 0o640
"""As results have it: for the group that shares the folders."""

_OFTEN: Final = 6
"""How often at most a report is looked at while things happen, within the time of a survey."""

_HEARTBEAT: Final = 5
"""Surveys after which a report is written though nothing has changed."""

_LAST_WORDS: Final = 2.0
"""Seconds that the end of the daemon waits for what is being written, and for its last words."""


@dataclass
class _Paper:
    """What is known of one report; the times are on a clock that never steps."""

    looked: float = float("-inf")
    written: float = float("-inf")
    told: str = ""
    seen: int = -1
    is_troubled: bool = False
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_busy(self) -> bool:
        """Whether somebody writes it, or hangs over it, at this moment."""
        return self.thread is not None and self.thread.is_alive()


class StatusFileWriter(PeriodicThread):
    """Keeps all reports that the settings name, from start to end.

    Args:
        journal: What is known of all cases.
        settings: What the config says at this moment.
        around: What the daemon is at.
        pace: How fast things go, by a route's name.
        clock: The time in seconds since the epoch.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Callable[[], Settings],
        around: Callable[[], DaemonSnapshot],
        pace: Callable[[str], Pace],
        clock: Callable[[], float],
    ) -> None:
        survey = pace("").survey
        super().__init__("reporter", min(1.0, survey / _OFTEN))
        self._journal = journal
        self._settings = settings
        self._around = around
        self._pace = pace
        self._clock = clock
        self._survey = survey
        self._papers: dict[Path, _Paper] = {}

    def on_stop(self) -> None:
        """Every report gets its last words."""
        self._wait()
        for route, path in self._reports():
            self._begin(route, path, is_over=True)
        self._wait()

    def _wait(self) -> None:
        """Let out what is being written; what hangs is left behind."""
        until = time.monotonic() + _LAST_WORDS
        for paper in self._papers.values():
            if paper.thread is not None:
                paper.thread.join(max(until - time.monotonic(), 0))

    def _reports(self) -> list[tuple[Route, Path]]:
        routes = self._settings().routes
        return [(route, route.report) for route in routes if route.report is not None]

    def tick(self) -> None:
        """Begin every report that is due."""
        reports = self._reports()
        if reports:
            with suppress(JournalUnavailable):  # the daemon tells of it
                self._look(reports, self._journal.latest())

    def _look(self, reports: list[tuple[Route, Path]], latest: int) -> None:
        """Given what is to be kept and the journal's latest event, begin what is due."""
        now = time.monotonic()
        for route, path in reports:
            paper = self._papers.setdefault(path, _Paper())
            is_news = paper.seen != latest and not paper.is_busy()
            if now - paper.looked < self._survey / (_OFTEN if is_news else 1):
                continue
            if paper.is_busy():
                self._trouble(paper, route, "it takes too long")
            else:
                paper.looked, paper.seen = now, latest
                self._begin(route, path)

    def _begin(self, route: Route, path: Path, *, is_over: bool = False) -> None:
        paper = self._papers.setdefault(path, _Paper())
        if paper.is_busy():
            return
        paper.thread = threading.Thread(
            target=self._work, args=(paper, route, path, is_over), name="report", daemon=True
        )
        paper.thread.start()

    def _work(self, paper: _Paper, route: Route, path: Path, is_over: bool) -> None:
        """Write a report if there is news, or nothing was written for long."""
        try:
            facts = self._facts(route, is_over=is_over)
        except JournalUnavailable:
            return
        told, now = status_file.file_body(facts), time.monotonic()
        if told == paper.told and now - paper.written < _HEARTBEAT * self._survey and not is_over:
            return
        try:
            _write(path, status_file.file_bytes(facts, told, self._clock()))
        except OSError as error:
            self._trouble(paper, route, error_text(error))
            return
        paper.told, paper.written = told, now
        if paper.is_troubled:
            paper.is_troubled = False
            log.emit("report.returned", route=route.name)

    def _facts(self, route: Route, *, is_over: bool) -> StatusFileFacts:
        now, around = self._clock(), self._around()
        if is_over:
            around = replace(around, is_running=False, progress=NOTHING)
        with self._journal.still():
            cases, counts = self._journal.attention(), self._journal.counts(route.name)
        around = around.among(self._settings(), cases, self._pace, now)
        pace = self._pace(route.name)
        return StatusFileFacts(
            route.name,
            [
                case_view.case_view(case, pace, now, around)
                for case in cases
                if case.route == route.name
            ],
            counts,
            around.pause,
            is_away=route.name in around.progress.away,
            is_over=is_over,
        )

    def _trouble(self, paper: _Paper, route: Route, error: str) -> None:
        with paper.lock:
            is_first, paper.is_troubled = not paper.is_troubled, True
        if is_first:
            log.emit("report.failed", route=route.name, error=error)


def _write(path: Path, page: bytes) -> None:
    """Replace a report; raise OSError if it can't be, or if another kind of file stands there."""
    if not status_file.is_status_file(read_beginning(path)):
        raise FileExistsError(errno.EEXIST, "")
    write_atomically(path, page, MODE)


def read_beginning(path: Path) -> bytes:
    """Given where a report is to stand, return how the file there begins; nothing if none does.

    A link is nothing: it will be replaced, not followed. Raise OSError if it can't be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP}:
            return b""
        raise
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)
