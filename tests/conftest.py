"""What every test starts with: no logging configured, no address but loopback.

And what every run starts and ends with: the slowest files come first, so that no worker is left
alone with one of them; files whose tests share something slow have one worker; the last line tells
how many crash points were visited.
"""

import ctypes
import gc
import os
import socket
from pathlib import Path, PurePosixPath

import hypothesis
import pytest
from support import postgres as real_postgres
from support.databases import Databases, prepare_databases
from support.shared_postgres import shared_server
from support.victims import Victims
from xdist.scheduler import LoadScopeScheduling

from gcwatch import log
from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.sandbox import Sandbox

# Machines are noisy: no test is timed. A run draws what the one before it drew, so that the change
# is judged and not the draw; `make test ARGS=--hypothesis-profile=search` looks further.
UNTIMED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("alike", derandomize=True, **UNTIMED)
hypothesis.settings.register_profile("search", derandomize=False, max_examples=2000, **UNTIMED)
hypothesis.settings.load_profile("alike")

PR_SET_DUMPABLE = 4

SLOWEST_FIRST = (
    *("test_docs", "test_crash", "test_late_crash", "test_mirror_crash", "test_machine"),
    *("test_mirror_cli", "test_notebook", "test_python_page"),
    *("test_service", "test_reload", "test_packaging", "test_init", "test_demo"),
)
ONE_WORKER = {"test_demo", "test_packaging"}
"""Files whose tests share something slow: one worker runs them, so that it is made once."""
CRASH_POINTS = "crash points"


class Scheduling(LoadScopeScheduling):
    """Gives each worker a test at a time; the files of `ONE_WORKER` are not divided."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return file if PurePosixPath(file).stem in ONE_WORKER else nodeid


class Distribution:
    """Sets how tests are divided among the workers of xdist."""

    def pytest_xdist_make_scheduler(self, config, log):
        return Scheduling(config, log)


class CrashPoints:
    """Counts the crash points that tests have visited, on whichever worker."""

    def __init__(self):
        self._visited = 0

    def pytest_runtest_logreport(self, report):
        if report.when == "teardown":
            self._visited += dict(report.user_properties).get(CRASH_POINTS, 0)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session):
        result = yield
        if self._visited:
            rest = " (make prove: every one)" if session.config.option.markexpr else ""
            reporter = session.config.pluginmanager.getplugin("terminalreporter")
            reporter.write_line(f"crash points visited: {self._visited}{rest}")
        return result


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # a worker of xdist has its reports counted for it
        config.pluginmanager.register(CrashPoints())
        config.pluginmanager.register(Distribution())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    rank = {name: number for number, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_collection_finish():
    """The modules and tests stay until the end: Python need not visit them at each collection."""
    gc.collect()
    gc.freeze()


_connect = socket.socket.connect


def _connect_to_loopback(self, address):
    if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
        "127.0.0.1",
        "::1",
        "localhost",
    }:
        pytest.fail(f"a test spoke to {address}")
    return _connect(self, address)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No test speaks to the outside, and none inherits another's log."""
    monkeypatch.setattr(socket.socket, "connect", _connect_to_loopback)
    yield
    log.reset_logging()
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # a command closes /proc/self to who is not root


@pytest.fixture
def sandbox(tmp_path):
    """A platform of its own for one test."""
    with Sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture(scope="session")
def _victims():
    server = Victims()
    yield server
    server.close()


@pytest.fixture
def victims(_victims, record_property):
    """A server of daemons that can be killed; those that die are counted."""
    before = _victims.dead
    yield _victims
    record_property(CRASH_POINTS, _victims.dead - before)


@pytest.fixture(scope="session")
def postgres(request, tmp_path_factory):
    """The databases of a real PostgreSQL, which all workers of a run share."""
    if why := real_postgres.missing():
        pytest.skip(why)
    folder = tmp_path_factory.getbasetemp()
    is_worker = hasattr(request.config, "workerinput")
    run = (folder.parent, os.getppid()) if is_worker else (folder, os.getpid())
    with Databases(shared_server(*run, prepare_databases)) as databases:
        yield databases


@pytest.fixture
def database(postgres):
    """The address of a database of a test's own, with a new journal's tables."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def new_journal(request):
    """Makes the value of `journal` for a site: for "postgres" the address of a new database."""
    made = []

    def make(kind):
        if kind == "sqlite":
            return None
        postgres = request.getfixturevalue("postgres")
        made.append(postgres.create())
        return postgres.url(made[-1])

    yield make
    for name in made:
        request.getfixturevalue("postgres").drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def journal_place(request, tmp_path):
    """Where a new journal lies: what a test claims holds for both databases."""
    if request.param == "sqlite":
        return tmp_path / "state"
    return parse_journal_address(request.getfixturevalue("database"), Path())
