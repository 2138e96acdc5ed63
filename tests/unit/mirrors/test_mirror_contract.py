"""What is true of every mirror: of an archive's items, and of the answers of a reader study."""

import json
import os
import threading

import pytest
from support.builders import mha
from support.mirrored import Mirrored
from support.mirrored_study import MirroredStudy

from gcwatch.core.errors import CaseError, StateError, Stopped
from gcwatch.mirrors.last_run import lock_mirror

HOSTILE = [
    "../../escape",
    "/etc/passwd",
    "..",
    ".hidden",
    "gcwatch.json",
    "CON",
    "a\nb",
    "x" * 255,
    "é" * 200,
    "tab\tand \u202eflip",
    "trailing. ",
    "",
]


@pytest.fixture(params=[Mirrored, MirroredStudy], ids=["archive", "reader-study"])
def make(request):
    """What makes a mirror of one of the kinds."""
    return request.param


@pytest.fixture
def site(make, tmp_path, sandbox):
    """A mirror without items."""
    return make(tmp_path / "site", sandbox)


@pytest.fixture
def full(site):
    """A mirror that holds three items."""
    return site.fill()


def test_only_what_is_new_is_fetched(full):
    """A new item costs its own calls; the others are not asked after."""
    before = full.print()
    full.add("p4", generic_medical_image=mha(4))

    assert full.run().fetched == 1

    assert len(full.calls(find="cases/images/")) == 1
    assert len(full.calls(host="storage")) == 1
    assert before.items() <= full.print().items()
    full.check_complete()


def test_of_a_changed_item_only_the_changed_value_is_fetched(full):
    """The image that stayed is the very same file; the new value is there; it is told once."""
    item = full.receipt("p2")["target"]["item"]
    [image] = (full.outbox / "p2" / full.images).iterdir()
    before = image.stat().st_ino
    full.change(item, threshold=99.0)

    report = full.run()

    assert (report.changed, report.unchanged, report.bytes) == (1, 2, 0)
    assert image.stat().st_ino == before
    assert not full.calls(find="cases/images/")
    assert [line["item"] for line in full.said("mirror.item_changed")] == [item]
    full.check_complete()


def test_a_replaced_image_replaces_its_file(full):
    """Another image in a socket is another value: the old file goes with the old folder."""
    full.change(full.receipt("p1")["target"]["item"], generic_medical_image=mha(7, 8, 9))

    assert full.run().changed == 1

    assert len([*(full.outbox / "p1" / full.images).iterdir()]) == 1
    full.check_complete()


def test_files_that_people_added_stay_when_an_item_changes(full):
    """An annotation beside the image is not ours to remove."""
    note = full.outbox / "p1" / "notes" / "mine.txt"
    note.parent.mkdir()
    note.write_text("look here")
    full.change(full.receipt("p1")["target"]["item"], threshold=3.0)

    full.run()

    assert note.read_text() == "look here"


