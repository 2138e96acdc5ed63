"""A journal in a state directory: its file survives what dies, and old ones are read."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.journals import EVENTS, SNAPSHOT, fold

from gcwatch.core import events
from gcwatch.core.case import Case, Input
from gcwatch.core.errors import JournalDamaged, JournalUnavailable, StateError
from gcwatch.journal.databases import sqlite
from gcwatch.journal.databases.sqlite import JOURNAL_FILE
from gcwatch.journal.hosts.presence import only_daemon
from gcwatch.journal.journal import Journal


@pytest.fixture
def book(tmp_path):
    """A journal of its own for one test."""
    with closing(Journal(tmp_path)) as journal:
        yield journal


NAMES = st.binary(min_size=1, max_size=60).filter(lambda name: not {0, ord("/")} & set(name))


@given(NAMES)
def test_a_folder_name_of_any_bytes_survives(tmp_path_factory, name):
    """Names in any encoding, or in none, come back as the same bytes."""
    folder = os.fsdecode(name)
    state = tmp_path_factory.mktemp("state")
    with closing(Journal(state)) as book:
        key = book.open_case("lobes", folder).key

    with closing(Journal(state)) as book:
        assert folder == book.case(key).folder
        assert list(book.known("lobes", [folder])) == list(book.current("lobes")) == [folder]
        assert fold(book, key) == book.case(key)


# --- what is asked of it -------------------------------------------------------------------------


def test_no_page_of_cases_sorts_all_of_them(book):
    """A page begins where the last one ended, also for the cases of one route."""
    book.open_case("r", "p1")
    asked = []
    book._database._connection.set_trace_callback(asked.append)
    assert len([*book.cases(), *book.latest_cases(), *book.latest_cases("r")]) == 3
    book._database._connection.set_trace_callback(None)
    pages = [each for each in asked if each.startswith("SELECT")]
    assert len(pages) == 6
    with book._database.writing() as connection:
        for page in pages:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {page}").fetchall()
            assert [detail for *_, detail in plan] == [
                "SEARCH cases USING INTEGER PRIMARY KEY (rowid>?)"
            ], page


def test_cases_are_found_without_reading_all(book):
    """What is asked for all the time is found by an index, however many cases there are."""
    asked = []
    book._database._connection.set_trace_callback(asked.append)
    book.attention()
    book.open_cases()
    book.unfinished_cases()
    book.delivered("r", 200)
    book.due(["r"], 0.0, 9)
    book.due(["r"], 0.0, 9, {"r": 0, "urgent": 1})
    book.next_due(["r"])
    book.current("r")
    book.known("r", ["p1", "p2"])
    book.first_with_content("r", "c")
    book.may_have_twin(Case("key", "r", "p1", 1.0, 1.0, seen=SNAPSHOT))
    book.pack_closed_cases(0.0, 9)
    book._database._connection.set_trace_callback(None)
    queries = [each for each in asked if each.startswith("SELECT")]
    with book._database.writing() as connection:
        for query in queries:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
            details = " ".join(detail for *_, detail in plan)
            assert "SCAN cases" not in details, query
            # All cases of a route are nearly all cases.
            assert "due <=" not in query or "cases_due" in details, query
            assert "min(due)" not in query or "cases_due" in details, query
            assert "(gone = 0 OR" not in query or "cases_current" in details, query
    assert len(queries) == 12


# --- the file ------------------------------------------------------------------------------------

DIE = """
import os, signal, sys
from pathlib import Path
from gcwatch.core.events import FolderSettled, Withdrawn
from gcwatch.journal.journal import Journal
book = Journal(Path(sys.argv[1]))
key = book.open_case("lobes", "p1").key
book.record(key, FolderSettled())
print(key, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_in_the_place_of_the_state_folder_is_noticed(tmp_path):
    """As a folder that is removed."""
    with closing(Journal(tmp_path / "state")) as book:
        assert book.is_in_place()
        (tmp_path / "state").rename(tmp_path / "elsewhere")
        (tmp_path / "state").touch()
        assert not book.is_in_place()


def test_a_commit_that_returned_survives_sigkill(tmp_path):
    """What was recorded is there after the process was killed."""
    died = subprocess.run(
        [sys.executable, "-c", DIE, tmp_path], check=False, stdout=subprocess.PIPE, text=True
    )

    assert died.returncode == -signal.SIGKILL
    with closing(Journal(tmp_path)) as book:
        assert book.case(died.stdout.strip()).settled is not None


def test_it_is_written_through_to_the_disk_and_read_by_its_owner_only(tmp_path):
    """WAL with FULL synchronisation survives a power cut; folder names are in it."""
    with closing(Journal(tmp_path)) as book, book._database.writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)

        modes = {path.stat().st_mode & 0o777 for path in tmp_path.glob("journal*")}

    assert modes == {0o600}


