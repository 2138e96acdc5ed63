"""File systems that can do less: no modes, hard links or syncs, other names, other devices."""

import errno
import stat
import time

import pytest
from support.builders import Site, mha, series, visible
from support.poor_share import PoorShare

from gcwatch.core.reasons import explain
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.atomic import FILE_MODE, write_atomically
from gcwatch.files.beneath import SharePath

LACKS = ("modes", "hard_links", "symbolic_links", "folder_sync", "replacing", "names")
HOSTILE_NAME = 'p "1": left?'
STORED_NAME = "p _1__ left_"


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose outbox and folder for what is done can do next to nothing."""
    site = Site(tmp_path / "site", sandbox, after="move", done="share/done", outbox="share/out")
    site.outbox = site.folder / "share" / "out"
    site.outbox.mkdir(parents=True)
    return site


@pytest.fixture
def poor(site, monkeypatch):
    share = PoorShare(site.folder / "share")
    share.refuse(monkeypatch, *LACKS, "other_device")
    return share


@pytest.mark.parametrize(
    ("unit", "name", "files"),
    [
        ("folders", HOSTILE_NAME, {"image.mha": mha()}),
        ("series", HOSTILE_NAME, series()),
        ("files", f"{HOSTILE_NAME}.mha", None),
    ],
)
def test_a_result_is_delivered_where_nearly_nothing_is_possible(site, poor, unit, name, files):
    """Complete, under a name that can be stored, and it is told; the source is moved by a copy."""
    site.configure(after="move", done="share/done", outbox="share/out", cases=unit)
    if files:
        site.drop(name, files)
    else:
        (site.inbox / name).write_bytes(mha())

    assert site.run_once().delivered == 1

    [stored] = site.delivered()
    assert stored.startswith(STORED_NAME)
    with site.watch() as watch:
        [case] = watch.cases()
    assert (site.outbox / case.result / RECEIPT_NAME).exists()
    [told] = [reason for reason in case.warnings if reason.code == "result_renamed"]
    assert told.names == {"folder": case.folder, "result": case.result}
    assert stored in explain(told).plain
    assert not [each for each in site.inbox.iterdir() if visible(each)]
    assert [each.name for each in (site.folder / "share" / "done").iterdir()] == [stored]
    assert {errno.EPERM, errno.EINVAL, errno.EXDEV} <= set(poor.refused)


@pytest.mark.usefixtures("poor")
def test_a_result_that_has_another_name_is_published_once(site):
    """It is found again by its receipt, also if the journal is lost meanwhile."""
    site.configure(outbox="share/out")
    site.drop(HOSTILE_NAME)
    assert site.run_once().delivered == 1
    for file in site.state.glob("journal*"):
        file.unlink()

    site.run_once()

    assert len(site.delivered()) == len(site.jobs()) == 1


@pytest.mark.usefixtures("poor")
def test_a_failure_note_is_written_and_removed_under_a_name_that_can_be_stored(site):
    """Where the person who dropped the folder looks."""
    site.configure(outbox="share/out")
    folder = site.drop(HOSTILE_NAME, {"image.mha": b""})
    assert site.run_once().failed == 1
    [note] = [each.name for each in site.outbox.iterdir() if visible(each)]
    assert note == f"{STORED_NAME}.failed.txt"
    (folder / "image.mha").write_bytes(mha())

    assert site.run_once().delivered == 1

    assert site.delivered() == [STORED_NAME]
    assert not (site.outbox / note).exists()


def test_a_file_is_replaced_where_nothing_can_be_renamed_over_it(tmp_path, monkeypatch):
    """The old one is removed first; nothing else stays."""
    PoorShare(tmp_path).refuse(monkeypatch, *LACKS)
    for data in (b"one", b"two"):
        write_atomically(SharePath(tmp_path) / "note", data, FILE_MODE)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("note", b"two")]
    assert stat.S_IMODE((tmp_path / "note").stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EIO, errno.ESTALE])
def test_an_outbox_that_takes_nothing_is_waited_for(site, monkeypatch, error):
    """Read-only, full, broken or gone: the case waits, and is delivered when that is over."""
    site.configure(outbox="share/out")
    share = PoorShare(site.folder / "share")
    site.drop("p1")
    with monkeypatch.context() as patched:
        share.refuse_all(patched, error)
        assert site.run_once().delivered == 0
    assert share.refused
    assert site.case().is_open

    assert site.run_once(clock=lambda: time.time() + 60).delivered == 1
