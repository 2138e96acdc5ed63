"""Locks: one holder at a time, and others can read who it is."""

import threading
import time
from pathlib import Path

import pytest

import gcwatch
from gcwatch.files.lock import LockHeldError, exclusive_lock, read_lock_holder


def test_a_lock_has_one_holder_and_says_which(tmp_path):
    """A second holder is refused with what the first one wrote; afterwards the lock is free."""
    path = tmp_path / "lock"
    with exclusive_lock(path) as lock:
        lock.write("7\nwhy\n")
        with pytest.raises(LockHeldError) as refused, exclusive_lock(path):
            pass
        assert refused.value.text == read_lock_holder(path) == "7\nwhy"
    assert read_lock_holder(path) is None
    with exclusive_lock(path) as lock:
        lock.write("8\n")
        assert read_lock_holder(path) == "8"


def test_nobody_holds_a_lock_that_was_never_taken(tmp_path):
    """Asking makes no file."""
    assert read_lock_holder(tmp_path / "lock") is None
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("wait_seconds", [30.0, None])
def test_whoever_waits_gets_the_lock_of_a_folder_when_it_is_free(tmp_path, wait_seconds):
    """A folder is locked without a file in it."""
    order = []

    def wait():
        with exclusive_lock(tmp_path, wait_seconds=wait_seconds):
            order.append("second")

    with exclusive_lock(tmp_path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_all_locks_are_taken_in_one_module():
    """No other module calls flock."""
    root = Path(gcwatch.__file__).parent
    users = [path.name for path in root.rglob("*.py") if "fcntl.flock" in path.read_text()]
    assert users == ["lock.py"]
