"""What reader studies and archives make of every answer (platform 5, 6, 10.3, 11)."""

import json
import re
from contextlib import contextmanager

import pytest
from support.builders import FAST, IN_DOUBT, Clock, Site, mha, sha256, until, voxels, waiting
from support.contract import CLINICAL, CT, IMAGE, LIMIT, TARGETS, THREE_SLICES, THRESHOLD, held

from gcwatch import config
from gcwatch.commands import plan
from gcwatch.core.reasons import explain
from gcwatch.platform import http
from gcwatch.sandbox import Sandbox, Settings, due_tasks
from gcwatch.targets import upload_quota

HOUR = 3600.0
KINDS = ["reader_study", "archive"]
BOTH = pytest.mark.parametrize("kind", KINDS)
NEVER = {"import_seconds": 1e9}


@contextmanager
def site_of(kind, folder, settings=None, **route):
    """A site whose route leads to a reader study or an archive."""
    with Sandbox(folder / "sandbox", Settings(**(settings or {}))) as sandbox:
        yield Site(folder / "site", sandbox, **{**TARGETS[kind].plain, **route})


def made(site, kind):
    return TARGETS[kind].made(site.sandbox)


def add(site, kind, title, values=None):
    """Somebody else's item."""
    put = site.sandbox.add_display_set if kind == "reader_study" else site.sandbox.add_item
    return put(TARGETS[kind].slug, title, values)


def remove(site, pk):
    """Take an item out of the platform."""
    state = site.sandbox.platform_state
    with state.lock:
        state.display_sets.pop(pk, None)
        state.items.pop(pk, None)


def importing(watch):
    """The first case, once it has been filled and asked after."""
    return until(lambda: next((case for case in watch.cases() if case.status), None))


def ended(watch, ending="delivered"):
    return until(lambda: watch.cases() and all(case.ending == ending for case in watch.cases()))


def fail_import(site, reason="1 file could not be imported"):
    state = site.sandbox.platform_state
    with state.lock:
        for session in state.sessions.values():
            due_tasks._fail_session(session, reason)


def import_oddly(site, *, complaint="", images=1):
    """Let what is under way be imported, with a complaint or as more than one image."""
    state = site.sandbox.platform_state
    with state.lock:
        for session in state.sessions.values():
            if session.status == "Re-Queued":
                due_tasks._import_images(state, session)
                session.error_message = complaint
                session.images *= images
    site.sandbox.configure(import_seconds=0.0)


# --- titles --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("race", [False, True], ids=["refused", "race"])
def test_a_title_that_somebody_else_has_fails_the_case_and_touches_nothing(tmp_path, kind, race):
    """Whether the platform says so or breaks down in a race: the other item stays as it is."""
    route = {"names": "keep", "title": "{folder}"}
    with site_of(kind, tmp_path, {"race": race}, **route) as site:
        add(site, kind, "p1", {"threshold": 1.0})
        site.drop()

        outcome = site.run_once()

        assert (outcome.failed, outcome.waiting) == (1, 0)
        assert site.case().failure.code == "title_taken"
        assert "already used by somebody else" in site.note()
        (other,) = made(site, kind)
        assert held(other) == {"threshold": 1.0}


def answers(site, kind):
    """How the calls that make an item were answered; the first only asks after the right."""
    (method, path), _ = TARGETS[kind].writes
    calls = [call for call in site.sandbox.calls() if call["method"] == method]
    return [call["status"] for call in calls if re.search(path, call["path"])]


def check_one_item(site, kind):
    """The folder became one item, which holds its image."""
    (item,) = made(site, kind)
    assert held(item) == {"ct-image": CT}
    assert site.delivered() == ["p1"]


