"""What is known survives: events and cases agree, on either database, whoever writes."""

import itertools
import os
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from support.journals import EVENTS, SNAPSHOT, fold, open_journal

from gcwatch.core import events
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Every, Pace
from gcwatch.journal import reader
from gcwatch.journal.route_identity import RouteIdentity


@pytest.fixture
def book(journal_place):
    """A journal of its own for one test."""
    with closing(open_journal(journal_place)) as journal:
        yield journal


def test_a_case_is_due_at_the_pace_of_the_name_that_its_route_has_now(tmp_path):
    """A route may be renamed while a step of its case runs, which knows the old name only."""
    clock, paces = itertools.count(0, 10), {"new": Pace(poll=Every(3600.0))}
    journal = open_journal(
        tmp_path, lambda: float(next(clock)), lambda name: paces.get(name, Pace())
    )
    with closing(journal) as book:
        key = book.open_case("old", "p1").key
        inbox = RouteIdentity(tmp_path, "algorithm/lobes")
        book.rename_routes({"old": inbox})
        book.rename_routes({"new": inbox})
        for event in EVENTS:
            case = book.record(key, event)

        assert book.next_due(["new"]) == case.touched + 3600.0


# --- cases and events agree ----------------------------------------------------------------------


def test_a_case_is_the_fold_of_its_history(book):
    """After every event, the row of the case is what its events make of it."""
    key = book.open_case("lobes", "p1").key

    for event in EVENTS:
        recorded = book.record(key, event)

        assert fold(book, key) == recorded == book.case(key)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a:b %s 'c\\", "ü\n".encode(), bytes(range(1, 47))])
def test_a_folder_name_need_not_be_text(book, name):
    """It comes back as the same bytes."""
    folder = os.fsdecode(name)
    key = book.open_case("lobes", folder).key
    assert folder == book.case(key).folder
    assert list(book.known("lobes", [folder])) == list(book.current("lobes")) == [folder]
    assert fold(book, key) == book.case(key)


