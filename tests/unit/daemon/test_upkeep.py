"""What is done once an hour: only what is gcwatch's is removed, and old closed cases are packed."""

import sqlite3
import time
from contextlib import closing

import pytest
from support.builders import Site, check_history

from gcwatch.daemon.upkeep import clear_spool

DAY_SECONDS = 24 * 3600.0


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def packed(site):
    with closing(sqlite3.connect(site.state / "journal.sqlite")) as connection:
        rows = connection.execute("SELECT folder, packed IS NOT NULL FROM cases ORDER BY folder")
        return {folder.decode(): bool(is_packed) for folder, is_packed in rows}


def test_a_case_that_closed_a_day_ago_is_packed_and_still_works(site):
    """It is found, told, tried again, and its folder may be removed."""
    site.drop("p1")
    site.drop("p2")
    site.run_once()
    assert packed(site) == {"p1": False, "p2": False}
    with site.watch(clock=lambda: time.time() + 2 * DAY_SECONDS) as watch:
        watch.run_once()
        assert packed(site) == {"p1": True, "p2": True}
        check_history(watch)
        assert {case.folder: case.ending for case in watch.cases()} == dict.fromkeys(
            ("p1", "p2"), "delivered"
        )
        (site.inbox / "p1").rename(site.folder / "taken")
        again = watch.retry(watch.find("p2"))
        assert watch.run_once().delivered == 1
        assert watch.find("p1").gone
        assert watch.find("p2").key == again.key
        assert watch.counts() == {"delivered": 3}
        check_history(watch)
    assert site.delivered() == ["p1", "p2", "p2.2"]


@pytest.mark.parametrize("is_link", [False, True])
def test_only_folders_of_cases_are_removed_from_the_spool(sandbox, tmp_path, is_link):
    """The spool may be a link to a larger disk, on which other things are."""
    site, other = Site(tmp_path / "site", sandbox), tmp_path / "other"
    left = ("lobes-abcdefgh-1", "send-1-23456789-12")
    kept = ("home", "lobes", "backup-2026-11", "lobes-abcdefgh", "data-1")
    for name in (*left, *kept):
        (other / name).mkdir(parents=True)
    (other / "lobes-aaaaaaaa-1").symlink_to(other / "home")
    with site.watch() as watch:
        spool = site.state / "spool"
        if is_link:
            spool.symlink_to(other)
        else:
            other.rename(spool)
        clear_spool(spool, watch.journal)
    assert sorted(each.name for each in spool.iterdir()) == sorted((*kept, "lobes-aaaaaaaa-1"))
