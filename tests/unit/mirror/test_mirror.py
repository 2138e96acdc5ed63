"""A mirror: an archive kept complete in a local folder, and nothing here ever lost for it."""

import json
import os
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import mha, series, sha256, until
from support.mirrored import IMAGE, Mirrored, without_header
from support.sandbox_user import SandboxUser, zipped

from gcwatch.core.case import Output
from gcwatch.core.errors import CaseError, StateError, Stopped, TokenRefused, Unreachable
from gcwatch.mirror.last_run import lock_mirror
from gcwatch.mirror.receipts import (
    Held,
    Receipt,
    Target,
    Times,
    Wanted,
    compare_listing,
    join_contents,
)
from gcwatch.mirror.storage import HiddenFolder, Names, plain_name
from gcwatch.platform.http import CHUNK_BYTES

CLINICAL = b'{"age" :  61,\r\n "sex":"F"}'


@pytest.fixture
def site(tmp_path, sandbox):
    """A mirror of the sandbox's archive."""
    return Mirrored(tmp_path / "site", sandbox)


@pytest.fixture
def full(site):
    """A mirror that holds three items."""
    for number in (1, 2, 3):
        site.add(f"p{number}", generic_medical_image=mha(number, 2), threshold=number / 2)
    site.run()
    site.sandbox.forget_calls()
    return site


# --- what is fetched -----------------------------------------------------------------------------


def test_every_item_becomes_a_folder_with_every_kind_of_value(site):
    """Image, file and plain value lie where results lie, byte for byte; the receipt tells all."""
    item = site.add("p1", generic_medical_image=mha(1, 2), clinical_info=CLINICAL, threshold=2.5)

    report = site.run()

    assert (report.items, report.fetched, report.failed) == (1, 1, 0)
    assert (site.outbox / "p1" / "clinical-info.json").read_bytes() == CLINICAL
    assert json.loads((site.outbox / "p1" / "threshold.json").read_bytes()) == 2.5
    receipt = site.receipt("p1")
    assert receipt["mirror"] == "cts"
    assert receipt["target"]["archive"] == "ct-archive"
    assert receipt["target"]["item"] == item
    assert receipt["target"]["item_url"].endswith(f"archives/items/{item}/")
    [image] = [each for each in receipt["outputs"] if each["carrier"] == "image"]
    [file] = image["files"]
    assert file["path"] == f"{IMAGE}/{image['url'].split('/')[-2]}.mha"
    site.check_complete()


def test_an_item_without_values_is_a_folder_with_a_receipt(site):
    """An item whose image is still being imported is here, too, and is filled later."""
    item = site.add("p1")
    site.run()
    assert site.names() == ["p1"]

    site.change(item, generic_medical_image=mha(1))

    assert site.run().changed == 1
    site.check_complete()


def test_a_run_without_news_asks_twice_for_two_hundred_items(site):
    """One call for the archive, one for all items; nothing is fetched, nothing is touched."""
    for number in range(200):
        site.add(f"p{number}", threshold=float(number))
    site.run()
    site.sandbox.forget_calls()
    before = site.print()

    report = site.run()

    assert len(site.sandbox.calls()) == 2
    assert (report.unchanged, report.fetched, report.changed, report.bytes) == (200, 0, 0, 0)
    assert site.print() == before


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
    [image] = (full.outbox / "p2" / IMAGE).iterdir()
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

    assert len([*(full.outbox / "p1" / IMAGE).iterdir()]) == 1
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
    [image] = (full.outbox / "p2" / IMAGE).iterdir()
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


