"""What the journal needs of a database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Values = Mapping[str, Any]
"""What a statement is given, by the names that stand in it after a colon."""


class Rows(Protocol):
    """What a statement found."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> Sequence[Any]:
        """Return all rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""


class Connection(Protocol):
    """A transaction that is under way."""

    def execute(self, statement: str, values: Values = ..., /) -> Rows:
        """Run a statement."""

    def executemany(self, statement: str, values: Iterable[Values], /) -> object:
        """Run a statement once for each of some values."""


class Database(Protocol):
    """A database that holds a journal; any thread may use it.

    `place` names it for people, without a secret. `version` is the version of its tables, and
    `upgraded_from` the one that they had before this program opened it, if that was older.
    """

    place: str
    version: int
    upgraded_from: int | None

    def reading(self) -> AbstractContextManager[Connection]:
        """Let the body ask: all that it reads is of one moment.

        Raises:
            JournalUnavailable: when the database can't be used at the moment.
            StateError: when it can't be used by this program, or is damaged (JournalDamaged).
        """

    def writing(self) -> AbstractContextManager[Connection]:
        """Commit what the body does, or nothing of it if it raises; raise as `reading` does.

        Such bodies run one after another, also those of other processes and hosts.
        """

    def still(self) -> AbstractContextManager[None]:
        """Let all that this thread reads in the body be of one moment."""

    def now(self, connection: Connection) -> float:
        """Return the time at which something is recorded, in seconds since the epoch."""

    def tell_news(self, connection: Connection) -> None:
        """Let the other hosts look for work once this transaction is committed."""

    def latest_event(self, connection: Connection) -> int:
        """Return the highest number that an event ever had."""

    def set_latest_event(self, connection: Connection, number: int) -> None:
        """After rows were copied here: let new ones have higher numbers than all before."""

    def clock(self) -> float:
        """Return the time that all hosts share, in seconds since the epoch."""

    def shared_key(self) -> bytes | None:
        """Return the secret key of all hosts, None if a file has it; raise as `reading` does."""

    def is_in_place(self) -> bool:
        """Whether this is still the journal that was opened; raise as `reading` does."""

    def size(self) -> int:
        """Return how many bytes it takes on the disk; raise as `reading` does."""

    def shrink(self) -> None:
        """Give the room of what was dropped to new rows or to the disk; raise as `reading` does."""

    def close(self) -> None:
        """Release it."""


def listed(name: str, values: Iterable[Any]) -> tuple[str, dict[str, Any]]:
    """Given values, return the list for a statement's IN, and what the statement is given.

    Without values the list holds nothing that a column may equal.
    """
    named = {f"{name}{number}": value for number, value in enumerate(values)}
    return f"({', '.join(f':{each}' for each in named) or 'NULL'})", named
