"""A journal in a file of the state directory (SQLite): the default, which needs nothing else.

In WAL mode with `synchronous=FULL`: a commit that returned survives a power cut.
"""

import itertools
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from gcwatch.core.errors import PASSING_ERRNOS, JournalDamaged, JournalUnavailable, StateError
from gcwatch.files import file_systems
from gcwatch.files.lock import exclusive_lock
from gcwatch.files.safe_open import read_state_file
from gcwatch.journal.databases.database import Connection
from gcwatch.journal.databases.sqlite_upgrades import VERSIONS

JOURNAL_FILE = "journal.sqlite"
MOVED_FILE = "journal.moved"
"""It names the database to which the journal was moved."""

_WAIT_SECONDS: Final = 30.0
"""How long SQLite waits for another process."""


class SqliteDatabase:
    """The journal's file in a state directory, which is made if it is missing.

    Args:
        state: The state directory.
        clock: Returns the time, in seconds since the epoch.

    Raises:
        StateError: when it lies on a network file system, is newer than this program, or is
            damaged (JournalDamaged).
        JournalUnavailable: when its disk is full or read-only.
    """

    version: int = len(VERSIONS)

    def __init__(self, state: Path, clock: Callable[[], float]) -> None:
        self._path = state / JOURNAL_FILE
        self.place = str(self._path)
        self.clock = clock
        self._lock = threading.RLock()
        _refuse_network_folder(state)
        _refuse_moved(state)
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite does not wait while another process makes the file WAL.
            with exclusive_lock(state, wait_seconds=None):
                self.upgraded_from = self._open()
                self._identity = _identity_of(self._path)
        except OSError as error:
            raise no_access_error(state, error) from error

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Commit what the body does, or nothing of it if it raises.

        Raises:
            JournalUnavailable: when the file can't be used at the moment.
            JournalDamaged: when it can't be read any more.
        """
        try:
            with self._lock, _transaction(self._connection) as connection:
                yield connection
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a fault in gcwatch
        except sqlite3.DatabaseError as error:
            raise database_error(self._path, error) from error

    reading = writing

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is recorded in this process meanwhile."""
        with self._lock:
            yield

    def now(self, connection: Connection) -> float:  # noqa: ARG002 -- PostgreSQL has its own clock
        """Return the time, in seconds since the epoch."""
        return self.clock()

    def shared_key(self) -> bytes | None:
        """Return None: the key is a file beside the journal."""
        return None

    def tell_news(self, connection: Connection) -> None:
        """Do nothing: there is no other host."""

    def latest_event(self, connection: Connection) -> int:
        """Return the highest number that an event ever had: those of packed ones have no row."""
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
        found = connection.execute(query, {}).fetchone()
        return int(found[0]) if found else 0

    def set_latest_event(self, connection: Connection, number: int) -> None:
        """After rows were copied here: let new events have higher numbers than all before."""
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'events'", {})
        add = "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', :number)"
        connection.execute(add, {"number": number})

    def size(self) -> int:
        """Return how many bytes the file has."""
        return self._path.stat().st_size

    def shrink(self) -> None:
        """Give the room of what was dropped back to the disk; takes seconds for each GB.

        Raises:
            JournalUnavailable: when another process uses the journal, or the disk has no room for a
                copy of it.
        """
        try:
            with self._lock:
                self._connection.execute("VACUUM")
        except sqlite3.DatabaseError as error:
            raise database_error(self._path, error) from error

    def is_in_place(self) -> bool:
        """Whether the journal's file still lies where it was opened, and not another one.

        Raises:
            JournalUnavailable: when its disk does not answer.
            StateError: when its folder may not be entered any more.
        """
        try:
            return _identity_of(self._path) == self._identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise no_access_error(self._path.parent, error) from error

    def _open(self) -> int | None:
        """Open the file; return the version it had, if it was an older journal."""
        try:
            self._connection = _connect(self._path)
            try:
                return self._upgrade()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.DatabaseError as error:
            raise database_error(self._path, error) from error

    def _upgrade(self) -> int | None:
        """Bring the file to this program's version; a copy of an older one is kept beside it."""
        with _transaction(self._connection) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if error := _version_error(self._path, version):
                raise error
            if 0 < version < len(VERSIONS):
                self._copy(version)
            migrate(connection, version)
        return version if 0 < version < len(VERSIONS) else None

    def _copy(self, version: int) -> None:
        copy = self._path.with_suffix(f".v{version}")
        copy.touch(mode=0o600)
        with sqlite3.connect(self._path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close()
        target.close()


def _identity_of(path: Path) -> tuple[int, int]:
    """Return device and inode of a file: another file at the same path has others."""
    status = path.stat()
    return status.st_dev, status.st_ino


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Given a journal and its version, upgrade it to the current version."""
    for statement in itertools.chain(*VERSIONS[version:]):
        connection.execute(statement)
    if version < len(VERSIONS):
        connection.execute(f"PRAGMA user_version = {len(VERSIONS)}")


def journal_problem(state: Path) -> StateError | JournalUnavailable | None:
    """Given a state directory, return why its journal can't be used, or None; change nothing."""
    path = state / JOURNAL_FILE
    try:
        _refuse_moved(state)
    except StateError as error:
        return error
    if not path.exists():
        return None
    if odd := _odd_file(path):  # a pipe would block
        return odd
    try:
        # Immutable: SQLite makes no lock and no side files, which another user could not remove.
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        return database_error(path, error)
    return _version_error(path, version)


def _version_error(path: Path, version: int) -> StateError | None:
    """Given a journal and its version, return the error if this program can't use it, or None."""
    if version < 0:
        return JournalDamaged(str(path), f"it has the version {version}")
    if version <= len(VERSIONS):
        return None
    return StateError(
        f"{path} was written by a newer gcwatch (version {version}).",
        "Install that gcwatch again, or use another state directory.",
    )


def no_access_error(state: Path, error: OSError) -> StateError | JournalUnavailable:
    """Given a state directory and what went wrong with it, return that as an error.

    JournalUnavailable is what may pass: a full or read-only disk.
    """
    if error.errno in PASSING_ERRNOS:
        return JournalUnavailable(f"{state}: {error.strerror}")
    return StateError(
        f"The state directory {state} can't be used: {error.strerror}.",
        "Run this as the user that runs gcwatch, or give that user the right to write there.",
    )


_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def database_error(path: Path, error: BaseException | None) -> JournalDamaged | JournalUnavailable:
    """Given a journal and what SQLite says of it, return the error that says what to do.

    JournalUnavailable is what may pass: a full or read-only disk, a lock.
    """
    # The low byte is the kind of error; the others give details (sqlite.org/rescode.html).
    if isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in _DAMAGED:
        return JournalDamaged(str(path), str(error))
    return JournalUnavailable(str(error))


def _refuse_moved(state: Path) -> None:
    """Raise StateError if the journal is in a database by now: all would be sent again."""
    if (state / MOVED_FILE).exists():
        place = read_state_file(state / MOVED_FILE).decode(errors="replace").strip()
        raise StateError(
            f"The journal of {state} was moved to {place}.",
            "Name that database in the config (journal = …), or move the journal back with it: "
            "gcwatch journal copy --back.",
        )


def _refuse_network_folder(state: Path) -> None:
    """Raise StateError if the state directory lies on a network file system."""
    kind = file_systems.network_file_system(state)
    if kind:
        raise StateError(
            f"The state directory {state} lies on a network file system ({kind}).",
            "SQLite is not safe there; use a folder on a local disk.",
        )


def _odd_file(path: Path) -> JournalDamaged | None:
    """Return an error if one of the journal's files is there, and is none that SQLite can open."""
    for each in (path, *(path.with_name(f"{path.name}-{side}") for side in ("wal", "shm"))):
        try:
            # Once: whoever closes the journal last removes its side files at any moment. SQLite
            # follows no link in the place of one.
            mode = each.stat(follow_symlinks=each == path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISREG(mode):
            return JournalDamaged(str(each), "it is a folder, a pipe, a device or a link")
    return None


def _connect(path: Path) -> sqlite3.Connection:
    """Open one connection for all threads (the journal's lock orders them), for the owner only.

    Raise sqlite3.DatabaseError if it is none, or can't be used.
    """
    if odd := _odd_file(path):
        raise odd
    # SQLite gives its side files (-wal, -shm) the mode of this file.
    path.touch(mode=0o600)
    connection = sqlite3.connect(
        path,
        timeout=_WAIT_SECONDS,
        isolation_level=None,  # sqlite3 by itself would begin transactions late
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # With NORMAL, WAL mode would lose the last commits in a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what the body does, or nothing of it if it raises."""
    with connection:
        # A deferred transaction fails if another process writes between its read and its write.
        connection.execute("BEGIN IMMEDIATE")
        yield connection