@BOTH
def test_a_title_that_comes_true_after_it_was_looked_for_is_adopted(tmp_path, kind):
    """The look does not find it yet: the second call is told so, and the item is ours."""
    clock, nothing = Clock(), {"count": 0, "next": None, "previous": None, "results": []}
    with site_of(kind, tmp_path) as site:
        (method, path), _ = TARGETS[kind].writes
        site.sandbox.fault("cut_after", method=method, path=path, nth=2)
        listing = {"method": "GET", "path": r"(display-sets|items)/\?", "times": 2}
        site.sandbox.fault("status", **listing, status=200, body=json.dumps(nothing))
        site.drop()
        with site.running(IN_DOUBT, clock) as watch:
            waiting(watch, "in_doubt")
            clock.ahead = 600.0
            ended(watch)
        assert answers(site, kind) == [400, 0, 400]
        check_one_item(site, kind)


@BOTH
def test_a_call_that_comes_true_long_after_its_reply_was_given_up_makes_no_second_item(
    tmp_path, kind, monkeypatch
):
    """However late the platform acts on it: the title is there by then."""
    monkeypatch.setattr(http, "READ_SECONDS", 1.0)
    clock = Clock()
    with site_of(kind, tmp_path) as site:
        (method, path), _ = TARGETS[kind].writes
        site.sandbox.fault("delay", method=method, path=path, nth=2, seconds=100)
        site.drop()
        with site.running(IN_DOUBT, clock) as watch:
            waiting(watch, "in_doubt")
            clock.ahead = 600.0
            ended(watch)
        site.sandbox.clear_faults()
        until(lambda: 0 not in answers(site, kind))
        assert answers(site, kind) == [400, 400, 201]
        check_one_item(site, kind)


def test_title_and_order_follow_their_templates(tmp_path):
    """What the route asks for stands on the platform."""
    route = {"names": "keep", "title": "{folder} of {route}", "order": "{number}"}
    with site_of("reader_study", tmp_path, **route) as site:
        site.drop("visit 3")

        site.run_once()

        (row,) = made(site, "reader_study")
        assert (row["title"], row["order"]) == ("visit 3 of lobes", 3)


@BOTH
@pytest.mark.parametrize("name", ["x" * 255, "....", "😀😀", "a/b".replace("/", "\\"), " p  1 "])
def test_any_folder_name_makes_a_title_that_the_platform_takes_as_it_is(tmp_path, kind, name):
    """Long, dots only, emoji, backslashes, spaces: sanitised, unique by its id, and found again."""
    name = name if name.strip(".") else f"p{name}"
    with site_of(kind, tmp_path, names="keep") as site:
        site.drop(name)
        site.sandbox.lose_each_once()

        site.run_once()

        (item,) = made(site, kind)
        assert len(item["title"]) <= 200
        [result] = site.results()
        told = " ".join(site.receipt(result)["warnings"])
        assert ("title is shortened to" in told) == (len(name) > 120)


@BOTH
def test_plan_tells_that_a_title_will_be_shortened(tmp_path, kind):
    """Before anything is sent, with the title that people will see."""
    with site_of(kind, tmp_path, names="keep", title="{folder}") as site:
        site.drop("x" * 130)
        [route] = plan.plan(config.load(site.file))
        [folder] = route.folders
        assert [each.code for each in folder.warnings] == ["title_shortened"]
        assert f"called {'x' * 120}" in explain(folder.warnings[0]).plain


# --- imports -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("policy", ["warn", "fail"])
def test_files_that_could_not_be_read_are_told_of(tmp_path, kind, policy):
    """Succeeded with a complaint: a warning in the receipt, or a failure with the words."""
    with site_of(kind, tmp_path, NEVER, leftovers=policy) as site:
        site.drop()
        complaint = "1 file could not be imported"
        ending = {"warn": "delivered", "fail": "failed"}[policy]
        with site.running() as watch:
            importing(watch)
            import_oddly(site, complaint=complaint)
            ended(watch, ending)

        told = site.receipt()["warnings"] if policy == "warn" else [site.note()]
        assert complaint in told[0]
        assert len(made(site, kind)) == 1