@pytest.mark.parametrize("layout", ["items", "flat"])
def test_what_others_put_in_the_place_of_a_mirrors_staging_is_never_used(tmp_path, sandbox, layout):
    """Who may write to the mirror can't give an item another patient's image, whatever the name."""
    site = Mirrored(tmp_path / "site", sandbox, layout=layout)
    item = site.add("p1", generic_medical_image=mha(1, 2))
    site.run()
    [output] = site.sandbox.platform_state.items[item].values.values()
    identity = frozenset({(IMAGE, output.pk)})
    wanted = Wanted(item, "p1", (Output(output.pk, IMAGE, "image", "Image"),))
    assert wanted.identity == identity
    hidden = HiddenFolder(site.outbox)
    key = hidden.staging_place(wanted).key
    [image] = site.outbox.rglob("*.mha")
    name = f"{output.image.pk}{image.suffix}"
    for planted in (key, f".{key}.0123456789abcdef.partial"):
        for folder in (IMAGE, str(output.pk)):
            place = site.outbox / ".gcwatch" / "partial" / planted / folder
            place.mkdir(parents=True)
            (place / name).write_bytes(mha(9, 9))
    image.unlink()

    site.run()

    (site.check_complete if layout == "items" else site.check_flat)()
    assert not list((site.state / "mirrors").rglob(f"{key}*"))


def test_a_download_that_was_cut_goes_on_where_it_was(site):
    """What arrived before the cut is not asked for again, not even by the next run."""
    noise = random.Random(1)
    content = mha(*(noise.randrange(-(1 << 15), 1 << 15) for _ in range(500_000)))
    site.add("p1", generic_medical_image=content)
    site.sandbox.fault("truncate", host="storage", keep=3 * CHUNK_BYTES, nth=1)
    site.sandbox.fault("cut_before", host="storage", nth=2, times=None)
    assert site.run().failed == 1
    assert [line["reason"] for line in site.said("mirror.item_failed")] == ["unreachable"]
    assert not site.names()
    site.sandbox.clear_faults()
    site.sandbox.forget_calls()

    report = site.run()

    [call] = site.calls(host="storage")
    assert call["status"] == 206
    assert report.fetched == 1
    site.check_complete()


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


def test_a_storage_that_cuts_every_download_ends_the_run(site):
    """After a few items it is clear that it is not the items."""
    for number in range(8):
        site.add(f"p{number}", generic_medical_image=mha(number))
    site.sandbox.fault("cut_before", host="storage", times=None)

    with pytest.raises(Unreachable):
        site.run()

    assert len(site.said("mirror.item_failed")) < 8
    assert not site.names()


def test_a_platform_that_asks_for_patience_is_given_it(site):
    """A 429 is waited for, not failed on."""
    site.add("p1", generic_medical_image=mha(1))
    headers = {"Retry-After": "0"}
    site.sandbox.fault("status", path="cases/images/", status=429, body="{}", headers=headers)

    assert site.run().fetched == 1


def test_progress_counts_items_and_bytes(site):
    """What is told never goes back, and ends with all items and all bytes."""
    for number in range(5):
        site.add(f"p{number}", generic_medical_image=mha(number))
    told = []

    report = site.run(progress=lambda *counts: told.append(counts))

    assert told == sorted(told)
    assert told[-1] == (5, 5, report.bytes)
    assert report.bytes > 0


def test_a_stop_ends_the_run_and_the_next_one_goes_on(tmp_path, sandbox):
    """Stopped is told as such; nothing half-done is seen."""
    site = Mirrored(tmp_path / "site", sandbox, routes="[limits]\nconnections = 1\n")
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


def test_the_token_goes_to_the_platform_only(full):
    """Storage URLs carry their own signatures."""
    full.add("p4", generic_medical_image=mha(4))
    full.run()

    assert not [call for call in full.calls(host="storage") if call["authorization"]]
    assert all(call["authorization"] for call in full.calls())


# --- DICOM image sets ----------------------------------------------------------------------------


def add_image_set(site, title="p1"):
    """An item whose image is a DICOM image set."""
    return site.add(title, dicom_ct=(title, zipped(series())))


def test_an_image_set_becomes_its_instances(site):
    """Every instance by its UID, whole; the storage takes no other header than the signature."""
    add_image_set(site)

    assert site.run().fetched == 1

    [output] = site.receipt("p1")["outputs"]
    assert len(output["files"]) == len(series())
    assert all(file["path"].endswith(".dcm") for file in output["files"])
    site.check_nothing_half_done()


