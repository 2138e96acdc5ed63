"""Writes the status files of routes: when something has changed, and regularly without a change.

A share may be away or full, and a write to it may hang. So a thread of its own writes each status
file, and nothing waits for it. There is at most one thread for each file; a problem is logged once.
"""

import errno
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from gcwatch import log
from gcwatch.config import Route, Settings
from gcwatch.core.case import Case
from gcwatch.core.errors import JournalUnavailable
from gcwatch.core.tables.result_rows import TABLE_NAMES
from gcwatch.core.timing import Pace
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.reporting.outbox_links import OutboxLinks
from gcwatch.daemon.reporting.pictures import PictureShelf
from gcwatch.files.atomic import FILE_MODE, error_text, write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.journal.hosts.progress import NOTHING
from gcwatch.journal.journal import Journal
from gcwatch.pictures.drawings import Picture
from gcwatch.threads.periodic import PeriodicThread
from gcwatch.wording import case_view, status_file, status_page
from gcwatch.wording.host_view import hosts_sentence
from gcwatch.wording.status_facts import MAX_CASES, StatusFileFacts, is_page, is_status_file
from gcwatch.wording.why_waiting import DaemonSnapshot

_DUTY: Final = "report:"
"""The lease of a route's status file begins so."""

_CHECKS_PER_SURVEY: Final = 6
"""How often a status file is checked while events happen, within one survey interval."""

_UNCHANGED_SURVEYS: Final = 5
"""Survey intervals after which a status file is written although nothing has changed."""

_STOP_PATIENCE_SECONDS: Final = 2.0
"""How long a stop waits for writes under way, and again for the last version of each file."""

_LOOK_PATIENCE_SECONDS: Final = 10.0
"""How long the end of `gcwatch once` waits until it is known which pictures are missing."""

_DRAW_PATIENCE_SECONDS: Final = 60.0
"""How long the end of `gcwatch once` waits for pictures."""


@dataclass
class _FileState:
    """What is known of one status file; times are on the monotonic clock."""

    checked: float = float("-inf")
    written: float = float("-inf")
    facts: StatusFileFacts | None = None
    event: tuple[int, int] = (-1, -1)
    has_problem: bool = False
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_busy(self) -> bool:
        """Whether its thread writes, or hangs, at this moment."""
        return self.thread is not None and self.thread.is_alive()


