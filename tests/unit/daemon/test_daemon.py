"""The daemon at work: what it notices, what it waits for, and what it leaves alone."""

import io
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from types import SimpleNamespace

import pytest
from support.builders import (
    FAST,
    Clock,
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    put,
    series,
    until,
    voxels,
)

from gcwatch import config, log
from gcwatch.core import events
from gcwatch.core.errors import StateError
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace
from gcwatch.journal.hosts.presence import pause_reason, running_daemon

SELDOM = Pace(survey=3600, upkeep=3600, backoff=0.02, slowest=0.5, doubt=0.3, refused=0.2)
"""Surveys an hour apart: what is noticed at once was noticed by watchdog."""


pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")
"""Watchdog says so when a folder and its sub-folder appear together; it means nothing."""


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose log is written down."""
    site = Site(tmp_path / "site", sandbox)
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def case_of(watch, name="p1", route="lobes"):
    try:
        return watch.find(f"{route}/{name}")
    except KeyError:
        return None


def ends(watch, *names, ending="delivered", route="lobes"):
    """Wait until every folder's latest case has ended so; return the last one."""
    for name in names or ("p1",):
        until(lambda name=name: (case := case_of(watch, name, route)) and case.ending == ending)
    return case_of(watch, (names or ("p1",))[-1], route)


def waits(watch, code, name="p1"):
    """Wait until a folder's case waits for this reason."""

    def waiting():
        case = case_of(watch, name)
        return case and case.wait and case.wait.reason.code == code

    until(waiting)


def is_seen(watch, name="p1"):
    """Whether a folder's latest case has been looked at, and is still under way."""
    case = case_of(watch, name)
    return case is not None and case.is_open and case.seen is not None


def hold(site, method, **which):
    """Each such call gets no answer until the faults are cleared."""
    site.sandbox.fault("delay", method=method, times=None, seconds=100, **which)


def happened(watch, kind, name="p1"):
    """The times at which a folder's latest case had an event of this kind."""
    history = watch.history(case_of(watch, name))
    return [recorded.at for recorded in history if isinstance(recorded.event, kind)]


def check_one_job_each(site, *names):
    """Each folder has one job and one whole result, and there is nothing else."""
    assert len(site.jobs()) == len(names)
    assert site.delivered() == sorted(names)
    check_nothing_half_done(site.outbox)
    for name in names:
        check_results(site.sandbox, site.outbox / name)
    with site.watch() as watch:
        check_history(watch)


def was_called(site, method, path):
    """Whether a call of this kind has come in."""
    return any(call["method"] == method and path in call["path"] for call in site.sandbox.calls())


def arrive(site, name, content):
    """Put a file into the inbox, whole: with no time to settle, half of one would be sent."""
    growing = site.inbox / f"{name}.part"
    growing.write_bytes(content)
    growing.rename(site.inbox / name)


def image_in(folder):
    """The voxels that came back from the algorithm that copies."""
    (image,) = folder.glob("generic-medical-image/*.mha")
    return voxels(image.read_bytes())


# --- what is noticed -----------------------------------------------------------------------------


def test_a_folder_is_noticed_at_once_though_the_survey_is_an_hour_away(site):
    """Watchdog tells of a folder that comes after the first survey."""
    with site.running(pace=SELDOM) as watch:
        until(lambda: site.said("watch.started"))

        site.drop()

        ends(watch)
    check_one_job_each(site, "p1")


def test_a_folder_filled_in_place_is_noticed_at_once(site):
    """A folder made empty, then filled in a sub-folder, is noticed when the file is written."""
    with site.running(pace=SELDOM) as watch:
        until(lambda: site.said("watch.started"))
        (site.inbox / "p1" / "study").mkdir(parents=True)

        arrive(site, "p1/study/image.mha", mha())

        ends(watch)
    check_one_job_each(site, "p1")


def test_the_survey_finds_what_watchdog_cannot_see(site):
    """An inbox in whose place another folder was moved gives no event of what is in that."""
    with site.running() as watch:
        until(lambda: site.said("watch.started"))
        (site.folder / "now" / "p1").mkdir(parents=True)
        (site.folder / "now" / "p1" / "image.mha").write_bytes(mha())

        site.inbox.rename(site.folder / "before")
        (site.folder / "now").rename(site.inbox)

        ends(watch)
    check_one_job_each(site, "p1")


def test_a_link_to_the_inbox_is_resolved_at_the_start_and_at_a_reload(site):
    """Nobody but the admin, who can reload, says where the inbox is."""
    site.inbox.rename(site.folder / "before")
    site.inbox.symlink_to("before")
    (site.folder / "now" / "p2").mkdir(parents=True)
    (site.folder / "now" / "p2" / "image.mha").write_bytes(mha())
    reload = threading.Event()
    with site.running(reload=reload) as watch:
        site.drop("p1")
        ends(watch, "p1")
        (site.folder / "link").symlink_to("now")
        (site.folder / "link").rename(site.inbox)
        (site.folder / "more" / "p3").mkdir(parents=True)
        (site.folder / "more" / "p3" / "image.mha").write_bytes(mha())
        (site.folder / "more" / "p3").rename(site.folder / "before" / "p3")
        ends(watch, "p3")
        assert {case.folder for case in watch.cases()} == {"p1", "p3"}

        reload.set()

        ends(watch, "p2")