def test_signatures_that_fade_are_asked_for_again(site):
    """A 403 in the middle costs one more list, and no instance twice."""
    add_image_set(site)
    site.sandbox.fault("status", host="storage", nth=3, status=403)

    assert site.run().fetched == 1

    assert len(site.calls(find="/dicom/instances/")) == 2
    assert len(site.calls(host="storage")) == len(series()) + 1


# --- nothing here is touched ---------------------------------------------------------------------


def _listing(count, results=()):
    page = {"count": count, "next": None, "previous": None, "results": [*results]}
    return {"status": 200, "body": json.dumps(page)}


def _revoke(site):
    site.sandbox.revoke(site.archive)


def _list_nothing(site):
    site.sandbox.fault("status", path="archives/items/", times=None, **_listing(0))


def _list_too_little(site):
    site.sandbox.fault("status", path="archives/items/", times=None, **_listing(3))


def _leave_two_out(site):
    """The listing pretends to be complete with one item; asked by itself, each is there."""
    with SandboxUser(site.sandbox) as alice:
        found = alice.tell(f"archives/items/?limit=1&archive={archive_pk(alice, site)}")
    page = _listing(1, found["results"])
    site.sandbox.fault("status", path=r"archives/items/\?", times=None, **page)


def archive_pk(user, site):
    return user.tell(f"archives/?slug={site.archive}")["results"][0]["pk"]


def _expire_token(site):
    site.sandbox.configure(token_valid=False)


def _answer_html(site):
    site.sandbox.fault("status", path="archives/", times=None, status=502)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (_revoke, "archive_not_found"),
        (_list_nothing, None),
        (_list_too_little, "busy"),
        (_leave_two_out, None),
        (_expire_token, TokenRefused),
        (_answer_html, Unreachable),
    ],
)
@pytest.mark.parametrize("gone", ["keep", "move"])
def test_whatever_the_platform_forgets_nothing_here_is_touched(
    tmp_path, sandbox, trouble, error, gone
):
    """Lost membership, an empty, short or wrong listing, a refused token: no file is touched."""
    keys = {"gone": "move", "gone_to": "gone"} if gone == "move" else {}
    site = Mirrored(tmp_path / "site", sandbox, **keys)
    for number in (1, 2, 3):
        site.add(f"p{number}", generic_medical_image=mha(number))
    site.run()
    before = site.print()
    trouble(site)

    if error is None:
        assert site.run().gone == 0 or trouble is _leave_two_out
    elif isinstance(error, str):
        with pytest.raises(CaseError) as raised:
            site.run()
        assert raised.value.reason.code == error
    else:
        with pytest.raises(error):
            site.run()

    assert site.print() == before
    assert not site.said("mirror.item_gone")
    assert not (site.folder / "gone").exists()


@pytest.mark.parametrize("archive", ["ct-archive", "public-archive"])
def test_a_lost_header_touches_nothing(tmp_path, sandbox, archive):
    """Without the token, everything looks as if it had never been."""
    site = Mirrored(tmp_path / "site", sandbox, archive=archive)
    site.add("p1", generic_medical_image=mha(1))
    site.add("p2", generic_medical_image=mha(2))
    site.run()
    before = site.print()
    site.add("p3", generic_medical_image=mha(3))

    with without_header(sandbox.url) as url:
        site.configure(url)
        with pytest.raises(TokenRefused):
            site.run()

    assert site.print() == before


def test_an_empty_listing_is_told(full):
    """What is held is kept, and somebody may wonder."""
    _list_nothing(full)

    assert full.run().unchanged == 3

    [line] = full.said("mirror.listing_empty")
    assert line["held"] == 3


def test_a_bare_folder_that_was_full_is_not_filled_again(full):
    """A share that is not mounted must not be fetched onto the disk below it."""
    full.outbox.rename(full.folder / "unmounted")
    full.outbox.mkdir()

    with pytest.raises(CaseError) as raised:
        full.run()

    assert raised.value.reason.code == "mirror_away"
    assert not [*full.outbox.iterdir()]


