"""The daemon at work: what it notices, what it waits for, and what it leaves alone."""

import io
import os
import time

import pytest
from builders import (
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    series,
    until,
    voxels,
)

from gcwatch import cases, config, log
from gcwatch.steps import Pace

SELDOM = Pace(survey=3600, upkeep=3600, backoff=0.02, slowest=0.5, doubt=0.3, refused=0.2)
"""Surveys an hour apart: what is noticed at once was noticed by watchdog."""


class Clock:
    """The time of day, which a test may put forward."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


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

        (site.inbox / "p1" / "study" / "image.mha").write_bytes(mha())

        ends(watch)
    check_one_job_each(site, "p1")


def test_the_survey_finds_what_watchdog_cannot_see(site):
    """An inbox that is a link led elsewhere gives no event; the survey finds what stands there."""
    site.inbox.rename(site.folder / "before")
    site.inbox.symlink_to("before")
    with site.running() as watch:
        until(lambda: site.said("watch.started"))
        (site.folder / "now" / "p1").mkdir(parents=True)
        (site.folder / "now" / "p1" / "image.mha").write_bytes(mha())

        (site.folder / "link").symlink_to("now")
        (site.folder / "link").rename(site.inbox)

        ends(watch)
    check_one_job_each(site, "p1")


def test_an_inbox_deleted_and_made_anew_is_watched_again(site):
    """The watch on the old folder is dead; what comes into the new one is noticed at once."""
    with site.running(pace=SELDOM) as watch:
        until(lambda: site.said("watch.started"))
        site.inbox.rmdir()
        site.inbox.mkdir()
        site.drop("p1")
        ends(watch, "p1")

        site.drop("p2")

        ends(watch, "p2")
    check_one_job_each(site, "p1", "p2")


def test_a_folder_renamed_within_the_inbox_is_sent_once_under_its_last_name(site):
    """While it settles a folder may get another name: only that one becomes a job."""
    site.configure(settle="500ms")
    with site.running() as watch:
        site.drop("arriving")
        until(lambda: (case := case_of(watch, "arriving")) and case.seen)

        (site.inbox / "arriving").rename(site.inbox / "p1")

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

        (site.inbox / "p1" / "sub" / "image.mha").write_bytes(mha())

        ends(watch, "p1")
    check_one_job_each(site, "p1", "p2")


def test_what_is_never_content_is_never_sent(site):
    """The built-in ignore list and the route's globs hold for files and for folders."""
    site.configure(ignore=["*.txt", "private/**", "test-*"])
    rest = (".DS_Store", "Thumbs.db", "more.part", "notes.TXT", "private/x.mha", "__MACOSX/y.mha")
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
    site.configure(settle="700ms")
    *most, last = series().items()
    with site.running() as watch:
        folder = site.drop(files=dict(most))
        until(lambda: (case := case_of(watch)) and case.seen)

        (folder / last[0]).write_bytes(last[1])

        ends(watch)
        changes, (settled,) = happened(watch, cases.Changed), happened(watch, cases.Settled)
    assert len(changes) >= 2
    assert settled - changes[-1] >= 0.7
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
    site.sandbox.fault("delay", method="PUT", host="storage", seconds=1)
    with site.running() as watch:
        folder = site.drop(files=dict(most))
        until(lambda: was_called(site, "PUT", ""))

        (folder / last[0]).write_bytes(last[1])

        ends(watch)
        assert len(happened(watch, cases.Settled)) == 2
    check_one_job_each(site, "p1")
    assert site.receipt()["inputs"][0]["files"] == len(series())


@pytest.mark.parametrize("later", [mha(5, 6, 7, 8), mha(5, 6, 7, 8, 9), mha(5)])
def test_a_file_that_changes_during_its_upload_is_sent_as_it_is_in_the_end(site, later):
    """The changed file sends the case back to settling: one job, with the new bytes."""
    site.sandbox.fault("delay", method="PUT", host="storage", seconds=1)
    with site.running() as watch:
        folder = site.drop()
        until(lambda: was_called(site, "PUT", ""))

        (folder / "image.mha").write_bytes(later)

        ends(watch)
    check_one_job_each(site, "p1")
    assert image_in(site.outbox / "p1") == voxels(later)


def test_a_folder_taken_away_during_its_upload_is_withdrawn(site):
    """That is no fault of gcwatch's or the platform's, and nothing says so."""
    site.drop("p2")
    site.sandbox.fault("delay", method="PATCH", seconds=1)
    with site.running() as watch:
        folder = site.drop("p1")
        until(lambda: was_called(site, "PATCH", "presigned"))

        folder.rename(site.folder / "away")

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
    assert "more.mha is a symbolic link that leads out of the inbox" in site.note("p1")
    assert [line["reason"] for line in site.said("case.failed")] == ["link_outside"]
    check_one_job_each(site, "p2")


def test_a_link_within_the_inbox_is_followed(site):
    """A link to a neighbour's file is sent as that file."""
    site.drop("p1", {"image.mha": mha(7, 8, 9)})
    (site.inbox / "p2").mkdir()
    (site.inbox / "p2" / "image.mha").symlink_to(site.inbox / "p1" / "image.mha")

    site.run_once()

    check_one_job_each(site, "p1", "p2")
    assert image_in(site.outbox / "p2") == voxels(mha(7, 8, 9))


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
    with site.running(pace=Pace(survey=0.3, backoff=0.2, slowest=0.5)) as watch:
        waits(watch, "file_unreadable")

        (folder / "image.mha").chmod(0o600)

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
    site.inbox.rmdir()
    with site.running() as watch:
        until(lambda: site.said("inbox.away"))
        site.inbox.mkdir()

        site.drop()

        ends(watch)
    assert len(site.said("inbox.away")) == 1
    assert len(site.said("inbox.returned")) == 1
    check_one_job_each(site, "p1")
