"""Several hosts with one journal on PostgreSQL: how much faster they are, and what a record costs.

The work is bound by de-identification: series with headers of a CT scanner, 258 elements. Hosts,
database and sandbox, which ends no job, share the cores of this machine: more hosts than cores show
nothing. A record is one event of a case; both journals write through to the disk.
"""

import json
import os
import shutil
import statistics
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
from support.hosts import host_sites
from support.journals import open_journal
from support.postgres import SUPERUSER, PostgresServer

from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.core.events import StillRunning
from gcwatch.journal.journal import Journal
from tests.bench.figures import Figure, show
from tests.bench.service import Site, serving, warm_up
from tests.bench.stand import standing
from tests.bench.survey import make_scanner_series

CASES, SLICES, RECORDS, MOST_HOSTS = 12, 300, 300, 3


def bench(folder: Path, rounds: int) -> None:
    """Measure one, two and three hosts in turn, so many times; tell the medians."""
    for number in range(CASES):
        make_scanner_series(folder / "series" / f"patient-{number:02}", number, SLICES)
    took: dict[int, list[float]] = {hosts: [] for hosts in range(1, MOST_HOSTS + 1)}
    with PostgresServer(fsync="on") as server:
        for turn in range(rounds):
            for hosts, seconds in took.items():
                place = folder / f"{turn}-{hosts}"
                seconds.append(_send(place, folder / "series", server, f"b{turn}_{hosts}", hosts))
        file = _median_record(folder / "state")
        shared = _median_record(_database(server, "records"))
    one, *others = (statistics.median(seconds) for seconds in took.values())
    show(
        f"{CASES} series of {SLICES} slices, sent by several hosts; {os.cpu_count()} cores",
        [
            Figure("one host", one, "s"),
            *(
                Figure(f"times as fast with {count}", one / seconds)
                for count, seconds in enumerate(others, 2)
            ),
            Figure("a record on SQLite", file * 1e3, "ms"),
            Figure("a record on PostgreSQL", shared * 1e3, "ms"),
        ],
    )


def _send(folder: Path, series: Path, server: PostgresServer, name: str, count: int) -> float:
    """Let so many hosts send all series; the seconds from when these were dropped."""
    with standing(folder / "sandbox") as stand:
        stand.ask("configure", job_seconds=1e9)
        site = Site(folder, stand.facts, 'settle = "1s"')
        site.file.write_text(site.file.read_text().replace('"000.mha"', '"**/*"'))
        sites = host_sites(site, _database(server, name), [f"host-{n}" for n in range(count)])
        warm_up(site)
        with ExitStack() as daemons:
            for own in sites.values():
                daemons.enter_context(serving(own))
            for each in sorted(series.iterdir()):
                shutil.copytree(each, site.inbox / each.name, copy_function=os.link)
            begun = time.perf_counter()
            while sum(len(each.said("case.submitted")) for each in sites.values()) < CASES:
                assert time.perf_counter() < begun + 900, "not all series were sent"
                time.sleep(0.02)
            return time.perf_counter() - begun


def _database(server: PostgresServer, name: str) -> str:
    """Make a database; its address."""
    with psycopg.connect(host=str(server.folder), user=SUPERUSER, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql://{SUPERUSER}@/{name}?host={server.folder}"


def _median_record(place: Path | str) -> float:
    """The median of the seconds that one record takes."""
    at = place if isinstance(place, Path) else parse_journal_address(place, Path())
    with closing(open_journal(at)) as journal:
        key = journal.open_case("bench", "patient").key
        return statistics.median(_seconds(journal, key, number) for number in range(RECORDS))


def _seconds(journal: Journal, key: str, number: int) -> float:
    begun = time.perf_counter()
    journal.record(key, StillRunning(json.dumps(number)))
    return time.perf_counter() - begun
