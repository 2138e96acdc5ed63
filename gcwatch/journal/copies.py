"""A copy of the journal for commands that only look: the state directory stays untouched."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gcwatch.config import Settings
from gcwatch.core.errors import StateError
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, journal_problem, no_access_error
from gcwatch.journal.journal import Journal
from gcwatch.journal.route_identity import route_identities


def has_journal(settings: Settings) -> bool:
    """Whether there is a journal: whether a gcwatch has ever worked by this config.

    Raises:
        StateError: when the state directory can't be read.
    """
    try:
        return (settings.state / JOURNAL_FILE).exists()
    except OSError as error:
        raise no_access_error(settings.state, error) from error


@contextmanager
def copied_journal(settings: Settings) -> Iterator[Journal | None]:
    """Given settings, yield a copy of the journal as it is now; None if there is no journal.

    Routes that have another name by now find their cases in the copy, as they will once gcwatch
    runs.

    Raises:
        StateError: when the journal can't be read.
    """
    if not has_journal(settings):
        yield None
        return
    if problem := journal_problem(settings.state):
        raise problem  # raised here: the copy's path would help nobody
    with tempfile.TemporaryDirectory(prefix="gcwatch-") as aside:
        original, copy = settings.state / JOURNAL_FILE, Path(aside, JOURNAL_FILE)
        try:
            _copy_journal(original, copy)
        except sqlite3.Error as error:
            raise StateError(f"{original} can't be read: {error}.") from error
        with closing(Journal(Path(aside))) as journal:
            journal.rename_routes(route_identities(settings.routes))
            yield journal


def _copy_journal(journal: Path, copy: Path) -> None:
    """Copy a journal; one that nobody has open is read immutably, or SQLite leaves side files."""
    before = _time_of_last_write(journal)
    if before is not None:
        _back_up(journal, copy, "immutable=1")
        # An immutable read takes no lock: it counts only if nobody wrote meanwhile.
        if _time_of_last_write(journal) == before:
            return
    _back_up(journal, copy, "mode=ro")


def _time_of_last_write(journal: Path) -> int | None:
    """Return when a journal was last written (ns); None if a process has it open, or was killed."""
    if journal.with_name(f"{journal.name}-wal").exists():
        return None
    return journal.stat().st_mtime_ns


def _back_up(journal: Path, copy: Path, query: str) -> None:
    with (
        closing(sqlite3.connect(f"{journal.as_uri()}?{query}", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