def test_a_full_disk_loses_nothing_that_was_recorded(book):
    """An event that finds no room is not recorded at all; with room it is, later."""
    key = book.open_case("lobes", "p1").key
    before = book.case(key)
    big = events.Planned((Input("x", "value", value="x" * 10**6),), EVENTS[2].target)
    [pages] = book._database._connection.execute("PRAGMA page_count").fetchone()
    book._database._connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(JournalUnavailable, match="full"):
        book.record(key, big)

    assert fold(book, key) == book.case(key) == before
    book._database._connection.execute("PRAGMA max_page_count = 1000000")
    assert book.record(key, big).inputs == big.inputs


def test_only_one_daemon_works_on_a_state_directory(tmp_path):
    """The second is told which process is there; when the first is gone it may."""
    with (
        only_daemon(tmp_path),
        pytest.raises(StateError, match=f"process {os.getpid()}"),
        only_daemon(tmp_path),
    ):
        pass

    with only_daemon(tmp_path):
        pass


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """SQLite's write-ahead log promises nothing on a share."""
    partition = type(psutil.disk_partitions(all=True)[0])
    mounted = partition("server:/share", str(tmp_path), "nfs4", "rw")
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [mounted])

    with pytest.raises(StateError, match="nfs4"):
        Journal(tmp_path / "state")

    assert not (tmp_path / "state").exists()


def test_a_damaged_file_is_refused_and_left_alone(tmp_path):
    """What can't be read may still be mended by hand."""
    (tmp_path / JOURNAL_FILE).write_bytes(b"no journal" * 100)

    with pytest.raises(JournalDamaged, match="is damaged"):
        Journal(tmp_path)

    assert (tmp_path / JOURNAL_FILE).read_bytes() == b"no journal" * 100


# --- versions ------------------------------------------------------------------------------------


OLD_KINDS = [
    *(("Found", "folder_found"), ("Changed", "folder_changed"), ("Settled", "folder_settled")),
    *(("Planned", "planned"), ("Begun", "upload_started"), ("Uploaded", "upload_completed")),
    *(("Prepared", "session_created"), ("Attempted", "submission_attempted")),
    *(("Faltered", "attempt_failed"), ("Submitted", "submitted")),
    ("StillRunning", "still_running"),
]


def write_version_1(state):
    """A journal as version 1 wrote it, with one running case."""
    with closing(Journal(state / "now")) as now:
        key = now.open_case("lobes", "p1").key
        for event in EVENTS:
            now.record(key, event)
    columns = "key, route, folder, newest, open, stage, gone, stamp, due, record"
    with closing(sqlite3.connect(state / JOURNAL_FILE)) as old:
        for statement in sqlite.VERSIONS[0]:
            old.execute(statement)
        old.execute("ATTACH ? AS now", [str(state / "now" / JOURNAL_FILE)])
        old.execute(f"INSERT INTO cases ({columns}) SELECT {columns} FROM now.cases")
        old.execute("INSERT INTO events SELECT * FROM now.events")
        old.execute(
            "UPDATE cases SET record = json_remove(json_set(record, '$.job',"
            " json(record -> '$.submission')), '$.submission', '$.job.parent', '$.job.filled')"
        )
        old.execute(
            "UPDATE events SET record = json_remove(json_set(record, '$.job', record ->> '$.pk'),"
            " '$.pk', '$.filled') WHERE kind = 'submitted'"
        )
        old.executemany("UPDATE events SET kind = ? WHERE kind = ?", OLD_KINDS)
        old.execute("PRAGMA user_version = 1")
        old.commit()
    return key


