"""The PostgreSQL of the tests ends with them, and what lies before it cuts where it is told to."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from support import postgres as real_postgres
from support.cutter import Cutter
from support.shared_postgres import shared_server

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
