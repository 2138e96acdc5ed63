"""What a restored backup, or a person, put into the state directory: told in words, no waiting."""

import os

import pytest

from gcwatch.core.errors import StateError
from gcwatch.files.safe_open import read_state_file
from gcwatch.journal.hosts.presence import only_daemon
from gcwatch.journal.hosts.progress import NOTHING, read_progress

ODD = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a link": lambda path: path.symlink_to("../outside"),
    "a link to nothing": lambda path: path.symlink_to("../nothing"),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture
def state(tmp_path):
    (tmp_path / "outside").write_text("x" * 300)
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_lock_file_is_told_and_not_written_to(state, odd):
    """The sentence says which path, and what to do; a link leads the lock nowhere."""
    ODD[odd](state / "lock")
    with pytest.raises(StateError) as error, only_daemon(state):
        pass
    assert f"{state / 'lock'} is a link, a folder, a pipe or a device" in str(error.value)
    assert error.value.hint
    assert (state.parent / "outside").read_text() == "x" * 300
    assert not (state.parent / "nothing").exists()


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_file_of_the_state_is_not_read(state, odd):
    """`gcwatch status` would wait for a pipe, and read a device without end."""
    ODD[odd](state / "progress.json")
    with pytest.raises(FileNotFoundError):
        read_state_file(state / "progress.json")
    assert read_progress(state, None, 0.0) == NOTHING