@BOTH
@pytest.mark.parametrize("how", ["unreadable", "two images"])
def test_a_failed_import_is_told_and_its_retry_goes_into_the_same_item(tmp_path, kind, how):
    """The platform's words reach the note; the operator's retry fills the item that is there."""
    with site_of(kind, tmp_path, NEVER) as site:
        site.drop()
        with site.running() as watch:
            importing(watch)
            fail_import(site) if how == "unreadable" else import_oddly(site, images=2)
            ended(watch, "failed")
            (before,) = made(site, kind)
            assert "Image validation for socket CT Image failed" in site.note()
            assert held(before) == {}
            site.sandbox.configure(import_seconds=0.0)
            watch.retry(watch.cases()[0])
            ended(watch)

        (after,) = made(site, kind)
        assert (after["pk"], held(after)) == (before["pk"], {"ct-image": CT})
        assert not list(site.outbox.glob("*.txt"))


@BOTH
def test_a_retry_replaces_what_an_earlier_round_left(tmp_path, kind):
    """Other bytes in the folder, another value: the same item holds the new ones alone."""
    route = {"leftovers": "fail", "inputs": {"ct-image": "*.mha", **THRESHOLD}}
    with site_of(kind, tmp_path, NEVER, **route) as site:
        folder = site.drop(files={**IMAGE, **LIMIT})
        with site.running() as watch:
            importing(watch)
            import_oddly(site, complaint="1 file could not be imported")
            ended(watch, "failed")
            (before,) = made(site, kind)
            (folder / "image.mha").write_bytes(mha(9, 9))
            (folder / "limit.json").write_bytes(b"7.5")
            watch.retry(watch.cases()[0])
            ended(watch)

        (after,) = made(site, kind)
        assert after["pk"] == before["pk"]
        assert held(after) == {"ct-image": sha256(voxels(mha(9, 9))), "threshold": 7.5}


def test_a_display_set_with_answers_is_not_changed_any_more(tmp_path):
    """A retry after readers have answered fails, and says so."""
    with site_of("reader_study", tmp_path, NEVER) as site:
        site.drop()
        with site.running() as watch:
            importing(watch)
            fail_import(site)
            ended(watch, "failed")
            (row,) = made(site, "reader_study")
            site.sandbox.add_answer(row["pk"])
            watch.retry(watch.cases()[0])
            until(lambda: watch.cases()[0].failure and watch.cases()[0].round == 2)
            ended(watch, "failed")

        assert site.case().failure.code == "not_editable"
        assert held(made(site, "reader_study")[0]) == {}


@BOTH
def test_a_file_that_never_appears_is_called_stalled_and_waited_for(tmp_path, kind):
    """A file that its task drops is told by nobody: after an hour it is said, and still watched."""
    clock = Clock()
    inputs = {"inputs": {"clinical-info": "*.json"}}
    with site_of(kind, tmp_path, NEVER, **inputs) as site:
        site.listen()
        site.drop(files={"info.json": CLINICAL})
        with site.running(clock=clock) as watch:
            importing(watch)
            clock.ahead = 1.1 * HOUR
            assert waiting(watch, "import_stalled").is_open
            site.sandbox.configure(import_seconds=0.0)
            ended(watch)
        assert len(site.said("import.stalled")) == 1
        assert held(made(site, kind)[0]) == {"clinical-info": sha256(CLINICAL)}


# --- rights, and items that are gone --------------------------------------------------------------


def test_whoever_may_only_read_a_study_waits_for_the_right(tmp_path):
    """It is waiting, not failure, and nothing is uploaded before the right is there."""
    with site_of("reader_study", tmp_path, reader_study="readers-only") as site:
        site.drop()

        outcome = site.run_once()

        assert (outcome.failed, outcome.waiting) == (0, 1)
        assert site.case().wait.reason.code == "no_rights"
        assert site.sandbox.state()["counts"]["uploads"] == 0


@BOTH
def test_an_item_that_is_deleted_meanwhile_is_never_made_again(tmp_path, kind):
    """Somebody took it away on purpose: a person has to look."""
    with site_of(kind, tmp_path, NEVER) as site:
        site.drop()
        with site.running() as watch:
            importing(watch)
            remove(site, made(site, kind)[0]["pk"])
            ended(watch, "failed")

        assert site.case().failure.code == "item_lost"
        assert made(site, kind) == []