def test_a_missing_folder_is_told(full):
    """There is nothing to write to, and nothing is made up for it."""
    full.outbox.rename(full.folder / "unmounted")

    with pytest.raises(CaseError) as raised:
        full.run()

    assert raised.value.reason.code == "disk"
    assert not full.outbox.exists()


# --- what left the archive -----------------------------------------------------------------------


def test_an_item_that_left_is_kept_and_told_once(full):
    """The folder stays, the receipt says since when; later runs say nothing more."""
    item = full.receipt("p2")["target"]["item"]
    full.sandbox.remove_item(full.archive, "p2")

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


def test_an_item_that_left_is_moved_where_the_config_says(tmp_path, sandbox):
    """Its folder goes whole, under a free name, and is told once."""
    site = Mirrored(tmp_path / "site", sandbox, gone="move", gone_to="gone")
    site.add("p1", generic_medical_image=mha(1))
    site.add("p2", generic_medical_image=mha(2))
    site.run()
    taken = site.folder / "gone" / "p2"
    taken.mkdir(parents=True)
    content = site.print()
    site.sandbox.remove_item(site.archive, "p2")

    site.run()
    site.run()

    assert site.names() == ["p1"]
    [moved] = [path for path in taken.parent.iterdir() if path != taken]
    assert moved.name.startswith("p2-")
    receipt = json.loads((moved / "gcwatch.json").read_bytes())
    assert receipt["times"]["gone"]
    assert [*(moved / IMAGE).iterdir()]
    assert len(site.said("mirror.item_gone")) == 1
    assert len(content) > len(site.print())


# --- names ---------------------------------------------------------------------------------------

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


def test_titles_that_would_be_one_folder_are_told_apart_the_same_way_each_time(tmp_path, sandbox):
    """Two mirrors of one archive give the same names; the second of a pair has its pk in it."""
    one, other = (Mirrored(tmp_path / name, sandbox) for name in ("one", "other"))
    items = [one.add(title, threshold=1.0) for title in ("Case", "case", "CASE", "a/b", "a_b")]

    one.run()
    other.run()

    assert one.names() == other.names()
    assert len(one.names()) == 5
    assert sum(any(item in name for item in items) for name in one.names()) == 3


def test_a_name_that_an_item_got_stays(full):
    """Its title may change, and others may come that would be named like it."""
    names = {name: full.receipt(name)["target"]["item"] for name in full.names()}
    full.sandbox.platform_state.items[names["p1"]].title = "another"
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


def test_folders_may_be_named_by_pk(tmp_path, sandbox):
    """Then no title is seen in the outbox."""
    site = Mirrored(tmp_path / "site", sandbox, folders="pk")
    item = site.add("Jane Doe", threshold=1.0)

    site.run()

    assert site.names() == [item]


# --- the flat layout -----------------------------------------------------------------------------


@pytest.fixture
def flat(tmp_path, sandbox):
    return Mirrored(tmp_path / "site", sandbox, layout="flat")


def test_flat_puts_all_images_side_by_side_under_their_names(flat):
    """As the tutorial does, but unique, harmless, and without what is no image."""
    flat.add("p1", {IMAGE: ("lung.mha", mha(1))}, threshold=1.0)
    flat.add("p2", {IMAGE: ("lung.mha", mha(2))})
    flat.add("p3", {IMAGE: ("heart.mha", mha(3))})

    assert flat.run().fetched == 3

    names = flat.names()
    assert {"lung.mha", "heart.mha"} < set(names)
    assert len(names) == 3
    assert all(name.endswith(".mha") for name in names)
    flat.check_flat()


def test_flat_fetches_only_what_is_new(flat):
    """A second run asks twice and touches nothing; a changed value is none of its business."""
    item = flat.add("p1", {IMAGE: ("lung.mha", mha(1))}, threshold=1.0)
    flat.run()
    before = flat.print()
    flat.sandbox.forget_calls()
    flat.change(item, threshold=2.0)

    report = flat.run()

    assert len(flat.sandbox.calls()) == 2
    assert report.unchanged == 1
    assert flat.print() == before


