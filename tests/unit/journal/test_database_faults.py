"""A database that goes away loses no record, doubles none, and is used again once it answers."""

from contextlib import closing, suppress
from pathlib import Path

import pytest
from support import postgres as real_postgres
from support.cutter import Cutter
from support.databases import Databases, prepare_databases
from support.journals import fold, open_journal
from support.postgres import PostgresServer

from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.core import events
from gcwatch.core.errors import JournalUnavailable
from gcwatch.core.reasons import Reason
from gcwatch.journal.databases.postgres_connection import BoundedConnection

pytestmark = pytest.mark.skipif(
    bool(real_postgres.missing()), reason=real_postgres.missing() or "it is here"
)

WAY = (events.Rejected(Reason("job_failed")), events.FailureReported())
KINDS = ["folder_found", *(each.kind for each in WAY)]


def address(url):
    return parse_journal_address(url, Path())


@pytest.fixture
def cutter(postgres):
    with Cutter(postgres.folder) as between:
        yield between


def go_on(book, folder):
    """Do what is missing of a case, from what is on record, as a daemon does; return its key."""
    case = book.known("r", [folder]).get(folder) or book.open_case("r", folder)
    done = {each.event.kind for each in book.history(case.key)}
    for event in WAY:
        if event.kind not in done:
            book.record(case.key, event)
    return case.key


def live(book, folder):
    """Go on until it is done; return how often the database was away."""
    for times in range(5):
        try:
            go_on(book, folder)
        except JournalUnavailable:
            continue
        return times
    raise AssertionError("it never answers")


def check_once(book, folder):
    """All of it is on record, once."""
    key = book.known("r", [folder])[folder].key
    assert [each.event.kind for each in book.history(key)] == KINDS
    assert fold(book, key) == book.case(key)


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_may_be_cut_at_every_statement_of_a_case(database, cutter, after):
    """Each record is made once or not at all, and the next try goes on from what there is."""
    with closing(open_journal(address(cutter.url(database)))) as book:
        before = cutter.statements
        assert live(book, "whole") == 0
        statements = cutter.statements - before
        aways = 0
        for number in range(1, statements + 1):
            cutter.cut_at(number, after=after)
            aways += live(book, f"p{number}")
            assert cutter.has_cut()
            check_once(book, f"p{number}")
        assert book.counts() == {"failed": statements + 1}
        assert 0 < aways <= statements


@pytest.mark.prove
@pytest.mark.parametrize("after", [False, True])
def test_a_connection_may_be_cut_at_every_statement_of_an_opening(database, cutter, after):
    """It is told as what may pass, and the next opening is whole."""
    place = address(cutter.url(database))
    open_journal(place).close()
    for number in range(1, cutter.statements + 1):
        cutter.cut_at(number, after=after)
        with suppress(JournalUnavailable):
            open_journal(place).close()
        assert cutter.has_cut()
    with closing(open_journal(place)) as book:
        live(book, "p")
        check_once(book, "p")


def test_what_was_committed_survives_a_kill_of_the_database():
    """Also where the server's own setting lets commits return before they are in its log."""
    with PostgresServer(synchronous_commit="off", wal_writer_delay="10s") as server:
        prepare_databases(server.folder)
        with Databases(server.folder) as databases:
            place = address(databases.url(databases.create()))
        with closing(open_journal(place)) as book:
            for killed in range(3):
                key = go_on(book, f"p{killed}")
                with pytest.raises(JournalUnavailable):
                    _kill_while_it_writes(book, key, server)
                with pytest.raises(JournalUnavailable):
                    book.counts()
                server.start()
                check_once(book, f"p{killed}")
            assert book.counts() == {"failed": 3}


def _kill_while_it_writes(book, key, server):
    with book._database.writing() as connection:
        connection.execute("UPDATE cases SET stage = 'lost' WHERE key = :key", {"key": key})
        server.kill()


def test_a_host_that_freezes_holds_the_others_up_for_seconds_only(database, cutter):
    """The server ends its transaction; when it comes back, it has recorded nothing."""
    with (
        closing(open_journal(address(cutter.url(database)))) as frozen,
        closing(open_journal(address(database), host="two")) as other,
    ):
        key = other.open_case("r", "p").key
        with pytest.raises(JournalUnavailable):
            _freeze_while_it_writes(frozen, cutter, lambda: other.record(key, events.Withdrawn()))
        assert frozen.case(key) == other.case(key) == fold(other, key)
        assert frozen.counts() == {"withdrawn": 1}


def _freeze_while_it_writes(book, cutter, meanwhile):
    setting = "idle_in_transaction_session_timeout"
    with book._database.writing() as connection:
        connection.execute("UPDATE cases SET stage = 'lost'")
        assert connection.execute(f"SHOW {setting}").fetchone()[0] == "10s"
        connection.execute(f"SET LOCAL {setting} = '300ms'")  # the test need not take so long
        cutter.freeze()
        meanwhile()
        cutter.heal()


def test_a_server_that_is_frozen_is_given_up_and_used_again_later(database, cutter, monkeypatch):
    """Its kernel still answers, so that no time-out of the network ends the waiting."""
    with closing(open_journal(address(cutter.url(database)))) as book:
        case = book.open_case("r", "p")
        with (
            monkeypatch.context() as impatient,
            pytest.raises(JournalUnavailable, match="has not answered"),
        ):
            _write_while_it_is_frozen(book, cutter, impatient)
        cutter.heal()
        assert book.record(case.key, events.Withdrawn()).ending == "withdrawn"


def _write_while_it_is_frozen(book, cutter, impatient):
    with book._database.writing() as connection:
        cutter.freeze()
        impatient.setattr(BoundedConnection, "longest_seconds", 0.3)
        connection.execute("UPDATE cases SET stage = 'lost'")
