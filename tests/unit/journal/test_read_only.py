"""A journal that is only looked at: as it is at each question, by the config's names, untouched."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from support.builders import Site

from gcwatch import config
from gcwatch.core.errors import JournalUnavailable
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, VERSIONS
from gcwatch.journal.databases.sqlite_read_only import ReadOnlySqlite
from gcwatch.journal.journal import Journal
from gcwatch.journal.read_only import read_only_journal

OLD = Path(__file__).with_name("journal-643d7b5.sqlite")


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def state_of(site):
    """Names, sizes and times of all that is in the state directory, and of the directory."""
    found = [site.state, *site.state.rglob("*")]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def test_a_journal_that_nobody_has_open_is_read_where_it_lies(site):
    """No copy, no side file, no lock, no change of a time."""
    with closing(Journal(site.state)) as journal:
        key = journal.open_case("lobes", "p1").key
    before = state_of(site)
    with read_only_journal(config.load(site.file)) as journal:
        assert journal.place == str(site.state / JOURNAL_FILE)
        assert [each.case.key for each in journal.whole_cases()] == [key]
        assert [each.key for each in journal.outlines()] == [key]
        assert state_of(site) == before
    assert state_of(site) == before


def test_what_is_recorded_meanwhile_is_read(site):
    """By a daemon that starts after the reader: its records are in a log beside the file."""
    with closing(Journal(site.state)) as journal:
        journal.open_case("lobes", "p1")
    with read_only_journal(config.load(site.file)) as reader:
        assert len(list(reader.cases())) == 1
        with closing(Journal(site.state)) as journal:
            key = journal.open_case("lobes", "p2").key
            assert reader.case(key) == journal.case(key)
        assert len(list(reader.cases())) == 2
    # Nothing that the daemon would have removed at its end is left.
    assert [path.name for path in site.state.glob(f"{JOURNAL_FILE}-*")] == []


def test_an_answer_of_two_moments_is_none(tmp_path):
    """A file that nobody had open is read without a lock: a write meanwhile spoils the answer."""
    Journal(tmp_path).close()
    looked = ReadOnlySqlite(tmp_path, float).reading()
    looked.__enter__()
    with closing(Journal(tmp_path)) as journal:
        journal.open_case("lobes", "p1")
    with pytest.raises(JournalUnavailable, match="written while it was read"):
        looked.__exit__(None, None, None)


def test_a_route_with_a_new_name_finds_its_cases(site):
    """The journal learns the name once gcwatch runs; until then it is read by both names."""
    site.drop("p1")
    site.run_once()
    key = site.case().key
    site.file.write_text(site.file.read_text().replace('"lobes"', '"lungs"', 1))
    before = state_of(site)
    with read_only_journal(config.load(site.file)) as journal:
        assert journal.known("lungs", ["p1"])["p1"].key == key
        assert journal.current("lungs").keys() == {"p1"}
        assert [case.route for case in journal.latest_cases("lungs")] == ["lungs"]
        assert [each.route for each in journal.outlines()] == ["lungs"]
        assert [each.case.key for each in journal.whole_cases_in("lungs", "p1")] == [key]
        assert journal.known("lobes", ["p1"]) == {}
    assert state_of(site) == before


def test_an_older_journal_is_read_from_an_upgraded_copy(site):
    """The next start of gcwatch upgrades it, and nobody else."""
    site.state.mkdir()
    shutil.copy(OLD, site.state / JOURNAL_FILE)
    before = state_of(site)
    with read_only_journal(config.load(site.file)) as journal:
        cases = list(journal.whole_cases())
        assert {each.case.key for each in cases} == {each.key for each in journal.cases()}
        assert all(each.events for each in cases)
        assert journal.place != str(site.state / JOURNAL_FILE)
    assert state_of(site) == before
    with closing(Journal(site.state)) as journal:
        assert journal.upgraded_from not in {None, len(VERSIONS)}


def test_without_a_journal_an_empty_one_is_read(site):
    """A plan comes before the first start."""
    with read_only_journal(config.load(site.file)) as journal:
        assert list(journal.cases()) == []
    assert not (site.state / JOURNAL_FILE).exists()