def test_a_link_in_the_place_of_the_inbox_is_no_inbox(site):
    """Who may write to the folder around it can't make gcwatch read another one."""
    (site.folder / "theirs" / "p2").mkdir(parents=True)
    (site.folder / "theirs" / "p2" / "image.mha").write_bytes(mha())
    with site.running() as watch:
        site.drop("p1")
        ends(watch, "p1")
        site.inbox.rename(site.folder / "before")
        site.inbox.symlink_to("theirs")

        until(lambda: site.said("inbox.away"))
        assert [case.folder for case in watch.cases()] == ["p1"]
        site.inbox.unlink()
        (site.folder / "before").rename(site.inbox)

        until(lambda: site.said("inbox.returned"))


def test_an_inbox_deleted_and_made_anew_is_watched_again(site):
    """The watch on the old folder is dead; what comes into the new one is noticed at once."""
    with site.running(pace=SELDOM) as watch:
        until(lambda: site.said("watch.started"))
        (site.folder / "anew").mkdir()
        for marker in site.inbox.iterdir():
            marker.unlink()  # the old folder has to be empty
        (site.folder / "anew").rename(site.inbox)  # at once: between two lines it might be away
        site.drop("p1")
        ends(watch, "p1")

        site.drop("p2")

        ends(watch, "p2")
    check_one_job_each(site, "p1", "p2")


def test_a_folder_renamed_within_the_inbox_is_sent_once_under_its_last_name(site):
    """While it settles a folder may get another name: only that one becomes a job."""
    site.configure(settle="1h")
    clock = Clock()
    with site.running(clock=clock) as watch:
        site.drop("arriving")
        until(lambda: is_seen(watch, "arriving"))

        (site.inbox / "arriving").rename(site.inbox / "p1")
        until(lambda: is_seen(watch, "p1"))
        clock.ahead = 3601

        ends(watch, "p1")
        ends(watch, "arriving", ending="withdrawn")
    check_one_job_each(site, "p1")


def test_files_in_sub_folders_are_sent(site):
    """A series two levels deep becomes one image of all its files."""
    files = {f"study/series/{name}": data for name, data in series().items()}
    site.drop(files=files)

    site.run_once()

    check_one_job_each(site, "p1")
    assert site.receipt()["inputs"][0]["files"] == len(files)


def test_an_empty_folder_is_no_case_until_a_file_is_in_it(site):
    """Empty folders and ignored files are passed over in silence."""
    (site.inbox / "p1" / "sub").mkdir(parents=True)
    (site.inbox / "p1" / ".DS_Store").write_bytes(b"x")
    with site.running() as watch:
        site.drop("p2")
        ends(watch, "p2")
        assert case_of(watch, "p1") is None

        arrive(site, "p1/sub/image.mha", mha())

        ends(watch, "p1")
    check_one_job_each(site, "p1", "p2")


def test_what_is_never_content_is_never_sent(site):
    """The built-in ignore list and the route's globs hold for files and for folders."""
    site.configure(ignore=["*.txt", "private/**", "test-*"])
    rest = (".DS_Store", "Thumbs.db", ".hidden.mha", "notes.TXT", "private/x.mha", "__MACOSX/y.mha")
    site.drop(files={"image.mha": mha(), **dict.fromkeys(rest, b"x")})
    site.drop("test-1")
    site.drop("p2.part")

    site.run_once()

    check_one_job_each(site, "p1")
    (sent,) = site.receipt()["inputs"]
    assert (sent["files"], sent["left_out"]) == (1, 0)


def test_loose_files_are_told_once_and_left(site):
    """Files and links beside the folders are counted in the log, once, and stay."""
    (site.inbox / "loose.mha").write_bytes(mha())
    (site.inbox / "link").symlink_to(site.folder)
    with site.running() as watch:
        site.drop("p1")
        ends(watch, "p1")
        site.drop("p2")
        ends(watch, "p2")

    (files,) = site.said("inbox.loose_files_ignored")
    assert (files["files"], files["route"]) == (1, "lobes")
    assert [line["links"] for line in site.said("inbox.links_ignored")] == [1]
    assert (site.inbox / "loose.mha").read_bytes() == mha()
    check_one_job_each(site, "p1", "p2")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(os.fsdecode(b"p\xe9"), id="undecodable"),
        pytest.param("Müller, Ægir 患者 (1)", id="unicode"),
        pytest.param("Mu\u0308ller", id="decomposed"),
        pytest.param("-rf ~ $HOME #x", id="shell"),
    ],
)
def test_a_folder_of_any_name_is_delivered_under_the_same_bytes(site, name):
    """Names in any Unicode, or in no encoding at all; the receipt can be read all the same."""
    site.drop(name)

    site.run_once()

    assert [os.fsencode(path.name) for path in site.outbox.iterdir()] == [os.fsencode(name)]
    check_one_job_each(site, name)
    told = site.receipt(name)["folder"]
    assert told == os.fsencode(name).decode("utf-8", "backslashreplace")