@BOTH
def test_rights_that_are_taken_and_given_back_cost_no_case(tmp_path, kind):
    """As long as the place can't be seen its cases wait; then they go on with what they have."""
    with site_of(kind, tmp_path, NEVER) as site:
        site.drop()
        slug = TARGETS[kind].slug
        with site.running() as watch:
            importing(watch)
            site.sandbox.revoke(slug)
            waiting(watch, "not_found")
            site.sandbox.restore(slug)
            site.sandbox.configure(import_seconds=0.0)
            watch.retry(watch.cases()[0])
            ended(watch)

        assert [held(row) for row in made(site, kind)] == [{"ct-image": CT}]


def test_a_socket_that_the_archive_does_not_take_fails_the_case(tmp_path):
    """The platform's words say which."""
    with site_of("archive", tmp_path, archive="restricted", inputs=THRESHOLD) as site:
        site.drop(files=LIMIT)

        site.run_once()

        assert site.case().failure.code == "socket_not_allowed"
        assert "threshold" in site.note()


# --- inputs --------------------------------------------------------------------------------------


@BOTH
def test_an_unknown_socket_fails_before_a_byte_is_sent(tmp_path, kind):
    """A slug that the platform does not know is a mistake of the route."""
    with site_of(kind, tmp_path, inputs={"no-such-socket": "*.mha"}) as site:
        site.drop()

        site.run_once()

        assert site.case().failure.code == "unknown_socket"
        assert not [call for call in site.sandbox.calls() if call["applied"]]


@BOTH
@pytest.mark.parametrize("there", [True, False])
def test_an_optional_socket_is_filled_if_the_folder_has_something_for_it(tmp_path, kind, there):
    """Absent, it is left alone."""
    optional = {"files": "info.json", "optional": True}
    with site_of(kind, tmp_path, inputs={"ct-image": "*.mha", "clinical-info": optional}) as site:
        site.drop(files=IMAGE | ({"info.json": CLINICAL} if there else {}))

        site.run_once()

        expected = {"ct-image": CT} | ({"clinical-info": sha256(CLINICAL)} if there else {})
        assert held(made(site, kind)[0]) == expected


@pytest.mark.parametrize("there", [True, False])
def test_the_files_present_choose_the_interface(sandbox, tmp_path, there):
    """An algorithm that takes a mask or none gets what the folder has."""
    optional = {"files": "mask.mha", "optional": True}
    inputs = {"ct-image": "ct.mha", "segmentation": optional}
    site = Site(tmp_path, sandbox, algorithm="optional-mask", inputs=inputs)
    mask = {"mask.mha": mha(0, 1, 1, 0, code="B", element="MET_UCHAR")}
    site.drop(files={"ct.mha": mha(1, 2, 3, 4)} | (mask if there else {}))

    site.run_once()

    (job,) = site.jobs()
    expected = {"ct-image", "segmentation"} if there else {"ct-image"}
    assert {value["socket"] for value in job["inputs"]} == expected
    assert site.delivered() == ["p1"]


@BOTH
def test_the_receipt_and_the_case_lead_to_the_page_for_people(tmp_path, kind):
    """The pk, the address and the title are in the receipt; the image that it became, too."""
    with site_of(kind, tmp_path) as site:
        site.drop()

        site.run_once()

        target, link = site.receipt()["target"], TARGETS[kind].link
        (row,) = made(site, kind)
        assert (target[link], target["title"]) == (row["pk"], row["title"])
        assert target[f"{link}_url"] == site.case().submission.url
        assert f"/{TARGETS[kind].slug}/" in target[f"{link}_url"]
        assert row["pk"] in target[f"{link}_url"]
        (entry,) = site.receipt()["inputs"]
        assert row["values"][0]["image"] in entry["image"]


# --- uploads that expire -------------------------------------------------------------------------


@BOTH
def test_uploads_that_grow_old_before_they_are_used_are_sent_again(tmp_path, kind):
    """A case that waited for a day uses no session whose uploads are about to expire."""
    clock = Clock()
    with site_of(kind, tmp_path) as site:
        (method, path), _ = TARGETS[kind].writes
        site.listen()
        # The first such call only asks after the right.
        site.sandbox.fault("status", method=method, path=path, status=503, nth=2, times=None)
        site.drop()
        with site.running(FAST, clock) as watch:
            waiting(watch, "server_error")
        # A day passes between two runs, never between a step's look at the clock and its call.
        site.sandbox.advance(25 * HOUR)
        clock.ahead = 25 * HOUR
        site.sandbox.clear_faults()
        with site.running(FAST, clock) as watch:
            ended(watch)

        assert site.said("uploads.expired")
        assert [held(row) for row in made(site, kind)] == [{"ct-image": CT}]