def test_an_older_journal_is_upgraded_and_a_copy_is_kept(tmp_path):
    """Its cases, their histories and their jobs are found; the old file lies beside it."""
    key = write_version_1(tmp_path)

    with closing(Journal(tmp_path)) as book:
        assert book.upgraded_from == 1
        assert book.knows("j")
        assert fold(book, key) == book.case(key)
        with book._database.writing() as connection:
            [touched] = connection.execute("SELECT touched FROM cases").fetchone()
        assert touched == book.case(key).touched

    copy = tmp_path / "journal.v1"
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(Journal(tmp_path)) as book:
        assert book.upgraded_from is None


@pytest.mark.parametrize("old", [False, True])
def test_a_journal_may_be_opened_by_many_at_once(tmp_path, old):
    """Each finds it made or upgraded, by whoever came first; the copy is of what was before."""
    for number in range(10):
        state = tmp_path / str(number)
        state.mkdir()
        if old:
            write_version_1(state)

        with ThreadPoolExecutor(6) as pool:
            for book in pool.map(lambda _, state=state: Journal(state), range(6)):
                book.close()

        if old:
            with closing(sqlite3.connect(state / "journal.v1")) as copy:
                assert copy.execute("PRAGMA user_version").fetchone() == (1,)


def test_an_upgraded_journal_is_laid_out_like_a_new_one(tmp_path):
    """There are no two kinds of a version."""
    write_version_1(tmp_path)
    Journal(tmp_path).close()
    Journal(tmp_path / "new").close()

    layouts = []
    for state in (tmp_path, tmp_path / "new"):
        with closing(sqlite3.connect(state / JOURNAL_FILE)) as connection:
            layouts.append(sorted(connection.execute("SELECT name, sql FROM sqlite_master")))

    assert layouts[0] == layouts[1]


def test_a_newer_journal_is_refused_and_left_alone(tmp_path):
    """An older program does not guess what a newer one meant."""
    Journal(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StateError, match="newer gcwatch"):
        Journal(tmp_path)


def test_damage_that_comes_later_is_told_as_that(tmp_path):
    """A page that is overwritten while the journal is open is no full disk and no fault."""
    with closing(Journal(tmp_path)) as journal:
        for number in range(100):
            journal.open_case("lobes", f"p{number}")
    content = bytearray((tmp_path / JOURNAL_FILE).read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (tmp_path / JOURNAL_FILE).write_bytes(content)

    with closing(Journal(tmp_path)) as journal, pytest.raises(JournalDamaged, match="is damaged"):
        list(journal.cases())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_or_read_only_disk_may_pass(tmp_path, code):
    """It is no mistake of the config: who starts then waits."""
    found = sqlite.no_access_error(tmp_path, OSError(code, os.strerror(code)))
    assert isinstance(found, JournalUnavailable)
    assert os.strerror(code) in str(found)


def test_packed_cases_leave_their_room_to_others(book, tmp_path):
    """The record of a case fills a page of the file; packed, many cases share one."""
    empty = used_bytes(tmp_path)
    target = EVENTS[2].target
    keys = [book.open_case("a", f"p{number}").key for number in range(24)]
    for key in keys:
        book.record(key, EVENTS[0])
        book.record(key, events.Planned((Input("x", "value", value="x" * 3000),), target))
        book.record(key, events.Withdrawn())
    before = [book.case(key) for key in keys]
    assert used_bytes(tmp_path) - empty > len(keys) * 2 * 4096

    book.pack_closed_cases(2e10, len(keys))

    assert used_bytes(tmp_path) - empty < len(keys) * 2048
    assert [book.case(key) for key in keys] == before


def used_bytes(state):
    """The bytes of the file that no new row could use: its pages, without the free ones."""
    with closing(sqlite3.connect(state / JOURNAL_FILE)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size
