"""What a case is: a folder, a file or a DICOM series, and that nothing is lost between them."""

import io
import json
import math
import os
import shutil
import time
from pathlib import Path

import pytest
from support.builders import (
    PATIENTS,
    SERIES,
    Clock,
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    put,
    until,
    visible,
)
from support.staged import publish_as, staging_of

from gcwatch import config, log
from gcwatch.commands import plan
from gcwatch.core import events
from gcwatch.core.errors import ConfigError, NotYet, SourceChanged, SourceVanished
from gcwatch.files.beneath import SharePath
from gcwatch.inbox import dispose, patient_folder
from gcwatch.inbox.layouts import FileInbox, SeriesInbox
from gcwatch.outbox import notes, publish

pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")
"""Watchdog says so when a folder and its sub-folder appear together; it means nothing."""

MINUTE = 60
CT, MR = SERIES, PATIENTS / "98892003" / "MR700"
CT_2 = PATIENTS / "77654033" / "CT2"


def files_of(folder, under=""):
    return {f"{under}{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


PATIENT = {**files_of(CT, "ct/"), **files_of(MR, "deep/er/mr/")}
"""Two series in folders of their own."""


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose cases are series, and whose log is written down."""
    site = Site(tmp_path / "site", sandbox, cases="series", integrity="warn")
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


@pytest.fixture
def filed(tmp_path, sandbox):
    """A site whose cases are files."""
    site = Site(tmp_path / "site", sandbox, cases="files")
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def names_in(box):
    """The cases that a survey finds, however long it takes to read their headers."""
    return [entry.name for entry in box.list_cases(patience=math.inf).cases]


def cases_of(site):
    """Every case's latest ending, by name."""
    with site.watch() as watch:
        check_history(watch)
        return {case.folder: case.ending for case in watch.cases()}


def happened(watch, kind):
    """All events of this kind, of all cases."""
    recorded = [each for case in watch.cases() for each in watch.history(case)]
    return [each for each in recorded if isinstance(each.event, kind)]


def published(site, patient="p1"):
    """The series of a patient whose results people see."""
    place = site.outbox / patient
    return sorted(path.name for path in place.iterdir() if path.is_dir()) if place.exists() else []


def series_in(folder):
    """The names of the series below the folder of one patient."""
    found = names_in(SeriesInbox(SharePath(folder.parent)))
    return [name for name in found if name.startswith(f"{folder.name}/")]


def tree(folder):
    files = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(str(path) for path in files if visible(path))


# --- files ---------------------------------------------------------------------------------------


def test_each_file_of_the_inbox_is_a_case(filed):
    """Two files are two jobs; each result is named by its file, suffix and all."""
    for name in ("a.mha", "b.mha"):
        (filed.inbox / name).write_bytes(mha())
    outcome = filed.run_once()
    assert (outcome.delivered, outcome.failed) == (2, 0)
    assert filed.delivered() == ["a.mha", "b.mha"]
    check_nothing_half_done(filed.outbox)
    for name in filed.delivered():
        check_results(filed.sandbox, filed.outbox / name)
        assert filed.receipt(name)["folder"] == name
    assert cases_of(filed) == {"a.mha": "delivered", "b.mha": "delivered"}


def test_files_on_their_way_and_folders_are_no_cases_where_files_are(filed):
    """Unfinished and hidden names are not seen; folders are told of once, links too."""
    for name in ("a.mha.part", "b.tmp", ".c.mha", "gcwatch.json", "Thumbs.db"):
        (filed.inbox / name).write_bytes(mha())
    os.mkfifo(filed.inbox / "pipe")
    filed.drop("p1")
    (filed.inbox / "link").symlink_to("p1/image.mha")
    filed.run_once()
    filed.run_once()
    assert cases_of(filed) == {}
    assert [line["folders"] for line in filed.said("inbox.folders_ignored")] == [1, 1]
    assert not filed.said("inbox.loose_files_ignored")
    assert (filed.inbox / "p1" / "image.mha").exists()


def test_a_file_that_becomes_another_is_a_late_change_and_dropped_anew_a_new_case(filed):
    """Written in place: one warning, nothing sent. Taken away and dropped again: sent again."""
    path = filed.inbox / "a.mha"
    path.write_bytes(mha())
    (filed.inbox / "other.mha").write_bytes(mha())
    filed.run_once()
    path.write_bytes(mha(5, 6, 7, 8))
    filed.run_once()
    assert len(filed.said("case.changed_late")) == 1
    assert len(filed.jobs()) == 2
    path.rename(filed.folder / "aside.mha")
    filed.run_once()
    (filed.folder / "aside.mha").rename(path)
    filed.run_once()
    assert filed.delivered() == ["a.mha", "a.mha.2", "other.mha"]


@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_delivered_file_is_moved_or_deleted_alone(filed, after):
    """What stands beside it stays, and what was moved before is not replaced."""
    done = filed.folder / "done"
    done.mkdir()
    (done / "a.mha").write_text("earlier")
    filed.configure(cases="files", after=after, done=done if after == "move" else None)
    (filed.inbox / "a.mha").write_bytes(mha())
    filed.drop("folder")
    filed.run_once()
    assert filed.case("a.mha").gone
    assert tree(filed.inbox) == ["folder/image.mha"]
    assert tree(done) == (["a.mha", "a.mha.2"] if after == "move" else ["a.mha"])
    assert (done / "a.mha").read_text() == "earlier"


def test_a_file_that_changed_since_it_was_sent_is_not_deleted(tmp_path):
    """Judged by its size and time before and after it is set aside."""
    (tmp_path / "a").write_bytes(b"sent")
    box = FileInbox(SharePath(tmp_path))
    sent = box.snapshot_case("a")
    (tmp_path / "a").write_bytes(b"changed since")
    assert not dispose.dispose_of_source(box, "a", "delete", None, sent)
    assert tree(tmp_path) == ["a"]


def test_a_marker_needs_folders(filed):
    """With files as cases there is no place for it."""
    filed.configure(cases="files", ready="READY")
    with pytest.raises(ConfigError) as caught:
        config.load(filed.file)
    assert "is for folders" in caught.value.problems[0].message


def test_a_plan_counts_files(filed):
    """Each file with its verdict; folders beside them are counted."""
    (filed.inbox / "a.mha").write_bytes(mha())
    (filed.inbox / "b.txt").write_bytes(b"no image")
    filed.drop("p1")
    [planned] = plan.plan(config.load(filed.file))
    verdicts = {folder.name: folder.verdict for folder in planned.folders}
    assert verdicts == {"a.mha": "send", "b.txt": "refuse"}
    assert planned.loose == 1


# --- series --------------------------------------------------------------------------------------


def test_each_series_below_a_patients_folder_is_a_case(site):
    """Wherever its files lie; each has a job, a result and a key of its own."""
    folder = site.drop(files={**PATIENT, "report.txt": b"Dear colleague"})
    series = series_in(folder)
    assert len(series) == 2
    outcome = site.run_once()
    assert (outcome.delivered, outcome.failed) == (2, 0)
    assert [f"p1/{name}" for name in published(site)] == series
    check_nothing_half_done(site.outbox / "p1")
    for name in series:
        check_results(site.sandbox, site.outbox / name)
        assert site.receipt(name)["folder"] == name
    counts = sorted(site.receipt(name)["inputs"][0]["files"] for name in series)
    assert counts == sorted([len(files_of(CT)), len(files_of(MR))])
    [loose] = site.said("inbox.loose_files_ignored")
    assert loose["files"] == 1
    assert (site.outbox / "p1").stat().st_mode & 0o777 == 0o750
    assert tree(folder) == sorted([*PATIENT, "report.txt"])


def test_a_series_is_found_by_its_whole_name(site):
    """`show route/patient/series` and the key lead to the same case."""
    [first, second] = series_in(site.drop(files=PATIENT))
    site.run_once()
    with site.watch() as watch:
        one, other = watch.find(f"lobes/{first}"), watch.find(second)
        assert one.key != other.key
        assert watch.find(f"lobes/{one.key}") == one
        with pytest.raises(KeyError):
            watch.find("p1")


def test_the_name_of_a_series_is_neither_logged_nor_sent(site):
    """Not in any line, and not in any call, not even with names = "keep"."""
    site.configure(cases="series", integrity="warn", names="keep")
    folder = site.drop("lotte", files=PATIENT)
    (folder / "ct" / "CT5N.dcm").write_bytes(b"")  # something to complain about, too
    uids = {name.partition("/")[2] for name in series_in(folder)}
    uids |= {uid.rpartition(".")[0] for uid in uids}
    site.run_once()
    assert len(uids) == 4
    said = (site.folder / "log.jsonl").read_text()
    with site.watch() as watch:
        sent = " ".join(upload.filename for case in watch.cases() for upload in case.uploads)
    sent += json.dumps([site.sandbox.calls(), site.sandbox.state()], default=str)
    assert not [uid for uid in uids if uid in said or uid in sent]
    assert "lotte" not in said
    assert "lotte" in sent


def test_a_late_series_is_a_new_case(site):
    """What was delivered is not touched, and there is no word of a late change."""
    folder = site.drop(files=files_of(CT, "ct/"))
    site.run_once()
    put(folder, files_of(MR, "mr/"))
    site.run_once()
    assert len(published(site)) == len(site.jobs()) == 2
    assert not site.said("case.changed_late")


def test_a_late_slice_of_a_delivered_series_is_told_once(site):
    """Nothing is sent; the other series hears nothing of it."""
    *early, late = sorted(files_of(MR, "mr/").items())
    folder = site.drop(files={**dict(early), **files_of(CT, "ct/")})
    site.run_once()
    put(folder, dict([late]))
    with site.running() as watch:
        until(lambda: site.said("case.changed_late"))
        assert len(watch.cases()) == 2
    assert len(site.said("case.changed_late")) == 1
    assert len(site.jobs()) == 2


def test_a_late_slice_of_a_series_that_is_not_sent_is_sent_with_it(site):
    """It settles again; the series beside it does not wait for it."""
    *early, late = sorted(files_of(MR, "mr/").items())
    site.configure(cases="series", integrity="warn", ready="READY")
    folder = site.drop(files={**dict(early), **files_of(CT, "ct/")})
    with site.running() as watch:
        until(lambda: len([case for case in watch.cases() if case.wait]) == 2)
        put(folder, dict([late]))
        put(folder, {"READY": b""})
        until(lambda: len(published(site)) == 2)
    counts = {site.receipt(f"p1/{name}")["inputs"][0]["files"] for name in published(site)}
    assert counts == {len(files_of(MR)), len(files_of(CT))}


def test_series_settle_each_on_its_own(site):
    """The first goes out while slices of the second are still coming."""
    clock = Clock()
    site.configure(cases="series", integrity="warn", settle="30m")
    folder = site.drop(files=files_of(CT, "ct/"))
    with site.running(clock=clock) as watch:
        until(lambda: [case for case in watch.cases() if case.seen])
        clock.ahead += 20 * MINUTE
        put(folder, files_of(MR, ".mr/"))
        (folder / ".mr").rename(folder / "mr")
        until(lambda: len([case for case in watch.cases() if case.seen]) == 2)
        clock.ahead += 15 * MINUTE
        until(lambda: any(case.ending for case in watch.cases()))
        assert sorted(str(case.ending) for case in watch.cases()) == ["None", "delivered"]
        clock.ahead += 20 * MINUTE
        until(lambda: len(published(site)) == 2)


# --- files that nobody can read ------------------------------------------------------------------


def test_a_slice_still_arriving_holds_the_patients_series_back(site):
    """Nobody can tell whose the empty file is, so none is sent until it is whole."""
    *early, (name, content) = sorted(files_of(MR, "mr/").items())
    clock = Clock()
    site.configure(cases="series", integrity="warn", settle="30m")
    folder = site.drop(files={**dict(early), **files_of(CT_2, "ct2/"), name: b""})
    with site.running(clock=clock) as watch:
        until(lambda: len([case for case in watch.cases() if case.seen]) == 2)
        put(folder, {name: content[:100]})
        clock.ahead += 31 * MINUTE
        until(lambda: len(happened(watch, events.FolderChanged)) >= 4)
        put(folder, {name: content})
        clock.ahead += 31 * MINUTE
        until(lambda: len(happened(watch, events.FolderChanged)) >= 6)
        assert not site.jobs()
        clock.ahead += 31 * MINUTE
        until(lambda: len(published(site)) == 2)
    counts = sorted(site.receipt(f"p1/{name}")["inputs"][0]["files"] for name in published(site))
    assert counts == sorted([len(files_of(MR)), len(files_of(CT_2))])


def test_a_damaged_file_fails_the_series_that_it_may_be_of(site):
    """Both notes name it; the patient's folder in the outbox holds nothing half-done."""
    site.configure(cases="series")
    folder = site.drop(files={**files_of(CT, "ct/"), "ct/CT999": b"\0" * 500})
    [series] = series_in(folder)
    site.run_once()
    assert "ct/CT999" in site.note(series)
    assert cases_of(site) == {series: "failed"}
    (folder / "ct" / "CT999").unlink()
    with site.watch() as watch:
        watch.retry(watch.find(series))
    site.run_once()
    assert tree(site.outbox / "p1") == sorted(
        f"{series.partition('/')[2]}/{name}" for name in tree(site.outbox / series)
    )


def test_a_late_file_that_nobody_can_read_is_told_of(site):
    """It may be a slice of what was delivered; upkeep finds it, and nothing is sent."""
    folder = site.drop(files=files_of(MR, "mr/"))
    site.run_once()
    put(folder, {"mr/MR999": b"\0" * 500})
    with site.running():
        until(lambda: site.said("case.changed_late"))
    assert len(site.jobs()) == 1


def test_integrity_warn_sends_the_series_beside_a_damaged_file(site):
    """It goes on with a warning that names no file."""
    site.drop(files={**files_of(MR, "mr/"), "mr/MR999": b"\0" * 500})
    outcome = site.run_once()
    assert (outcome.delivered, outcome.failed) == (1, 0)
    assert "damaged_image" in {line["reason"] for line in site.said("case.warned")}


def test_a_patients_folder_without_series_is_one_case(site):
    """So whoever dropped it hears why nothing comes of it; the note goes with the first result."""
    folder = site.drop(files={"report.txt": b"Dear colleague"})
    site.run_once()
    assert cases_of(site) == {"p1": "failed"}
    assert "no image" in site.note("p1")
    put(folder, files_of(MR, "mr/"))
    site.run_once()
    assert len(published(site)) == 1
    assert not (site.outbox / "p1.failed.txt").exists()
    assert not (site.outbox / "p1" / "gcwatch.json").exists()


def test_a_patients_folder_that_cannot_be_read_is_told_of(site):
    """A link out of the inbox keeps its series from being told apart; that is said in a note."""
    folder = site.drop(files=files_of(MR, "mr/"))
    (folder / "out").symlink_to("/etc/hostname")
    site.run_once()
    assert cases_of(site) == {"p1": "failed"}
    assert "leads out of its folder" in site.note("p1")
    (folder / "out").unlink()
    site.run_once()
    assert len(published(site)) == 1


def test_a_survey_reads_as_much_as_it_has_time_for(tmp_path):
    """What it did not come to is neither listed nor gone, and it says so."""
    put(tmp_path / "p1", files_of(MR))
    put(tmp_path / "p2", files_of(CT))
    box = SeriesInbox(SharePath(tmp_path))
    hasty = box.list_cases(patience=-1)
    assert (hasty.cases, hasty.unread) == ((), True)
    assert hasty.may_hold("p1/1.2.3")
    calm = box.list_cases(patience=math.inf)
    assert len(calm.cases) == 2
    assert not calm.unread
    assert box.list_cases(patience=-1) == calm


# --- taken away ----------------------------------------------------------------------------------


def test_a_patient_taken_away_and_dropped_again_is_new_in_all_its_series(site):
    """The files are the same to the nanosecond; that the folder was moved counts."""
    site.drop("other", files=files_of(MR))
    folder = site.drop(files=PATIENT)
    site.run_once()
    folder.rename(site.folder / "aside")
    site.run_once()
    (site.folder / "aside").rename(folder)
    site.run_once()
    assert len(published(site)) == 4
    assert {name[-2:] for name in published(site)} >= {".2"}
    assert len(site.jobs()) == 5


def test_series_are_not_sent_again_because_their_share_was_away_for_a_while(site):
    """Not even if another series came meanwhile: only that one is new."""
    folder = site.drop(files=PATIENT)
    site.run_once()
    site.inbox.rename(site.folder / "unmounted")
    site.inbox.mkdir()
    site.run_once()
    shutil.rmtree(site.inbox)
    put(site.folder / "unmounted" / folder.name, files_of(CT_2, "ct2/"))
    (site.folder / "unmounted").rename(site.inbox)
    site.run_once()
    assert len(published(site)) == len(site.jobs()) == 3
    with site.watch() as watch:
        assert not [case for case in watch.cases() if case.gone]


def test_a_series_taken_away_before_it_was_sent_is_withdrawn(site):
    """Its patient's other series are not."""
    site.configure(cases="series", integrity="warn", ready="READY")
    folder = site.drop(files=PATIENT)
    mr = next(name for name in series_in(folder) if "1196533885" in name)
    site.run_once()
    shutil.rmtree(folder / "deep")
    put(folder, {"READY": b""})
    site.run_once(clock=lambda: time.time() + 60)  # both are due again
    assert sorted(map(str, cases_of(site).values())) == ["delivered", "withdrawn"]
    assert cases_of(site)[mr] == "withdrawn"


# --- moved or deleted once delivered -------------------------------------------------------------


@pytest.mark.parametrize("after", ["move", "delete"])
def test_delivered_series_go_and_with_the_last_one_their_folder(site, after):
    """Each is moved to <patient>/<series> with its files' own names."""
    done = site.folder / "done"
    site.configure(
        cases="series",
        integrity="warn",
        after=after,
        done=done if after == "move" else None,
        ready="READY",
    )
    series = series_in(site.drop(files={**PATIENT, "READY": b"", "ct/.DS_Store": b"x"}))
    site.run_once()
    assert len(published(site)) == 2
    assert not list(filter(visible, site.inbox.iterdir()))
    moved = {str(path.relative_to(done)) for path in done.rglob("*") if path.is_file()}
    expected = {f"{name}/{file}" for name in series for file in PATIENT if is_of(name, file)}
    assert moved == (expected if after == "move" else set())
    site.run_once()
    assert len(site.jobs()) == 2


def is_of(series, file):
    return ("1194734704" in series) == file.startswith("ct/")


def test_what_is_of_no_series_stays_and_is_no_case(site):
    """A report keeps the patient's folder, and is not taken for a patient without images."""
    site.configure(cases="series", integrity="warn", after="delete")
    folder = site.drop(files={**PATIENT, "report.txt": b"x", "deep/notes.txt": b"x"})
    site.run_once()
    site.run_once()
    assert tree(folder) == ["deep/notes.txt", "report.txt"]
    assert not (folder / "ct").exists()
    assert list(cases_of(site).values()) == ["delivered", "delivered"]


@pytest.fixture
def box(tmp_path):
    """An inbox with a patient of two series; what the first of them looks like."""
    root = tmp_path / "in"
    put(root / "p1", {**files_of(MR, "mr/"), **files_of(CT_2, "ct2/")})
    return SeriesInbox(SharePath(root))


def root_of(box):
    return Path(str(box.root))


def name_of(box):
    return next(name for name in names_in(box) if len(box.source_files(name)) == 7)


@pytest.mark.parametrize("after", ["move", "delete"])
@pytest.mark.parametrize("late", ["slice", "damaged"])
def test_a_series_is_left_alone_if_something_came_late(box, tmp_path, after, late):
    """A slice, or a file that may be one: nothing is moved or deleted."""
    files = list(files_of(MR).items())
    taken = root_of(box) / "p1" / "mr" / files[0][0]
    if late == "slice":
        taken.unlink()
    sent = box.snapshot_case(names_in(box)[0])
    name = next(n for n in names_in(box) if len(box.source_files(n)) in {6, 7})
    sent = box.snapshot_case(name)
    put(root_of(box) / "p1", {f"mr/{files[0][0]}": files[0][1] if late == "slice" else b"\0" * 9})
    before = tree(root_of(box))
    assert not dispose.dispose_of_source(box, name, after, tmp_path / "done", sent)
    assert tree(root_of(box)) == before
    assert [path.name for path in root_of(box).iterdir()] == ["p1"]


def test_a_slice_that_comes_while_the_series_is_gathered_gives_it_back(box):
    """Everything stands where it stood."""
    name = name_of(box)
    sent, own = box.snapshot_case(name), list(box.own_files(name))
    before = tree(root_of(box))
    part = dispose._SentPart(box, name, sent)
    assert not part._take_out(own[1:], None)
    assert tree(root_of(box)) == before


@pytest.mark.parametrize("gathered", [1, 4, 7])
def test_a_crash_while_a_series_is_gathered_is_finished(box, tmp_path, gathered):
    """What was gathered comes back to be judged, and then goes as a whole."""
    name = name_of(box)
    sent, own = box.snapshot_case(name), box.own_files(name)
    part = dispose._SentPart(box, name, sent)
    for file in own[:gathered]:
        part._gather_file(file)
    done = tmp_path / "done"
    assert dispose.dispose_of_source(box, name, "move", done, sent)
    assert dispose.dispose_of_source(box, name, "move", done, sent)
    assert tree(done) == sorted(f"{name}/{file.name}" for file in own)
    assert [each for each in tree(root_of(box)) if each.startswith("p1/mr/")] == []
    assert len(names_in(box)) == len(series_in(root_of(box) / "p1"))


def test_what_took_a_gathered_files_place_is_not_replaced(box):
    """After a crash a name may be taken by a newer file: both are kept."""
    name = name_of(box)
    sent, own = box.snapshot_case(name), box.own_files(name)
    dispose._SentPart(box, name, sent)._gather_file(own[0])
    path = Path(str(own[0].place))
    path.write_bytes(b"newer")
    assert not dispose.dispose_of_source(box, name, "delete", None, sent)
    assert path.read_bytes() == b"newer"
    assert path.with_name(path.name + ".2").stat().st_size == own[0].size


def test_a_crash_while_a_series_is_deleted_is_finished(box):
    """What was judged and doomed goes; nothing comes back."""
    name = name_of(box)
    sent, own = box.snapshot_case(name), box.own_files(name)
    part = dispose._SentPart(box, name, sent)
    for file in own:
        part._gather_file(file)
    source = part._as_folder(own)
    part._gathering_folder.rename(source._doomed_path)
    assert dispose.dispose_of_source(box, name, "delete", None, sent)
    assert [path.name for path in root_of(box).iterdir()] == ["p1"]
    with pytest.raises(SourceVanished):
        box.snapshot_case(name)


# --- the outbox ----------------------------------------------------------------------------------


def test_results_of_series_are_published_and_numbered_in_their_patients_folder(tmp_path):
    """Twice is once, nothing is replaced, and who may read the outbox may read what is in it."""
    tmp_path.chmod(0o2770)
    for key in ("k1", "k1", "k2"):
        publish_as(tmp_path, key, "p1/1.2.3", result=key)
    staging_of(tmp_path, "k1").discard()
    assert tree(tmp_path) == sorted(
        f"p1/1.2.3{number}/{name}" for number in ("", ".2") for name in ("gcwatch.json", "result")
    )
    assert publish.published_name(tmp_path, "k2", "p1/1.2.3") == "p1/1.2.3.2"
    assert publish.published_name(tmp_path, "k2", "p2/1.2.3") is None
    assert (tmp_path / "p1").stat().st_mode & 0o7777 == 0o2750


def test_the_failure_of_a_series_is_told_beside_its_place(tmp_path):
    """In the patient's folder, which is made for it; the last note goes, the folder stays."""
    notes.write_failure_note(tmp_path, "p1/1.2.3", "did not work")
    assert tree(tmp_path) == ["p1/1.2.3.failed.txt"]
    notes.remove_failure_note(tmp_path, "p1/1.2.3")
    notes.remove_failure_note(tmp_path, "p2/1.2.3")
    assert tree(tmp_path) == []


# --- what an inbox says of its series ------------------------------------------------------------


def test_a_file_that_is_written_while_it_is_read_is_waited_for(box, monkeypatch):
    """A series can't be told then; nothing is taken for gone, and nothing is a fault."""
    name = name_of(box)

    def always_changing(*_):
        raise SourceChanged

    box._known.clear()
    monkeypatch.setattr(patient_folder, "group_series", always_changing)
    with pytest.raises(NotYet) as caught:
        box.snapshot_case(name)
    assert caught.value.reason.code == "being_written"
    listing = box.list_cases()
    assert listing.unread
    assert listing.may_hold(name)


def test_headers_are_read_once(box, monkeypatch):
    """A second look at files that did not change reads none of them."""
    before = names_in(box)
    monkeypatch.setattr(patient_folder, "group_series", lambda _: pytest.fail("read again"))
    assert names_in(box) == before
    assert len(box.source_files(name_of(box))) == 7


def test_a_plan_shows_series(site):
    """Each series with what would be sent, and the same after they were."""
    folder = site.drop(files={**PATIENT, "report.txt": b"x"})
    [planned] = plan.plan(config.load(site.file))
    assert [each.name for each in planned.folders] == series_in(folder)
    assert {each.verdict for each in planned.folders} == {"send"}
    assert sum(each.parcels[0].files for each in planned.folders) == len(PATIENT)
    assert planned.loose == 1
    site.run_once()
    [planned] = plan.plan(config.load(site.file))
    assert {each.verdict for each in planned.folders} == {"done"}


def test_a_title_of_series_must_be_unique(site):
    """Two series of a patient can't both have the patient's title."""
    keys = {"cases": "series", "names": "keep", "algorithm": None, "archive": "a"}
    site.configure(**keys, title="{folder}", inputs={"ct-image": "**/*"})
    with pytest.raises(ConfigError) as caught:
        config.load(site.file)
    assert "all series of a patient" in caught.value.problems[0].message
    site.configure(**keys, title="{folder} {id}", inputs={"ct-image": "**/*"})
    config.load(site.file)
