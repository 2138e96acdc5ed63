"""The journal that the last release wrote is opened, upgraded and gone on with."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.builders import Site, check_history
from support.contract import IMAGE, TARGETS

from gcwatch.core import checklist, events, folding
from gcwatch.journal.journal import Journal
from gcwatch.journal.schema import JOURNAL_FILE, VERSIONS

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
