"""What is known, on disk: cases and the events that made them, committed together.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned survives a power cut. A case is
read, changed and written inside one immediate transaction, so any thread, and an operator's
command beside the daemon, may record; the row in `cases` is the fold of the rows in `events`.
"""

import fcntl
import itertools
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.pool import StaticPool

from gcwatch import files, naming, steps
from gcwatch.cases import Case, Event, Found, Renamed
from gcwatch.errors import StateError
from gcwatch.naming import Place, Places
from gcwatch.steps import Pace

FILE = "journal.sqlite"
UPLOADS_LAST = 25 * 3600.0
"""Seconds: a day, and the hour until the platform's clearing comes round."""
_WORDS = 128
"""Bytes of the lock file."""
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_CASE: TypeAdapter[Case] = TypeAdapter(Case)
_EVENTS: dict[str, TypeAdapter[Event]] = {
    kind.__name__: TypeAdapter(kind) for kind in Event.__args__
}

_metadata = sa.MetaData()
_cases = sa.Table(
    "cases",
    _metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("folder", sa.LargeBinary, nullable=False),
    sa.Column("newest", sa.Boolean, nullable=False),
    sa.Column("open", sa.Boolean, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
    sa.Column("stamp", sa.Integer, nullable=False),
    sa.Column("submission", sa.Text),
    sa.Column("due", sa.Float),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("notable", sa.Boolean, nullable=False),
)
_events = sa.Table(
    "events",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, sa.ForeignKey("cases.key"), nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("record", sa.Text, nullable=False),
)
_routes = sa.Table(
    "routes",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("inbox", sa.LargeBinary, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
)


_VERSIONS = (
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
)
"""What brings a journal of version n to n + 1. New versions are only ever added at the end."""


def _encode(adapter: TypeAdapter[Any], record: object) -> str:
    """As JSON in ASCII: undecodable file names survive as escaped surrogates."""
    return json.dumps(adapter.dump_python(record, mode="json"))


def _decode(adapter: TypeAdapter[Any], text: str) -> Any:
    return adapter.validate_python(json.loads(text))


@dataclass(frozen=True)
class Recorded:
    """One event of a case's history and its time."""

    at: float
    event: Event


@dataclass(frozen=True)
class Known:
    """What intake needs of a folder's latest case; `stamp` is the folder's last change time."""

    key: str
    is_open: bool
    stage: str
    gone: bool
    stamp: int


def _is_notable(case: Case) -> bool:
    """Whether a closed case is more than done: it failed, or something about it is odd."""
    return case.ending == "failed" or (case.ending == "delivered" and bool(case.warnings))


class Journal:
    """The journal of one state directory.

    Raises:
        StateError: when it lies on a network file system, is newer than this program, or is
            damaged.
    """

    def __init__(
        self,
        state: Path,
        pace: Callable[[str], Pace] = lambda _: Pace(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = state / FILE
        self._pace = pace
        self._clock = clock
        self._lock = threading.RLock()
        _refuse_network(state)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(state):
            self._engine = _engine(self.path)
            self.upgraded_from = self._upgrade()
        self.version = len(_VERSIONS)

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    # --- writing ---------------------------------------------------------------------------------

    def open_case(self, route: str, folder: str) -> Case:
        """Given a new folder, make a case of it with a new random key, and return it."""
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        event, now = Found(route, folder), self._clock()
        case = steps.begin(f"{route}-{suffix}", event, now)
        with self._transaction() as connection:
            older = (_cases.c.route == route) & (_cases.c.folder == os.fsencode(folder))
            connection.execute(_cases.update().where(older).values(newest=False))
            connection.execute(_cases.insert().values(**self._row(case), newest=True))
            self._append(connection, case.key, event, now)
        return case

    def record(self, key: str, event: Event, of_round: int | None = None) -> Case:
        """Given a case's key and an event, write both what happened and what came of it.

        An event that belongs to an earlier round than the case's is dropped.

        Returns:
            The case as it is now; unchanged if it was closed meanwhile.
        """
        now = self._clock()
        with self._transaction() as connection:
            before = self._read(connection, key)
            if of_round not in {None, before.round}:
                return before
            after = steps.apply(before, event, now)
            if after != before:
                row = self._row(after)
                connection.execute(_cases.update().where(_cases.c.key == key).values(**row))
                self._append(connection, key, event, now)
        return after

    def _row(self, case: Case) -> dict[str, Any]:
        return {
            "key": case.key,
            "route": case.route,
            "folder": os.fsencode(case.folder),
            "open": case.is_open,
            "stage": steps.stage(case),
            "gone": case.gone,
            "stamp": case.seen.stamp if case.seen else 0,
            "submission": case.submission.pk if case.submission else None,
            "due": steps.due(case, self._pace(case.route)),
            "record": _encode(_CASE, case),
            "notable": _is_notable(case),
        }

    def _append(self, connection: sa.Connection, key: str, event: Event, now: float) -> None:
        kind = type(event).__name__
        record = _encode(_EVENTS[kind], event)
        connection.execute(_events.insert().values(key=key, at=now, kind=kind, record=record))

    # --- reading ---------------------------------------------------------------------------------

    def case(self, key: str) -> Case:
        """Given a key, return its case; raise KeyError if there is none."""
        with self._transaction() as connection:
            return self._read(connection, key)

    def cases(self, *, newest: bool = False) -> list[Case]:
        """Return all cases, oldest first; with *newest*, only the latest of each folder."""
        where = _cases.c.newest if newest else sa.true()
        return self._select(where)

    def open_cases(self) -> list[Case]:
        """Return the cases that are not closed, oldest first."""
        return self._select(_cases.c.open)

    def attention(self) -> list[Case]:
        """Return what somebody may have to look at, oldest first.

        That is what is open, what has failed, and what was delivered with a warning: closed cases
        only as long as their folder stands in the inbox and is no later case's.
        """
        return self._select(_cases.c.open | (_cases.c.notable & _cases.c.newest & ~_cases.c.gone))

    def called(self, name: str) -> list[Case]:
        """Return the cases that have this key, or whose folder has this name, oldest first."""
        return self._select((_cases.c.key == name) | (_cases.c.folder == os.fsencode(name)))

    def due(self, routes: Collection[str], now: float, limit: int) -> list[Case]:
        """Return at most *limit* open cases of *routes* that are due, the longest due first."""
        where = _cases.c.open & (_cases.c.due <= now) & _cases.c.route.in_(routes)
        return self._select(where, order=_cases.c.due, limit=limit)

    def next_due(self, routes: Collection[str]) -> float | None:
        """Return when the next open case of *routes* is due, or None if none is open."""
        where = _cases.c.open & _cases.c.route.in_(routes)
        with self._transaction() as connection:
            return connection.execute(sa.select(sa.func.min(_cases.c.due)).where(where)).scalar()

    def known(self, route: str) -> dict[str, Known]:
        """Given a route, return what is known of each folder, from its latest case, by folder."""
        facts = (_cases.c.key, _cases.c.open, _cases.c.stage, _cases.c.gone, _cases.c.stamp)
        query = sa.select(_cases.c.folder, *facts).where(_cases.c.route == route, _cases.c.newest)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return {os.fsdecode(folder): Known(*known) for folder, *known in rows}

    def count(self, stage: str, routes: Collection[str] | None = None) -> int:
        """Return how many cases are at a stage; with *routes*, how many of theirs."""
        where = _cases.c.stage == stage
        if routes is not None:
            where &= _cases.c.route.in_(routes)
        query = sa.select(sa.func.count()).select_from(_cases).where(where)
        with self._transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def counts(self, route: str | None = None) -> dict[str, int]:
        """Return how many cases are at each stage or ended so; with *route*, only its cases."""
        where = sa.true() if route is None else _cases.c.route == route
        query = sa.select(_cases.c.stage, sa.func.count()).where(where).group_by(_cases.c.stage)
        with self._transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def latest(self) -> int:
        """Return the number of the latest event; another number says that something happened."""
        with self._transaction() as connection:
            return int(connection.execute(sa.select(sa.func.max(_events.c.id))).scalar() or 0)

    def uploads_held(self) -> dict[str, int]:
        """Return how many uploads each planned case holds that may still be using them, by key.

        The platform drops uploads after a day, whatever waits for them (contract 4).
        """
        oldest = self._clock() - UPLOADS_LAST
        return {
            case.key: sum(upload.created > oldest for upload in case.uploads)
            for case in self.open_cases()
            if case.inputs is not None and case.outputs is None
        }

    def knows(self, pk: str) -> bool:
        """Return whether some case became this job, display set or archive item."""
        query = sa.select(sa.exists().where(_cases.c.submission == pk))
        with self._transaction() as connection:
            return bool(connection.execute(query).scalar_one())

    def history(self, key: str) -> list[Recorded]:
        """Given a key, return all its events, oldest first."""
        query = sa.select(_events).where(_events.c.key == key).order_by(_events.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [Recorded(row.at, _decode(_EVENTS[row.kind], row.record)) for row in rows]

    def rename(self, wanted: Places) -> dict[str, str]:
        """Given the config's routes, let each find its cases; return new names by old.

        All of it happens at once, and where each route is now is remembered for the next time.
        """
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_routes)).all()
            known = {row.name: Place(Path(os.fsdecode(row.inbox)), row.target) for row in rows}
            renamed = naming.renamed(known, wanted)
            self._rename(connection, renamed)
            after = {renamed.get(name, name): place for name, place in known.items()} | dict(wanted)
            if after != known:
                connection.execute(_routes.delete())
                connection.execute(_routes.insert(), [_row_of(*each) for each in after.items()])
        return renamed

    def _rename(self, connection: sa.Connection, renamed: Mapping[str, str]) -> None:
        """Give all cases of some routes their new names: by one statement, for names may swap."""
        if not renamed:
            return
        name = sa.case(renamed, value=_cases.c.route)
        concerned = _cases.c.route.in_(renamed)
        record = sa.func.json_set(_cases.c.record, "$.route", name)
        now, kind = sa.literal(self._clock()), sa.literal(Renamed.__name__)
        told = sa.func.json_object("route", name)
        events = sa.select(_cases.c.key, now, kind, told).where(concerned)
        connection.execute(_events.insert().from_select(["key", "at", "kind", "record"], events))
        connection.execute(_cases.update().where(concerned).values(route=name, record=record))

    def reschedule(self) -> None:
        """Compute every open case's due time anew, for when a route's pace was changed."""
        with self._transaction() as connection:
            for (record,) in connection.execute(
                sa.select(_cases.c.record).where(_cases.c.open)
            ).all():
                case = _decode(_CASE, record)
                row = self._row(case)
                connection.execute(_cases.update().where(_cases.c.key == case.key).values(**row))

    def _select(self, where: Any, order: Any = None, limit: int | None = None) -> list[Case]:
        query = sa.select(_cases.c.record).where(where).limit(limit)
        query = query.order_by(order if order is not None else sa.text("rowid"))
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [_decode(_CASE, row.record) for row in rows]

    def _read(self, connection: sa.Connection, key: str) -> Case:
        query = sa.select(_cases.c.record).where(_cases.c.key == key)
        record = connection.execute(query).scalar()
        if record is None:
            raise KeyError(key)
        case: Case = _decode(_CASE, record)
        return case

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is recorded in this process meanwhile: all that is read is of one moment."""
        with self._lock:
            yield

    # --- the file --------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._lock, self._engine.begin() as connection:
            yield connection

    def _upgrade(self) -> int | None:
        """Bring the file to this program's version; a copy of an older one is kept beside it.

        Returns:
            The version it had, if it was an older journal.
        """
        try:
            with self._transaction() as connection:
                version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
                if version > len(_VERSIONS):
                    raise _too_new(self.path, version)
                if 0 < version < len(_VERSIONS):
                    self._copy(version)
                _migrate(connection, version)
        except sa.exc.DatabaseError as error:
            raise _unusable(self.path, error.orig) from error
        return version if 0 < version < len(_VERSIONS) else None

    def _copy(self, version: int) -> None:
        copy = self.path.with_suffix(f".v{version}")
        copy.touch(mode=0o600)
        with sqlite3.connect(self.path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close()
        target.close()


def _migrate(connection: sa.Connection, version: int) -> None:
    """Given a journal of a version, make it one of this program's."""
    for statement in itertools.chain(*_VERSIONS[version:]):
        connection.exec_driver_sql(statement)
    if version < len(_VERSIONS):
        connection.exec_driver_sql(f"PRAGMA user_version = {len(_VERSIONS)}")


def _row_of(name: str, place: Place) -> dict[str, Any]:
    return {"name": name, "inbox": os.fsencode(place.inbox), "target": place.target}


def trouble(state: Path) -> StateError | None:
    """Given a state directory, return why its journal can't be used, if so; leaves no trace."""
    path = state / FILE
    if not path.exists():
        return None
    try:
        # Immutable: neither a lock nor side files, which might belong to another user.
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
            [version] = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        return _unusable(path, error)
    return _too_new(path, version) if version > len(_VERSIONS) else None


def _too_new(path: Path, version: int) -> StateError:
    return StateError(
        f"{path} was written by a newer gcwatch (version {version}).",
        "Install that gcwatch again, or use another state directory.",
    )


def _unusable(path: Path, error: BaseException | None) -> StateError:
    return StateError(
        f"{path} can't be used: {error}.", "Put back a copy of it, or use another state directory."
    )


def _refuse_network(state: Path) -> None:
    kind = files.network_file_system(state)
    if kind:
        raise StateError(
            f"The state directory {state} lies on a network file system ({kind}).",
            "SQLite can't promise anything there; use a folder on a local disk.",
        )


def _engine(path: Path) -> sa.Engine:
    """One connection for all threads (the journal's lock serialises them), tight file mode."""
    path.touch(mode=0o600)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": 30, "isolation_level": None},
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that reads and then writes fails when another process wrote.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Nobody else opens a journal here meanwhile: SQLite waits for no one who makes a file WAL."""
    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock a file; somebody who only asks whether a daemon is there holds it for a moment."""
    for _ in range(100):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


class Presence:
    """A daemon's words in its lock file: its process id, and the reason for which it pauses."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.tell()

    def tell(self, pause: str = "") -> None:
        """Write down why all work pauses (a code of the catalogue), or that it does not."""
        # In one write, so that whoever reads meanwhile finds the old words or the new ones.
        words = f"{os.getpid()}\n{pause}\n".encode()
        os.pwrite(self._descriptor, words.ljust(_WORDS, b"\n"), 0)


@contextmanager
def only_daemon(state: Path) -> Iterator[Presence]:
    """Hold the state directory's lock; raise StateError if another daemon holds it."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(descriptor):
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").partition("\n")[0]
            raise StateError(
                f"Another gcwatch (process {holder}) works on {state}.",
                "Stop it first, or give this one its own state directory.",
            )
        yield Presence(descriptor)
    finally:
        with suppress(OSError):
            os.close(descriptor)