# --- settling ------------------------------------------------------------------------------------


def test_a_file_that_arrives_while_settling_restarts_the_wait(site):
    """The settle time counts from the last change, and what came late is sent, too."""
    site.configure(settle="1h")
    clock = Clock()
    *most, last = series().items()
    with site.running(clock=clock) as watch:
        folder = site.drop(files=dict(most))
        until(lambda: is_seen(watch))

        put(folder, dict([last]))
        clock.ahead = 3601
        until(lambda: len(happened(watch, events.FolderChanged)) >= 2)
        clock.ahead = 2 * 3601

        ends(watch)
        # The clock may jump within the first look, which then takes the folder for settled.
        last_change, settled = (
            happened(watch, events.FolderChanged)[-1],
            happened(watch, events.FolderSettled)[-1],
        )
    assert settled - last_change >= 3600
    check_one_job_each(site, "p1")
    assert site.receipt()["inputs"][0]["files"] == len(series())


def test_a_marker_file_ends_the_wait_at_once(site):
    """With `ready`, nothing is sent without the marker, and no time is lost once it stands."""
    site.configure(ready="READY.txt")
    with site.running(pace=SELDOM) as watch:
        until(lambda: site.said("watch.started"))
        folder = site.drop()
        waits(watch, "waiting_for_marker")
        assert not was_called(site, "POST", "/uploads/")

        (folder / "READY.txt").touch()

        ends(watch)
    check_one_job_each(site, "p1")
    assert site.receipt()["inputs"][0]["left_out"] == 0


def test_without_its_marker_a_folder_is_not_sent(site):
    """A folder without the marker waits, whatever else is delivered meanwhile."""
    site.configure(ready="READY.txt")
    site.drop("p1")
    site.drop("p2", {"image.mha": mha(), "READY.txt": b""})

    outcome = site.run_once()

    assert (outcome.delivered, outcome.waiting) == (1, 1)
    check_one_job_each(site, "p2")


def test_a_file_that_comes_before_submission_sends_the_case_back_to_settling(site):
    """A late file while the upload is under way: one job, with everything."""
    *most, last = series().items()
    hold(site, "PUT", host="storage")
    with site.running() as watch:
        folder = site.drop(files=dict(most))
        until(lambda: was_called(site, "PUT", ""))

        (folder / last[0]).write_bytes(last[1])
        site.sandbox.clear_faults()

        ends(watch)
        assert len(happened(watch, events.FolderSettled)) == 2
    check_one_job_each(site, "p1")
    assert site.receipt()["inputs"][0]["files"] == len(series())


@pytest.mark.parametrize("later", [mha(5, 6, 7, 8), mha(5, 6, 7, 8, 9), mha(5)])
def test_a_file_that_changes_during_its_upload_is_sent_as_it_is_in_the_end(site, later):
    """The changed file sends the case back to settling: one job, with the new bytes."""
    hold(site, "PUT", host="storage")
    with site.running() as watch:
        folder = site.drop()
        until(lambda: was_called(site, "PUT", ""))

        (folder / "image.mha").write_bytes(later)
        site.sandbox.clear_faults()

        ends(watch)
    check_one_job_each(site, "p1")
    assert image_in(site.outbox / "p1") == voxels(later)


def test_a_folder_taken_away_during_its_upload_is_withdrawn(site):
    """That is no fault of gcwatch's or the platform's, and nothing says so."""
    site.drop("p2")
    hold(site, "PATCH")
    with site.running() as watch:
        folder = site.drop("p1")
        until(lambda: (case := case_of(watch)) and case.uploads)

        folder.rename(site.folder / "away")
        site.sandbox.clear_faults()

        ends(watch, "p1", ending="withdrawn")
        ends(watch, "p2")
    check_one_job_each(site, "p2")
    assert not site.said("step.crashed")
    assert not site.said("platform.unreachable")


# --- what can't be sent --------------------------------------------------------------------------


def test_a_link_that_leads_out_of_the_inbox_fails_the_case(site):
    """It is not followed; the note names it; the other folders go on."""
    (site.folder / "secret.mha").write_bytes(mha())
    folder = site.drop("p1")
    (folder / "more.mha").symlink_to(site.folder / "secret.mha")
    site.drop("p2")

    outcome = site.run_once()

    assert (outcome.delivered, outcome.failed) == (1, 1)
    assert "more.mha is a symbolic link that leads out of its folder" in site.note("p1")
    assert [line["reason"] for line in site.said("case.failed")] == ["link_outside"]
    check_one_job_each(site, "p2")


