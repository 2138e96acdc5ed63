"""The journal of a soak, read beside the daemons: a file of one host, or a database of several."""

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from support.cutter import Cutter
from support.databases import Databases, prepare_databases
from support.postgres import PostgresServer

_NOW = "extract(epoch FROM clock_timestamp())"


@dataclass(frozen=True)
class SoleJournal:
    """The SQLite of a state directory."""

    state: Path

    def rows(self, query):
        """What a query finds; nothing before there are tables."""
        path = self.state / "journal.sqlite"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as journal:
            (is_made,) = journal.execute("PRAGMA user_version").fetchone()
            return journal.execute(query).fetchall() if is_made else []

    def files(self):
        """What holds it: it lies in the state directory, with all else there."""
        return []

    def held(self):
        """Nobody else could hold a lease."""
        return []


@dataclass(frozen=True)
class SharedJournal:
    """A database on a server of its own; the last host comes to it by the cutter.

    `ways` are the addresses of the journal by the names of the hosts.
    """

    server: PostgresServer
    cutter: Cutter
    ways: dict[str, str]

    def rows(self, query, *values):
        """What a query finds."""
        with psycopg.connect(next(iter(self.ways.values()))) as connection:
            return connection.execute(query, values).fetchall()

    def files(self):
        """What holds it."""
        return [each for each in (self.server.folder / "data").rglob("*") if each.is_file()]

    def held(self):
        """The leases that a host holds now: pairs of its identity and what it works on."""
        return self.rows(f"SELECT owner, name FROM leases WHERE until >= {_NOW}")


@contextmanager
def shared_journal(hosts):
    """A journal for so many hosts, on a server that keeps what it has committed when it is killed.

    The last host is the one that can be cut off.
    """
    names = [chr(ord("a") + number) for number in range(hosts)]
    with PostgresServer(fsync="on", autovacuum="on") as server, Cutter(server.folder) as cutter:
        prepare_databases(server.folder)
        with Databases(server.folder) as databases:
            direct = databases.url(databases.create())
        ways = dict.fromkeys(names, direct) | {names[-1]: cutter.url(direct)}
        yield SharedJournal(server, cutter, ways)
