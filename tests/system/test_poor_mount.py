"""A real file system that can do less than others, by FUSE, where that is possible."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.builders import Site

MNT_DETACH = 2
HOSTILE_NAME, STORED_NAME = 'p "1": left?', "p _1__ left_"


@pytest.fixture
def share(tmp_path):
    """A share without modes, links and syncs of folders, that refuses what Windows refuses."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("only root can mount, and only with /dev/fuse")
    for name in ("behind", "share"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-m", "support.poor_fuse", tmp_path / "behind", tmp_path / "share"]
    tests = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tests) as it:
        if it.stdout.readline() != b"mounted\n":
            pytest.skip(f"FUSE can't be mounted here: {it.stderr.read().decode()[-200:]}")
        try:
            yield tmp_path / "share"
        finally:
            ctypes.CDLL(None).umount2(os.fsencode(tmp_path / "share"), MNT_DETACH)
            it.kill()  # what still waits for an answer gets an error


@pytest.fixture
def site(share, tmp_path, sandbox):
    """A site whose outbox and `done` are on that share."""
    for name in ("out", "done"):
        (share / name).mkdir()
    out, done = (str(share / name) for name in ("out", "done"))
    site = Site(tmp_path / "site", sandbox, after="move", done=done, outbox=out)
    site.outbox = share / "out"
    return site


def gcwatch(site, *arguments):
    command = [sys.executable, "-m", "gcwatch", *arguments, "--config", site.file]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, " ".join(ended.stdout.split())


def test_results_are_delivered_and_check_says_what_the_share_cannot_do(site, share):
    """Each result is whole and there once, also the second one of a name; nothing half stays."""
    code, told = gcwatch(site, "check", "--offline")
    assert code == 0
    for words in ("keeps no permissions", "no hard links", "power cut", "replaces them by _"):
        assert words in told
    for name in ("p1", HOSTILE_NAME):
        site.drop(name)
    site.drop("p2", {"image.mha": b""})

    assert gcwatch(site, "once")[0] == 3  # p2 has failed

    assert site.delivered() == [STORED_NAME, "p1"]
    assert "0 bytes" in site.note("p2")
    assert sorted(each.name for each in (share / "done").iterdir()) == [STORED_NAME, "p1"]
    (site.inbox / "p2" / "image.mha").write_bytes(
        (share / "done" / "p1" / "image.mha").read_bytes()
    )

    assert gcwatch(site, "once")[0] == 0

    assert site.delivered() == [STORED_NAME, "p1", "p2"]
    assert not (site.outbox / "p2.failed.txt").exists()
    hidden = [each.name for each in site.outbox.iterdir() if each.name.startswith(".")]
    assert not [name for name in hidden if "partial" in name or "tmp" in name]
    assert len(site.jobs()) == 3
