"""What becomes of a folder that is corrected after its case failed, or changes after delivery."""

import io
import os
import shutil
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from support.builders import (
    FAST,
    Clock,
    Site,
    check_history,
    check_results,
    mha,
    put,
    series,
    until,
)

from gcwatch import config, log
from gcwatch.commands.status import read_overview
from gcwatch.core import events
from gcwatch.core.timing import Pace
from gcwatch.daemon.waking.uptime import read_uptime
from gcwatch.files.beneath import SharePath
from gcwatch.inbox.closed_cases import ClosedCases
from gcwatch.inbox.listing import holds_files
from gcwatch.journal.journal import Journal

SETTLE_SECONDS = 3600


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose log is written down."""
    site = Site(tmp_path / "site", sandbox)
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def happened(watch, kind, name="p1"):
    """How often a folder's latest case had an event of this kind."""
    history = watch.history(watch.find(f"lobes/{name}"))
    return sum(isinstance(recorded.event, kind) for recorded in history)


def ends(watch, ending, name="p1"):
    """Wait until a folder's latest case has ended so."""
    until(lambda: [case for case in watch.cases() if (case.folder, case.ending) == (name, ending)])


# --- a failed case -------------------------------------------------------------------------------


def overwrite(site):
    """Write good content into the damaged file."""
    (site.inbox / "p1" / "scan" / "image.mha").write_bytes(mha(4, 2))


def replace_folder(site):
    """Put another folder of that name in its place, as quickly as that goes."""
    shutil.rmtree(site.inbox / "p1")
    site.drop("p1", {"scan/image.mha": mha(4, 2)})


def add_and_remove(site):
    """Add a good file, then remove the damaged one."""
    (site.inbox / "p1" / "scan" / "better.mha").write_bytes(mha(4, 2))
    (site.inbox / "p1" / "scan" / "image.mha").unlink()


CORRECTIONS = [overwrite, replace_folder, add_and_remove]


@pytest.mark.parametrize("correct", CORRECTIONS)
def test_a_failed_case_is_tried_again_once_its_folder_is_corrected(site, correct):
    """Nobody has to ask for it; the failure note disappears with the failure."""
    site.drop("p1", {"scan/image.mha": b""})
    with site.running() as watch:
        until(lambda: site.said("case.explained"))

        correct(site)

        until(lambda: site.delivered() == ["p1"])
        ends(watch, "delivered")
        check_history(watch)
    assert len(site.jobs()) == 1
    assert [path.name for path in site.outbox.iterdir()] == ["p1"]


@pytest.mark.parametrize("correct", CORRECTIONS)
def test_a_folder_that_is_corrected_while_no_daemon_runs_is_tried_again(site, correct):
    """The next start finds it."""
    site.drop("p1", {"scan/image.mha": b""})
    assert site.run_once().failed == 1
    correct(site)

    assert site.run_once().delivered == 1
    assert len(site.jobs()) == 1
    # A running daemon may see a half of the correction, or that the folder is away.
    assert len(site.said("case.corrected")) == 1


def test_a_failed_folder_that_is_dropped_again_unchanged_is_tried_again(site):
    """As its note says, also if nobody saw that it was away: the cause may lie elsewhere."""
    site.drop("p1", {"image.mha": b""})
    site.run_once()
    (site.inbox / "p1").rename(site.folder / "aside")
    (site.folder / "aside").rename(site.inbox / "p1")

    site.run_once()

    assert (site.case().ending, site.case().round) == ("failed", 2)


def test_a_folder_that_nobody_touches_is_not_tried_again(site):
    """However often it is looked at: one failure, one note."""
    site.drop("p1", {"image.mha": b""})
    with site.running(replace(FAST, upkeep=0.3)) as watch:
        ends(watch, "failed")
        for name in ("p2", "p3", "p4"):
            site.drop(name)
            until(lambda name=name: name in site.delivered())
    assert site.case().round == 1
    assert len(site.said("case.explained")) == 1


def test_a_folder_that_is_corrected_badly_fails_once_more_and_rests(site):
    """Each change is one new try."""
    folder = site.drop("p1", {"image.mha": b""})
    site.run_once()
    for number, content in enumerate((b"x", b"yy"), 2):
        (folder / "image.mha").write_bytes(content)
        site.run_once()
        site.run_once()
        assert (site.case().ending, site.case().round) == ("failed", number)
    assert not site.jobs()


