"""The rows of a table, kept in the state directory so that each receipt is read only once.

The receipts in the outbox are the truth: this file may be removed at any time.
"""

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from gcwatch.core.tables.result_rows import ResultRow, SocketCell

_FORMAT: Final = 1
_TABLES: Final = f"""
PRAGMA user_version = {_FORMAT};
CREATE TABLE IF NOT EXISTS rows (
    place TEXT PRIMARY KEY, stamp INTEGER, pass INTEGER, delivered TEXT, content TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON rows (delivered, place);
CREATE TABLE IF NOT EXISTS written (digest TEXT PRIMARY KEY);
"""


class RowStore:
    """A file with the rows of one table; one that is damaged or of another version is made anew.

    Use it as a context, in one thread. Its methods raise OSError if the file can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pass = 0

    def __enter__(self) -> Self:
        with self._as_os_error():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, isolation_level=None)
            if self._number("PRAGMA user_version") not in {0, _FORMAT}:
                self._remove()
                self._database = sqlite3.connect(self._path, isolation_level=None)
            self._database.executescript(_TABLES)
            self._pass = self._number("SELECT ifnull(max(pass), 0) + 1 FROM rows")
        return self

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

    # --- rows ------------------------------------------------------------------------------------

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

    def has_seen(self, place: str, stamp: int) -> bool:
        """Mark the row of a folder as being there; return whether it is known with this stamp."""
        mark = "UPDATE rows SET pass = ? WHERE place = ? AND stamp = ?"
        return self._run(mark, self._pass, place, stamp).rowcount > 0

    def keep(self, place: str, stamp: int, delivered: str, row: ResultRow | None) -> None:
        """Keep the row of a folder, also if it has none; rows are ordered by the delivery."""
        content = row and json.dumps(
            [list(row.fixed), [(each.socket, each.cell, dict(each.leaves)) for each in row.sockets]]
        )
        add = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)"
        self._run(add, place, stamp, self._pass, delivered, content)

    def count_seen(self) -> int:
        """Return the number of rows that were seen or kept since the file was opened."""
        return self._number("SELECT count(content) FROM rows WHERE pass = ?", self._pass)

    def forget_unseen(self) -> int:
        """Forget the rows that were not seen since the file was opened; return their number."""
        return self._run("DELETE FROM rows WHERE pass != ?", self._pass).rowcount

    def rows(self) -> Iterator[ResultRow]:
        """Yield all rows, oldest first."""
        with self._as_os_error():
            query = "SELECT content FROM rows WHERE content NOT NULL ORDER BY delivered, place"
            for (content,) in self._run(query):
                fixed, sockets = json.loads(content)
                yield ResultRow(fixed, [SocketCell(*each) for each in sockets])

    # --- the table in the outbox -----------------------------------------------------------------

    def is_written(self, digest: str) -> bool:
        """Whether gcwatch wrote, or was about to write, a table with this SHA-256."""
        return self._number("SELECT count(*) FROM written WHERE digest = ?", digest) > 0

    def has_written(self) -> bool:
        """Whether it is known what gcwatch wrote last."""
        return self._number("SELECT count(*) FROM written") > 0

    def about_to_write(self, digest: str) -> None:
        """Remember a table before it is written: a crash may come at any moment."""
        self._run("INSERT OR IGNORE INTO written VALUES (?)", digest)

    def has_replaced(self, digest: str) -> None:
        """Remember that this table is the one in the outbox, and no other."""
        self._run("DELETE FROM written WHERE digest != ?", digest)
