"""What the daemon does once an hour: old closed cases take less room in the journal."""

import sqlite3
import time
from contextlib import closing

import pytest
from support.builders import Site, check_history

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
