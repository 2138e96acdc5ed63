"""The dry run: it sees what the daemon would see, and leaves no trace."""

import shutil

import pytest
from support.builders import CAPTURE_CLASS, PATIENTS, Site, mha, series, vendors_image, xray

from gcwatch import config
from gcwatch.commands import plan
from gcwatch.views.plan_table import route_plan_table
from gcwatch.views.terminal import console


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def planned(site):
    [route] = plan.plan(config.load(site.file))
    return {folder.name: folder for folder in route.folders}


def patient(name):
    return {path.name: path.read_bytes() for path in (PATIENTS / name).iterdir()}


def test_what_would_be_sent_is_counted(site):
    """Files, bytes and what is left out, for each socket."""
    site.drop("p1", {**series(), "report.txt": b"Dear colleague"})
    folder = planned(site)["p1"]
    [parcel] = folder.parcels
    assert folder.verdict == "send"
    assert (parcel.socket, parcel.carrier) == ("generic-medical-image", "image")
    assert (parcel.files, folder.left_out) == (5, 1)
    assert parcel.bytes > 0


def test_files_that_no_input_asks_for_are_left_out(site):
    """A pattern leaves out what it does not match."""
    inputs = {"ct-image": "*.mha", "threshold": {"json": "limit.json"}}
    site.configure(algorithm="threshold", inputs=inputs)
    site.drop("p1", {"a.mha": mha(), "limit.json": b"2.5", "b.txt": b"b"})
    folder = planned(site)["p1"]
    assert [parcel.carrier for parcel in folder.parcels] == ["image", "value"]
    assert folder.left_out == 1


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (vendors_image(), "not_deidentified"),
        (xray(CAPTURE_CLASS), "burned_in"),
        (patient("98892003/MR1"), "several_images"),
        ({"a.mha": mha()[:-2]}, "damaged_image"),
        ({"a.mha": b""}, "empty_file"),
        ({"a.txt": b"no image"}, "no_image"),
    ],
)
def test_what_would_be_refused_is_told_before_it_is(site, files, code):
    """The verdict is the daemon's own, de-identification included."""
    site.drop("p1", files)
    folder = planned(site)["p1"]
    assert (folder.verdict, folder.reason.code) == ("refuse", code)
    site.run_once()
    assert site.case().failure.code == code


@pytest.mark.parametrize("files", [series(), {"image.mha": mha()}], ids=["dicom", "others"])
def test_the_same_images_under_another_name_would_be_held(site, files):
    """The daemon and the plan compare alike; other images would be sent."""
    site.configure(duplicates="hold")
    site.drop("p1", files)
    site.run_once()
    site.drop("p2", files)
    site.drop("p3", {"image.mha": mha(7)})
    found = planned(site)
    assert {name: found[name].verdict for name in found} == {
        "p1": "done",
        "p2": "refuse",
        "p3": "send",
    }
    reason = found["p2"].reason
    assert (reason.code, reason.names) == ("same_images", {"folder": "p1"})
    site.run_once()
    with site.watch() as watch:
        assert watch.find("lobes/p2").failure == reason


def test_of_two_equal_new_folders_one_would_be_sent(site):
    """The other one waits for it, as in the daemon."""
    site.configure(duplicates="hold")
    site.drop("p1")
    site.drop("p2")
    verdicts = {name: folder.verdict for name, folder in planned(site).items()}
    assert sorted(verdicts.values()) == ["send", "wait"]
    waits = planned(site)[min(verdicts, key=lambda name: verdicts[name] == "send")]
    assert waits.reason.code == "same_images_under_way"
    site.run_once()
    assert len(site.delivered()) == 1


def test_a_folder_with_a_new_name_is_the_case_that_it_was(site):
    """It would not be sent again."""
    site.drop("p1")
    site.run_once()
    key = site.case().key
    (site.inbox / "p1").rename(site.inbox / "p1 with the right name")
    folder = planned(site)["p1 with the right name"]
    assert (folder.verdict, folder.case, folder.stage) == ("done", key, "delivered")
    site.run_once()
    assert len(site.jobs()) == 1


def test_a_result_in_the_outbox_would_be_adopted_without_a_journal(site):
    """As its receipt says, the folder was sent."""
    site.drop("p1")
    site.run_once()
    key = site.case().key
    shutil.rmtree(site.state)
    folder = planned(site)["p1"]
    assert (folder.verdict, folder.case, folder.stage) == ("done", key, "delivered")
    site.run_once()
    assert len(site.jobs()) == 1


def test_a_plan_leaves_no_trace(site, tmp_path, monkeypatch):
    """Nothing is sent, and nothing is written: not even a journal, or a bundle that stays."""
    aside = tmp_path / "temporary"
    aside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    site.drop("p1", series())
    before = sorted(site.folder.rglob("*"))
    planned(site)
    assert sorted(site.folder.rglob("*")) == before
    written = [call for call in site.sandbox.calls() if call["method"] != "GET"]
    assert {call["status"] for call in written} <= {400}, "only rights are asked for"
    assert not any(site.sandbox.state()["counts"][made] for made in ("jobs", "uploads", "sessions"))


def test_the_algorithm_is_looked_up_once(site):
    """A thousand folders cost one call."""
    for number in range(5):
        site.drop(f"p{number}")
    site.sandbox.forget_calls()
    planned(site)
    assert len(site.sandbox.calls()) == 2, "one for the algorithm, one for the right to run it"