def test_a_name_in_no_encoding_is_spelt_in_the_note_as_its_folder_is_in_status(site):
    """The note is UTF-8 whatever the name's bytes are."""
    site.drop("p1", {os.fsdecode(b"im\xff.mha"): mha()[:-2]})

    site.run_once()

    assert r"im\xff.mha: the file holds" in site.note("p1")


def test_a_link_to_another_patient_s_file_fails_the_case(site):
    """One patient's image is never sent as another's; a link within the folder is followed."""
    folder = site.drop("p1", {".store/x": mha(7, 8, 9)})
    (folder / "image.mha").symlink_to(".store/x")
    (site.inbox / "p2").mkdir()
    (site.inbox / "p2" / "image.mha").symlink_to(folder / ".store" / "x")

    outcome = site.run_once()

    assert (outcome.delivered, outcome.failed) == (1, 1)
    check_one_job_each(site, "p1")
    assert image_in(site.outbox / "p1") == voxels(mha(7, 8, 9))
    assert "image.mha is a symbolic link that leads out of its folder" in site.note("p2")


def test_a_file_that_cannot_be_read_fails_the_case_in_the_end(site):
    """It is tried a few times, then explained; the other folders go on."""
    folder = site.drop("p1")
    (folder / "more.mha").symlink_to("nothing.mha")
    with site.running() as watch:
        site.drop("p2")

        ends(watch, "p1", ending="failed")
        ends(watch, "p2")
    assert "Reading more.mha failed" in site.note("p1")
    assert [line["reason"] for line in site.said("case.failed")] == ["file_unreadable"]
    check_one_job_each(site, "p2")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_sent_once_there_is_one(site):
    """The right given while the file is being tried again is enough."""
    folder = site.drop()
    (folder / "image.mha").chmod(0)
    clock = Clock()
    with site.running(pace=Pace(survey=0.3, backoff=600), clock=clock) as watch:
        waits(watch, "file_unreadable")

        (folder / "image.mha").chmod(0o600)
        clock.ahead = 900

        ends(watch)
    check_one_job_each(site, "p1")


def test_an_empty_file_is_refused_before_a_byte_is_sent(site):
    """The folder fails with an explanation that names the file."""
    site.drop(files={"image.mha": b""})

    outcome = site.run_once()

    assert outcome.failed == 1
    assert "image.mha has 0 bytes" in site.note()
    assert not was_called(site, "POST", "/uploads/")


def test_one_failure_does_not_stop_the_others(site):
    """Of five folders one can't be sent: it is explained, the others are delivered."""
    for number in range(5):
        site.drop(f"p{number}", {"image.mha": b"" if number == 2 else mha(number)})

    outcome = site.run_once()

    assert (outcome.delivered, outcome.failed, outcome.waiting) == (4, 1, 0)
    assert "image.mha" in site.note("p2")
    check_one_job_each(site, "p0", "p1", "p3", "p4")


# --- an inbox that is away -----------------------------------------------------------------------


def test_an_inbox_that_is_missing_at_the_start_is_waited_for(site):
    """It is said once that it is away, once that it is back; then its folders are sent."""
    shutil.rmtree(site.inbox)
    with site.running() as watch:
        until(lambda: site.said("inbox.away"))
        site.inbox.mkdir()

        site.drop()

        ends(watch)
    assert len(site.said("inbox.away")) == 1
    assert len(site.said("inbox.returned")) == 1
    check_one_job_each(site, "p1")


def test_a_share_that_is_mounted_late_is_told_of_as_the_share_that_it_is(site, monkeypatch):
    """What lies on a network file system is said when it can be seen, not only at the start."""
    share = SimpleNamespace(mountpoint=str(site.inbox), fstype="nfs4")
    shutil.rmtree(site.inbox)
    with site.running() as watch:
        until(lambda: site.said("inbox.away"))
        assert not site.said("inbox.on_network_file_system")
        monkeypatch.setattr("psutil.disk_partitions", lambda **_: [share])
        site.inbox.mkdir()

        site.drop()

        ends(watch)
    assert [line["file_system"] for line in site.said("inbox.on_network_file_system")] == ["nfs4"]


def take_away(site, how):
    """Unmount the inbox: the folder is gone, or an empty mount point stands in its place."""
    site.inbox.rename(site.folder / "unmounted")
    if how != "missing":
        site.inbox.mkdir()
    if how == "a note":
        (site.inbox / "NOT MOUNTED").touch()


def bring_back(site):
    """Mount it again."""
    shutil.rmtree(site.inbox, ignore_errors=True)
    (site.folder / "unmounted").rename(site.inbox)


