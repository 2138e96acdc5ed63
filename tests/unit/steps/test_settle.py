"""When a folder counts as complete: no copy is under way, and nothing has changed for a while."""

import io
import json
from dataclasses import replace

import pytest
from support.builders import (
    FAST,
    Clock,
    Site,
    check_history,
    mha,
    series,
    stage_of,
    until,
    waiting,
)

from gcwatch import config, log
from gcwatch.commands import plan
from gcwatch.core import events
from gcwatch.core.case import Uptime
from gcwatch.core.reasons import explain

pytestmark = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")
"""Watchdog says so when a folder and its sub-folder appear together; it means nothing."""

HOUR = 3600.0


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose log is written down."""
    site = Site(tmp_path / "site", sandbox)
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def case_of(watch):
    return next(iter(watch.cases()), None)


def is_delivered(watch):
    return (case := case_of(watch)) is not None and case.ending == "delivered"


def count(watch, kind):
    """How many events of a kind the case has had."""
    case = case_of(watch)
    return sum(isinstance(each.event, kind) for each in watch.history(case)) if case else 0


# --- a copy under way ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "temporary",
    [
        "last.dcm.part",
        ".last.dcm.AbC123",
        "sub/last.dcm.filepart",
        "last.dcm.crdownload",
        "last.dcm.download/last.dcm",
        ".~tmp~/last.dcm",
        ".rsync-partial/last.dcm",
        "~$report.docx",
    ],
)
def test_a_copy_under_way_holds_the_folder_back(site, temporary):
    """Nothing is sent before the last slice has its name; status names the file."""
    *most, (name, content) = series().items()
    folder = site.drop(files={**dict(most), temporary: content[:100]})
    with site.running() as watch:
        case = waiting(watch, "copy_under_way")
        assert temporary in explain(case.wait.reason).plain
        assert case.seen.files == len(most)
        assert not site.jobs()
        growing = folder / temporary
        growing.write_bytes(content)
        growing.rename(folder / name)
        until(lambda: is_delivered(watch))
    assert site.receipt()["inputs"][0]["files"] == len(series())


def test_a_folder_with_nothing_but_a_copy_under_way_is_a_case_that_waits(site):
    """One large file takes a while: somebody who looks sees that it is noticed."""
    folder = site.drop(files={".volume.mha.AbC123": b"ObjectType"})
    with site.running() as watch:
        waiting(watch, "copy_under_way")
        (folder / ".volume.mha.AbC123").unlink()
        until(lambda: case_of(watch).ending == "withdrawn")
        assert len(list(watch.journal.cases())) == 1


def test_links_with_temporary_names_make_no_case(site):
    """They are followed nowhere, and no case opens for them again and again."""
    (site.inbox / "p1" / ".~tmp~").mkdir(parents=True)
    (site.inbox / "p1" / "x.part").symlink_to(site.file)
    (site.inbox / "p1" / ".~tmp~" / "y").symlink_to(site.file)
    site.run_once()
    with site.watch() as watch:
        assert not list(watch.journal.cases())


def test_a_marker_does_not_end_the_wait_for_a_copy(site):
    """Rsync goes by the alphabet: the marker arrives long before the slices."""
    site.configure(ready="READY.txt")
    folder = site.drop(files={"READY.txt": b"", ".image.mha.AbC123": mha()[:50]})
    with site.running() as watch:
        waiting(watch, "copy_under_way")
        (folder / ".image.mha.AbC123").write_bytes(mha())
        (folder / ".image.mha.AbC123").rename(folder / "image.mha")
        until(lambda: is_delivered(watch))


def test_the_settle_time_counts_from_the_end_of_a_copy(site):
    """A copy that is broken off leaves nothing behind; it may be started again at once."""
    site.configure(settle="1h")
    clock = Clock()
    folder = site.drop(files={"image.mha": mha(), ".more.mha.AbC123": b"Ob"})
    with site.running(clock=clock) as watch:
        waiting(watch, "copy_under_way")
        clock.ahead = HOUR + 1
        (folder / ".more.mha.AbC123").unlink()
        until(lambda: count(watch, events.FolderChanged) >= 2)
        assert case_of(watch).settled is None
        clock.ahead = 2 * HOUR + 2
        until(lambda: is_delivered(watch))


def test_a_copy_that_stopped_is_for_somebody_to_look_at(site):
    """After an hour without change: in status, status file and log; it is never sent."""
    site.configure(report="status.txt", settle="10m")
    clock = Clock()
    site.drop(files={"image.mha": mha(), "Jansen.mha.part": b"Ob"})
    status_file = site.folder / "status.txt"

    def shown():
        return " ".join(status_file.read_text().split()) if status_file.exists() else ""

    with site.running(clock=clock) as watch:
        case = waiting(watch, "copy_under_way")
        until(lambda: "Jansen.mha.part" in shown())
        clock.ahead = 30 * HOUR
        reason = waiting(watch, "copy_stopped").wait.reason
        until(lambda: "has stopped: Jansen.mha.part" in shown())
        told = until(lambda: site.said("case.copy_stopped"))
        assert reason.facts["since"] in told[0]["detail"]
        assert told[0]["level"] == "warning"
        assert "Jansen" not in json.dumps(site.said())
        assert case_of(watch).copying == case.copying
        assert not site.jobs()
    assert reason.facts["since"] in shown()
    assert "delete Jansen.mha.part" in shown()


def test_a_file_that_grows_has_not_stopped(site):
    """Each change begins the hour anew; the time since when gcwatch waits stays."""
    site.configure(settle="50m")
    clock = Clock()
    folder = site.drop(files={"image.mha": mha(), "more.mha.part": b"Ob"})
    with site.running(clock=clock) as watch:
        since = waiting(watch, "copy_under_way").copying
        for step in (1, 2):
            clock.ahead = 50.0 * 60 * step
            with (folder / "more.mha.part").open("ab") as file:
                file.write(b"jectType")
            until(lambda step=step: count(watch, events.FolderChanged) >= step + 1)
        case = waiting(watch, "copy_under_way")
        assert (case.copying, case.changed - since > 1.5 * HOUR) == (since, True)
    assert not site.said("case.copy_stopped")


def test_an_operator_may_retry_or_withdraw_what_waits_for_a_copy(site):
    """Retry looks again at once; withdraw ends it."""
    site.drop(files={"image.mha": mha(), "x.part": b""})
    site.run_once()
    with site.watch() as watch:
        case = watch.retry(case_of(watch))
        assert (case.is_open, case.wait) == (True, None)
    site.run_once()
    with site.watch() as watch:
        assert case_of(watch).wait.reason.code == "copy_under_way"
        assert watch.withdraw(case_of(watch)).ending == "withdrawn"
        check_history(watch)
    site.run_once()
    assert stage_of(site) == "withdrawn"
    assert not site.jobs()


def test_all_series_of_a_patient_wait_for_a_copy(site):
    """Nobody knows whose slice it will be."""
    site.configure(cases="series", integrity="warn")
    *most, (name, content) = series().items()
    folder = site.drop(files={**dict(most), f".{name}.AbC123": content[:10]})
    with site.running() as watch:
        waiting(watch, "copy_under_way")
        (folder / f".{name}.AbC123").unlink()
        (folder / name).write_bytes(content)
        until(lambda: is_delivered(watch))
    [found] = site.results()
    assert site.receipt(found)["inputs"][0]["files"] == len(series())


def test_a_file_waits_for_the_copy_with_its_name(site):
    """A browser makes an empty file at once, and fills another beside it."""
    site.configure(cases="files")
    (site.inbox / "volume.mha.part").write_bytes(mha()[:50])
    (site.inbox / "volume.mha").touch()
    (site.inbox / "other.mha").write_bytes(mha(5, 6, 7, 8))
    with site.running() as watch:
        waiting(watch, "copy_under_way")
        until(lambda: site.delivered() == ["other.mha"])
        (site.inbox / "volume.mha.part").write_bytes(mha())
        (site.inbox / "volume.mha.part").rename(site.inbox / "volume.mha")
        until(lambda: site.delivered() == ["other.mha", "volume.mha"])


def test_a_copy_that_begins_before_the_job_is_made_holds_the_case_back(site):
    """What is sent so far is not used: more slices are on their way."""
    site.sandbox.fault("delay", method="PUT", host="storage", times=None, seconds=100)
    folder = site.drop()
    with site.running() as watch:
        until(lambda: any(call["method"] == "PUT" for call in site.sandbox.calls()))
        (folder / ".second.txt.AbC123").write_bytes(b"Ob")
        site.sandbox.clear_faults()
        waiting(watch, "copy_under_way")
        assert not site.jobs()
        (folder / ".second.txt.AbC123").unlink()
        until(lambda: is_delivered(watch))
    assert len(site.jobs()) == 1


def test_the_plan_names_the_file_of_a_copy(site):
    """`gcwatch plan` says what the daemon would say."""
    site.drop(files={"image.mha": mha(), "more.mha.part": b""})
    [route] = plan.plan(config.load(site.file))
    [folder] = route.folders
    assert (folder.verdict, folder.reason.code) == ("wait", "copy_under_way")
    assert "more.mha.part" in explain(folder.reason).plain


# --- real seconds --------------------------------------------------------------------------------


def test_a_clock_that_is_put_forward_does_not_shorten_the_wait(site):
    """The settle time is over by the clock, but nobody has watched the folder for so long."""
    site.configure(settle="1h")
    clock = Clock()
    site.drop()
    with site.running(clock=clock) as watch:
        until(lambda: (case := case_of(watch)) and case.seen)
        clock.wrong = 2 * HOUR
        case = waiting(watch, "settling")
        assert case.settled is None
        assert 0 < case.wait.until - clock() <= HOUR
        clock.ahead = HOUR + 1
        until(lambda: is_delivered(watch))
    assert [line["seconds"] for line in site.said("clock.set")] == [7200]


def test_a_clock_that_is_set_back_does_not_lengthen_the_wait(site):
    """A folder that settles is complete after the settle time, and so is one that comes then."""
    site.configure(settle="1h")
    clock = Clock()
    site.drop("p1")
    with site.running(clock=clock) as watch:
        until(lambda: (case := case_of(watch)) and case.seen)
        clock.wrong = -20 * HOUR
        until(lambda: site.said("clock.set"))
        site.drop("p2")
        until(lambda: len([case for case in watch.cases() if case.seen]) == 2)
        clock.ahead = HOUR + 1
        until(lambda: site.delivered() == ["p1", "p2"])


def test_a_clock_that_is_set_back_does_not_stop_polls(site):
    """The next look at a job is due by a clock that is hours ahead of this one: it comes anyway."""
    site.configure(poll="10m")
    clock = Clock()
    site.sandbox.configure(job_seconds=0.0)
    site.drop()
    with site.running(clock=clock) as watch:
        until(lambda: (case := case_of(watch)) and case.submission)
        clock.wrong = -20 * HOUR
        until(lambda: site.said("clock.set"))
        clock.ahead = 20 * 60
        until(lambda: is_delivered(watch))


def test_a_clock_that_was_set_back_while_gcwatch_was_down_freezes_nothing(site):
    """What waits for a time that is far away again is looked at after the start."""
    clock = Clock()
    clock.wrong = 20 * HOUR
    site.drop(files={"image.mha": mha(), "more.mha.part": b""})
    site.run_once(replace(FAST, survey=60.0), clock)
    (site.inbox / "p1" / "more.mha.part").unlink()
    with site.running(clock=Clock()) as watch:
        until(lambda: is_delivered(watch))


def test_the_settle_time_goes_on_after_a_restart_of_gcwatch(site):
    """The machine was on all the time, so its uptime tells how long the folder was quiet."""
    site.configure(settle="1h")
    clock = Clock()
    site.drop()
    with site.running(clock=clock) as watch:
        until(lambda: (case := case_of(watch)) and case.seen)
    clock.ahead = HOUR + 1
    with site.running(clock=clock) as watch:
        until(lambda: is_delivered(watch))
        assert count(watch, events.FolderChanged) == 1


def test_the_settle_time_begins_anew_after_a_restart_of_the_machine(site):
    """Nobody knows how long it was off, whatever its clock says."""
    site.configure(settle="1h")
    site.drop()
    before, after = Clock(), Clock()
    with site.running(clock=before) as watch:
        until(lambda: (case := case_of(watch)) and case.seen)
    after.ahead, after.uptime = HOUR + 1, lambda: Uptime("next boot", 1e9 + after.ahead)
    with site.running(clock=after) as watch:
        until(lambda: count(watch, events.FolderChanged) >= 2)
        assert case_of(watch).settled is None
        after.ahead = 2 * HOUR + 2
        until(lambda: is_delivered(watch))