def test_a_correction_settles_before_it_is_sent(site):
    """Its files may arrive one by one; while more come, it waits."""
    clock = Clock()
    site.configure(settle=f"{SETTLE_SECONDS}s")
    folder = site.drop("p1", {"image.mha": b""})
    with site.running(clock=clock) as watch:
        until(lambda: site.said("case.changed"))
        clock.ahead += SETTLE_SECONDS
        ends(watch, "failed")

        put(folder, {"image.mha": mha(1)})
        until(lambda: happened(watch, events.FolderChanged) >= 2)
        assert not site.jobs()
        clock.ahead += SETTLE_SECONDS

        ends(watch, "delivered")
    assert len(site.jobs()) == 1


def test_a_marker_from_before_the_correction_does_not_speak_for_it(site):
    """The folder still holds the marker of the first drop, so the correction has to settle."""
    clock = Clock()
    site.configure(settle=f"{SETTLE_SECONDS}s", ready="READY.txt")
    folder = site.drop("p1", {"image.mha": b"", "READY.txt": b""})
    with site.running(clock=clock) as watch:
        ends(watch, "failed")
        (folder / "image.mha").write_bytes(mha(1))
        until(lambda: site.said("case.corrected"))
        site.drop("p2", {"image.mha": mha(), "READY.txt": b""})
        ends(watch, "delivered", "p2")
        assert site.case().is_open

        (folder / "READY.txt").write_text("again")

        ends(watch, "delivered")
    assert len(site.jobs()) == 2


def test_a_failed_display_set_is_filled_with_the_corrected_image(site):
    """It is the same display set: its title can be used only once."""
    site.configure(algorithm=None, reader_study="lung-study", inputs={"ct-image": "*.mha"})
    site.drop("p1", {"image.mha": b""})
    site.run_once()
    (site.inbox / "p1" / "image.mha").write_bytes(mha(4, 2))

    site.run_once()

    assert site.case().ending == "delivered"
    assert happened_times(site, events.FolderCorrected) == 1


def happened_times(site, kind):
    with site.watch() as watch:
        return happened(watch, kind)


# --- a delivered case: changed = "tell" ----------------------------------------------------------


def note_of(site, name="p1"):
    """What the note on a folder that changed says; None if there is none."""
    note = site.outbox / f"{name}.changed.txt"
    return note.read_text() if note.exists() else None


def add_files(site):
    """More files arrive, in a sub-folder."""
    for number in range(10):
        (site.inbox / "p1" / "scan" / f"late{number}.txt").touch()


def remove_file(site):
    """A file of two is taken away."""
    (site.inbox / "p1" / "scan" / "other.txt").unlink()


def replace_by_twin(site):
    """Another folder with as many files of the same names and sizes takes its place at once."""
    shutil.rmtree(site.inbox / "p1")
    site.drop("p1", {"scan/image.mha": mha(9, 9, 9, 9), "scan/other.txt": b"5678"})


def replace_files(site):
    """Each file is replaced by another one of the same size."""
    for name, content in (("image.mha", mha(9, 9, 9, 9)), ("other.txt", b"5678")):
        (site.folder / name).write_bytes(content)
        (site.folder / name).rename(site.inbox / "p1" / "scan" / name)


CHANGES = [
    (add_files, "10 files more."),
    (remove_file, "1 file fewer."),
    (overwrite, "1 file changed or replaced."),
    (replace_files, "2 files changed or replaced."),
    (replace_by_twin, "2 files changed or replaced."),
]
PATIENT = {"scan/image.mha": mha(), "scan/other.txt": b"1234"}


# A folder that is seen to be away is a new case when another one comes.
@pytest.mark.parametrize(("change", "difference"), CHANGES[:-1])
def test_a_delivered_folder_that_changes_is_told_beside_its_results(site, change, difference):
    """At once where the system reports changes, though surveys and upkeep are an hour apart."""
    with site.running(Pace(survey=3600, upkeep=3600)) as watch:
        until(lambda: site.said("watch.started"))
        site.drop("p1", PATIENT)
        ends(watch, "delivered")

        change(site)

        until(lambda: difference in (note_of(site) or ""))
        check_history(watch)
    assert len(site.jobs()) == 1
    assert site.delivered() == ["p1"]


@pytest.mark.parametrize(("change", "difference"), CHANGES)
def test_a_folder_that_changes_while_no_daemon_runs_is_told_at_the_next_start(
    site, change, difference
):
    """Once: a later start has no more to say."""
    site.drop("p1", PATIENT)
    site.run_once()
    change(site)

    for _ in range(2):
        assert site.run_once().delivered == 0

    assert difference in note_of(site)
    assert len(site.said("case.changed_late")) == 1
    assert len(site.jobs()) == 1