def test_what_was_taken_in_before_is_told_apart(site):
    """Delivered and failed folders are done; a retried one is planned again."""
    site.drop("good")
    site.drop("bad", vendors_image())
    site.run_once()
    site.drop("new")
    found = planned(site)
    assert {name: (each.verdict, each.stage) for name, each in found.items()} == {
        "bad": ("done", "failed"),
        "good": ("done", "delivered"),
        "new": ("send", ""),
    }
    with site.watch() as watch:
        watch.retry(site.case("bad"))
    assert planned(site)["bad"].verdict == "refuse"


def test_a_folder_dropped_anew_is_planned_again(site):
    """Taking it away and dropping it again makes a new case; the plan knows."""
    folder = site.drop("p1")
    site.drop("other")
    site.run_once()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    site.run_once()
    site.drop("p1")
    assert planned(site)["p1"].verdict == "send"


def test_a_case_under_way_is_told_with_its_stage(site):
    """What has been planned is not planned again."""
    site.sandbox.configure(images_ready=False)
    site.drop("p1")
    site.run_once()
    folder = planned(site)["p1"]
    assert (folder.verdict, folder.stage) == ("under way", "submitting")
    assert folder.reason.code == "not_ready"


def test_a_folder_without_its_marker_would_wait(site):
    """The marker is missing: nothing would be sent."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    folder = planned(site)["p1"]
    assert (folder.verdict, folder.reason.code) == ("wait", "waiting_for_marker")


def test_an_empty_folder_is_no_case_yet(site):
    """It may still be filled."""
    (site.inbox / "p1").mkdir()
    assert planned(site)["p1"].verdict == "empty"


def test_an_inbox_that_is_away_is_told(site):
    """The share is not mounted: the plan of the other routes goes on."""
    shutil.rmtree(site.inbox)
    [route] = plan.plan(config.load(site.file))
    assert route.away.code == "inbox_away"


def test_an_algorithm_that_is_not_there_makes_all_wait(site):
    """The daemon would wait for access, not fail the patients."""
    site.configure(algorithm="nothing")
    site.drop("p1")
    folder = planned(site)["p1"]
    assert (folder.verdict, folder.reason.code) == ("wait", "not_found")


def test_a_plan_beside_the_daemon_disturbs_nothing(site):
    """The journal is read from a copy while the daemon writes it."""
    site.drop("p1", vendors_image())
    with site.running():
        for _ in range(5):
            planned(site)
    site.run_once()
    assert site.case().ending == "failed"


# --- reader studies, archives, choices and rights -------------------------------------------------


def sentence(site):
    """What the plan says of the one route, as on a terminal."""
    [route] = plan.plan(config.load(site.file))
    screen = console()
    with screen.capture() as caught:
        screen.print(route_plan_table(route))
    return caught.get()


def test_a_plan_is_summed_up_in_a_sentence(site):
    """How many cases, where they would go, and why the others would not."""
    site.configure(algorithm=None, reader_study="lung-study", inputs={"ct-image": "*.mha"})
    for number in range(3):
        site.drop(f"good{number}", {"a.mha": mha(number)})
    site.drop("bad1", {"a.mha": b""})
    site.drop("bad2", {"b.txt": b"no image"})
    said = " ".join(sentence(site).split())
    assert (
        "Found 5 cases, 3 would be sent to reader study lung-study, 2 would be refused because"
        in said
    )
    assert '"A file of this folder is empty" (1)' in said


def test_the_interface_for_the_files_present_is_named(site):
    """Which of an algorithm's interfaces is used, and why."""
    inputs = {"ct-image": "ct.mha", "segmentation": {"files": "mask.mha", "optional": True}}
    site.configure(algorithm="optional-mask", inputs=inputs)
    site.drop("p1", {"ct.mha": mha()})
    site.drop("p2", {"ct.mha": mha(), "mask.mha": mha(0, 1, 1, 0, code="B", element="MET_UCHAR")})
    folders = planned(site)
    assert [parcel.socket for parcel in folders["p1"].parcels] == ["ct-image"]
    assert folders["p1"].why.startswith("{ct-image} of ")
    assert [parcel.socket for parcel in folders["p2"].parcels] == ["ct-image", "segmentation"]
    assert folders["p2"].why.endswith("by the files present")


def test_files_for_no_interface_are_refused_with_what_is_there_and_what_is_taken(site):
    """A mask without its image fits nothing."""
    inputs = {"ct-image": "ct.mha", "segmentation": "mask.mha"}
    site.configure(algorithm="optional-mask", inputs=inputs)
    site.drop("p1", {"mask.mha": mha()})
    reason = planned(site)["p1"].reason
    assert reason.code == "mismatched_files"
    assert reason.facts["present"] == "segmentation"


@pytest.mark.parametrize(
    "target",
    [{"algorithm": "forbidden"}, {"reader_study": "readers-only"}, {"archive": "public-archive"}],
)
def test_what_may_not_be_used_is_waited_for(site, target):
    """Rights are asked for before anything is promised."""
    inputs = {} if "algorithm" in target else {"inputs": {"ct-image": "*.mha"}}
    site.configure(**{"algorithm": None, **target, **inputs})
    site.drop()
    folder = planned(site)["p1"]
    assert (folder.verdict, folder.reason.code) == ("wait", "no_rights")