def test_two_writers_never_lose_each_other_s_events(journal_place):
    """The daemon and an operator's command, or two hosts, may write at the same time."""
    with (
        closing(open_journal(journal_place)) as one,
        closing(open_journal(journal_place, host="two")) as other,
    ):
        key = one.open_case("lobes", "p1").key
        postponed = events.Postponed(Reason("busy"), 1)

        def write(book):
            for _ in range(20):
                book.record(key, postponed)

        threads = [threading.Thread(target=write, args=[book]) for book in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(one.history(key)) == 41
        assert fold(one, key) == one.case(key) == other.case(key)


def test_an_event_of_an_earlier_round_is_dropped(book):
    """A worker that comes late with news of a withdrawn round changes nothing."""
    key = book.open_case("lobes", "p1").key
    book.record(key, events.Withdrawn())
    again = book.record(key, events.Retried())

    after = book.record(key, events.Submitted("j", ""), of_round=1)

    assert after == again
    assert after.submission is None


def test_keys_are_random_and_never_made_of_the_folder_s_name(book):
    """One folder dropped twice has two keys; neither tells its name."""
    keys = {book.open_case("lobes", "doe-john").key for _ in range(20)}

    assert len(keys) == 20
    assert all(key.startswith("lobes-") and "doe" not in key for key in keys)


# --- what is asked of it -------------------------------------------------------------------------


def test_only_open_cases_of_the_asked_routes_are_due_the_longest_first(book):
    """A closed case, a foreign route and a case that waits take no turn."""
    first = book.open_case("lobes", "p1")
    second = book.open_case("lobes", "p2")
    book.record(book.open_case("lobes", "p3").key, events.Withdrawn())
    book.record(book.open_case("lobes", "p4").key, events.Postponed(Reason("busy"), 1000))
    book.open_case("other", "p5")

    due = book.due(["lobes"], second.touched, 10)

    assert [case.key for case in due] == [first.key, second.key]
    assert [case.key for case in book.due(["lobes"], second.touched, 1)] == [first.key]


def test_a_folder_is_known_by_its_latest_case(book):
    """What intake sees of a folder that was dropped again is its newest case."""
    book.record(book.open_case("lobes", "p1").key, events.Withdrawn())
    latest = book.open_case("lobes", "p1")

    assert book.known("lobes", ["p1"]) == book.current("lobes")
    assert book.current("lobes")["p1"].key == latest.key
    assert book.current("lobes")["p1"].is_open


def test_a_scan_reads_open_cases_and_what_is_in_the_inbox(book):
    """However many closed cases there are whose folder is gone; one of them is found by name."""
    stands, gone, series, other = (
        book.open_case("lobes", name) for name in ("p1", "p2", "p3/1.2", "p30")
    )
    for each in (stands, gone, series, other):
        book.record(each.key, events.Rejected(Reason("job_failed")))
        book.record(each.key, events.FailureReported())
    for each in (gone, series, other):
        book.record(each.key, events.FolderRemoved())
    running = book.open_case("lobes", "p4")
    book.record(running.key, events.FolderRemoved())

    assert set(book.current("lobes")) == {"p1", "p4"}
    assert set(book.known("lobes", ["p2", "p3"])) == {"p2", "p3/1.2"}
    many = [f"p{number}" for number in range(1000)]
    assert set(book.known("lobes", many)) == {"p1", "p2", "p3/1.2", "p30", "p4"}
    assert book.known("lobes", []) == {}


def test_all_cases_are_read_a_few_at_a_time(book, monkeypatch):
    """Each once, oldest first, also those that come meanwhile."""
    monkeypatch.setattr(reader, "_PAGE_CASES", 3)
    keys = [book.open_case("lobes", f"p{number}").key for number in range(7)]
    cases = book.cases()
    found = [next(cases).key]
    keys.append(book.open_case("lobes", "late").key)
    assert found + [case.key for case in cases] == keys


def test_what_ended_is_counted_from_an_event_on(book):
    """Cases that ended before, and events after an end, do not count."""
    before, failed, withdrawn = (book.open_case("r", name).key for name in ("p1", "p2", "p3"))
    book.record(before, events.Rejected(Reason("job_failed")))
    book.record(before, events.FailureReported())
    start = book.latest()
    book.record(before, events.FolderRemoved())
    book.record(withdrawn, events.Withdrawn())
    book.record(failed, events.Rejected(Reason("job_failed")))
    book.record(failed, events.FailureReported())
    book.record(failed, events.FolderRemoved())
    assert book.ended_since(start) == {"failed": 1}


def test_what_needs_attention_is_open_failed_or_odd(book):
    """What was delivered as it should be is never read, however many there are."""
    waiting, failed, odd, fine, gone = (book.open_case("r", f"p{n}").key for n in range(5))
    other = book.open_case("s", "p").key
    for key in (failed, gone):
        book.record(key, events.Rejected(Reason("job_failed")))
        book.record(key, events.FailureReported())
    book.record(gone, events.FolderRemoved())
    book.record(odd, events.WarningFound(Reason("left_out")))
    for key in (odd, fine):
        book.record(key, events.Delivered("x"))

    assert [case.key for case in book.attention()] == [waiting, failed, odd, other]
    assert book.counts("r") == {"settling": 1, "failed": 2, "delivered": 2}

    assert [case.key for case in book.delivered("r", 9)] == [fine, odd]
    assert [case.key for case in book.delivered("r", 1)] == [fine]
    assert book.delivered("s", 9) == []

    again = book.open_case("r", "p1").key
    assert failed not in [case.key for case in book.attention()]
    assert again in [case.key for case in book.attention()]


def test_a_folder_of_the_same_size_may_be_a_twin(book):
    """As long as it is in the inbox, and its case has not failed; one that is new may be, too."""
    ours, other = (book.open_case("r", name).key for name in ("p1", "p2"))
    case = book.record(ours, events.FolderChanged(SNAPSHOT))
    assert book.may_have_twin(case)
    book.record(other, events.FolderChanged(SNAPSHOT))
    assert book.may_have_twin(case)
    book.record(other, events.FolderChanged(replace(SNAPSHOT, bytes=11)))
    assert not book.may_have_twin(case)
    book.record(other, events.FolderChanged(SNAPSHOT))
    book.record(other, events.Delivered("p2"))
    assert book.may_have_twin(case)
    book.record(other, events.FolderRemoved())
    assert not book.may_have_twin(case)


def test_a_job_is_known_once_it_is_on_record(book):
    """The search for a lost job passes over the jobs of other cases."""
    key = book.open_case("lobes", "p1").key
    assert not book.knows("j")

    for event in EVENTS:
        book.record(key, event)

    assert book.knows("j")