def test_the_note_has_a_part_for_whoever_dropped_the_folder_and_one_for_it(site):
    """No command stands in the first; the second says how to send it again."""
    site.drop("p1", PATIENT)
    site.run_once()
    add_files(site)
    site.run_once()

    plain, detail = note_of(site).split("For IT:")

    assert "drop it again" in plain
    assert "gcwatch retry" not in plain
    assert f"gcwatch retry {site.case().key}" in detail
    assert "it had 2 files (" in detail


def test_a_change_of_the_files_while_the_job_runs_is_told_after_delivery(site):
    """Nobody looks at the folder while its job runs, but what happened is remembered."""
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running(Pace(survey=3600, upkeep=3600)) as watch:
        until(lambda: site.said("watch.started"))
        site.drop("p1", PATIENT)
        until(lambda: any(case.status for case in watch.cases()))
        add_files(site)
        site.drop("p2")
        until(lambda: len(watch.cases()) == 2)

        site.sandbox.advance(3600)

        until(lambda: "10 files more" in (note_of(site) or ""))
    assert len(site.jobs()) == 2


@contextmanager
def running_after_delivery(site, clock):
    """The daemon of a route with a settle time, once the folder p1 has been delivered."""
    site.configure(settle=f"{SETTLE_SECONDS}s")
    site.drop("p1", PATIENT)
    with site.running(clock=clock) as watch:
        until(lambda: site.said("case.changed"))
        clock.ahead += SETTLE_SECONDS
        ends(watch, "delivered")
        yield watch


def test_a_copy_that_goes_on_is_told_once_it_has_settled(site):
    """Not while files still come."""
    clock = Clock()
    with running_after_delivery(site, clock) as watch:
        for number in range(1, 4):
            (site.inbox / "p1" / f"late{number}.txt").touch()
            until(lambda number=number: happened(watch, events.DeliveredFolderChanged) >= number)
        assert note_of(site) is None

        clock.ahead += SETTLE_SECONDS

        until(lambda: "3 files more" in (note_of(site) or ""))
    assert len(site.said("case.changed_late")) == 1


def test_a_clock_that_is_set_tells_a_change_neither_too_early_nor_too_late(site):
    """The settle time of a delivered folder's change counts real seconds, too."""
    clock = Clock()
    with running_after_delivery(site, clock) as watch:
        (site.inbox / "p1" / "late.txt").touch()
        until(lambda: happened(watch, events.DeliveredFolderChanged))

        clock.wrong = 10 * SETTLE_SECONDS

        until(lambda: happened(watch, events.Postponed))
        assert note_of(site) is None
        clock.wrong = -10 * SETTLE_SECONDS  # back: the wait does not become longer
        clock.ahead += SETTLE_SECONDS
        until(lambda: "1 file more" in (note_of(site) or ""))


def test_a_change_is_told_once_its_copy_is_complete(site):
    """A temporary file says that more of the change is to come."""
    folder = site.drop("p1", PATIENT)
    site.run_once()
    (folder / "late.dcm").touch()
    (folder / "later.dcm.filepart").touch()
    site.run_once()
    assert note_of(site) is None
    assert site.case().wait.reason.code == "copy_under_way"

    (folder / "later.dcm.filepart").rename(folder / "later.dcm")
    site.run_once()

    assert "2 files more" in note_of(site)


