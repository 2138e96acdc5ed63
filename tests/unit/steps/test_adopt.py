"""A journal that is lost, or older than the outbox, sends nothing that was delivered before."""

import json
import shutil

import pytest
from support.builders import Site, mha
from support.contract import TARGETS
from support.hostile import hostile

from gcwatch import config
from gcwatch.commands import audit


@pytest.fixture
def site(sandbox, tmp_path):
    return Site(tmp_path, sandbox)


def findings(site):
    """What the audit finds wrong."""
    return [each for each in audit.audit(config.load(site.file)) if not each.is_fine]


def test_a_lost_journal_sends_no_folder_again(site):
    """The receipt in the outbox says that the folder was sent; the new journal adopts it."""
    site.drop()
    assert site.run_once().delivered == 1
    first = site.receipt()
    shutil.rmtree(site.state)
    site.listen()

    assert site.run_once().delivered == 1

    assert len(site.jobs()) == 1
    assert site.delivered() == ["p1"]
    assert site.receipt() == first
    assert [line["receipt"] for line in site.said("case.adopted")] == [first["key"]]
    assert (site.case().adopted, site.case().result) == (first["key"], "p1")
    assert not findings(site)


def test_a_journal_from_a_backup_sends_nothing_that_was_delivered_since(site, tmp_path):
    """The backup was made when the folder had just been found: the case keeps its key."""
    site.drop()
    with site.watch() as watch:
        watch.journal.open_case("lobes", "p1")
    shutil.copytree(site.state, tmp_path / "backup")
    assert site.run_once().delivered == 1
    shutil.rmtree(site.state)
    (tmp_path / "backup").rename(site.state)

    assert site.run_once().delivered == 1

    assert len(site.jobs()) == 1
    assert site.case().adopted == site.case().key == site.receipt()["key"]


CALLS = {
    "upload": ("POST", "/uploads/"),
    "part": ("PUT", ""),
    "session": ("POST", "/upload-sessions/"),
    "job": ("POST", "/jobs/"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_journal_from_a_backup_of_any_step_sends_nothing_again(site, tmp_path, call):
    """The backup was made while the folder was sent; it was delivered since."""
    method, part = CALLS[call]
    backup = tmp_path / "backup"

    def copy(it):
        if it.method == method and part in it.path and not backup.exists():
            shutil.copytree(site.state, backup)
        return False

    site.drop()
    with hostile(site.sandbox, lambda reply: reply, copy):
        assert site.run_once().delivered == 1
    shutil.rmtree(site.state)
    backup.rename(site.state)

    assert site.run_once().delivered == 1

    assert len(site.jobs()) == 1
    assert site.case().adopted == site.receipt()["key"]


@pytest.mark.parametrize("change", ["content", "another file", "another target", "no receipt"])
def test_what_is_not_the_same_is_sent(site, change):
    """Another size, time, target, or a receipt that can not be read: nothing is adopted."""
    place = site.drop()
    site.run_once()
    shutil.rmtree(site.state)
    match change:
        case "content":
            (place / "image.mha").write_bytes(mha(4, 3, 2, 1))
        case "another file":
            (place / "report.txt").write_text("a report")
        case "another target":
            site.configure(**TARGETS["archive"].plain)
        case "no receipt":
            (site.outbox / "p1" / "gcwatch.json").write_text("[]")

    assert site.run_once().delivered == 1

    assert len(site.jobs()) + len(TARGETS["archive"].made(site.sandbox)) == 2
    assert not site.case().adopted


@pytest.mark.parametrize(
    "change",
    [
        {"key": None},
        {"key": ["p1"]},
        {"key": "../p1"},
        {"key": "\ud800"},
        {"key": "k" * 1000},
        {"outputs": [{"files": [{"path": 1, "size": "1", "sha256": []}]}]},
    ],
)
def test_a_receipt_that_somebody_changed_stops_nothing(site, change):
    """A new journal adopts a result, or sends the folder again; the audit tells what it sees."""
    site.drop()
    site.run_once()
    shutil.rmtree(site.state)
    place = site.outbox / "p1" / "gcwatch.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))

    assert site.run_once().delivered == 1

    assert len(site.jobs()) == (1 if "outputs" in change else 2)
    assert findings(site)


def test_a_retry_still_sends_again(site):
    """The receipt is of a case that this journal knows: it is sent again on purpose."""
    site.drop()
    site.run_once()
    with site.watch() as watch:
        watch.retry(watch.find("lobes/p1"))
    site.run_once()
    assert len(site.jobs()) == 2
    assert site.delivered() == ["p1", "p1.2"]


@pytest.mark.parametrize("kind", ["archive", "reader_study"])
def test_an_item_is_made_once(sandbox, tmp_path, kind):
    """What became an archive item or a display set is known by its receipt, too."""
    site = Site(tmp_path, sandbox, **TARGETS[kind].plain)
    site.drop()
    assert site.run_once().delivered == 1
    made = TARGETS[kind].made(sandbox)
    shutil.rmtree(site.state)
    assert site.run_once().delivered == 1
    assert TARGETS[kind].made(sandbox) == made
    assert not findings(site)
