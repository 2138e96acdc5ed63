"""A journal's file that is only read: nothing in the state directory changes."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from gcwatch.core.errors import JournalDamaged, JournalUnavailable
from gcwatch.journal.databases.database import Connection
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, SqliteDatabase, database_error

_WAIT_SECONDS: Final = 30.0
"""How long SQLite waits for another process."""


class ReadOnlySqlite(SqliteDatabase):
    """The journal's file in a state directory, for questions only.

    The file is open only while something is asked, so that a gcwatch that ends meanwhile can remove
    its side files. A file that nobody has open is read immutably: otherwise SQLite makes side files
    and leaves them, which another user could not remove (sqlite.org/wal.html, read-only databases).

    Args:
        state: The state directory, with a journal.
        clock: Returns the time, in seconds since the epoch.
    """

    def __init__(self, state: Path, clock: Callable[[], float]) -> None:
        self._path = state / JOURNAL_FILE
        self.place = str(self._path)
        self.upgraded_from = None
        self.clock = clock
        self._lock = threading.RLock()

    def close(self) -> None:
        """Do nothing: nothing is open."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Let the body ask: all that it reads is of one moment.

        Raises:
            JournalUnavailable: when the file can't be used at the moment, or another process wrote
                it while it was read immutably, without a lock.
            JournalDamaged: when it can't be read any more.
        """
        before = _time_of_last_write(self._path)
        try:
            with closing(_connect(self._path, is_still=before is not None)) as connection:
                connection.execute("BEGIN")
                yield connection
        except sqlite3.ProgrammingError:
            raise  # a fault in gcwatch
        except (sqlite3.DatabaseError, JournalDamaged) as error:
            self._require_same(before)
            if isinstance(error, JournalDamaged):
                raise
            raise database_error(self._path, error) from error
        self._require_same(before)

    def is_current(self) -> bool:
        """Whether the file has the version of this program; raise as `reading` does."""
        with self.reading() as connection:
            [version] = connection.execute("PRAGMA user_version", {}).fetchone()
        return bool(version == self.version)

    def copy_to(self, file: Path) -> None:
        """Copy the file as it is now; raise as `reading` does."""
        with self.reading() as source, closing(sqlite3.connect(file)) as target:
            assert isinstance(source, sqlite3.Connection)
            source.backup(target)

    def _require_same(self, before: int | None) -> None:
        if before not in {None, _time_of_last_write(self._path)}:
            raise JournalUnavailable(f"{self._path} was written while it was read")


def _connect(path: Path, *, is_still: bool) -> sqlite3.Connection:
    query = "immutable=1" if is_still else "mode=ro"
    return sqlite3.connect(
        f"{path.as_uri()}?{query}",
        uri=True,
        timeout=_WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _time_of_last_write(journal: Path) -> int | None:
    """Return when a journal was last written (ns); None if a process has it open, or was killed."""
    if journal.with_name(f"{journal.name}-wal").exists():
        return None
    return journal.stat().st_mtime_ns
