"""What closed cases cost: a journal with 1000 of them and one with 50,000, in turn.

Their folders have left the inbox, as when people clear it. Measured are the room on the disk, the
start of the daemon with its memory, and `gcwatch status`.
"""

import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from gcwatch import config
from gcwatch.core.events import FolderRemoved
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.databases.sqlite import JOURNAL_FILE
from gcwatch.journal.journal import Journal
from gcwatch.journal.packing import EventRow, pack
from tests.bench.figures import Figure, show
from tests.bench.material import make_cases
from tests.bench.process import children_cpu, peak_mib
from tests.bench.service import NOWHERE, Site, lifetime, serving, warm_up

FEW, MANY = 1_000, 50_000
MOST_BYTES = 2048
_EVENTS = "SELECT id, at, kind, record FROM events ORDER BY id"


def bench(folder: Path, rounds: int) -> None:
    """Measure both so many times, and tell the medians."""
    sites = {count: _site(folder / str(count), count) for count in (FEW, MANY)}
    found: dict[int, list[tuple[float, float, float]]] = {FEW: [], MANY: []}
    for _ in range(rounds):
        for count, site in sites.items():
            with serving(site) as daemon:
                daemon.calm_down()
                found[count].append((daemon.start_cpu, peak_mib(daemon.pid), _status(site)))
    few, many = ([statistics.median(each) for each in zip(*found[n], strict=True)] for n in found)
    sizes = [(sites[n].folder / "state" / JOURNAL_FILE).stat().st_size for n in (FEW, MANY)]
    show(
        f"{MANY:,} closed cases, beside {FEW:,}",
        [
            Figure("room of a case", (sizes[1] - sizes[0]) / (MANY - FEW), "B", MOST_BYTES),
            Figure("CPU until READY", many[0], "s"),
            Figure("times that of few", many[0] / few[0], "", 1.3),
            Figure("memory of the daemon", many[1], "MiB"),
            Figure("more than with few", many[1] - few[1], "MiB", 5),
            Figure("CPU of status", many[2], "s"),
            Figure("times that of few", many[2] / few[2], "", 1.3),
        ],
    )


def _status(site: Site) -> float:
    """Call `gcwatch status`; the seconds of CPU that it took."""
    before = children_cpu()
    command = [sys.executable, "-m", "gcwatch", "status", "--config", str(site.file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return children_cpu() - before


def _site(folder: Path, count: int) -> Site:
    """A site with an empty inbox, whose journal has so many delivered cases."""
    site = Site(folder, NOWHERE)
    settings = config.load(site.file)
    [route] = settings.routes
    name = "patient-0000"
    make_cases(site.inbox, [name], 1)
    with TemporaryDirectory(dir="/dev/shm") as aside:
        with closing(Journal(Path(aside))) as journal:
            case = journal.open_case(route.name, name)
            for event in lifetime(inbox_of(route).snapshot_case(name), case.key):
                journal.record(case.key, event)
            journal.record(case.key, FolderRemoved())
        with closing(sqlite3.connect(Path(aside) / JOURNAL_FILE)) as database:
            _multiply(database, count)
        shutil.copytree(aside, settings.state)
    shutil.rmtree(site.inbox / name)
    warm_up(site)
    return site


def _multiply(database: sqlite3.Connection, count: int) -> None:
    """Add packed cases like the one that is there, each with names and digests of its own."""
    database.row_factory = sqlite3.Row
    row = dict(database.execute("SELECT * FROM cases").fetchone())
    events = [EventRow(*each) for each in database.execute(_EVENTS)]
    columns = ", ".join(row)
    places = ", ".join(f":{name}" for name in row)
    database.executemany(
        f"INSERT INTO cases ({columns}) VALUES ({places})",
        (_another(row, events, number) for number in range(1, count)),
    )
    database.commit()
    database.execute("VACUUM")


def _another(row: dict[str, Any], events: list[EventRow], number: int) -> dict[str, Any]:
    folder = f"patient-{number:07}"
    changes = {
        row["key"]: f"bench-{secrets.token_hex(4)}",
        row["folder"].decode(): folder,
        row["submission"]: str(uuid4()),
        row["listing"]: secrets.token_hex(32),
    }

    def changed(text: str) -> str:
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    packed = pack(changed(row["record"]), [e._replace(record=changed(e.record)) for e in events])
    return row | {
        "key": changes[row["key"]],
        "folder": folder.encode(),
        "submission": changes[row["submission"]],
        "listing": changes[row["listing"]],
        "record": "",
        "packed": packed,
    }