def test_flat_replaces_an_image_and_fetches_what_was_deleted(flat):
    """The old image goes once the new one is here; names that were given stay."""
    item = flat.add("p1", {IMAGE: ("lung.mha", mha(1))})
    flat.add("p2", {IMAGE: ("lung.mha", mha(2))})
    flat.add("p3", {IMAGE: ("heart.mha", mha(3))})
    flat.run()
    names = flat.names()
    flat.change(item, generic_medical_image=("brain.mha", mha(9)))
    (flat.outbox / "heart.mha").unlink()

    assert flat.run().changed == 2

    assert set(flat.names()) - set(names) == {"brain.mha"}
    flat.check_flat()


@pytest.mark.parametrize("path", ["../victim", "/etc/victim", "..", ".gcwatch/old", ""])
def test_a_forged_receipt_cannot_aim_at_files_outside(flat, path):
    """What a receipt says is believed for the mirror's own folder only."""
    flat.add("p1", {IMAGE: ("lung.mha", mha(1))})
    flat.run()
    victim = flat.folder / "victim"
    victim.write_text("alive")
    [paper] = (flat.outbox / ".gcwatch" / "items").iterdir()
    forged = json.loads(paper.read_bytes())
    paper.write_text(json.dumps({**forged, "superseded": [path]}))

    flat.run()

    assert victim.read_text() == "alive"
    assert (flat.outbox / ".gcwatch" / "old").is_dir()


def test_flat_moves_what_left(tmp_path, sandbox):
    """The image goes, and its receipt after it."""
    site = Mirrored(tmp_path / "site", sandbox, layout="flat", gone="move", gone_to="gone")
    site.add("p1", {IMAGE: ("lung.mha", mha(1))})
    site.add("p2", {IMAGE: ("heart.mha", mha(2))})
    site.run()
    site.sandbox.remove_item(site.archive, "p1")

    site.run()
    report = site.run()

    assert report.gone == 0
    assert site.names() == ["heart.mha"]
    assert (site.folder / "gone" / "lung.mha").exists()
    assert len([*(site.folder / "gone" / ".gcwatch").iterdir()]) == 1
    site.check_flat()


def test_flat_keeps_an_image_set_together(flat):
    """Instances belong together: a folder of the image's name holds them."""
    add_image_set(flat, "ct one")

    flat.run()

    [name] = flat.names()
    assert len([*(flat.outbox / name).iterdir()]) == len(series())


# --- alone, chained, scheduled -------------------------------------------------------------------


def test_two_runs_at_once_are_refused(site):
    """The second one is told who works there."""
    with lock_mirror(site.state, "cts"), pytest.raises(StateError, match=str(os.getpid())):
        site.run()


ROUTE = """
[[route]]
name = "copies"
inbox = "mirror"
outbox = "out"
algorithm = "copy-image"
settle = "0s"
poll = "50ms"
"""


def test_once_runs_a_mirror_and_the_route_behind_it(tmp_path, sandbox):
    """What the mirror brings is what the route sends, in one run."""
    site = Mirrored(tmp_path / "site", sandbox, routes=ROUTE)
    (site.folder / "out").mkdir()
    site.add("p1", generic_medical_image=mha(1))
    site.add("p2", generic_medical_image=mha(2))

    outcome = site.run_once()

    assert outcome.mirrored["cts"].fetched == 2
    assert outcome.delivered == 2
    assert site.run_once().delivered == 0
    assert len(sandbox.state()["jobs"]) == 2


def test_once_tells_why_a_mirror_did_not_work_out(site):
    """The reason stands in the outcome, and in the log."""
    _revoke(site)

    outcome = site.run_once()

    assert outcome.mirrored["cts"].code == "archive_not_found"
    assert [line["reason"] for line in site.said("mirror.failed")] == ["archive_not_found"]


@pytest.fixture
def running(tmp_path, sandbox):
    """A daemon with a mirror that looks often."""
    site = Mirrored(tmp_path / "site", sandbox, every="200ms")
    site.add("p1", generic_medical_image=mha(1))
    stop = threading.Event()
    with site.watch() as watch:
        thread = threading.Thread(target=watch.run, args=(stop,))
        thread.start()
        yield site
        stop.set()
        thread.join()