# --- DICOM image sets ----------------------------------------------------------------------------

SET = {"inputs": {"dicom-ct": "**"}}


def cut(slice_):
    """A slice without the last of its pixels."""
    return slice_[: -len(slice_) // 4]


@BOTH
def test_a_set_without_a_damaged_slice_holds_the_others(tmp_path, kind):
    """What can't be de-identified stays here, and a warning tells so; the rest arrives."""
    first, *rest = THREE_SLICES.items()
    with site_of(kind, tmp_path, integrity="warn", **SET) as site:
        site.drop(files={first[0]: cut(first[1]), **dict(rest)})

        site.run_once()

        assert held(made(site, kind)[0]) == {"dicom-ct": 2}
        assert any("was not sent" in warning for warning in site.receipt()["warnings"])


def test_two_sets_that_do_not_fit_side_by_side_go_one_after_the_other(tmp_path, monkeypatch):
    """The second waits for the first one's uploads to be used, and neither blocks the other."""
    monkeypatch.setattr(upload_quota, "LIMIT_UPLOADS", 5)
    with site_of("archive", tmp_path, NEVER, **SET) as site:
        site.drop("p1", THREE_SLICES)
        site.drop("p2", THREE_SLICES)
        with site.running() as watch:
            waiting(watch, "upload_budget")
            until(lambda: any(case.status for case in watch.cases()))
            assert site.sandbox.state()["counts"]["uploads"] == 3
            site.sandbox.configure(import_seconds=0.0)
            until(lambda: any(case.ending for case in watch.cases()))
            watch.retry(waiting(watch, "upload_budget"))
            ended(watch)

        assert [held(row) for row in made(site, "archive")] == [{"dicom-ct": 3}] * 2


def test_a_set_that_never_fits_fails_at_once(tmp_path, monkeypatch):
    """No waiting helps: the note says how many files an account may hold."""
    monkeypatch.setattr(upload_quota, "LIMIT_UPLOADS", 2)
    with site_of("archive", tmp_path, **SET) as site:
        site.drop(files=THREE_SLICES)

        site.run_once()

        assert site.case().failure.code == "set_too_large"
        assert site.sandbox.state()["counts"]["uploads"] == 0


def test_a_set_that_the_platform_rejected_blocks_no_other_for_longer_than_a_day(
    tmp_path, monkeypatch
):
    """Nobody is told of a rejected set: its case stays open, but its uploads count no more."""
    monkeypatch.setattr(upload_quota, "LIMIT_UPLOADS", 5)
    clock = Clock()
    with site_of("archive", tmp_path, NEVER, **SET) as site:
        site.drop("p1", THREE_SLICES)
        with site.running(clock=clock) as watch:
            importing(watch)
            with site.sandbox.platform_state.lock:
                for source in site.sandbox.platform_state.pending_sources:
                    source.stuck = True
            site.sandbox.configure(import_seconds=0.0)
            site.drop("p2", THREE_SLICES)
            waiting(watch, "upload_budget")
            site.sandbox.advance(26 * HOUR)
            clock.ahead = 26 * HOUR
            until(lambda: "p2" in site.delivered())

        assert site.case("p1").is_open


@BOTH
def test_too_many_uploads_are_waited_for(tmp_path, kind):
    """The account's limit of upload records is no fault of the case."""
    with site_of(kind, tmp_path, {"max_uploads": 0}) as site:
        site.drop()
        with site.running() as watch:
            case = waiting(watch, "too_many_uploads")
            assert (case.attempts, case.failure) == (0, None)
            site.sandbox.configure(max_uploads=2000)
            watch.retry(case)
            ended(watch)

        assert len(made(site, kind)) == 1
