"""The journal that the last release wrote is opened, upgraded and gone on with."""

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.builders import Site, check_history
from support.contract import IMAGE, TARGETS

from gcwatch.core import checklist, events, folding
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, VERSIONS
from gcwatch.journal.journal import Journal
from gcwatch.journal.route_identity import RouteIdentity
from gcwatch.journal.totals import amount_of

OLD = Path(__file__).with_name("journal-643d7b5.sqlite")
"""Made by make_journal_643d7b5.py, beside it."""
ROUTES = {"algorithm": "lobes", "reader_study": "readers", "archive": "cts"}
ENDED = ("delivered", "failed", "withdrawn", "withdrawn")
SINCE = {
    events.Adopted,
    events.ContentIdentified,
    events.FolderCorrected,
    events.DeliveredFolderChanged,
    events.LateChangeTold,
    events.FolderRenamed,
    events.CommandCompleted,
    events.CommandFailed,
    events.CommandDropped,
}
"""Kinds of events that later versions added."""
OPEN = {"settling", "uploading", "submitting", "running", "delivering"}


@pytest.fixture
def state(tmp_path):
    """The state directory of whoever installs the present version over the last one."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    shutil.copy(OLD, state / JOURNAL_FILE)
    return state


def test_every_case_is_still_what_happened_to_it(state):
    """Every kind of event is read, and the cases that they make are those on record."""
    with closing(Journal(state)) as journal:
        assert (journal.upgraded_from, journal.version) == (5, len(VERSIONS))
        histories = [(case, journal.history(case.key)) for case in journal.cases()]

    recorded = {type(each.event) for _, history in histories for each in history}
    assert recorded == set(events.Event.__args__) - SINCE
    for case, history in histories:
        assert folding.fold_events(case.key, ((each.at, each.event) for each in history)) == case


def check_sums(journal):
    """What is counted beside the cases is what their histories add up to."""
    counts, totals = Counter(), Counter()
    for case in journal.cases():
        counts[case.route, checklist.stage(case)] += 1
        history = [(each.at, each.event) for each in journal.history(case.key)]
        for number, (_, event) in enumerate(history[1:], 1):
            amount = amount_of(folding.fold_events(case.key, history[:number]), event)
            if amount is not None:
                totals[case.route, amount.what, amount.reason] += amount.number
    assert journal.counts_by_route() == counts
    told = journal.totals()
    assert {
        **{(route, "delivered", ""): number for route, number in told.delivered.items()},
        **{(route, "uploaded", ""): number for route, number in told.uploaded.items()},
        **{(route, "failed", code): number for (route, code), number in told.failures.items()},
    } == +totals


def check_folds(journal):
    """Every case is the fold of its events."""
    for case in journal.cases():
        history = [(each.at, each.event) for each in journal.history(case.key)]
        assert folding.fold_events(case.key, history) == case


def test_what_is_counted_is_what_happened(state):
    """The counts and totals of a journal that had none are made from its events."""
    with closing(Journal(state)) as journal:
        check_sums(journal)
        assert journal.totals().delivered


def test_packed_cases_are_read_as_before(state):
    """Packing takes less room and changes nothing; what is recorded later unpacks a case."""
    with closing(Journal(state)) as journal:
        before = {case.key: (case, journal.history(case.key)) for case in journal.cases()}
        latest, totals = journal.latest(), journal.totals()
        closed = {key for key, (case, _) in before.items() if not case.is_open}
        assert journal.pack_closed_cases(before=2e9, limit=3) == 3
        while journal.pack_closed_cases(before=2e9, limit=3):
            pass
        assert packed(state) == closed
        assert (journal.latest(), journal.totals()) == (latest, totals)
        assert {case.key: (case, journal.history(case.key)) for case in journal.cases()} == before

        places = {name: RouteIdentity(state / name, "x") for name in ROUTES.values()}
        journal.rename_routes(places)
        journal.rename_routes({f"new-{name}": place for name, place in places.items()})
        for key, (case, _) in before.items():
            assert journal.case(key) == replace(case, route=f"new-{case.route}")
        check_folds(journal)
        assert packed(state) == closed
        standing = {key for key in closed if not before[key][0].gone}
        for key in standing:
            journal.record(key, events.FolderRemoved())
        assert packed(state) == closed - standing
        check_folds(journal)
        check_sums(journal)


def test_sizes_of_folders_are_known(state):
    """An upgrade writes down what the records say."""
    with closing(Journal(state)) as journal:
        seen = {case.key: case.last_seen for case in journal.cases()}
    with closing(sqlite3.connect(state / JOURNAL_FILE)) as connection:
        known = dict(connection.execute("SELECT key, bytes FROM cases"))
    assert known == {key: last.bytes if last else -1 for key, last in seen.items()}


def packed(state):
    with closing(sqlite3.connect(state / JOURNAL_FILE)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM cases WHERE record = ''")}


@pytest.mark.parametrize("kind", ROUTES)
def test_every_stage_of_every_kind_of_target_is_read(state, kind):
    """Cases under way and ended ones are where they were, by the name that their route has now."""
    with closing(Journal(state)) as journal:
        cases = [case for case in journal.cases() if case.route == ROUTES[kind]]

    assert sorted(case.ending for case in cases if case.ending) == sorted(ENDED)
    fetching = {"fetching"} if kind == "algorithm" else set()
    assert {checklist.stage(case) for case in cases if case.is_open} == OPEN | fetching
    assert {case.target.kind for case in cases if case.target} == {kind}
    assert [case.folder for case in cases if case.warnings and case.ending] == ["delivered"]


def test_the_file_is_one_of_the_last_release(state):
    """It has that release's version, and calls an event as its class was called then."""
    with closing(sqlite3.connect(state / JOURNAL_FILE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (5,)
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM events")}

    assert {"Found", "Begun", "Faltered", "Renamed"} <= kinds
    assert not kinds & {event.kind for event in events.Event.__args__}


@pytest.mark.parametrize("kind", ROUTES)
def test_open_cases_go_on_to_their_results(state, sandbox, kind):
    """What was settling, waiting to try again, or tried again by a person is sent and delivered."""
    going_on = ["retried", "settling", "waiting"]
    target = TARGETS[kind]
    site = Site(state.parent, sandbox, name=ROUTES[kind], **target.plain)
    with site.watch() as watch:
        cases = [case for case in watch.cases() if case.route == ROUTES[kind]]
        for case in cases:
            if case.is_open and case.folder not in going_on:
                watch.withdraw(case)
    for folder in going_on:
        site.drop(folder, IMAGE)

    site.run_once()

    assert site.results() == going_on
    assert {site.receipt(name)["key"] for name in going_on} == {
        case.key for case in cases if case.folder in going_on
    }
    assert len(target.made(sandbox)) == len(going_on)
    with site.watch() as watch:
        check_history(watch)
