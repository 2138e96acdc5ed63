"""Of the hosts that share a journal one works on a case; who comes late records nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import fold, open_journal

from gcwatch.config.values.journal_address import parse_journal_address
from gcwatch.core import events
from gcwatch.core.errors import LeaseLost
from gcwatch.journal.hosts.leases import GRACE, elapsed_seconds

SECONDS = 3600.0
"""So long that no machine is too slow: time passes where a test says so."""
LATE_BY = 0.01


@pytest.fixture
def hosts(database):
    """The journals of two hosts."""
    place = parse_journal_address(database, Path())
    with (
        closing(open_journal(place, host="one", lease=SECONDS)) as one,
        closing(open_journal(place, host="two", lease=SECONDS)) as two,
    ):
        yield one, two


def let_pass(book, seconds):
    """What is on record now was so many seconds earlier."""
    with book._database.beside() as connection:
        connection.execute("UPDATE leases SET until = until - :seconds", {"seconds": seconds})


def ends_in(book, name):
    """In how many seconds a lease ends, by the database's clock."""
    query = """SELECT until - extract(epoch FROM clock_timestamp())::float8
        FROM leases WHERE name = :name"""
    with book._database.reading() as connection:
        return connection.execute(query, {"name": name}).fetchone()[0]


def test_one_host_at_a_time_has_a_lease(hosts):
    """Another one gets none until it has ended, and the fence is higher then."""
    one, two = hosts
    first = one.leases.claim("k")

    assert two.leases.claim("k") is None
    assert two.leases.claim("k", at_once=True) is None
    assert one.leases.owners() == two.leases.owners(["k"]) == {"k": "one"}

    let_pass(one, SECONDS + LATE_BY)
    assert two.leases.owners() == {}
    second = two.leases.claim("k", at_once=True)
    assert second.fence > first.fence
    assert one.leases.claim("k", at_once=True) is None
    assert one.leases.owners() == {"k": "two"}


def test_a_host_never_thinks_that_its_lease_lasts_longer_than_it_does(hosts):
    """It counts from before it asked, and by a clock that nobody sets."""
    one, _ = hosts
    lease = one.leases.claim("k")
    for change in (
        lambda: None,
        lambda: one.leases.renew([lease]),
        lambda: one.leases.extend(lease, 2 * SECONDS),
    ):
        change()
        left = ends_in(one, "k")
        assert lease.ends - elapsed_seconds() <= left
    assert ends_in(one, "k") > SECONDS
    assert not lease.is_over


def test_who_worked_on_it_last_may_go_on_a_little_earlier(hosts):
    """What it has prepared lies on its own disk; then any host may."""
    one, two = hosts
    one.leases.release(one.leases.claim("k"))

    assert two.leases.claim("k") is None
    lease = one.leases.claim("k")
    one.leases.release(lease)
    let_pass(one, GRACE * SECONDS + LATE_BY)
    assert two.leases.claim("k").fence > lease.fence


def test_of_many_that_ask_at_once_one_gets_it(hosts):
    """Nobody waits for another one, and nobody is forgotten."""
    names = [f"k{number}" for number in range(8)]
    together = threading.Barrier(len(hosts))

    def claim(book):
        together.wait()
        return {name for name in names if book.leases.claim(name)}

    with ThreadPoolExecutor(len(hosts)) as pool:
        one, two = pool.map(claim, hosts)
    assert one | two == {*names}
    assert not one & two


@pytest.mark.parametrize("taken_by", ["two", "one"])
def test_who_has_lost_a_lease_records_nothing(hosts, taken_by):
    """Another host, or this one in a later life, works on the case by now."""
    one, two = hosts
    case = one.open_case("r", "p")
    lease = one.leases.claim(case.key)
    before = one.record(case.key, events.FolderSettled(), lease=lease)

    let_pass(one, SECONDS + LATE_BY)
    taker = {"one": one, "two": two}[taken_by]
    newer = taker.leases.claim(case.key, at_once=True)
    for late in (
        lambda: one.record(case.key, events.Withdrawn(), lease=lease),
        lambda: one.open_case("r", "p2", lease=lease),
        lambda: one.leases.extend(lease, 1.0),
    ):
        with pytest.raises(LeaseLost):
            late()
        assert lease.is_over
    one.leases.release(lease)

    assert one.case(case.key) == before == fold(two, case.key)
    assert one.known("r", ["p2"]) == {}
    after = taker.record(case.key, events.Withdrawn(), lease=newer)
    assert after == one.case(case.key) != before


