"""Atomic writes, syncs, and what a folder lies on."""

import os
import stat

import pytest

from gcwatch.core.errors import TryAgain
from gcwatch.files import atomic, file_systems, names
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import remove_tree


def test_a_written_file_is_private_and_leaves_nothing_beside_it(tmp_path):
    """The file has the bytes and the mode asked for, and no temporary file stays."""
    path = tmp_path / "a"
    atomic.write_atomically(path, b"one")
    atomic.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    """A folder in the way makes the rename fail; nothing is left behind."""
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic.write_atomically(tmp_path / "a", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_disk_trouble_names_no_path(tmp_path):
    """An OSError becomes TryAgain with the bare cause, as paths may name a patient."""
    with pytest.raises(TryAgain) as caught, atomic.disk_trouble("writing"):
        (tmp_path / "DOE^JANE" / "x").write_bytes(b"")
    assert caught.value.reason.code == "disk"
    assert caught.value.reason.facts == {"what": "writing", "error": "No such file or directory"}


def test_a_tree_is_synced_with_links_and_odd_names(tmp_path):
    """Dangling links and names in no encoding do not stop a sync."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "link").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"d/e/\xff\n")).write_bytes(b"x")
    atomic.sync_tree(tmp_path)


def test_a_missing_tree_is_an_error(tmp_path):
    """A sync that could not look is no sync."""
    with pytest.raises(FileNotFoundError):
        atomic.sync_tree(tmp_path / "gone")


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre", "davfs"]
)
def test_file_systems_that_others_write_to_are_known(kind):
    """Each of these takes writes of other machines, unseen by this one."""
    assert file_systems.is_network_type(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuseblk", ""])
def test_local_file_systems_are_not_taken_for_network_ones(kind):
    """A local disk must not be refused."""
    assert not file_systems.is_network_type(kind)


def test_a_path_lies_where_its_nearest_existing_parent_does(tmp_path):
    """A folder still to be made has the file system of its parent."""
    assert (
        file_systems.file_system(tmp_path / "not" / "yet")
        == file_systems.file_system(tmp_path)
        != ""
    )


def test_a_path_belongs_to_the_longest_mount(tmp_path):
    """/proc lies under / but is a mount of its own."""
    link = tmp_path / "link"
    link.symlink_to("/proc/self")
    assert file_systems.file_system(link) == "proc"
    assert file_systems.network_file_system(link) is None


def test_a_tree_with_long_names_is_removed_at_any_depth(tmp_path):
    """The system takes no path of more than 4096 bytes, which few folders reach."""
    (tmp_path / "x").mkdir()
    folder = os.open(tmp_path / "x", os.O_RDONLY)
    for _ in range(120):
        os.mkdir("d" * 255, dir_fd=folder)
        inner = os.open("d" * 255, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    remove_tree(SharePath(tmp_path) / "x")
    assert not (tmp_path / "x").exists()


def test_a_tree_that_is_filled_all_the_time_is_left_after_a_while(tmp_path, monkeypatch):
    """Whoever may write there can't keep a worker for ever."""
    monkeypatch.setattr(names, "_LONGEST_REMOVAL_SECONDS", -1.0)
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="too long"):
        remove_tree(SharePath(tmp_path) / "x")
