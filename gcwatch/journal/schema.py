"""The tables of the journal (SQLite), its upgrades, and how its file is opened.

`cases` has a row for each case: its record, and the columns that questions ask for. `events` has
what happened to each, `routes` where each route was last. `VERSIONS` defines them.
"""

import itertools
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from gcwatch.core.errors import PASSING_ERRNOS, JournalDamaged, JournalUnavailable, StateError
from gcwatch.files import file_systems

JOURNAL_FILE = "journal.sqlite"

_WAIT_SECONDS: Final = 30.0
"""How long SQLite waits for another process."""

_COUNT: Final = """INSERT INTO counts VALUES ({row}.route, {row}.stage, {step})
    ON CONFLICT DO UPDATE SET number = number + {step};"""
"""Counts a row of `cases` in the table of counts."""

VERSIONS = (
    (
        """CREATE TABLE cases (
            key TEXT PRIMARY KEY, route TEXT NOT NULL, folder BLOB NOT NULL,
            newest BOOLEAN NOT NULL, open BOOLEAN NOT NULL, stage TEXT NOT NULL,
            gone BOOLEAN NOT NULL, stamp INTEGER NOT NULL, due FLOAT, record TEXT NOT NULL)""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL REFERENCES cases (key),
            at FLOAT NOT NULL, kind TEXT NOT NULL, record TEXT NOT NULL)""",
        "CREATE INDEX events_key ON events (key)",
        "CREATE INDEX cases_due ON cases (open, due)",
        "CREATE INDEX cases_folder ON cases (route, newest, folder)",
    ),
    (
        "ALTER TABLE cases ADD COLUMN job TEXT",
        "UPDATE cases SET job = record ->> '$.job.pk'",
        "CREATE INDEX cases_job ON cases (job)",
        "CREATE INDEX cases_stage ON cases (stage)",
    ),
    (
        "ALTER TABLE cases RENAME COLUMN job TO submission",
        """UPDATE cases SET record = json_remove(
            json_set(record, '$.submission', json_patch(record -> '$.job',
            json_object('parent', coalesce(record ->> '$.target.api_url', '')))), '$.job')
            WHERE record -> '$.job' IS NOT NULL""",
        """UPDATE events SET record = json_remove(
            json_set(record, '$.pk', record ->> '$.job'), '$.job')
            WHERE kind = 'Submitted'""",
    ),
    (
        "ALTER TABLE cases ADD COLUMN notable BOOLEAN NOT NULL DEFAULT 0",
        """UPDATE cases SET notable = 1 WHERE stage = 'failed'
            OR (stage = 'delivered' AND json_array_length(record, '$.warnings') > 0)""",
        "CREATE INDEX cases_notable ON cases (notable, newest, gone)",
        "CREATE INDEX cases_route_stage ON cases (route, stage)",
    ),
    (
        "CREATE TABLE routes (name TEXT PRIMARY KEY, inbox BLOB NOT NULL, target TEXT NOT NULL)",
        "INSERT INTO routes SELECT DISTINCT route, CAST('' AS BLOB), '' FROM cases",
    ),
    (
        # Up to version 5 the name of an event was the name of its class.
        """UPDATE events SET kind = CASE kind
            WHEN 'Found' THEN 'folder_found'
            WHEN 'Changed' THEN 'folder_changed'
            WHEN 'Settled' THEN 'folder_settled'
            WHEN 'Vanished' THEN 'folder_vanished'
            WHEN 'Planned' THEN 'planned'
            WHEN 'Begun' THEN 'upload_started'
            WHEN 'Resumed' THEN 'upload_resumed'
            WHEN 'Uploaded' THEN 'upload_completed'
            WHEN 'FilesUploaded' THEN 'files_uploaded'
            WHEN 'UploadsExpired' THEN 'uploads_expired'
            WHEN 'Prepared' THEN 'session_created'
            WHEN 'Attempted' THEN 'submission_attempted'
            WHEN 'Submitted' THEN 'submitted'
            WHEN 'Warned' THEN 'warning_found'
            WHEN 'Filled' THEN 'item_filled'
            WHEN 'StillRunning' THEN 'still_running'
            WHEN 'Succeeded' THEN 'succeeded'
            WHEN 'OutputFetched' THEN 'output_fetched'
            WHEN 'Delivered' THEN 'delivered'
            WHEN 'Rejected' THEN 'rejected'
            WHEN 'Reported' THEN 'failure_reported'
            WHEN 'Faltered' THEN 'attempt_failed'
            WHEN 'Postponed' THEN 'postponed'
            WHEN 'Retried' THEN 'retried'
            WHEN 'Withdrawn' THEN 'withdrawn'
            WHEN 'Touched' THEN 'folder_changed_late'
            WHEN 'Left' THEN 'folder_removed'
            WHEN 'Returned' THEN 'folder_returned'
            WHEN 'Renamed' THEN 'route_renamed'
            ELSE kind END""",
    ),
    (
        "ALTER TABLE cases ADD COLUMN listing TEXT",
        "UPDATE cases SET listing = record ->> '$.seen.digest'",
        "CREATE INDEX cases_listing ON cases (listing)",
    ),
    (
        # A closed case may be due, too: a change in its folder has to be reported.
        "DROP INDEX cases_due",
        "CREATE INDEX cases_open ON cases (open)",
        "CREATE INDEX cases_due ON cases (due) WHERE due IS NOT NULL",
    ),
    (
        "ALTER TABLE cases ADD COLUMN content TEXT",
        "CREATE INDEX cases_content ON cases (content)",
    ),
    (
        "ALTER TABLE cases ADD COLUMN touched FLOAT",
        "UPDATE cases SET touched = record ->> '$.touched'",
        "CREATE INDEX cases_ended ON cases (route, stage, touched)",
    ),
    (
        "ALTER TABLE cases ADD COLUMN command BOOLEAN NOT NULL DEFAULT 0",
        "ALTER TABLE cases ADD COLUMN command_failed BOOLEAN NOT NULL DEFAULT 0",
        "CREATE INDEX cases_command ON cases (route, due) WHERE command = 1",
        "CREATE INDEX cases_command_failed ON cases (key) WHERE command_failed = 1",
    ),
    (
        # SQLite does not use an index of some rows for one side of an OR.
        "DROP INDEX cases_command_failed",
        "CREATE INDEX cases_command_failed ON cases (command_failed)",
    ),
    (
        # A million closed cases: each of their columns is in as few indices as can be, and nothing
        # that is asked often reads them. `packed`: see packing.py; then `record` is empty.
        "ALTER TABLE cases ADD COLUMN packed BLOB",
        "DROP INDEX cases_stage",
        "DROP INDEX cases_route_stage",
        "DROP INDEX cases_open",
        "DROP INDEX cases_notable",
        "DROP INDEX cases_command_failed",
        "DROP INDEX cases_content",
        "CREATE INDEX cases_open ON cases (open) WHERE open = 1",
        """CREATE INDEX cases_notable ON cases (notable)
            WHERE notable = 1 AND newest = 1 AND gone = 0""",
        "CREATE INDEX cases_command_failed ON cases (command_failed) WHERE command_failed = 1",
        "CREATE INDEX cases_content ON cases (content) WHERE newest = 1 AND gone = 0",
        "CREATE INDEX cases_current ON cases (route) WHERE newest = 1 AND (gone = 0 OR open = 1)",
        """CREATE INDEX cases_unpacked ON cases (touched)
            WHERE open = 0 AND packed IS NULL AND due IS NULL""",
        """CREATE TABLE counts (
            route TEXT, stage TEXT, number INTEGER NOT NULL, PRIMARY KEY (route, stage)
            ) WITHOUT ROWID""",
        """CREATE TABLE totals (
            route TEXT, what TEXT, reason TEXT, number INTEGER NOT NULL, at FLOAT NOT NULL,
            PRIMARY KEY (route, what, reason)) WITHOUT ROWID""",
        """INSERT INTO totals SELECT route, 'delivered', '', count(*), max(at)
            FROM events JOIN cases ON cases.key = events.key
            WHERE kind = 'delivered' GROUP BY route""",
        """INSERT INTO totals SELECT route, 'failed', coalesce((
                SELECT why.record ->> '$.reason.code' FROM events AS why
                WHERE why.key = events.key AND why.id < events.id
                AND why.kind IN ('rejected', 'attempt_failed') ORDER BY why.id DESC LIMIT 1
            ), '') AS reason, count(*), max(at)
            FROM events JOIN cases ON cases.key = events.key
            WHERE kind = 'failure_reported' GROUP BY route, reason""",
        """INSERT INTO totals SELECT route, 'uploaded', '', sum(size), max(at) FROM (
                SELECT events.key, events.at, began.record ->> '$.upload.size' AS size
                FROM events JOIN events AS began ON began.key = events.key
                WHERE events.kind = 'upload_completed' AND began.kind = 'upload_started'
                AND began.record ->> '$.upload.pk' = events.record ->> '$.pk'
                UNION ALL SELECT events.key, events.at, each.value ->> '$.size'
                FROM events, json_each(events.record, '$.uploads') AS each
                WHERE kind = 'files_uploaded'
            ) AS sent JOIN cases ON cases.key = sent.key GROUP BY route""",
        # What stays of a case that was pruned.
        "CREATE TABLE pruned (key TEXT PRIMARY KEY, submission TEXT) WITHOUT ROWID",
        "CREATE INDEX pruned_submission ON pruned (submission)",
        "INSERT INTO counts SELECT route, stage, count(*) FROM cases GROUP BY route, stage",
        *(
            f"""CREATE TRIGGER count_{name} AFTER {change} BEGIN
                {" ".join(_COUNT.format(row=row, step=step) for row, step in rows)} END"""
            for name, change, rows in (
                ("new", "INSERT ON cases", [("NEW", 1)]),
                (
                    "changed",
                    """UPDATE ON cases
                    WHEN (OLD.route, OLD.stage) IS NOT (NEW.route, NEW.stage)""",
                    [("OLD", -1), ("NEW", 1)],
                ),
                ("dropped", "DELETE ON cases", [("OLD", -1)]),
            )
        ),
    ),
)
"""The statements that upgrade a journal from version n to n + 1; only ever append to them."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Given a journal and its version, upgrade it to the current version."""
    for statement in itertools.chain(*VERSIONS[version:]):
        connection.execute(statement)
    if version < len(VERSIONS):
        connection.execute(f"PRAGMA user_version = {len(VERSIONS)}")


def journal_problem(state: Path) -> StateError | JournalUnavailable | None:
    """Given a state directory, return why its journal can't be used, or None; change nothing."""
    path = state / JOURNAL_FILE
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
    return version_error(path, version)


def version_error(path: Path, version: int) -> StateError | None:
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


def refuse_network_folder(state: Path) -> None:
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


def open_database(path: Path) -> sqlite3.Connection:
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
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what the body does, or nothing of it if it raises."""
    with connection:
        # A deferred transaction fails if another process writes between its read and its write.
        connection.execute("BEGIN IMMEDIATE")
        yield connection