@pytest.mark.parametrize("how", ["missing", "empty"])
@pytest.mark.parametrize("stage", ["settling", "uploading"])
def test_a_share_that_goes_away_before_everything_is_sent_only_makes_a_pause(site, stage, how):
    """The case is not withdrawn; when the share is back it becomes exactly one job."""
    clock = Clock()
    site.configure(settle="1h")
    hold(site, "PATCH")
    with site.running(clock=clock) as watch:
        site.drop("p1")
        until(lambda: is_seen(watch))
        if stage == "uploading":
            clock.ahead = 3601
            until(lambda: was_called(site, "PATCH", "presigned"))
        take_away(site, how)
        clock.ahead = 3601
        site.sandbox.clear_faults()
        waits(watch, "inbox_away")

        bring_back(site)
        clock.ahead = 3661

        ends(watch)
    check_one_job_each(site, "p1")
    assert not site.said("case.vanished")


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_share_that_goes_away_while_the_job_runs_holds_nothing_up(site, how):
    """The results are delivered meanwhile, and nothing is sent again when it is back."""
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running() as watch:
        site.drop("p1")
        until(site.jobs)
        take_away(site, how)
        site.sandbox.advance(3600)
        ends(watch, "p1")
        until(lambda: case_of(watch).gone or site.said("inbox.away"))

        bring_back(site)
        site.sandbox.configure(job_seconds=0)
        site.drop("p2")

        ends(watch, "p2")
        until(lambda: not case_of(watch, "p1").gone)
    check_one_job_each(site, "p1", "p2")


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_delivered_folders_of_a_share_that_was_away_are_not_sent_again(site, how):
    """However often the share comes and goes."""
    site.drop("p1")
    with site.running() as watch:
        ends(watch, "p1")
        for name in ("p2", "p3"):
            take_away(site, how)
            until(lambda: case_of(watch).gone or is_away(site))
            bring_back(site)

            site.drop(name)

            ends(watch, name)
    check_one_job_each(site, "p1", "p2", "p3")


def is_away(site):
    """Whether the last word on the inbox is that it is away."""
    return len(site.said("inbox.away")) > len(site.said("inbox.returned"))


def test_a_folder_that_vanished_unsent_is_sent_when_it_is_back_as_it_was(site):
    """A mount point that holds a note looks like an inbox without the folder: nothing is lost."""
    site.configure(settle="1h")
    clock = Clock()
    with site.running(clock=clock) as watch:
        site.drop("p1")
        until(lambda: is_seen(watch))
        take_away(site, "a note")
        clock.ahead = 3601
        ends(watch, "p1", ending="withdrawn")

        bring_back(site)
        until(lambda: is_seen(watch))
        clock.ahead = 2 * 3601

        ends(watch, "p1")
    check_one_job_each(site, "p1")


def test_a_withdrawn_folder_of_a_share_that_was_away_stays_withdrawn(site):
    """What the operator took back is not sent because a share comes and goes."""
    site.configure(settle="1h")
    clock = Clock()
    with site.running(clock=clock) as watch:
        site.drop("p1")
        until(lambda: (case := case_of(watch)) and case.seen)
        operate(site, "withdraw")
        take_away(site, "empty")
        until(lambda: case_of(watch).gone)

        bring_back(site)
        site.drop("p2")
        until(lambda: (case := case_of(watch, "p2")) and case.seen)
        clock.ahead = 3601

        ends(watch, "p2")
    check_one_job_each(site, "p2")


def test_a_second_route_goes_on_while_the_inbox_of_the_first_is_away(site):
    """One route's missing share is nothing to the other."""
    shutil.rmtree(site.inbox)
    (site.folder / "in2" / "p1").mkdir(parents=True)
    (site.folder / "in2" / "p1" / "image.mha").write_bytes(mha())
    (site.folder / "out2").mkdir()
    with site.file.open("a") as file:
        file.write(
            '\n[[route]]\nname = "second"\ninbox = "in2"\noutbox = "out2"\n'
            'algorithm = "copy-image"\nsettle = "0s"\npoll = "50ms"\n'
        )

    with site.running() as watch:
        ends(watch, "p1", route="second")

    assert [line["route"] for line in site.said("inbox.away")] == ["lobes"]
    check_results(site.sandbox, site.folder / "out2" / "p1")


# --- after it was sent ---------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [(), ("p2",)], ids=["alone", "with a neighbour"])
def test_a_folder_taken_away_and_dropped_again_is_a_new_case(site, neighbours):
    """Its results stand beside the first ones, which nobody touches."""
    for name in neighbours:
        site.drop(name)
    with site.running() as watch:
        site.drop("p1", {"image.mha": mha(1)})
        ends(watch, "p1", *neighbours)
        first = (site.outbox / "p1" / "gcwatch.json").read_bytes()
        shutil.rmtree(site.inbox / "p1")
        until(lambda: case_of(watch).gone)

        site.drop("p1", {"image.mha": mha(2)})

        until(lambda: "p1.2" in site.delivered())
        ends(watch, "p1")
    check_one_job_each(site, "p1", "p1.2", *neighbours)
    assert (site.outbox / "p1" / "gcwatch.json").read_bytes() == first
    assert image_in(site.outbox / "p1.2") == voxels(mha(2))


