"""An inbox belongs to one gcwatch, and a gcwatch to one state directory."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.builders import Site, until
from support.contract import TARGETS

import gcwatch
from gcwatch import config
from gcwatch.commands import audit
from gcwatch.journal.hosts.ownership import Owner, claim_inboxes, this_owner


@pytest.fixture
def site(sandbox, tmp_path):
    return Site(tmp_path, sandbox)


def second(site):
    """Another gcwatch with the same config and a state directory of its own."""
    site.state = site.folder / "state-2"
    site.file.write_text(site.file.read_text().replace('state = "state"', 'state = "state-2"'))


def marker(site):
    [path] = site.inbox.glob(".gcwatch-*.owner")
    return path


def test_a_second_gcwatch_does_not_start_on_the_same_inbox(site):
    """It says whose inbox that is, and sends nothing; it may take the inbox over if told to."""
    site.drop()
    assert site.run_once().delivered == 1
    second(site)
    site.drop("p2")

    with pytest.raises(gcwatch.StateError, match="belongs to another gcwatch") as caught:
        site.run_once()

    assert str(site.folder / "state") in str(caught.value)
    assert "--take-over" in caught.value.hint
    assert len(site.jobs()) == 1
    with site.watch() as watch:
        assert watch.run_once(take_over=True).delivered == 2  # p1 is adopted by its receipt
    assert len(site.jobs()) == 2
    assert site.run_once().delivered == 0


def test_another_target_may_have_the_same_inbox(site):
    """Two gcwatch that send one inbox to two targets send nothing twice."""
    site.drop()
    assert site.run_once().delivered == 1
    site.configure(outbox="out-2", **TARGETS["archive"].plain)
    (site.folder / "out-2").mkdir()
    second(site)
    assert site.run_once().delivered == 1


def test_a_lost_state_directory_may_begin_anew_at_the_same_place(site):
    """Nobody else can be at work with the same state directory; the log says what happened."""
    site.run_once()
    shutil.rmtree(site.state)
    site.listen()
    assert site.run_once().failed == 0
    assert [line["state"] for line in site.said("inbox.taken_over")] == [str(site.state)]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"identity": 1}', b"{", b"x" * 10_000])
def test_a_marker_without_sense_is_written_anew(site, content):
    """Whoever may write to the inbox can make no daemon stop by nonsense."""
    site.run_once()
    before = marker(site).read_bytes()
    marker(site).write_bytes(content)
    site.run_once()
    assert marker(site).read_bytes() == before


def test_no_pipe_and_no_link_is_followed_as_a_marker(site, tmp_path):
    """A start neither hangs at a pipe nor writes through a link."""
    site.run_once()
    path = marker(site)
    before = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    site.run_once()
    assert path.read_bytes() == before
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    site.run_once()
    assert path.read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


def test_the_marker_is_no_case_and_no_finding(site):
    """Neither scans nor the audit take it for something that was dropped."""
    site.run_once()
    with site.watch() as watch:
        assert watch.cases() == []
    assert all(each.is_fine for each in audit.audit(config.load(site.file)))
    assert json.loads(marker(site).read_bytes())["state"] == str(site.state)


def test_nothing_is_marked_if_one_inbox_is_another_ones(site, tmp_path):
    """A start that is refused changes no marker."""
    site.run_once()
    [route] = config.load(site.file).routes
    free = route.model_copy(update={"inbox": tmp_path / "free"})
    free.inbox.mkdir()
    with pytest.raises(gcwatch.StateError):
        claim_inboxes([free, route], Owner("other", "elsewhere", "/state"))
    assert not list(free.inbox.iterdir())


def test_hosts_that_start_at_the_same_moment_mark_only_the_inbox(site):
    """Each writes the marker of their journal beside the others, again and again."""
    [route] = config.load(site.file).routes
    owners = [Owner("journal", "", f"by the way of {host}") for host in "abcd"]

    def start(owner):
        for _ in range(20):
            claim_inboxes([route], owner, host=owner.state)

    with ThreadPoolExecutor(len(owners)) as pool:
        list(pool.map(start, owners))
    assert [each.name for each in route.inbox.iterdir()] == [marker(site).name]
    assert not list(route.outbox.iterdir())


def test_the_identity_stays_with_the_state_directory(tmp_path):
    """It moves with the directory, and only its owner may read it."""
    (tmp_path / "a").mkdir()
    first = this_owner(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = this_owner(tmp_path / "b")
    assert (moved.identity, moved.state) == (first.identity, str(tmp_path / "b"))
    assert (tmp_path / "b" / "identity").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_daemon_notices_that_its_state_directory_is_gone(site, change):
    """It ends with a sentence, and sends nothing more."""
    site.drop()

    def disturb():
        until(lambda: site.delivered() == ["p1"])
        site.state.rename(site.folder / "aside")
        if change == "replaced":
            shutil.copytree(site.folder / "aside", site.state)

    disturbance = threading.Thread(target=disturb)
    with site.watch() as watch:
        disturbance.start()
        with pytest.raises(gcwatch.StateError, match="removed or replaced"):
            watch.run(threading.Event())
    disturbance.join()
    assert len(site.jobs()) == 1
