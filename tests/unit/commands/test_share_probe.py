"""What `gcwatch check` finds out about a share by trying it."""

import errno
import os

import pytest
from support.builders import Site
from support.poor_share import PoorShare

from gcwatch import config
from gcwatch.commands.check import check
from gcwatch.commands.share_probe import probe_share

WORDS = {
    "modes": "keeps no permissions",
    "hard_links": "no hard links",
    "folder_sync": "power cut",
    "replacing": "replaced by a rename",
    "names": "replaces them by _",
}


def test_a_good_disk_lacks_nothing_and_the_probe_leaves_nothing(tmp_path):
    """Neither an outbox nor a state directory."""
    assert not list(probe_share(tmp_path))
    assert not list(probe_share(tmp_path, is_state=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lack", WORDS)
def test_what_a_share_cannot_do_is_said_in_words(tmp_path, monkeypatch, lack):
    """Gcwatch works there all the same: nothing has to be done about it."""
    share = PoorShare(tmp_path)
    with monkeypatch.context() as patched:
        share.refuse(patched, lack)
        [found] = probe_share(tmp_path)
    assert share.refused
    assert WORDS[lack] in found.what
    assert not found.hint
    assert not list(tmp_path.iterdir())


def test_a_state_directory_needs_more_than_a_share(tmp_path, monkeypatch):
    """It holds a token's neighbours and patients' names: without permissions it is refused."""
    PoorShare(tmp_path).refuse(monkeypatch, "modes")
    [found] = probe_share(tmp_path, is_state=True)
    assert found.hint


def test_a_share_in_which_no_folder_can_be_renamed_takes_no_results(tmp_path, monkeypatch):
    """As on S3 mounts: results appear by one rename, or not at all."""
    rename = os.rename

    def refuse(source, target, **folders):
        if source == "one":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", refuse)
    [found] = probe_share(tmp_path)
    assert "no result can be published" in found.what
    assert found.hint


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EIO])
def test_a_share_that_takes_nothing_is_told_as_that(tmp_path, monkeypatch, error):
    """Read-only, full or broken."""
    PoorShare(tmp_path).refuse_all(monkeypatch, error)
    [found] = probe_share(tmp_path)
    assert os.strerror(error) in found.what
    assert found.hint


def test_check_tries_every_folder_that_gcwatch_writes_to(tmp_path, sandbox, monkeypatch):
    """Inbox (if it is cleared), outbox, done and state; nothing stays in any of them."""
    site = Site(tmp_path / "site", sandbox, after="move", done="done")
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patched:
        PoorShare(site.folder).refuse(patched, "modes")
        told = list(check(config.load(site.file), offline=True))
    poor = {(each.where, each.what) for each in told if "no permissions" in each.detail}
    route = "route lobes"
    assert poor == {("state", "folder"), (route, "inbox"), (route, "outbox"), (route, "done")}
    assert {each.where for each in told if not each.is_fine} == {"state"}
    assert sorted(tmp_path.rglob("*")) == before


def test_check_leaves_an_inbox_alone_that_gcwatch_does_not_change(tmp_path, sandbox):
    """With `after = "keep"` it may be read-only."""
    site = Site(tmp_path / "site", sandbox)
    before = site.inbox.stat().st_mtime_ns
    list(check(config.load(site.file), offline=True))
    assert site.inbox.stat().st_mtime_ns == before
