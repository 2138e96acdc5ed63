"""Keeps the small pictures of the cases that pages show, and lets missing ones be drawn.

A thread of its own lets another process draw one case at a time. The pictures are in the state
directory as long as a page shows them. Nothing of a case depends on them.
"""

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from gcwatch.config import Route
from gcwatch.core.case import Case
from gcwatch.core.errors import GcwatchError
from gcwatch.daemon.reporting.picture_subjects import (
    input_subjects,
    place_of_input,
    result_subjects,
)
from gcwatch.files.atomic import write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.pictures.artist import Artist
from gcwatch.pictures.drawings import Drawing, Picture, Side, Subject

FOLDER: Final = "pictures"
"""Name of the folder in the state directory."""

MAX_CASES: Final = 60
"""Cases of a page that have pictures: the latest ones."""

MAX_PAGE_BYTES: Final = 3_000_000
"""All pictures of a page have less."""

_MOST_TRIES: Final = 3
"""Starts of gcwatch that try to draw what ended the process that draws."""

_LARGEST_FILE_BYTES: Final = 400_000
_POLL_SECONDS: Final = 0.05
_STOP_PATIENCE_SECONDS: Final = 2.0


class _Record(BaseModel):
    """The pictures of a case as they are on disk; `of` says of which state of the case.

    `failed` counts the tries that the process did not survive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    of: str
    pictures: tuple[Picture, ...]
    failed: int = 0


@dataclass(frozen=True)
class _Job:
    route: Route
    case: Case


class PictureShelf:
    """The pictures of all pages, from start to end; `revision` changes with each new one.

    Args:
        state: The state directory.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._artist = Artist()
        self._held: dict[str, _Record] = {}
        self._wanted: dict[str, frozenset[str]] = {}
        self._jobs: dict[str, _Job] = {}
        self._drawing = ""
        self._is_over = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="pictures", daemon=True)
        self.revision = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._change:
            self._is_over = True
            self._change.notify_all()
        self._artist.stop()
        if self._thread.is_alive():
            self._thread.join(_STOP_PATIENCE_SECONDS)  # it may hang at a share

    # --- for a page ------------------------------------------------------------------------------

    def pictures_of(
        self, route: Route, cases: Sequence[Case], links: Collection[str]
    ) -> dict[str, tuple[Picture, ...]]:
        """Given the delivered cases of a page, the latest first, return their pictures by key.

        `links` are the keys of cases whose results are in the outbox. Missing pictures are drawn
        later. Those of cases that the page does not show are removed.
        """
        shown = cases[:MAX_CASES] if route.pictures else ()
        self._keep(route.name, frozenset(case.key for case in shown))
        found: dict[str, tuple[Picture, ...]] = {}
        size = 0
        for case in shown:
            record = self._find(case)
            if record is None:
                self._ask(route, case)
                continue
            sides = _sides_on_share(route, case, has_result=case.key in links)
            pictures = tuple(each for each in record.pictures if each.side in sides)
            size += sum(len(each.drawing.data) for each in pictures)
            if size > MAX_PAGE_BYTES:
                break
            if pictures:
                found[case.key] = pictures
        return found

    def keep_routes(self, routes: Collection[str]) -> None:
        """Given all routes that have a page, remove the pictures of others."""
        for gone in set(self._wanted) - set(routes):
            self._keep(gone, frozenset())
        if set(self._wanted) >= set(routes):
            self._clear()

    def drain(self, stop: threading.Event, seconds: float) -> None:
        """Wait until all is drawn, or until somebody asks for a stop, or so many seconds."""
        until = time.monotonic() + seconds
        with self._change:
            while (self._jobs or self._drawing) and time.monotonic() < until and not stop.is_set():
                self._change.wait(_POLL_SECONDS)

    def _keep(self, route: str, keys: frozenset[str]) -> None:
        gone = self._wanted.get(route, frozenset()) - keys
        self._wanted[route] = keys
        for key in gone:
            self._held.pop(key, None)
            with self._change:
                self._jobs.pop(key, None)
            with suppress(OSError):
                self._file(key).unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what an earlier process left behind."""
        wanted = frozenset[str]().union(*self._wanted.values())
        with suppress(OSError):
            for file in list(self._folder.iterdir()):
                if file.stem not in wanted:
                    file.unlink(missing_ok=True)

    # --- on disk ---------------------------------------------------------------------------------

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _find(self, case: Case) -> _Record | None:
        """Return the pictures of a case; None if they have to be drawn, perhaps once more."""
        held = self._held.get(case.key)
        if held is not None and held.of == _state_of(case):
            return held
        record = self._read(case)
        if record is None or 0 < record.failed < _MOST_TRIES:
            return None
        self._held[case.key] = record
        return record

    def _read(self, case: Case) -> _Record | None:
        try:
            with self._file(case.key).open("rb") as file:
                record = _Record.model_validate_json(file.read(_LARGEST_FILE_BYTES))
        except (OSError, ValidationError):
            return None
        return record if record.of == _state_of(case) else None

    def _put(self, case: Case, pictures: Sequence[Picture], *, is_final: bool) -> None:
        """Keep what was drawn; if it is not final, another start tries again, a few times."""
        before = self._read(case)
        failed = 0 if is_final else (before.failed if before else 0) + 1
        record = _Record(of=_state_of(case), pictures=tuple(pictures), failed=failed)
        self._held[case.key] = record
        self.revision += 1
        with suppress(OSError):  # a full disk: it is drawn again after the next start
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(self._file(case.key), record.model_dump_json().encode(), durable=False)

    # --- drawing ---------------------------------------------------------------------------------

    def _ask(self, route: Route, case: Case) -> None:
        with self._change:
            if self._is_over or case.key in self._jobs or case.key == self._drawing:
                return
            self._jobs[case.key] = _Job(route, case)
            if not self._thread.is_alive():
                self._thread.start()
            self._change.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                pictures, is_final = self._draw(job)
            except Exception:  # noqa: BLE001 - a worker's outermost line: nothing depends on it
                pictures, is_final = [], False
            with self._change:
                if not self._is_over:
                    self._put(job.case, pictures, is_final=is_final)
                self._drawing = ""
                self._change.notify_all()

    def _next(self) -> _Job | None:
        with self._change:
            while not self._jobs and not self._is_over:
                self._change.wait()
            if self._is_over:
                return None
            self._drawing = next(iter(self._jobs))
            return self._jobs.pop(self._drawing)

    def _draw(self, job: _Job) -> tuple[list[Picture], bool]:
        """Return the pictures of a case, or words, and whether another try would be the same."""
        subjects = [*result_subjects(job.route, job.case)]
        with suppress(OSError, GcwatchError):  # the share is away, or the folder changes
            subjects += input_subjects(job.route, job.case)
        if not subjects:
            return [], True
        drawings = self._artist.draw(subjects)
        is_final = drawings is not None
        if drawings is None:
            drawings = [Drawing(subject=0, problem="it takes too much time or memory")]
        return [_picture(subjects[each.subject], each) for each in drawings], is_final


def _picture(subject: Subject, drawing: Drawing) -> Picture:
    return Picture(side=subject.side, label=subject.label, drawing=drawing)


def _state_of(case: Case) -> str:
    """Return what tells this state of a case from another with the same key."""
    return f"{case.round} {case.touched}"


def _sides_on_share(route: Route, case: Case, *, has_result: bool) -> set[Side]:
    """Return what the share still has: a page shows no picture of what was taken away."""
    place = place_of_input(route, case)
    sides: set[Side] = {"result"} if has_result else set()
    with suppress(OSError):
        if place is not None and (not case.gone or (SharePath(place) / case.folder).exists()):
            sides.add("input")
    return sides
