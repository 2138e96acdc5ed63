"""A journal moves to a database and back with all that it knows, and is used in one place only."""

import time
from contextlib import closing
from dataclasses import replace

import pytest
from support.builders import Site, check_history
from support.case_path import PATH

from gcwatch import config
from gcwatch.core import events
from gcwatch.core.errors import Misused, StateError
from gcwatch.core.reasons import Reason
from gcwatch.journal.hosts.ownership import this_owner
from gcwatch.journal.hosts.presence import only_daemon
from gcwatch.journal.journal import Journal
from gcwatch.journal.moving import move_to_database, move_to_state_directory
from gcwatch.journal.route_identity import RouteIdentity


class Nowhere:
    """A sandbox that nothing is asked of."""

    url, token = "https://127.0.0.1:1/api/v1/", "none"


@pytest.fixture
def site(tmp_path):
    """A site whose journal has cases of every sort: packed, pruned, renamed, failed and open."""
    site = Site(tmp_path / "site", Nowhere())
    with site.watch() as watch:
        journal = watch.journal
        journal.rename_routes({"old": RouteIdentity(site.inbox, "algorithm/copy-image")})
        keys = [journal.open_case("old", f"p{number}").key for number in range(4)]
        for _, _, event in PATH[1:]:
            journal.record(keys[0], event)
            journal.record(keys[1], event)
        journal.pack_closed_cases(time.time() + 60, 1)
        journal.record(keys[1], events.FolderRemoved())
        journal.drop([keys[1]], time.time() + 60)
        journal.record(keys[2], events.Rejected(Reason("job_failed")))
        journal.record(keys[2], events.FailureReported())
        journal.rename_routes({"lobes": RouteIdentity(site.inbox, "algorithm/copy-image")})
    return site


def all_of(journal):
    """What a journal tells, of all that can be asked of it."""
    cases = [*journal.cases()]
    return (
        [(case, journal.history(case.key)) for case in cases],
        [journal.current("lobes"), journal.counts_by_route(), journal.totals(), journal.latest()],
        [journal.pruned_keys(), journal.is_of_pruned("j"), journal.last_progress()],
    )


def with_database(site, database):
    """The settings of a site whose config names a database."""
    site.file.write_text(f'journal = "{database}"\n' + site.file.read_text())
    return config.load(site.file)


def no_progress(_):
    """Nothing is drawn."""


def test_a_journal_moves_to_a_database_and_back_with_all_that_it_knows(site, database):
    """Cases, events and their numbers, totals, what was pruned, the owner's identity, the key."""
    state = site.state
    with closing(Journal(state)) as journal:
        before = all_of(journal)
    owner = this_owner(state).identity
    settings = with_database(site, database)

    assert move_to_database(settings, time.time, no_progress) == 3

    key = (state / "pseudonyms.key").read_bytes()
    with site.watch() as watch:
        assert all_of(watch.journal) == before
        assert watch.journal.hosts.owner().identity == owner != this_owner(state).identity
        assert watch.journal.shared_key() == key
        late = watch.journal.open_case("lobes", "late")
        assert watch.journal.latest() == before[1][3] + 1
        check_history(watch)
        after = all_of(watch.journal)
    (state / "pseudonyms.key").unlink()

    assert move_to_state_directory(settings, time.time, no_progress) == 4

    with closing(Journal(state)) as journal:
        assert all_of(journal) == after
        assert [*journal.cases()][-1] == late
        assert this_owner(state).identity == owner
    assert (state / "pseudonyms.key").read_bytes() == key


def test_the_journal_that_was_left_is_not_used_again(site, database):
    """It would send all folders once more; each place names the other one."""
    settings = with_database(site, database)
    move_to_database(settings, time.time, no_progress)

    with pytest.raises(StateError, match="was moved to postgresql://"):
        Journal(site.state)

    move_to_state_directory(settings, time.time, no_progress)

    with pytest.raises(StateError, match="was moved to /"), site.watch():
        pass


def test_a_journal_is_not_moved_while_gcwatch_works_or_onto_another(site, database):
    """Nothing is changed: the state directory's journal is used as before."""
    with pytest.raises(Misused, match="names no database"):
        move_to_database(config.load(site.file), time.time, no_progress)
    settings = with_database(site, database)
    with only_daemon(site.state), pytest.raises(StateError, match="Another gcwatch"):
        move_to_database(settings, time.time, no_progress)
    with site.watch() as watch:
        watch.journal.hosts.join()
        with pytest.raises(StateError, match="gcwatch works by postgresql://"):
            move_to_database(settings, time.time, no_progress)
        watch.journal.hosts.leave()
        watch.journal.open_case("lobes", "p1")
    with pytest.raises(StateError, match="has cases already"):
        move_to_database(settings, time.time, no_progress)

    with closing(Journal(site.state)) as journal:
        assert len([*journal.cases()]) == 3


def test_a_case_that_is_not_what_its_events_make_of_it_is_not_copied(site, database):
    """The copy is refused as a whole, and names the case."""
    with closing(Journal(site.state)) as journal:
        [case] = journal.called("p3")
        wrong = "UPDATE cases SET record = replace(record, '\"round\": 1', '\"round\": 7')"
        with journal._database.writing() as connection:
            connection.execute(f"{wrong} WHERE key = '{case.key}'")
        assert journal.case(case.key) == replace(case, round=7)
    settings = with_database(site, database)

    with pytest.raises(StateError, match=f"case {case.key} is not what its events"):
        move_to_database(settings, time.time, no_progress)

    with site.watch() as watch:
        assert not [*watch.journal.cases()]
    with closing(Journal(site.state)):
        pass
