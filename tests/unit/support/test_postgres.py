"""The PostgreSQL of the tests ends with them, and what lies before it cuts where it is told to."""

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from support import postgres as real_postgres
from support.cutter import Cutter
from support.databases import MovableClock
from support.journals import open_journal
from support.shared_postgres import shared_server

from gcwatch.config.values.journal_address import parse_journal_address

DAY = 86_400.0

pytestmark = pytest.mark.skipif(
    bool(real_postgres.missing()), reason=real_postgres.missing() or "it is here"
)


@pytest.fixture
def cutter(postgres):
    with Cutter(postgres.folder) as between:
        yield between


def rows(url):
    """How many rows its table has."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS made (number INT)")
        return connection.execute("SELECT count(*) FROM made").fetchone()[0]


def test_the_server_ends_when_the_run_is_killed(tmp_path):
    """No process and no file of it is left, whoever had started it."""
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as run:
        place = shared_server(tmp_path, run.pid)
        assert shared_server(tmp_path, run.pid) == place
        data = Path(place, "data", "postmaster.pid")
        server = psutil.Process(int(data.read_text().split()[0]))
        assert server.username() != "root"
        program = server.parent()
        run.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([server, program], timeout=60)[1] == []
    assert not Path(place).exists()


@pytest.mark.parametrize("after", [False, True])
def test_a_statement_is_cut_before_or_after_the_server_has_done_it(cutter, database, after):
    """The client learns of neither; the next one is connected."""
    url = cutter.url(database)
    assert rows(url) == 0
    with psycopg.connect(url, autocommit=True) as connection:
        cutter.cut_at(2, after=after)
        connection.execute("INSERT INTO made VALUES (0)")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO made VALUES (%s)", [1])
    assert cutter.has_cut()
    assert rows(url) == 1 + after


def test_a_clock_that_is_moved_is_that_of_the_journal(postgres):
    """Of its records and of its leases."""
    name = postgres.create()
    place = parse_journal_address(postgres.url(name), Path())
    with closing(MovableClock(postgres, name)) as clock, closing(open_journal(place)) as book:
        clock.advance(DAY)
        case = book.open_case("r", "p")
        assert case.touched > time.time() + DAY / 2
        book.leases.claim(case.key)
        clock.advance(DAY)
        assert book.leases.owners() == {}
    postgres.drop(name)