def test_a_lease_that_ended_is_good_as_long_as_nobody_else_has_asked(hosts):
    """What was done meanwhile is recorded: no other host can have done it."""
    one, two = hosts
    case = one.open_case("r", "p")
    lease = one.leases.claim(case.key)
    let_pass(one, 10 * SECONDS)

    one.record(case.key, events.Withdrawn(), lease=lease)

    assert not lease.is_over
    assert two.leases.claim(case.key) is None


def test_a_lease_is_renewed_unless_it_is_lost(hosts):
    """The other leases are renewed all the same."""
    one, two = hosts
    lost, kept = one.leases.claim("lost"), one.leases.claim("kept")
    let_pass(one, SECONDS + LATE_BY)
    assert two.leases.claim("lost", at_once=True)

    one.leases.renew([lost, kept])

    assert lost.is_over
    assert not kept.is_over
    assert ends_in(one, "kept") > SECONDS / 2
    assert two.leases.owners() == {"lost": "two", "kept": "one"}


def test_a_lease_lasts_longer_than_a_call_until_its_end_is_recorded(hosts):
    """Renewals do not shorten it; the record of what the call did does."""
    one, _ = hosts
    case = one.open_case("r", "p")
    lease = one.leases.claim(case.key)

    one.leases.extend(lease, 4 * SECONDS)
    one.leases.renew([lease])
    assert ends_in(one, case.key) > 3 * SECONDS
    one.record(case.key, events.FolderSettled(), lease=lease)
    assert ends_in(one, case.key) <= SECONDS


def test_cases_on_which_another_host_works_are_not_due(hosts):
    """Nor were they the next; once the lease and the time after it have ended, they are."""
    one, two = hosts
    held, other = one.open_case("r", "p1"), one.open_case("r", "p2")
    now = other.touched + 1
    one.leases.claim(held.key)

    assert [each.key for each in one.due(["r"], now, 9)] == [held.key, other.key]
    assert [each.key for each in two.due(["r"], now, 9)] == [other.key]
    let_pass(one, SECONDS + LATE_BY)
    assert [each.key for each in two.due(["r"], now, 9)] == [other.key]
    let_pass(one, GRACE * SECONDS)
    assert [each.key for each in two.due(["r"], now, 9)] == [held.key, other.key]


def test_hosts_whose_clocks_differ_by_an_hour_record_one_time(database):
    """The database's; and each knows by how much its own is wrong."""
    place = parse_journal_address(database, Path())
    with (
        closing(open_journal(place, lambda: 1_000_000.0, host="one")) as one,
        closing(open_journal(place, lambda: 1_003_600.0, host="two")) as two,
    ):
        key = one.open_case("r", "p").key
        two.record(key, events.FolderSettled())
        one.record(key, events.Withdrawn())
        times = [each.at for each in one.history(key)]
        assert times == sorted(times)
        assert times[-1] - times[0] < 60.0
        assert one._database.clock() == pytest.approx(two._database.clock(), abs=60.0)


def test_the_host_of_a_journal_of_its_own_gets_every_lease(tmp_path):
    """There is nobody who could take over."""
    with closing(open_journal(tmp_path)) as book:
        case = book.open_case("r", "p")
        leases = [book.leases.claim(case.key) for _ in range(2)]
        assert not any(lease.is_over for lease in leases)
        book.leases.release(leases[1])
        assert not book.record(case.key, events.Withdrawn(), lease=leases[0]).is_open


def test_leases_that_ended_a_day_ago_are_forgotten(hosts):
    """Who gets one of the same name afterwards has a higher fence than all before."""
    one, two = hosts
    first = one.leases.claim("old")
    let_pass(one, SECONDS + 24 * 3600.0)
    kept = one.leases.claim("new")
    one.leases.forget_ended()

    with one._database.reading() as connection:
        names = connection.execute("SELECT name FROM leases").fetchall()
    assert [name for (name,) in names] == [kept.name]
    assert two.leases.claim("old").fence > first.fence