class StatusFileWriter(PeriodicThread):
    """Keeps all status files that the settings name, from start to end.

    Args:
        journal: What is known of all cases.
        settings: What the config says at this moment.
        snapshot: What the daemon does at this moment.
        pace: How fast things go, by a route's name.
        clock: The time in seconds since the epoch.
        leases: Which host writes which file, of those that share the journal.
        state: The state directory, for pictures of pages.
        stop: Whether somebody asked for a stop: then nothing waits for pictures.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Callable[[], Settings],
        snapshot: Callable[[], DaemonSnapshot],
        pace: Callable[[str], Pace],
        *,
        clock: Callable[[], float],
        leases: HeldLeases,
        state: Path,
        stop: threading.Event,
    ) -> None:
        survey = pace("").survey
        super().__init__("status-files", min(1.0, survey / _CHECKS_PER_SURVEY))
        self._journal = journal
        self._settings = settings
        self._take_snapshot = snapshot
        self._pace = pace
        self._clock = clock
        self._leases = leases
        self._survey = survey
        self._stop = stop
        self._states: dict[Path, _FileState] = {}
        self._pictures = PictureShelf(state)
        self._known_pages: frozenset[str] | None = None

    def on_stop(self) -> None:
        """Write each status file a last time: gcwatch has stopped."""
        self._wait()
        with self._pictures:
            self._pictures.keep_routes(self._page_routes())
            self._draw_last()
            for route, path in self._files():
                self._write_last(route, path)
            self._wait()

    def _write_last(self, route: Route, path: Path) -> None:
        """Write that gcwatch has stopped, unless another host goes on."""
        with suppress(JournalUnavailable):
            if not self._journal.hosts.others():
                self._start_writing(route, path, is_over=True)

    def _draw_last(self) -> None:
        """Let what was delivered just now be drawn, unless somebody waits for the end."""
        pages = [(route, path) for route, path in self._files() if is_page(path) and route.pictures]
        if not pages or self._stop.is_set():
            return
        for route, path in pages:
            self._start_writing(route, path)
        self._wait(_LOOK_PATIENCE_SECONDS)
        self._pictures.drain(self._stop, _DRAW_PATIENCE_SECONDS)

    def _wait(self, seconds: float | None = None) -> None:
        """Wait for writes under way; leave behind those that hang."""
        until = time.monotonic() + (_STOP_PATIENCE_SECONDS if seconds is None else seconds)
        for state in self._states.values():
            if state.thread is not None:
                state.thread.join(max(until - time.monotonic(), 0))

    def _files(self) -> list[tuple[Route, Path]]:
        routes = self._settings().own_routes
        return [(route, route.report) for route in routes if route.report is not None]

    def tick(self) -> None:
        """Write every status file that is due."""
        files, pages = self._files(), self._page_routes()
        self._leases.drop_others(_DUTY, {_DUTY + route.name for route, _ in files})
        if pages != self._known_pages:
            self._pictures.keep_routes(pages)
            self._known_pages = pages
        if files:
            with suppress(JournalUnavailable):  # the daemon logs it
                self._write_due(files, (self._journal.latest(), self._pictures.revision))

    def _write_due(self, files: list[tuple[Route, Path]], latest: tuple[int, int]) -> None:
        """Given the status files, and what each event or picture changes, write what is due."""
        now = time.monotonic()
        for route, path in files:
            state = self._states.setdefault(path, _FileState())
            is_news = state.event != latest and not state.is_busy()
            if now - state.checked < self._survey / (_CHECKS_PER_SURVEY if is_news else 1):
                continue
            if state.is_busy():
                self._fail(state, route, "it takes too long")
            elif self._leases.keep(_DUTY + route.name):
                state.checked, state.event = now, latest
                self._start_writing(route, path)

    def _start_writing(self, route: Route, path: Path, *, is_over: bool = False) -> None:
        state = self._states.setdefault(path, _FileState())
        if state.is_busy():
            return
        state.thread = threading.Thread(
            target=self._write_if_changed,
            args=(state, route, path, is_over),
            name="report",
            daemon=True,
        )
        state.thread.start()

    def _write_if_changed(self, state: _FileState, route: Route, path: Path, is_over: bool) -> None:
        """Write a status file if something has changed, or if it is old."""
        try:
            facts = self._facts(route, path, is_over=is_over)
        except JournalUnavailable:
            return
        now = time.monotonic()
        is_old = now - state.written >= _UNCHANGED_SURVEYS * self._survey
        if facts == state.facts and not is_old and not is_over:
            return
        make = status_page.page_bytes if is_page(path) else status_file.file_bytes
        try:
            _write(path, make(facts, self._clock()))
        except OSError as error:
            self._fail(state, route, error_text(error))
            return
        state.facts, state.written = facts, now
        if state.has_problem:
            state.has_problem = False
            log.emit("report.returned", route=route.name)

    def _facts(self, route: Route, path: Path, *, is_over: bool) -> StatusFileFacts:
        now, snapshot = self._clock(), self._take_snapshot()
        if is_over:
            snapshot = replace(snapshot, is_running=False, progress=NOTHING)
        most = MAX_CASES if is_page(path) else 0
        # One state for all, so that the counts agree with the lists.
        with self._journal.still():
            cases, counts = self._journal.attention(), self._journal.counts(route.name)
            delivered = self._journal.delivered(route.name, most) if most else []
        snapshot = snapshot.among(self._settings(), cases, self._pace, now)
        pace = self._pace(route.name)
        cases = [case for case in cases if case.route == route.name]
        links = _find_links(route, path, [*cases, *delivered]) if most else {}
        # The page shows no name that the share does not show any more.
        delivered = [case for case in delivered if case.key in links or not case.gone]
        return StatusFileFacts(
            route.name,
            [case_view.case_view(case, pace, now, snapshot) for case in cases],
            counts,
            snapshot.pause,
            unused=snapshot.progress.unused.get(route.name, ()),
            is_away=route.name in snapshot.progress.away,
            is_over=is_over,
            hosts=hosts_sentence(snapshot.hosts),
            delivered=[case_view.case_view(case, pace, now, snapshot) for case in delivered],
            links=links,
            table=_find_table(route, path) if most else "",
            pictures=self._pictures_of(route, delivered, links) if most else {},
        )

    def _pictures_of(
        self, route: Route, delivered: Sequence[Case], links: Mapping[str, str]
    ) -> Mapping[str, Sequence[Picture]]:
        found = self._pictures.pictures_of(route, delivered, links)
        self._pictures.keep_routes(self._page_routes())
        return found

    def _page_routes(self) -> frozenset[str]:
        return frozenset(route.name for route, path in self._files() if is_page(path))

    def _fail(self, state: _FileState, route: Route, error: str) -> None:
        """Log a problem once, and let another host write the file, if there is one."""
        self._leases.drop(_DUTY + route.name)
        with state.lock:
            is_first, state.has_problem = not state.has_problem, True
        if is_first:
            log.emit("report.failed", route=route.name, error=error)


def _find_links(route: Route, path: Path, cases: Iterable[Case]) -> dict[str, str]:
    """Return the address of each case's results or note, by key, of those that have any."""
    links, found = OutboxLinks(route.outbox, path.parent), {}
    with suppress(OSError):  # an outbox that is away: nothing of it can be opened
        for case in cases:
            if (link := links.find(case)) is not None:
                found[case.key] = link
    return found


def _find_table(route: Route, path: Path) -> str:
    """Return the address of the route's table of results; "" without one."""
    links = OutboxLinks(route.outbox, path.parent)
    return links.find_file(TABLE_NAMES[route.kind]) if route.table else ""


def _write(path: Path, page: bytes) -> None:
    """Replace a status file; raise OSError if that fails, or if it is another kind of file."""
    if not is_status_file(read_beginning(path)):
        raise FileExistsError(errno.EEXIST, "")
    write_atomically(path, page, FILE_MODE)


def read_beginning(path: Path) -> bytes:
    """Given a status file's path, return how the file there begins; nothing if there is none.

    A link counts as nothing: it is replaced, not followed. Raise OSError if it can't be read.
    """
    place = SharePath.of(path)
    status = place.status()
    if status is None or stat.S_ISLNK(status.st_mode):
        return b""
    with place.open_file() as file:
        return file.read(100)
