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
from gcwatch.core.errors import CaseError, TokenRefused, Unreachable
from gcwatch.mirrors.receipts import (
    Held,
    Receipt,
    Target,
    Times,
    Wanted,
    compare_listing,
    join_contents,
)
from gcwatch.mirrors.storage import HiddenFolder, Names, plain_name
from gcwatch.platform.http import CHUNK_BYTES

CLINICAL = b'{"age" :  61,\r\n "sex":"F"}'


@pytest.fixture
def site(tmp_path, sandbox):
    """A mirror of the sandbox's archive."""
    return Mirrored(tmp_path / "site", sandbox)


@pytest.fixture
def full(site):
    """A mirror that holds three items."""
    return site.fill()


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


def test_a_missing_folder_is_told(full):
    """There is nothing to write to, and nothing is made up for it."""
    full.outbox.rename(full.folder / "unmounted")

    with pytest.raises(CaseError) as raised:
        full.run()

    assert raised.value.reason.code == "disk"
    assert not full.outbox.exists()


# --- what left the archive -----------------------------------------------------------------------


# --- names ---------------------------------------------------------------------------------------


def test_titles_that_would_be_one_folder_are_told_apart_the_same_way_each_time(tmp_path, sandbox):
    """Two mirrors of one archive give the same names; the second of a pair has its pk in it."""
    one, other = (Mirrored(tmp_path / name, sandbox) for name in ("one", "other"))
    items = [one.add(title, threshold=1.0) for title in ("Case", "case", "CASE", "a/b", "a_b")]

    one.run()
    other.run()

    assert one.names() == other.names()
    assert len(one.names()) == 5
    assert sum(any(item in name for item in items) for name in one.names()) == 3


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
