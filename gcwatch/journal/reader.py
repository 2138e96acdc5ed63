"""The questions to the journal: which cases there are, which are due, what became of each."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

from gcwatch.core.case import Case
from gcwatch.core.events import (
    Adopted,
    AttemptFailed,
    ContentIdentified,
    Delivered,
    FailureReported,
    Postponed,
    StillRunning,
)
from gcwatch.journal.databases.database import Connection, Database, Values, listed
from gcwatch.journal.hosts.leases import Leases
from gcwatch.journal.packing import EventRow, Json
from gcwatch.journal.route_identity import RouteIdentity
from gcwatch.journal.rows import Known, Recorded, decode_case, decode_event, unpack_case
from gcwatch.journal.totals import Totals, totals_of

_UPLOADS_LAST_SECONDS = 25 * 3600.0
"""Seconds: a day, and at most an hour until the platform's next clean-up."""
_NO_PROGRESS = (AttemptFailed.kind, Postponed.kind, StillRunning.kind)
_ENDS = (Adopted.kind, Delivered.kind, FailureReported.kind)
_PAGE_CASES = 500
_FOLDERS_AT_ONCE = 200
"""One query names so many: SQLite takes 1000 conditions at most (sqlite.org/limits.html)."""

CASE_COLUMNS = "route, record, packed"
"""The columns that make a case."""

PRUNABLE = "open = 0 AND due IS NULL AND touched < :before AND (gone = 1 OR newest = 0)"
"""The condition that a closed case may leave the journal, given a time."""