@pytest.mark.parametrize("route", [{"after": "delete"}, {"after": "move", "done": "done"}])
def test_a_source_is_moved_or_deleted_only_once_it_is_delivered(site, route):
    """While the job runs the folder stands in the inbox; then it is gone from there."""
    site.configure(**route)
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running() as watch:
        folder = site.drop()
        waiting = until(lambda: (case := case_of(watch)) and case.status)
        assert waiting
        assert folder.exists()

        site.sandbox.advance(3600)

        ends(watch)
    check_one_job_each(site, "p1")
    assert not folder.exists()
    if route["after"] == "move":
        assert (site.folder / "done" / "p1" / "image.mha").read_bytes() == mha()


@pytest.mark.parametrize("route", [{"after": "delete"}, {"after": "move", "done": "done"}])
def test_a_late_file_keeps_the_folder_in_the_inbox(site, route):
    """What was not sent is never deleted or moved; the results are delivered all the same."""
    site.configure(**route)
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running() as watch:
        folder = site.drop()
        until(lambda: (case := case_of(watch)) and case.status)
        (folder / "late.mha").write_bytes(mha(9))

        site.sandbox.advance(3600)

        ends(watch)
    check_one_job_each(site, "p1")
    assert {path.name for path in folder.iterdir()} == {"image.mha", "late.mha"}
    assert [line["source"] for line in site.said("case.delivered")] == ["changed"]


@pytest.mark.parametrize("route", [{"after": "delete"}, {"after": "move", "done": "done"}])
def test_a_name_may_be_used_again_as_soon_as_its_folder_was_disposed_of(site, route):
    """A folder that comes before the next survey is a new patient, not a late change."""
    site.configure(**route)
    site.drop("p1", {"image.mha": mha(1)})
    site.run_once()

    site.drop("p1", {"image.mha": mha(2)})
    site.run_once()

    check_one_job_each(site, "p1", "p1.2")
    assert image_in(site.outbox / "p1.2") == voxels(mha(2))
    assert not site.said("case.changed_late")


# --- the operator's verbs ------------------------------------------------------------------------


def operate(site, verb, name="p1"):
    """Do what `gcwatch retry` or `gcwatch withdraw` does, beside a running daemon."""
    with site.watch() as beside:
        getattr(beside, verb)(beside.find(f"lobes/{name}"))


def test_a_failed_case_is_delivered_once_its_cause_is_mended_and_it_is_retried(site):
    """The explanation disappears with the failure."""
    with site.running() as watch:
        folder = site.drop(files={"image.mha": b""})
        ends(watch, ending="failed")
        assert "0 bytes" in site.note()
        (folder / "image.mha").write_bytes(mha(4, 2))

        operate(site, "retry")

        ends(watch)
    check_one_job_each(site, "p1")
    assert [path.name for path in site.outbox.iterdir()] == ["p1"]
    assert image_in(site.outbox / "p1") == voxels(mha(4, 2))


def test_a_delivered_case_that_is_retried_is_sent_anew(site):
    """The second results stand beside the first."""
    with site.running() as watch:
        site.drop()
        ends(watch)

        operate(site, "retry")

        until(lambda: "p1.2" in site.delivered())
        ends(watch)
    check_one_job_each(site, "p1", "p1.2")


def test_a_case_withdrawn_while_it_settles_is_not_sent(site):
    """Another is, later: the daemon heard of it."""
    site.configure(settle="1h")
    clock = Clock()
    with site.running(clock=clock) as watch:
        site.drop("p1")
        site.drop("p2")
        until(lambda: all((case := case_of(watch, name)) and case.seen for name in ("p1", "p2")))

        operate(site, "withdraw", "p1")
        clock.ahead = 3601

        ends(watch, "p2")
    check_one_job_each(site, "p2")
    assert site.case("p1").ending == "withdrawn"


def test_a_case_that_waits_long_goes_on_at_once_when_it_is_retried(site):
    """A wait of half an hour ends with the operator's word."""
    site.configure(algorithm="not-ready")
    with site.running() as watch:
        site.drop()
        waits(watch, "not_ready")
        posts = sum(call["path"].endswith("/jobs/") for call in site.sandbox.calls())

        operate(site, "retry")

        until(lambda: sum(call["path"].endswith("/jobs/") for call in site.sandbox.calls()) > posts)


# --- one daemon, and its end ---------------------------------------------------------------------


