"""What a mirror is a copy of: `run.py` does the rest for each kind of source alike."""

import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from gcwatch import config
from gcwatch.files.atomic import disk_trouble
from gcwatch.mirrors.answer_store import AnswerStore
from gcwatch.mirrors.archive import ArchiveSource
from gcwatch.mirrors.jobs import JobFilter, JobSource
from gcwatch.mirrors.reader_study import Origins, ReaderStudySource
from gcwatch.mirrors.receipts import Held, Wanted
from gcwatch.mirrors.tally import TableCounts
from gcwatch.outbox.private_store import IN_MEMORY
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Collection


class MirrorSource(Protocol):
    """The items of one place on the platform. Methods may raise what calls to it raise."""

    def find_place(self) -> Collection:
        """Return the place; raise NotYet if it can't be seen."""

    def list_items(self, place: Collection, held: Container[str]) -> list[Wanted]:
        """Given the place and the pks of the items on disk, return all items that belong there.

        Their values may be missing until `load_values` is called.
        """

    def load_values(self, wanted: Wanted) -> Wanted:
        """Given a listed item, return it with its values."""

    def is_gone(self, item: str) -> bool:
        """Ask for one item that is not listed; return True if it answers 404 to a valid token."""

    def write_tables(self, list_held: Callable[[], Mapping[str, Held]]) -> TableCounts:
        """Given what lists all items on disk, write what is said of them together."""


@contextmanager
def open_source(
    settings: config.Mirror,
    platform: GrandChallenge,
    store: Path = IN_MEMORY,
    *,
    jobs: JobFilter = JobFilter(),  # noqa: B008 -- a frozen value
    origins: Origins = lambda _: {},
    clock: Callable[[], float] = time.time,
    on_progress: Callable[[], None] = lambda: None,
) -> Iterator[MirrorSource]:
    """Yield the source of a mirror.

    `jobs` says which jobs of an algorithm are wanted. `store` is a private file for what is read of
    a reader study. `origins` returns the folders from which gcwatch sent its display sets, and
    `on_progress` is called while it is listed.
    """
    if settings.kind == "algorithm":
        yield JobSource(platform, settings.slug, jobs, on_progress)
        return
    if settings.kind == "archive":
        yield ArchiveSource(platform, settings.slug, settings.layout, on_progress)
        return
    with ExitStack() as opened:
        with disk_trouble("opening the file with answers"):
            answers = opened.enter_context(AnswerStore(store))
        yield ReaderStudySource(
            settings, platform, answers, origins=origins, clock=clock, on_progress=on_progress
        )