class JournalReader:
    """What is known of all cases; `Journal` records.

    Args:
        database: Where it lies.
        leases: Which host works on what.

    Attributes:
        clock: Returns the time, in seconds since the epoch, that all who use the journal share.
        place: Names it for people.
    """

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self.leases = leases
        self.clock: Callable[[], float] = database.clock
        self.place = database.place

    def shared_key(self) -> bytes | None:
        """Return the secret key of the hosts that share the journal; None if a file has it."""
        return self._database.shared_key()

    def case(self, key: str) -> Case:
        """Given a key, return its case; raise KeyError if there is none."""
        with self._database.reading() as connection:
            return self._read(connection, key)

    def cases(self) -> Iterator[Case]:
        """Yield all cases, oldest first, a few at a time: there may be a million."""
        return self._pages("newest IS NOT NULL")

    def latest_cases(self, route: str | None = None) -> Iterator[Case]:
        """Yield the latest case of each folder, of one route if it is named, as `cases` does."""
        if route is None:
            return self._pages("newest = 1")
        # As a text that is made, the route keeps SQLite from its index: each page would be sorted.
        return self._pages("newest = 1 AND route || '' = :route", {"route": route})

    def _pages(self, where: str, values: Values | None = None) -> Iterator[Case]:
        query = f"""SELECT {CASE_COLUMNS}, rowid FROM cases
            WHERE rowid > :last AND {where} ORDER BY rowid LIMIT :limit"""  # noqa: S608 -- ours
        last = 0
        while found := self._ask(query, {**(values or {}), "last": last, "limit": _PAGE_CASES}):
            yield from (self._case(*row) for *row, _ in found)
            last = found[-1][-1]

    def recent(self, limit: int) -> list[Case]:
        """Return at most *limit* latest cases of folders, the newest first."""
        query = "WHERE newest = 1 ORDER BY rowid DESC LIMIT :limit"
        return self._select(query, {"limit": limit})

    def open_cases(self) -> list[Case]:
        """Return the cases that are not closed, oldest first."""
        return self._select("WHERE open = 1 ORDER BY rowid")

    def unfinished_cases(self) -> list[Case]:
        """Return the cases for which something is left to do, oldest first.

        These are the open ones, those whose command has to run, and those with a change after
        delivery that no note reports yet.
        """
        # By a sum: in the order of the table itself, SQLite would read all of it.
        return self._select("WHERE due IS NOT NULL ORDER BY rowid + 0")

    def attention(self) -> list[Case]:
        """Return what somebody may have to look at, oldest first.

        That is what is open, what has failed, and what was delivered with a warning: closed cases
        only as long as their folder is in the inbox and has no later case. A case whose command
        failed is always among them.
        """
        return self._select(
            # SQLite takes the index of a part of the rows for a whole query, not for a part of one.
            """WHERE rowid IN (
                SELECT rowid FROM cases WHERE open = 1
                UNION SELECT rowid FROM cases WHERE notable = 1 AND newest = 1 AND gone = 0
                UNION SELECT rowid FROM cases WHERE command_failed = 1
            ) ORDER BY rowid"""
        )

    def delivered(self, route: str, limit: int) -> list[Case]:
        """Return at most *limit* delivered cases of a route, the latest delivery first."""
        return self._select(
            """WHERE route = :route AND stage = 'delivered'
            ORDER BY touched DESC LIMIT :limit""",
            {"route": route, "limit": limit},
        )

    def called(self, name: str) -> list[Case]:
        """Return the cases that have this key, or whose folder has this name, oldest first."""
        return self._select(
            "WHERE key = :name OR folder = :folder ORDER BY rowid",
            {"name": name, "folder": os.fsencode(name)},
        )

    def due(
        self,
        routes: Collection[str],
        now: float,
        limit: int,
        ranks: Mapping[str, int] | None = None,
    ) -> list[Case]:
        """Return at most *limit* cases of *routes* that are due, the longest due first.

        Cases on which another host works are not among them.

        With *ranks* of routes, those of the routes with the lowest rank come first. Cases whose
        command has to run are not among them; see `due_commands`.
        """
        # Nearly all cases are of the routes that are asked for, so an index of routes would find
        # them all: as a text that is made, the route keeps SQLite from using it.
        names, values = listed("route", routes)
        order = _order_of(ranks or {}, values)
        free, owner = self.leases.free("cases.key")
        return self._select(
            f"""WHERE due <= :now AND command = 0 AND route || '' IN {names} AND {free}
            ORDER BY {order}due LIMIT :limit""",
            {**values, **owner, "now": now, "limit": limit},
        )

    def due_commands(self, routes: Collection[str], now: float) -> dict[str, str]:
        """Return the key of the case whose command is longest due, by route, of *routes*."""
        names, values = listed("route", routes)
        free, owner = self.leases.free("cases.key")
        # The last of each route stays.
        rows = self._ask(
            f"""SELECT route, key FROM cases
            WHERE command = 1 AND due <= :now AND route IN {names} AND {free}
            ORDER BY due DESC""",  # noqa: S608 -- ours
            {**values, **owner, "now": now},
        )
        return dict(rows)

    def next_due(self, routes: Collection[str]) -> float | None:
        """Return when the next case of *routes* is due, or None if none has anything to do."""
        names, values = listed("route", routes)
        free, owner = self.leases.free("cases.key")
        query = f"""SELECT min(due) FROM cases
            WHERE due IS NOT NULL AND route || '' IN {names} AND {free}"""  # noqa: S608 -- ours
        [[due]] = self._ask(query, {**values, **owner})
        return None if due is None else float(due)

    def cases_with_listing(self, route: str, digest: str) -> list[Case]:
        """Return the cases of a route whose folder looked so (`Snapshot.digest`), oldest first."""
        return self._select(
            "WHERE route = :route AND listing = :listing ORDER BY rowid",
            {"route": route, "listing": digest},
        )

    def twin(self, case: Case) -> Case | None:
        """Given a case whose content is known, return the first case that sends the same, or None.

        That is a case of the same route whose content was known earlier, that is open or delivered,
        and whose folder, another one, is still in the inbox.
        """
        first = self.first_with_content(case.route, case.content)
        return first if first is not None and first.key != case.key else None

    def first_with_content(self, route: str, content: str) -> Case | None:
        """Return the first case of a route that has a content, as `twin` compares; or None."""
        # The order of the events decides: of two cases at the same time exactly one is the first.
        found = self._select(
            # A packed case is older than any whose events have rows.
            """WHERE route = :route AND content = :content AND (open = 1 OR stage = 'delivered')
            AND newest = 1 AND gone = 0
            ORDER BY packed IS NULL, (
                SELECT max(id) FROM events WHERE events.key = cases.key AND kind = :kind
            ), rowid LIMIT 1""",
            {"route": route, "content": content, "kind": ContentIdentified.kind},
        )
        return found[0] if found else None

    def may_have_twin(self, case: Case) -> bool:
        """Whether another folder, of the same size in all, may have the same content as a case's.

        A folder of another size may, too, if some of its files are not sent; that is rare.
        """
        assert case.seen is not None, "a folder of a case has been looked at"
        query = """SELECT 1 FROM cases WHERE newest = 1 AND gone = 0 AND bytes IN (:bytes, -1)
            AND route || '' = :route AND key <> :key AND (open = 1 OR stage = 'delivered')
            LIMIT 1"""
        values = {"route": case.route, "key": case.key, "bytes": case.seen.bytes}
        return bool(self._ask(query, values))

    def current(self, route: str) -> dict[str, Known]:
        """Return what is known of a route's open cases and of the folders in its inbox, by folder.

        Closed cases whose folder is gone are not among them: there may be a million.
        """
        # As a span, the route keeps SQLite from the index of all folders that it ever had.
        where = "route BETWEEN :route AND :route AND (gone = 0 OR open = 1)"
        return self._known(where, {"route": route})

    def known(self, route: str, folders: Collection[str]) -> dict[str, Known]:
        """Return what is known of some folders of a route and of all below them, by folder."""
        found: dict[str, Known] = {}
        names = iter([os.fsencode(folder) for folder in folders])
        while some := [*islice(names, _FOLDERS_AT_ONCE)]:
            # What is below a folder stands between its name with a slash and with the next byte, 0.
            one = "folder = :a{0} OR (folder > :b{0} AND folder < :c{0})"
            where = " OR ".join(one.format(number) for number in range(len(some)))
            values = {
                f"{letter}{number}": name + end
                for number, name in enumerate(some)
                for letter, end in (("a", b""), ("b", b"/"), ("c", b"0"))
            }
            found |= self._known(f"route = :route AND ({where})", {"route": route, **values})
        return found

    def _known(self, where: str, values: Values) -> dict[str, Known]:
        rows = self._ask(
            f"""SELECT folder, key, open, stage, gone, stamp FROM cases
            WHERE newest = 1 AND {where}""",  # noqa: S608 -- a condition of ours
            values,
        )
        return {
            os.fsdecode(folder): Known(key, bool(is_open), stage, bool(gone), stamp)
            for folder, key, is_open, stage, gone, stamp in rows
        }

    def count(self, stage: str, routes: Collection[str]) -> int:
        """Return how many cases of some routes are at a stage."""
        return sum(
            number
            for (route, at), number in self.counts_by_route().items()
            if at == stage and route in routes
        )

    def counts(self, route: str | None = None) -> dict[str, int]:
        """Return how many cases are at each stage or ended so; with *route*, only its cases."""
        found: Counter[str] = Counter()
        for (of, stage), number in self.counts_by_route().items():
            found[stage] += number if route in {None, of} else 0
        return dict(+found)

    def counts_by_route(self) -> dict[tuple[str, str], int]:
        """Return how many cases are at each stage or ended so, by route and stage."""
        rows = self._ask("SELECT route, stage, number FROM counts WHERE number > 0")
        return {(route, stage): number for route, stage, number in rows}

    def ended_since(self, number: int) -> dict[str, int]:
        """Return how many cases ended after the event with this number, by how they ended."""
        kinds, values = listed("kind", _ENDS)
        query = f"""SELECT stage, count(DISTINCT cases.key)
            FROM events JOIN cases ON cases.key = events.key
            WHERE id > :number AND kind IN {kinds} AND open = 0
            GROUP BY stage"""  # noqa: S608 -- ours
        return dict(self._ask(query, {**values, "number": number}))

    def last_progress(self) -> dict[str, float]:
        """Return for each open case, by key, when it last came further.

        Another try that failed, a wait, and a job that still runs are no progress.
        """
        kinds, values = listed("kind", _NO_PROGRESS)
        query = f"""SELECT events.key, max(events.at)
            FROM events JOIN cases ON cases.key = events.key
            WHERE open = 1 AND kind NOT IN {kinds}
            GROUP BY events.key"""  # noqa: S608 -- ours
        return dict(self._ask(query, values))

    def totals(self) -> Totals:
        """Return the totals over all that ever happened, by route."""
        return totals_of(self._ask("SELECT route, what, reason, number, at FROM totals"))

    def latest(self) -> int:
        """Return the number of the latest event; another number says that something happened."""
        with self._database.reading() as connection:
            return self._database.latest_event(connection)

    def uploads_held(self) -> dict[str, int]:
        """Return how many uploads each planned case holds that may still be using them, by key.

        The platform drops uploads after a day, also those that a case needs (platform 4.14).
        """
        oldest = self.clock() - _UPLOADS_LAST_SECONDS
        return {
            case.key: sum(upload.created > oldest for upload in case.uploads)
            for case in self.open_cases()
            if case.inputs is not None and case.outputs is None
        }

    def knows(self, pk: str) -> bool:
        """Return whether some case became this job, display set or archive item."""
        return bool(self._ask("SELECT 1 FROM cases WHERE submission = :pk LIMIT 1", {"pk": pk}))

    def is_of_pruned(self, pk: str) -> bool:
        """Return whether a case that was pruned became this job, display set or archive item."""
        return bool(self._ask("SELECT 1 FROM pruned WHERE submission = :pk LIMIT 1", {"pk": pk}))

    def prunable(self, before: float) -> Iterator[Case]:
        """Yield the closed cases that ended before a time and whose folder is not in the inbox."""
        return self._pages(PRUNABLE, {"before": before})

    def pruned_keys(self) -> frozenset[str]:
        """Return the keys of all cases that were pruned."""
        return frozenset(key for (key,) in self._ask("SELECT key FROM pruned"))

    def submissions(self, route: str) -> dict[str, str]:
        """Return the folder of each job, display set or archive item of a route's latest cases.

        Keys are their pks.
        """
        query = """SELECT submission, folder FROM cases
            WHERE route = :route AND newest = 1 AND submission IS NOT NULL"""
        return {pk: os.fsdecode(folder) for pk, folder in self._ask(query, {"route": route})}

    def history(self, key: str) -> list[Recorded]:
        """Given a key, return all its events, oldest first."""
        with self._database.reading() as connection:
            found = self._events(connection, key)
        return [decode_event(each.at, each.kind, each.record) for each in found]

    def _events(self, connection: Connection, key: str) -> list[EventRow]:
        """Return the events of a case, those that are packed first."""
        query = "SELECT id, at, kind, record FROM events WHERE key = :key ORDER BY id"
        rows = [EventRow(*row) for row in connection.execute(query, {"key": key})]
        return [*self._packed_events(connection, key), *rows]

    def _packed_events(self, connection: Connection, key: str) -> Sequence[EventRow]:
        query = "SELECT packed FROM cases WHERE key = :key AND packed IS NOT NULL"
        found = connection.execute(query, {"key": key}).fetchone()
        return unpack_case(found[0]).events if found else ()

    def _select(self, where: str, values: Values | None = None) -> list[Case]:
        """Return the cases that a condition, with its order and limit, finds."""
        query = f"SELECT {CASE_COLUMNS} FROM cases {where}"  # noqa: S608 -- a condition of ours
        return [self._case(*row) for row in self._ask(query, values)]

    def _ask(self, query: str, values: Values | None = None) -> Sequence[Any]:
        """Return all rows that a query finds."""
        with self._database.reading() as connection:
            return connection.execute(query, values or {}).fetchall()

    def _read(self, connection: Connection, key: str) -> Case:
        query = f"SELECT {CASE_COLUMNS} FROM cases WHERE key = :key"  # noqa: S608 -- columns of ours
        found = connection.execute(query, {"key": key}).fetchone()
        if found is None:
            raise KeyError(key)
        return self._case(*found)

    def _read_routes(self, connection: Connection) -> dict[str, RouteIdentity]:
        """Return where each route was last, by name."""
        rows = connection.execute("SELECT name, inbox, target FROM routes", {})
        return {name: RouteIdentity(Path(os.fsdecode(at)), target) for name, at, target in rows}

    def _case(self, route: str, record: Json, packed: bytes | None) -> Case:
        """Return the case of a row of `CASE_COLUMNS`."""
        return decode_case(route, record, packed)

    def still(self) -> AbstractContextManager[None]:
        """Let all that this thread reads in the body be of one moment."""
        return self._database.still()


def _order_of(ranks: Mapping[str, int], values: Mapping[str, str]) -> str:
    """Return the beginning of an order: by the rank of the route; *values* names the routes."""
    whens = [f"WHEN :{name} THEN {ranks[of]:d}" for name, of in values.items() if of in ranks]
    return f"CASE route {' '.join(whens)} ELSE 0 END, " if whens else ""