def test_a_second_daemon_on_the_same_state_directory_is_refused(site):
    """It is told who works there; the first one goes on."""
    with site.running() as watch, site.watch() as second:
        until(lambda: running_daemon(site.state) == os.getpid())

        with pytest.raises(StateError, match=f"process {os.getpid()}"):
            second.run(threading.Event())

        site.drop()
        ends(watch)
    check_one_job_each(site, "p1")


def test_nothing_is_left_behind_when_the_daemon_stops(site):
    """Neither the lock nor a thread."""
    before = set(threading.enumerate())
    with site.running() as watch:
        site.drop()
        ends(watch)
        assert running_daemon(site.state) == os.getpid()

    assert running_daemon(site.state) is None
    until(lambda: set(threading.enumerate()) <= before)
    assert site.said()[-1]["event"] == "daemon.stopped"


def test_a_stop_in_the_middle_of_an_upload_is_quick_and_the_next_run_sends_the_rest(site):
    """What the platform holds by then is not sent again."""
    folder = site.drop(files={"big.mha": big_head()})
    os.truncate(folder / "big.mha", len(big_head()) + BIG)
    site.configure(limits={"connections": 1})
    hold(site, "PUT", host="storage", nth=2)
    stop = threading.Event()
    with site.running(stop=stop):
        until(lambda: puts(site) == 2)
        stop.set()
        site.sandbox.clear_faults()
    sent = parts_stored(site)

    site.run_once()

    check_one_job_each(site, "p1")
    assert 1 <= sent <= 2
    assert parts_stored(site) == 3
    assert len(site.said("upload.resumed")) == 1


BIG = 40 << 20


def big_head():
    """The head of an image of three parts."""
    return (
        b"ObjectType = Image\nNDims = 3\nDimSize = 1024 1024 40\nElementSpacing = 1 1 1\n"
        b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )


def puts(site):
    return sum(call["method"] == "PUT" for call in site.sandbox.calls())


def parts_stored(site):
    return sum(call["method"] == "PUT" and call["applied"] for call in site.sandbox.calls())


# --- the platform --------------------------------------------------------------------------------


def test_a_refused_token_pauses_everything_and_loses_nothing(site):
    """Said loudly, once a pause; no case fails; with the right token all are delivered."""
    site.use_token("0" * 64)
    names = ("p1", "p2", "p3", "p4", "p5")
    for name in names:
        site.drop(name)
    with site.running() as watch:
        until(lambda: site.said("platform.token_refused"))
        asked = len(site.sandbox.calls())
        until(lambda: len(site.sandbox.calls()) > asked + 3)
        assert pause_reason(site.state) == Reason("token_refused")

        site.use_token(site.sandbox.token)

        ends(watch, *names)
        assert pause_reason(site.state) is None
    said = [datetime.fromisoformat(line["time"]) for line in site.said("platform.token_refused")]
    assert all((later - earlier).total_seconds() >= 0.19 for earlier, later in pairwise(said))
    assert len(site.said("platform.token_accepted")) == 1
    assert not site.said("case.failed")
    check_one_job_each(site, *names)


def test_a_refused_token_and_then_no_platform_at_all_is_waited_out(site):
    """That is no fault of gcwatch's, and nothing says so."""
    site.sandbox.configure(token_valid=False)
    site.drop()
    with site.running() as watch:
        until(lambda: site.said("platform.token_refused"))
        site.sandbox.fault("cut_before", times=None)
        asked = len(site.sandbox.calls())
        until(lambda: len(site.sandbox.calls()) > asked + 5)

        site.sandbox.configure(token_valid=True)
        site.sandbox.clear_faults()

        ends(watch)
    assert not site.said("step.crashed")
    check_one_job_each(site, "p1")


def test_a_platform_out_of_reach_is_waited_for(site):
    """It is said once that it is away and once that it is back, for however many cases."""
    site.sandbox.fault("cut_before", times=None)
    clock = Clock()
    for name in ("p1", "p2", "p3"):
        site.drop(name)
    with site.running(pace=replace(FAST, backoff=3600, slowest=3600), clock=clock) as watch:
        until(lambda: len(site.said("case.faltered")) >= 3)
        clock.ahead = 3601
        until(lambda: len(site.said("case.faltered")) >= 6)

        site.sandbox.clear_faults()
        clock.ahead = 2 * 3601

        ends(watch, "p1", "p2", "p3")
    assert len(site.said("platform.unreachable")) == 1
    assert len(site.said("platform.reachable")) == 1
    assert not site.said("case.failed")
    check_one_job_each(site, "p1", "p2", "p3")


def test_a_download_that_comes_whole_proves_the_platform_is_back(site):
    """A cut in a download is the last that is heard of a lone case: its end takes the word back."""
    site.sandbox.fault("truncate", host="storage", method="GET")
    site.drop("p1")
    with site.running() as watch:
        ends(watch, "p1")
    assert len(site.said("platform.unreachable")) == 1
    assert len(site.said("platform.reachable")) == 1


