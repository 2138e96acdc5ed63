"""What wakes the daemon, and what does not."""

import hashlib
import time
from contextlib import suppress
from pathlib import Path

import pytest
from builders import until

from gcwatch import watching
from gcwatch.daemon import _Surveys
from gcwatch.watching import Bell, Schedule, Watcher


@pytest.fixture
def bell():
    return Bell()


@pytest.fixture
def schedule(bell):
    schedule = Schedule(bell, survey=0.01, upkeep=3600.0)
    schedule.start()
    yield schedule
    schedule.stop()


def beats(schedule, count):
    """Wait until the time for a survey has come so often."""
    for _ in range(count):
        heard = schedule._heard
        until(lambda heard=heard: schedule._heard > heard)


@pytest.mark.usefixtures("schedule")
def test_surveys_are_rung_for_again_and_again(bell):
    """A look that begins is not the last."""
    until(bell.is_time_to_look)
    bell.looked()
    until(bell.is_time_to_look)


def test_while_surveys_rest_only_news_ring(bell, schedule):
    """The scheduler counts as alive, and whoever asks for a look gets one."""
    schedule.rest(3600.0)
    beats(schedule, 1)
    bell.looked()
    beats(schedule, 3)
    assert not bell.is_time_to_look()
    assert schedule.is_alive()
    bell.look()
    assert bell.is_time_to_look()


def test_rest_has_an_end(bell, schedule):
    """Then surveys are rung for as before."""
    schedule.rest(3600.0)
    beats(schedule, 1)
    bell.looked()
    schedule.rest(0.05)
    until(bell.is_time_to_look)


def test_to_write_down_what_was_found_is_no_part_of_the_look():
    """However long the journal takes over a burst, the next look is not put off for it."""
    surveys, begun = _Surveys(), time.thread_time()
    with surveys.counting(), surveys.counting(-1):
        hashlib.sha256(bytes(1 << 25))
    taken = time.thread_time() - begun
    assert surveys.cpu < taken / 2
    before = surveys.cpu
    begun = time.thread_time()
    with surveys.counting():
        hashlib.sha256(bytes(1 << 25))
    taken = time.thread_time() - begun
    assert surveys.cpu - before > taken / 2


def test_a_folder_made_anew_in_the_place_of_a_deleted_one_is_watched(tmp_path, bell):
    """Though the new one may be given the old one's inode: the watch died with the old one."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    watcher = Watcher(bell)
    watcher.start()
    watcher.watch(inbox)
    try:
        inbox.rmdir()
        until(lambda: watcher._watches[inbox].ring.lost and bell.is_time_to_look())
        inbox.mkdir()
        watcher.watch(inbox)
        bell.looked()
        (inbox / "p1").mkdir()
        until(bell.is_time_to_look)
    finally:
        watcher.stop()


def granted():
    """How many folders the system watches for this process."""
    count = 0
    for each in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the one of this very listing
            count += each.read_text().count("inotify wd:")
    return count


def test_folders_that_were_moved_out_of_an_inbox_are_let_go(tmp_path, bell, monkeypatch):
    """Otherwise each case of a route with `after = "move"` keeps one of the system's watches."""
    monkeypatch.setattr(watching, "_MOST_GONE", 10)
    inbox, done = tmp_path / "in", tmp_path / "done"
    for number in range(10):
        (inbox / f"p{number}" / "scan").mkdir(parents=True)
    done.mkdir()
    watcher = Watcher(bell)
    watcher.start()
    watcher.watch(inbox)
    try:
        until(lambda: granted() == 21)
        for folder in list(inbox.iterdir()):
            folder.rename(done / folder.name)
        until(lambda: watcher._watches[inbox].ring.gone >= 10)
        assert granted() == 21
        watcher.watch(inbox)
        until(lambda: granted() == 1)
        bell.looked()
        (inbox / "p11").mkdir()
        until(bell.is_time_to_look)
    finally:
        watcher.stop()
