"""The rows of a table, kept in the state directory so that each receipt is read only once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from gcwatch.core.tables.result_rows import ResultRow, SocketCell
from gcwatch.outbox.private_store import PrivateStore

_FORMAT: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS rows (
    place TEXT PRIMARY KEY, stamp INTEGER, pass INTEGER, delivered TEXT, content TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON rows (delivered, place);
"""


class RowStore(PrivateStore):
    """A private file with the rows of one table."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORMAT, _TABLES)
        self._pass = 0

    def __enter__(self) -> Self:
        super().__enter__()
        self._pass = self._number("SELECT ifnull(max(pass), 0) + 1 FROM rows")
        return self

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