@pytest.mark.parametrize("what", ["folder", "file", "receipt", "length"])
def test_what_somebody_deleted_or_damaged_here_is_fetched_again(full, what):
    """The receipts on disk are all that a mirror knows."""
    [image] = (full.outbox / "p2" / full.images).iterdir()
    match what:
        case "folder":
            for path in sorted((full.outbox / "p2").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            (full.outbox / "p2").rmdir()
        case "file":
            image.unlink()
        case "receipt":
            (full.outbox / "p2" / "gcwatch.json").unlink()
        case "length":
            image.write_bytes(b"short")

    report = full.run()

    assert report.fetched + report.changed == 1
    if what == "receipt":  # then the folder is no longer ours, and nothing in it is replaced
        assert len(full.names()) == 4
    else:
        full.check_complete()


def test_a_stop_ends_the_run_and_the_next_one_goes_on(make, tmp_path, sandbox):
    """Stopped is told as such; nothing half-done is seen."""
    site = make(tmp_path / "site", sandbox, routes="[limits]\nconnections = 1\n")
    for number in range(8):
        site.add(f"p{number}", generic_medical_image=mha(number))
    stop = threading.Event()

    def progress(done, _items, _moved):
        if done == 2:
            stop.set()

    with pytest.raises(Stopped):
        site.run(progress=progress, stop=stop)

    site.check_nothing_half_done()
    assert len(site.names()) < 8
    assert site.run().unchanged >= 2
    site.check_complete()


def test_progress_counts_items_and_bytes(site):
    """What is told never goes back, and ends with all items and all bytes."""
    for number in range(5):
        site.add(f"p{number}", generic_medical_image=mha(number))
    told = []

    report = site.run(progress=lambda *counts: told.append(counts))

    assert told == sorted(told)
    assert told[-1] == (5, 5, report.bytes)
    assert report.bytes > 0


def test_one_item_that_cannot_be_had_does_not_stop_the_others(site):
    """It is told and counted; the next run has it."""
    for number in (1, 2, 3):
        site.add(f"p{number}", generic_medical_image=mha(number))
    site.sandbox.fault("status", path="/media/", nth=1, times=3, status=404)  # 4 can end an item
    site.sandbox.fault("status", path="cases/images/", nth=1, times=1, status=404, body="{}")

    report = site.run()

    assert (report.fetched, report.failed) == (2, 1)
    site.check_nothing_half_done()
    site.sandbox.clear_faults()
    assert site.run().fetched == 1
    site.check_complete()


def test_an_item_that_left_is_kept_and_told_once(full):
    """The folder stays, the receipt says since when; later runs say nothing more."""
    item = full.receipt("p2")["target"]["item"]
    full.remove("p2")

    assert [full.run().gone for _ in range(3)] == [1, 1, 1]

    assert full.names() == ["p1", "p2", "p3"]
    assert full.receipt("p2")["times"]["gone"]
    assert [line["item"] for line in full.said("mirror.item_gone")] == [item]


def test_an_item_that_is_back_is_here_already(full):
    """Nothing is fetched, and its receipt no longer says that it is gone."""
    item = full.receipt("p2")["target"]["item"]
    put_back = full.take_out(item)
    full.run()
    put_back()

    report = full.run()

    assert (report.unchanged, report.fetched, report.gone) == (3, 0, 0)
    assert "gone" not in full.receipt("p2")["times"]
    assert [line["item"] for line in full.said("mirror.item_returned")] == [item]


def test_an_item_that_left_is_moved_where_the_config_says(make, tmp_path, sandbox):
    """Its folder goes whole, under a free name, and is told once."""
    site = make(tmp_path / "site", sandbox, gone="move", gone_to="gone")
    site.add("p1", generic_medical_image=mha(1))
    site.add("p2", generic_medical_image=mha(2))
    site.run()
    taken = site.folder / "gone" / "p2"
    taken.mkdir(parents=True)
    content = site.print()
    site.remove("p2")

    site.run()
    site.run()

    assert site.names() == ["p1"]
    [moved] = [path for path in taken.parent.iterdir() if path != taken]
    assert moved.name.startswith("p2-")
    receipt = json.loads((moved / "gcwatch.json").read_bytes())
    assert receipt["times"]["gone"]
    assert [*(moved / site.images).iterdir()]
    assert len(site.said("mirror.item_gone")) == 1
    assert len(content) > len(site.print())


def test_hostile_titles_stay_inside_the_folder(site):
    """Whatever an item is called, its folder is a plain, visible name of the outbox."""
    for title in HOSTILE:
        site.add(title, threshold=1.0)

    assert site.run().fetched == len(HOSTILE)

    assert len(site.names()) == len(HOSTILE)
    assert {path.name for path in site.folder.iterdir()} == {
        "gcwatch.toml",
        "log.jsonl",
        "mirror",
        "state",
        "token",
    }
    site.check_complete()


def test_a_name_that_an_item_got_stays(full):
    """Its title may change, and others may come that would be named like it."""
    names = {name: full.receipt(name)["target"]["item"] for name in full.names()}
    full.rename(names["p1"], "another")
    full.change(names["p1"], threshold=8.0)
    full.add("P1", threshold=5.0)

    full.run()

    assert {name: full.receipt(name)["target"]["item"] for name in names} == names
    assert len(full.names()) == 4


def test_a_folder_that_is_not_ours_is_left_alone(site):
    """Somebody's own folder keeps its name and its files."""
    mine = site.outbox / "p1" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    item = site.add("p1", threshold=1.0)

    site.run()

    assert mine.read_text() == "mine"
    assert [*mine.parent.iterdir()] == [mine]
    assert site.names() == ["p1", f"p1-{item}"]


def test_folders_may_be_named_by_pk(make, tmp_path, sandbox):
    """Then no title is seen in the outbox."""
    site = make(tmp_path / "site", sandbox, folders="pk")
    item = site.add("Jane Doe", threshold=1.0)

    site.run()

    assert site.names() == [item]


def test_a_bare_folder_that_was_full_is_not_filled_again(full):
    """A share that is not mounted must not be fetched onto the disk below it."""
    full.outbox.rename(full.folder / "unmounted")
    full.outbox.mkdir()

    with pytest.raises(CaseError) as raised:
        full.run()

    assert raised.value.reason.code == "mirror_away"
    assert not [*full.outbox.iterdir()]


def test_two_runs_at_once_are_refused(site):
    """The second one is told who works there."""
    with lock_mirror(site.state, "cts"), pytest.raises(StateError, match=str(os.getpid())):
        site.run()