def test_a_running_job_is_asked_after_once_a_tick(site):
    """No case makes more than one call per tick of its route's poll, and none of another kind."""
    site.configure(poll="200ms")
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    names = ("p1", "p2", "p3")
    with site.running() as watch:
        for name in names:
            site.drop(name)
        until(lambda: all((case := case_of(watch, name)) and case.status for name in names))
        begun = time.monotonic()
        site.sandbox.forget_calls()
        until(lambda: len(asked(site)) >= len(names) and min(asked(site).values()) > 3)
        calls, ticks = asked(site), (time.monotonic() - begun) / 0.2 + 1
    assert set(calls) == {f"/api/v1/algorithms/jobs/{job['pk']}/" for job in site.jobs()}
    assert max(calls.values()) <= ticks


def asked(site):
    """How often each path was called."""
    return Counter(call["path"] for call in site.sandbox.calls())


def test_a_job_is_first_asked_after_when_most_of_its_usual_time_has_passed(site):
    """Three quarters of the algorithm's average duration."""
    site.sandbox.configure(average_duration=2)
    site.drop()
    with site.running() as watch:
        ends(watch)
        (submitted,), (done,) = happened(watch, events.Submitted), happened(watch, events.Succeeded)
    assert done - submitted >= 1.5
    assert not site.said("job.status_changed")
    check_one_job_each(site, "p1")


def test_a_route_may_ask_at_the_times_of_a_cron_expression(site):
    """A job that is done at once is fetched when the minute turns."""
    site.configure(poll="* * * * *")
    clock = Clock()
    site.drop()
    with site.running(clock=clock) as watch:
        until(lambda: (case := case_of(watch)) and case.submission)

        clock.ahead = 60

        ends(watch)
        (submitted,), (done,) = happened(watch, events.Submitted), happened(watch, events.Succeeded)
    assert done // 60 > submitted // 60
    check_one_job_each(site, "p1")


def test_no_more_jobs_are_made_than_the_platform_runs_at_once(site):
    """Of twenty folders sixteen have a job; four wait for their turn: until a job has ended."""
    site.configure(limits={"cases": 1})
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    names = [f"p{number:02}" for number in range(20)]
    for name in names:
        site.drop(name)
    with site.running() as watch:
        until(lambda: watch.counts() == {"running": 16, "submitting": 4})
        until(lambda: len(held(watch)) == 4)
        assert len(site.jobs()) == 16
        assert not jobs_refused(site)

        site.sandbox.advance(3600)
        until(lambda: watch.counts().get("delivered") == 16)
        until(lambda: len(site.jobs()) == 20, seconds=20)  # less than a held case waits otherwise
        site.sandbox.advance(3600)

        ends(watch, *names)
    check_one_job_each(site, *names)


def test_a_case_that_the_platform_held_goes_on_when_a_job_has_ended(site):
    """`gcwatch once` does not sleep the 60 seconds that such a case waits otherwise."""
    site.sandbox.configure(active_jobs=1, job_seconds=1, average_duration=0)
    site.configure(limits={"cases": 1})
    for name in ("p1", "p2", "p3"):
        site.drop(name)
    started = time.monotonic()
    site.run_once()
    assert time.monotonic() - started < 40
    assert jobs_refused(site)
    check_one_job_each(site, "p1", "p2", "p3")


def held(watch):
    waiting = (case.wait for case in watch.cases())
    return [wait for wait in waiting if wait and wait.reason.code == "too_many_jobs"]


def jobs_refused(site):
    return [
        call
        for call in site.sandbox.calls()
        if call["method"] == "POST" and call["path"].endswith("/jobs/") and call["status"] >= 400
    ]


def test_an_outbox_that_is_away_is_waited_for(site):
    """The results are delivered when it is back; the case has not failed meanwhile."""
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running() as watch:
        site.drop()
        until(lambda: (case := case_of(watch)) and case.status)
        site.outbox.rename(site.folder / "unmounted")
        site.sandbox.advance(3600)
        waits(watch, "disk")

        (site.folder / "unmounted").rename(site.outbox)

        ends(watch)
    check_one_job_each(site, "p1")
    assert not site.said("case.failed")


def test_folders_nested_without_end_fail_their_case_alone(site):
    """Neither the start nor the other folders suffer: 1990 levels are more than Python's stack."""
    here = os.open(site.drop("p1"), os.O_RDONLY)
    for _ in range(1990):
        os.mkdir("a", dir_fd=here)
        here, above = os.open("a", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    site.drop("p2")
    try:
        outcome = site.run_once()
    finally:  # pytest's own way to remove folders recurses
        subprocess.run(["rm", "-r", site.inbox / "p1"], check=True)

    assert (outcome.delivered, outcome.failed) == (1, 1)
    assert [line["reason"] for line in site.said("case.failed")] == ["too_deep"]
    check_one_job_each(site, "p2")
