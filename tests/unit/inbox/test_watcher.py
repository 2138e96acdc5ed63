"""What wakes the daemon, and what does not."""

import hashlib
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.builders import until

from gcwatch.daemon.waking.schedule import Schedule
from gcwatch.daemon.waking.wakeup import Wakeup
from gcwatch.inbox.scanner import ScanEffort
from gcwatch.inbox.watcher import Watcher


@pytest.fixture
def wakeup():
    return Wakeup()


@pytest.fixture
def schedule(wakeup):
    schedule = Schedule(wakeup, survey=0.01, upkeep=3600.0)
    schedule.start()
    yield schedule
    schedule.stop()


def is_requested(wakeup, schedule):
    """Whether a scan is requested, once what is due has run."""
    schedule.run_due()
    return wakeup.is_scan_requested()


def pass_intervals(schedule, count):
    """Let the time for a scan come so often."""

    def next_time():
        schedule.run_due()
        return schedule._scheduler.get_job("survey").next_run_time

    for _ in range(count):
        before = next_time()
        until(lambda before=before: next_time() > before)


def test_surveys_are_rung_for_again_and_again(wakeup, schedule):
    """A look that begins is not the last."""
    for _ in range(3):
        until(lambda: is_requested(wakeup, schedule))
        wakeup.scan_started()


def test_while_surveys_rest_only_news_ring(wakeup, schedule):
    """Whoever asks for a look gets one."""
    schedule.rest(3600.0)
    pass_intervals(schedule, 1)
    wakeup.scan_started()
    pass_intervals(schedule, 3)
    assert not wakeup.is_scan_requested()
    wakeup.request_scan()
    assert wakeup.is_scan_requested()


def test_rest_has_an_end(wakeup, schedule):
    """Then surveys are rung for as before."""
    schedule.rest(3600.0)
    pass_intervals(schedule, 1)
    wakeup.scan_started()
    schedule.rest(0.05)
    until(lambda: is_requested(wakeup, schedule))


def test_to_write_down_what_was_found_is_no_part_of_the_look():
    """However long the journal takes over a burst, the next look is not put off for it."""
    effort, begun = ScanEffort(), time.thread_time()
    with effort.count_time(), effort.count_time(-1):
        hashlib.sha256(bytes(1 << 25))
    taken = time.thread_time() - begun
    assert effort.cpu < taken / 2
    before = effort.cpu
    begun = time.thread_time()
    with effort.count_time():
        hashlib.sha256(bytes(1 << 25))
    taken = time.thread_time() - begun
    assert effort.cpu - before > taken / 2


def test_a_folder_made_anew_in_the_place_of_a_deleted_one_is_watched(tmp_path, wakeup):
    """Though the new one may be given the old one's inode: the watch died with the old one."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    watcher = Watcher(wakeup.request_scan)
    watcher.start()
    watcher.watch_inbox(inbox)
    try:
        inbox.rmdir()
        until(lambda: watcher._watches[inbox].lost and wakeup.is_scan_requested())
        inbox.mkdir()
        watcher.watch_inbox(inbox)
        wakeup.scan_started()
        (inbox / "p1").mkdir()
        until(wakeup.is_scan_requested)
    finally:
        watcher.stop()


def granted():
    """How many folders the system watches for this process."""
    count = 0
    for each in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the one of this very listing
            count += each.read_text().count("inotify wd:")
    return count


@pytest.fixture
def watching(wakeup):
    """A watcher at work."""
    watcher = Watcher(wakeup.request_scan)
    watcher.start()
    yield watcher
    watcher.stop()


def test_folders_that_were_moved_out_of_an_inbox_are_let_go(tmp_path, watching):
    """Otherwise each case of a route with `after = "move"` keeps one of the system's watches."""
    inbox, done = tmp_path / "in", tmp_path / "done"
    for number in range(10):
        (inbox / f"p{number}" / "scan").mkdir(parents=True)
    done.mkdir()
    watching.watch_inbox(inbox)
    assert granted() == 21
    for folder in list(inbox.iterdir())[1:]:
        folder.rename(done / folder.name)
    until(lambda: granted() == 3)


def test_what_happens_in_new_and_renamed_folders_is_noticed_under_their_names(tmp_path, watching):
    """Made one by one, moved in with all that is in them, or renamed: each is watched at once."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    watching.watch_inbox(inbox)
    (inbox / "made" / "deep").mkdir(parents=True)
    (tmp_path / "moved" / "deep").mkdir(parents=True)
    (tmp_path / "moved").rename(inbox / "moved")
    until(lambda: granted() == 5)
    (inbox / "made").rename(inbox / "renamed")
    until(lambda: {"renamed", "renamed/deep"} <= set(watching._watches[inbox]._folders.values()))
    for name in ("moved", "renamed"):
        watching.take_touched(inbox)
        (inbox / name / "deep" / "file").write_text("")
        until(lambda name=name: name in watching.take_touched(inbox))


def test_folders_nested_without_end_do_not_end_the_watching(tmp_path, watching):
    """Neither those that are there at the start, nor those that are moved in."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    nest(inbox / "first")
    watching.watch_inbox(inbox)
    assert watching.folder_count == 1
    nest(tmp_path / "second")
    (tmp_path / "second").rename(inbox / "second")
    until(lambda: "second" in watching.take_touched(inbox))
    (inbox / "p1").mkdir()
    until(lambda: "p1" in watching.take_touched(inbox))
    assert watching.is_alive()
    assert granted() <= 2 * 101 + 2
    watching.watch_only([])
    subprocess.run(["rm", "-r", inbox], check=True)  # pytest's own way to remove folders recurses


def nest(top, depth=1200):
    """Make so many folders, each in the one before."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_a_link_in_an_inbox_leads_to_no_watch_elsewhere(tmp_path, watching):
    """What is watched is opened as all else in a share."""
    inbox, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    inbox.mkdir()
    watching.watch_inbox(inbox)
    (inbox / "link").symlink_to(elsewhere)
    until(lambda: "link" in watching.take_touched(inbox))
    assert granted() == 1
