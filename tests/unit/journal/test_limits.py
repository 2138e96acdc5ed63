"""Limits of an account: all hosts see them, one decides at a time, and they end by themselves."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import open_journal

from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.core.errors import NotYet
from gcwatch.journal.hosts.limits import REMEMBERED_SECONDS
from gcwatch.targets.upload_quota import UploadQuota

SECONDS = 3600.0


@pytest.fixture
def limits(journal_place):
    with closing(open_journal(journal_place)) as journal:
        yield journal.limits


@pytest.fixture
def hosts(database):
    """The journals of two hosts."""
    place = parse_journal_address(database, Path())
    with (
        closing(open_journal(place, host="one")) as one,
        closing(open_journal(place, host="two")) as two,
    ):
        yield one, two


def let_pass(book, seconds):
    """What is on record now was so many seconds earlier."""
    with book._database.beside() as connection:
        connection.execute("UPDATE limits SET until = until - :seconds", {"seconds": seconds})


def test_a_limit_holds_for_as_long_as_any_host_said(limits):
    limits.set("busy", SECONDS)
    limits.set("busy", 1)
    assert SECONDS / 2 < limits.all()["busy"].left <= SECONDS
    limits.remove("busy")
    assert not limits.all()


def test_a_limit_that_has_ended_is_taken_once(limits):
    """Of several hosts that wait for its end, one asks the platform again."""
    limits.set("token", -1)
    assert limits.all()["token"].left < 0
    assert [limits.take("token", SECONDS) for _ in range(3)] == [True, False, False]


def test_a_decision_that_is_refused_changes_nothing(limits):
    limits.decide("uploads:a", SECONDS, lambda _: 3)
    with pytest.raises(NotYet):
        UploadQuota(lambda: {"a": 0, "b": 0}, limits, 5).claim_uploads("b", 3)
    assert {name: each.number for name, each in limits.all().items()} == {"uploads:a": 3}

    UploadQuota(lambda: {"a": 3, "b": 0}, limits, 5).release_uploads("a")
    UploadQuota(lambda: {"b": 0}, limits, 5).claim_uploads("b", 3)


def test_two_hosts_that_claim_at_the_same_moment_do_not_get_more_than_there_is(hosts):
    """The second one decides when the first one has."""
    one, two = hosts
    held = {"a": 0, "b": 0}
    later = []

    def held_late():
        later.append(pool.submit(UploadQuota(lambda: held, two.limits, 5).claim_uploads, "b", 3))
        waits = """SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database
            WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"""
        while not one._ask(waits)[0][0]:
            assert not later[0].done()
        return held

    with ThreadPoolExecutor(1) as pool:
        UploadQuota(held_late, one.limits, 5).claim_uploads("a", 3)
        with pytest.raises(NotYet):
            later[0].result()


def test_what_a_lost_host_has_claimed_ends_by_itself(hosts):
    """And its row is removed at last."""
    one, two = hosts
    held = {"a": 0, "b": 0}
    UploadQuota(lambda: held, one.limits, 5).claim_uploads("a", 3)
    let_pass(one, REMEMBERED_SECONDS + 1)
    UploadQuota(lambda: held, two.limits, 5).claim_uploads("b", 3)
    let_pass(one, REMEMBERED_SECONDS)
    two.limits.decide("uploads:b", SECONDS, lambda _: 3)
    assert set(two.limits.all()) == {"uploads:b"}
