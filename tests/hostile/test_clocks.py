"""Clocks and times of files that no calendar holds: told in words, and nothing ends."""

import os
import time
from types import SimpleNamespace

import pytest
from support.builders import Site, until

from gcwatch import config
from gcwatch.commands import check
from gcwatch.core.text import iso_time, local_time
from gcwatch.journal.hosts.hosts import NoteFiles
from gcwatch.mirrors.last_run import LastRun, read_last_run

YEAR_21000 = 6e11
WRONG_TIMES = {"1969": -1e6, "1970": 0.0, "the last of Linux": 8.27e9, "21000": YEAR_21000}


def crashes(site):
    return site.said("step.crashed") + site.said("watch.failed") + site.said("scheduler.job_failed")


@pytest.mark.parametrize("wrong", WRONG_TIMES)
def test_a_clock_that_cannot_be_right_is_told_and_stops_nothing(sandbox, tmp_path, wrong):
    """Also not the next start, by a clock that is right again."""
    site = Site(tmp_path, sandbox, report="status.html")
    site.listen()
    begin = time.time()
    site.drop()
    with site.running(clock=lambda: WRONG_TIMES[wrong] + time.time() - begin):
        until(lambda: site.delivered() == ["p1"])
        until((tmp_path / "status.html").exists)
    assert site.said("clock.unlikely")

    site.drop("p2")
    with site.running() as watch:
        until(lambda: site.delivered() == ["p1", "p2"])
        assert all(list(watch.history(case)) for case in watch.cases())
    assert crashes(site) == []


@pytest.mark.parametrize("at", [YEAR_21000, -1e10])
def test_times_of_files_that_no_calendar_holds_stop_nothing(sandbox, tmp_path, at):
    """On a share, in the outbox, of the config file and of the token; or the nearest one."""
    site = Site(tmp_path, sandbox, report="status.html")
    site.listen()
    folder = site.drop()
    for path in (*folder.iterdir(), folder, site.inbox, site.outbox, site.file, site.token):
        os.utime(path, (at, at))

    assert site.run_once().delivered == 1
    assert crashes(site) == []


@pytest.mark.parametrize("at", [YEAR_21000, -1e12, float("nan"), float("inf")])
def test_every_time_has_words(at):
    """A record that a failing disk left may hold any number."""
    assert len(iso_time(at)) == len("1970-01-01T00:00:00+00:00")
    assert len(local_time(at)) == len("1970-01-01 00:00")


def test_check_tells_a_clock_that_cannot_be_right(sandbox, tmp_path, monkeypatch):
    """Before certificates and schedules fail for a reason that nobody sees."""
    settings = config.load(Site(tmp_path, sandbox).file)
    assert not [each for each in check.check(settings, offline=True) if each.what == "clock"]
    monkeypatch.setattr(check, "time", SimpleNamespace(time=lambda: 5.0))
    [found] = [each for each in check.check(settings, offline=True) if each.what == "clock"]
    assert not found.is_fine
    assert "1970-01-01" in found.detail


@pytest.mark.parametrize("ended", ["yesterday", "2026-11-28", "99999-01-01T00:00:00+00:00"])
def test_a_damaged_note_on_a_mirrors_run_counts_as_none(tmp_path, ended):
    """A disk that fails leaves any text; `gcwatch status` shows the mirror all the same."""
    (tmp_path / "mirrors").mkdir()
    (tmp_path / "mirrors" / "m.json").write_text(f'{{"ended": "{ended}", "items": 3}}')
    assert read_last_run(NoteFiles(tmp_path), "m") == LastRun()
