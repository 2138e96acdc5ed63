"""What closed cases cost: a journal with 1000 of them and one with many, in turn.

`closed`: their folders have left the inbox, as when people clear it. `kept`: they are still there,
with a file in each, and their results are in the outbox.
"""

import json
import shutil
import sqlite3
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from gcwatch import config
from gcwatch.core.case import Snapshot
from gcwatch.core.events import FolderRemoved
from gcwatch.core.receipt import RECEIPT_NAME, make_receipt
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.databases.sqlite import JOURNAL_FILE
from gcwatch.journal.journal import Journal
from gcwatch.journal.packing import EventRow, pack
from gcwatch.journal.read_only import read_only_journal
from tests.bench.figures import Figure, show
from tests.bench.material import make_cases
from tests.bench.process import Taken, peak_mib, run_gcwatch
from tests.bench.service import RESULT, Site, lifetime, serving, warm_up
from tests.bench.stand import Stand, standing

FEW, MANY, KEPT = 1_000, 50_000, 20_000
MOST_BYTES = 2048
_EVENTS = "SELECT id, at, kind, record FROM events ORDER BY id"


def bench(folder: Path, rounds: int, cases: int | None = None) -> None:
    """Measure cases whose folders are gone, so many times; tell the medians."""
    _bench(folder, rounds, cases or MANY, _gone, "status", "once", "plan")


def bench_kept(folder: Path, rounds: int, cases: int | None = None) -> None:
    """Measure cases whose folders and results are there, so many times; tell the medians."""
    _bench(folder, rounds, cases or KEPT, _kept, "status", "once", "plan", "audit --offline")


def _bench(
    folder: Path, rounds: int, many: int, make: Callable[[Site, int], None], *commands: str
) -> None:
    with standing(folder / "sandbox") as stand:
        sites = {count: _site(folder / str(count), stand, count, make) for count in (FEW, many)}
        found: dict[int, list[list[Taken]]] = {count: [] for count in sites}
        for _ in range(rounds):
            for count, site in sites.items():
                found[count].append(_measure(site, commands))
    few, many_took = (_medians(found[count]) for count in sites)
    sizes = [(site.folder / "state" / JOURNAL_FILE).stat().st_size for site in sites.values()]
    figures = [Figure("room of a case", (sizes[1] - sizes[0]) / (many - FEW), "B", MOST_BYTES)]
    for name, less, more in zip(("run until READY", *commands), few, many_took, strict=True):
        figures += [
            Figure(f"{name}: CPU", more.cpu_seconds, "s"),
            Figure("times that of few", more.cpu_seconds / less.cpu_seconds),
            Figure("memory", more.peak_mib, "MiB"),
            Figure("more than with few", more.peak_mib - less.peak_mib, "MiB"),
        ]
    show(f"{many:,} closed cases, beside {FEW:,}", figures)


def _measure(site: Site, commands: Iterable[str]) -> list[Taken]:
    """What the daemon took until it was ready, with its memory until it was calm; each command."""
    with serving(site) as daemon:
        daemon.calm_down()
        taken = [Taken(daemon.start_cpu, peak_mib(daemon.pid))]
    return taken + [run_gcwatch(*each.split(), "--config", str(site.file)) for each in commands]


def _medians(rounds: Sequence[Sequence[Taken]]) -> list[Taken]:
    return [
        Taken(*(statistics.median(values) for values in zip(*each, strict=True)))
        for each in zip(*rounds, strict=True)
    ]


# --- a site ---------------------------------------------------------------------------------------


def _site(folder: Path, stand: Stand, count: int, make: Callable[[Site, int], None]) -> Site:
    """A site whose journal has so many delivered cases."""
    site = Site(folder, stand.facts)
    make(site, count)
    warm_up(site)
    return site


def _gone(site: Site, count: int) -> None:
    """Cases whose folders have left the inbox."""
    _fill(site, ((_folder(number), None) for number in range(count)))


def _kept(site: Site, count: int) -> None:
    """Cases with a folder in the inbox and a result in the outbox."""
    [route] = config.load(site.file).routes
    names = [_folder(number) for number in range(count)]
    make_cases(site.inbox, names, 1)
    _fill(site, ((name, inbox_of(route).snapshot_case(name)) for name in names))
    with read_only_journal(config.load(site.file)) as journal:
        for case in journal.cases():
            result = site.folder / "out" / case.result
            for file in case.fetched:
                (result / file.path).parent.mkdir(parents=True)
                (result / file.path).write_bytes(RESULT)
            receipt = json.dumps(make_receipt(case, "", "0", case.touched))
            (result / RECEIPT_NAME).write_text(receipt)


def _folder(number: int) -> str:
    return f"patient-{number:07}"


def _fill(site: Site, cases: Iterator[tuple[str, Snapshot | None]]) -> None:
    """Make the journal: each case with what its folder looks like, None if that is gone."""
    settings = config.load(site.file)
    [route] = settings.routes
    folder, seen = next(cases)
    with TemporaryDirectory(dir="/dev/shm") as aside:
        with closing(Journal(Path(aside))) as journal:
            case = journal.open_case(route.name, folder)
            first = seen or Snapshot("0" * 64, 1, len(RESULT), 10**18, 10**18)
            for event in lifetime(first, case.key):
                journal.record(case.key, event)
            if seen is None:
                journal.record(case.key, FolderRemoved())
        with closing(sqlite3.connect(Path(aside) / JOURNAL_FILE)) as database:
            _multiply(database, first, cases)
        shutil.copytree(aside, settings.state)


def _multiply(
    database: sqlite3.Connection, first: Snapshot, cases: Iterator[tuple[str, Snapshot | None]]
) -> None:
    """Add packed cases like the one that is there, each with names and digests of its own."""
    database.row_factory = sqlite3.Row
    row = dict(database.execute("SELECT * FROM cases").fetchone())
    events = [EventRow(*each) for each in database.execute(_EVENTS)]
    columns = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    database.executemany(
        f"INSERT INTO cases ({columns}) VALUES ({places})",
        (_another(row, events, first, *each) for each in cases),
    )
    database.commit()
    database.execute("VACUUM")


def _another(
    row: dict[str, Any], events: list[EventRow], first: Snapshot, folder: str, seen: Snapshot | None
) -> dict[str, Any]:
    key = f"bench-{uuid4().hex[:8]}"
    seen = seen or Snapshot(uuid4().hex * 2, 1, len(RESULT), first.stamp, first.latest)
    changes = {
        row["key"]: key,
        row["folder"].decode(): folder,
        row["submission"]: str(uuid5(NAMESPACE_URL, key)),
        first.digest: seen.digest,
        f'"stamp": {first.stamp}': f'"stamp": {seen.stamp}',
        f'"latest": {first.latest}': f'"latest": {seen.latest}',
    }

    def changed(text: str) -> str:
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    told = [each._replace(record=changed(str(each.record))) for each in events]
    return row | {
        "key": key,
        "folder": folder.encode(),
        "submission": changes[row["submission"]],
        "listing": seen.digest,
        "stamp": seen.stamp,
        "record": "",
        "packed": pack(changed(row["record"]), told),
    }
