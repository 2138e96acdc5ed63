"""A private SQLite file that remembers what gcwatch has read, and which table it wrote from it.

Others have the truth (receipts in an outbox, the platform): such a file may be removed at any time.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

IN_MEMORY: Final = Path(":memory:")
"""SQLite's name for a database without a file."""


class PrivateStore:
    """A file that is made anew if it is damaged or of another version.

    Use it as a context, in one thread at a time. Its methods raise OSError if the file can't be
    used. `tables` are statements that may be run again.
    """

    def __init__(self, path: Path, version: int, tables: str) -> None:
        self._path = path
        self._version = version
        self._tables = f"{tables}CREATE TABLE IF NOT EXISTS written (digest TEXT PRIMARY KEY);"

    def __enter__(self) -> Self:
        with self._as_os_error():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connect()
            if not self._is_usable():
                self._remove()
                self._connect()
            self._database.executescript(f"PRAGMA user_version = {self._version};{self._tables}")
        return self

    def _connect(self) -> None:
        self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)

    def _is_usable(self) -> bool:
        """Whether the file is new or of this version; raise what says that it can't be opened."""
        try:
            (found,) = self._database.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False
        return found in {0, self._version}

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @contextlib.contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # All but a full disk, a missing right and the like means that the file is damaged.
            if not isinstance(error, sqlite3.OperationalError):
                self._remove()
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error

    def _remove(self) -> None:
        self._database.close()
        for each in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            each.unlink(missing_ok=True)

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        with self._as_os_error():
            return self._database.execute(statement, values)

    def _number(self, query: str, *values: Any) -> int:
        with self._as_os_error():
            return int(self._database.execute(query, values).fetchone()[0])

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Keep the changes of the body together; all or nothing."""
        self._run("BEGIN")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    # --- the table in the outbox -----------------------------------------------------------------

    def is_written(self, digest: str) -> bool:
        """Whether gcwatch wrote, or was about to write, a table with this SHA-256."""
        return self._number("SELECT count(*) FROM written WHERE digest = ?", digest) > 0

    def has_written(self) -> bool:
        """Whether it is known what gcwatch wrote last."""
        return self._number("SELECT count(*) FROM written") > 0

    def forget_written(self) -> None:
        """Forget what was written: another host may have replaced it since."""
        self._run("DELETE FROM written")

    def about_to_write(self, digest: str) -> None:
        """Remember a table before it is written: a crash may come at any moment."""
        self._run("INSERT OR IGNORE INTO written VALUES (?)", digest)

    def has_replaced(self, digest: str) -> None:
        """Remember that this table is the one in the outbox, and no other."""
        self._run("DELETE FROM written WHERE digest != ?", digest)