def test_the_daemon_mirrors_on_a_schedule(running):
    """What is added later is here later."""
    until(lambda: running.names() == ["p1"])
    running.add("p2", generic_medical_image=mha(2))
    until(lambda: running.names() == ["p1", "p2"])


def test_the_daemon_goes_on_when_the_platform_is_back(running):
    """A platform that is away is told of once, however often it is tried."""
    until(lambda: running.names() == ["p1"])
    running.sandbox.fault("status", path="archives/", times=None, status=503)
    until(lambda: running.said("mirror.failed"))
    running.sandbox.forget_calls()
    until(lambda: len(running.calls(find="archives/")) > 12)
    running.add("p2", threshold=1.0)
    running.sandbox.clear_faults()

    until(lambda: running.names() == ["p1", "p2"])

    assert len(running.said("mirror.failed")) == 1


def test_a_refused_token_stops_mirrors_until_it_is_taken_again(running):
    """All work pauses; the mirror goes on by itself."""
    until(lambda: running.names() == ["p1"])
    running.sandbox.configure(token_valid=False)
    until(lambda: running.said("platform.token_refused"))
    running.add("p2", threshold=1.0)
    running.sandbox.configure(token_valid=True)

    until(lambda: running.names() == ["p1", "p2"])


# --- pure ----------------------------------------------------------------------------------------


def _held(item, values, *, gone=False, whole=True):
    target = Target(platform="x", archive="a", item=item)
    times = Times(fetched="t", gone="t" if gone else None)
    outputs = join_contents(_outputs(values), ())
    receipt = Receipt(
        mirror="m", folder=item, title=item, target=target, outputs=outputs, times=times
    )
    return Held(item, receipt, whole)


def _outputs(values):
    return tuple(
        Output(pk=pk, socket=socket, carrier="value", path=socket) for socket, pk in values
    )


VALUES = st.sets(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), max_size=3)
ITEMS = st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=6)


@given(ITEMS, ITEMS, st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_every_item_is_in_exactly_one_part_of_the_difference(listed, here, gone, broken):
    """Nothing is forgotten, nothing is counted twice, and an empty listing takes nothing away."""
    held = {
        item: _held(item, values, gone=item in gone, whole=item not in broken)
        for item, values in here.items()
    }
    wanted = [Wanted(item, item, _outputs(values)) for item, values in listed.items()]

    found = compare_listing(wanted, held)

    if not listed:
        assert (found.new, found.changed, found.gone) == ((), (), ())
        assert found.short == bool(here)
        return
    new, changed = {each.item for each in found.new}, {each.item for each, _ in found.changed}
    absent = {each.item for each in found.gone}
    assert new == listed.keys() - here.keys()
    assert absent == here.keys() - listed.keys()
    same = {i for i in listed.keys() & here.keys() if listed[i] == here[i] and i not in broken}
    assert changed == (listed.keys() & here.keys()) - same
    assert found.unchanged == len(same)
    assert {each.item for each in found.returned} == same & gone


@given(st.lists(st.text(max_size=300), max_size=8), st.sampled_from(["", ".mha", ".nii.gz"]))
def test_names_are_harmless_and_unique(stems, suffix):
    """Whatever text they are made of: one path component, visible, no longer than a disk takes."""
    names = Names([])
    made = [names.take_free(plain_name(stem), f"pk-{n}", suffix) for n, stem in enumerate(stems)]

    assert len({name.casefold() for name in made}) == len(made)
    for name in made:
        assert "/" not in name
        assert not name.startswith(".")
        assert len(os.fsencode(name)) <= 255


def test_the_digest_in_the_receipt_is_of_the_file(full):
    """Size and SHA-256 are those of what lies there."""
    for name in full.names():
        for output in full.receipt(name)["outputs"]:
            for file in output["files"]:
                content = (full.outbox / name / file["path"]).read_bytes()
                assert (file["size"], file["sha256"]) == (len(content), sha256(content))