def put_other_content(site, content):
    """Replace the folder by one with the same names, sizes and times of change."""
    aside = site.folder / "aside"
    shutil.copytree(site.inbox / "p1", aside)
    before = (aside / "scan" / "image.mha").stat()
    (aside / "scan" / "image.mha").write_bytes(content)
    os.utime(aside / "scan" / "image.mha", ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.rmtree(site.inbox / "p1")
    aside.rename(site.inbox / "p1")


def test_a_folder_replaced_by_one_that_differs_in_content_alone_is_told(site):
    """Names, sizes and times are copied with the files; their content decides."""
    site.configure(duplicates="hold")
    site.drop("p1", PATIENT)
    site.run_once()

    put_other_content(site, mha(9, 9, 9, 9))
    for _ in range(2):
        site.run_once()
    assert "2 files changed or replaced" in note_of(site)
    assert len(site.said("case.changed_late")) == 1

    put_other_content(site, PATIENT["scan/image.mha"])
    site.run_once()
    assert note_of(site) is None
    assert len(site.jobs()) == 1


def test_a_replaced_content_is_sent_again_if_the_route_says_so(site):
    """Once: then the folder is as it was sent."""
    site.configure(changed="send", duplicates="hold")
    site.drop("p1", PATIENT)
    site.run_once()

    put_other_content(site, mha(9, 9, 9, 9))
    for _ in range(2):
        site.run_once()

    assert len(site.jobs()) == 2
    assert site.delivered() == ["p1", "p1.2"]
    assert note_of(site) is None


@pytest.mark.parametrize("changed", ["tell", "send"])
def test_rights_and_copies_of_the_same_content_are_no_change(site, changed):
    """A restore and a `chmod` touch every file; nothing is told or sent."""
    site.configure(changed=changed, duplicates="hold")
    site.drop("p1", PATIENT)
    site.run_once()
    (site.inbox / "p1" / "scan" / "image.mha").chmod(0o640)
    site.run_once()
    put_other_content(site, PATIENT["scan/image.mha"])
    for _ in range(2):
        site.run_once()

    assert note_of(site) is None
    assert len(site.jobs()) == 1
    assert happened_times(site, events.DeliveredFolderChanged) == 2


def test_a_change_that_two_threads_see_at_once_is_recorded_once(site):
    """The loop looks when something happens there, a worker when its case has ended."""
    site.drop("p1", PATIENT)
    site.run_once()
    key = site.case().key
    add_files(site)
    with site.watch() as watch:
        (route,), logged = watch.settings.routes, []

        def look(journal):
            ClosedCases(journal, read_uptime, lambda *what: logged.append(what)).look_at(route, key)

        class Overtaken(Journal):
            """Another thread looks between the first look and its record."""

            def record_unless_changed(self, case, event):
                if not logged:
                    look(watch.journal)
                return super().record_unless_changed(case, event)

        with closing(Overtaken(site.state)) as journal:
            look(journal)

        assert happened(watch, events.DeliveredFolderChanged) == len(logged) == 1


def test_a_note_follows_its_folder_and_goes_when_the_folder_is_as_it_was_sent(site):
    """More changes are told in the same note; what is put back is not to check any more."""
    folder = site.drop("p1", PATIENT)
    site.run_once()
    aside = site.folder / "aside"
    shutil.copytree(folder, aside)
    add_files(site)
    site.run_once()
    assert "10 files more" in note_of(site)
    (folder / "one more.txt").touch()
    site.run_once()
    assert "11 files more" in note_of(site)
    with site.watch() as watch:
        assert [case.folder for case in watch.attention()] == ["p1"]

    shutil.rmtree(folder)
    aside.rename(folder)
    site.run_once()

    assert note_of(site) is None
    assert len(site.said("case.as_sent_again")) == 1
    with site.watch() as watch:
        assert not watch.attention()
        check_history(watch)


@pytest.mark.parametrize("how", ["retried", "dropped again"])
def test_a_note_goes_when_the_folder_is_sent_as_it_is_now(site, how):
    """The results of the changed folder stand beside the first ones."""
    folder = site.drop("p1", PATIENT)
    site.run_once()
    overwrite(site)
    site.run_once()
    assert note_of(site)
    if how == "retried":
        with site.watch() as watch:
            watch.retry(watch.find("lobes/p1"))
    else:
        folder.rename(site.folder / "aside")
        site.drop("p2")
        site.run_once()
        (site.folder / "aside").rename(folder)

    site.run_once()

    assert note_of(site) is None
    check_results(site.sandbox, site.outbox / "p1.2")


def test_a_change_is_told_in_status_and_status_file(site):
    """As something to check, with what differs."""
    site.configure(report="status.txt")
    site.drop("p1", PATIENT)
    site.run_once()
    add_files(site)
    site.run_once()

    report = (site.folder / "status.txt").read_text(encoding="utf-8-sig")
    assert "To check: The folder has changed since it was sent: 10 files more." in report
    with site.watch() as watch:
        (view,) = read_overview(watch).views
    assert view.warnings[0].startswith("To check: ")
    assert (view.stage, view.folder) == ("delivered", "p1")


def test_an_outbox_that_refuses_the_note_gets_it_later(site):
    """The case stays delivered, and the log says what is wrong."""
    site.drop("p1", PATIENT)
    site.run_once()
    add_files(site)
    blocked = site.outbox / "p1.changed.txt"
    blocked.mkdir()
    (blocked / "file").touch()
    with site.running():
        until(lambda: site.said("case.faltered"))
        shutil.rmtree(blocked)

        until(lambda: note_of(site))
    assert site.case().ending == "delivered"
    assert not site.said("case.failed")


def test_a_withdrawn_folder_that_changes_is_left_alone(site):
    """No note, no try."""
    site.drop("p1", {"image.mha": b""})
    site.run_once()
    with site.watch() as watch:
        watch.retry(watch.find("lobes/p1"))
        watch.withdraw(watch.find("lobes/p1"))
    (site.inbox / "p1" / "image.mha").write_bytes(mha())

    site.run_once()

    assert (site.case().ending, note_of(site)) == ("withdrawn", None)
    assert not site.jobs()


@pytest.mark.parametrize("after", [{"after": "delete"}, {"after": "move", "done": "done"}])
def test_a_folder_that_stays_because_it_changed_is_told(site, after):
    """It can't be moved or deleted, as not all of it was sent."""
    site.configure(**after)
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running() as watch:
        site.drop("p1", PATIENT)
        until(lambda: any(case.status for case in watch.cases()))
        add_files(site)
        site.sandbox.advance(3600)

        until(lambda: "10 files more" in (note_of(site) or ""))


def test_a_late_slice_of_a_series_is_told_beside_the_results_of_the_series(site):
    """Other series of the patient are not concerned, and a next route takes no note for a file."""
    site.configure(cases="series")
    slices = list(series().items())
    site.drop("p1", dict(slices[:-1]))
    site.run_once()
    (name,) = site.results()
    (site.inbox / "p1" / slices[-1][0]).write_bytes(slices[-1][1])

    site.run_once()

    assert "1 file more" in note_of(site, name)
    assert holds_files(SharePath(site.outbox) / "p1")
    (site.outbox / name).rename(site.folder / "aside")
    assert not holds_files(SharePath(site.outbox) / "p1")


# --- a delivered case: changed = "send" ----------------------------------------------------------


@pytest.mark.parametrize("change", [change for change, _ in CHANGES])
def test_a_delivered_folder_that_changes_is_sent_again_if_the_route_says_so(site, change):
    """One more job with what is there now; its results stand beside the first ones."""
    site.configure(changed="send", settle="500ms")
    with site.running(Pace(survey=3600, upkeep=3600)) as watch:
        until(lambda: site.said("watch.started"))
        site.drop("p1", PATIENT)
        ends(watch, "delivered")
        first = (site.outbox / "p1" / "gcwatch.json").read_bytes()

        change(site)

        until(lambda: "p1.2" in site.delivered())
        ends(watch, "delivered")
        check_history(watch)
    assert note_of(site) is None
    assert (site.outbox / "p1" / "gcwatch.json").read_bytes() == first
    assert (site.delivered(), len(site.jobs())) == (["p1", "p1.2"], 2)


def test_a_folder_that_changes_while_no_daemon_runs_is_sent_again_at_the_next_start(site):
    """Once for each change."""
    site.configure(changed="send")
    site.drop("p1", PATIENT)
    site.run_once()
    for number in (2, 3):
        (site.inbox / "p1" / "scan" / "image.mha").write_bytes(mha(number))
        for _ in range(2):
            site.run_once()
        check_results(site.sandbox, site.outbox / f"p1.{number}")
    assert len(site.jobs()) == 3


def test_a_copy_that_goes_on_is_sent_again_when_it_has_settled(site):
    """Slices that come one after the other make one more job, not one each."""
    clock = Clock()
    site.configure(settle=f"{SETTLE_SECONDS}s", changed="send")
    folder = site.drop("p1", PATIENT)
    with site.running(clock=clock) as watch:
        until(lambda: site.said("case.changed"))
        clock.ahead += SETTLE_SECONDS
        ends(watch, "delivered")
        (folder / "late1.txt").touch()
        until(lambda: site.said("case.sent_again"))
        until(lambda: happened(watch, events.FolderChanged))
        (folder / "late2.txt").touch()
        clock.ahead += SETTLE_SECONDS
        until(lambda: happened(watch, events.FolderChanged) >= 2)
        assert len(site.jobs()) == 1

        clock.ahead += SETTLE_SECONDS

        until(lambda: "p1.2" in site.delivered())
    assert len(site.jobs()) == 2


def test_two_looks_at_one_change_open_one_case(site):
    """The scan and the upkeep may see it at the same time."""
    site.drop("p1", PATIENT)
    site.run_once()
    with site.watch() as watch:
        first = watch.find("lobes/p1")

        opened = [watch.journal.open_next_case(first.key) for _ in range(2)]

        assert [case is None for case in opened] == [False, True]
        assert len(list(watch.journal.cases())) == 2
