"""The report of a route: what it says, when it is written, and that no share holds up anybody."""

import os
import sys
import threading
from dataclasses import replace

import pytest
from support.builders import FAST, Site, until, vendors_image
from support.house import House, route

from gcwatch import config
from gcwatch.cli import main
from gcwatch.commands import check, systemd_dropin, systemd_unit
from gcwatch.core.errors import ConfigError
from gcwatch.core.reasons import Reason
from gcwatch.daemon.reporting import status_files
from gcwatch.wording import status_file
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.status_facts import MAX_CASES, StatusFileFacts

NOON = 1_800_000_000.0
TALKATIVE = """
from gcwatch.daemon.reporting import status_files
from gcwatch.cli import main

status_files._STOP_PATIENCE_SECONDS = 60.0
main()
"""


def view(folder="p17", stage="uploading", **more):
    told = {"why": "It is being sent.", "since": "2027-01-15T07:58:00+00:00", **more}
    return CaseView(case=f"lobes-{folder}", route="lobes", folder=folder, stage=stage, **told)


def said(facts):
    return status_file.file_bytes(facts, NOON).decode("utf-8-sig")


# --- what it says --------------------------------------------------------------------------------


def test_it_says_what_waits_what_failed_and_what_to_do():
    """Whoever has only the share finds each folder, why, since when, and the way on."""
    failed = view(
        "p3", "failed", why="The images can't be read.", advice="Export them again.", reason="x"
    )
    odd = view("p4", "delivered", result="p4.2", warnings=("Slices are uneven.",))
    counts = {"uploading": 1, "failed": 1, "delivered": 10_000}
    text = said(StatusFileFacts("lobes", [view(), failed, odd], counts))
    assert text.startswith("gcwatch, route lobes\r\nAs of ")
    assert "If this is older than 10 minutes, gcwatch is not running" in text
    assert "1 waiting or under way, 10000 delivered, 1 failed." in text
    assert "p17   (lobes-p17)\r\n    uploading since 2027-01-15" in text
    assert "    It is being sent.\r\n" in text
    assert "    The images can't be read.\r\n    What to do: Export them again.\r\n" in text
    assert "Details: p3.failed.txt in the results folder." in text
    assert "drop it again" in text.replace("\r\n", " ")
    assert "as p4.2\r\n    Slices are uneven." in text


def test_it_says_why_nothing_moves_at_all():
    """A refused token and an inbox that is away stand at the top."""
    text = said(StatusFileFacts("lobes", pause=Reason("token_refused"), is_away=True))
    assert text.index("All work is paused") < text.index("0 waiting or under way.")
    assert "The inbox can't be reached" in text


def test_it_says_that_gcwatch_was_stopped():
    """The last words of a daemon are not taken for its life."""
    text = said(StatusFileFacts("lobes", is_over=True))
    assert "gcwatch stopped at " in text
    assert "If this is older" not in text


def test_it_can_be_read_by_every_windows_editor():
    """Byte order mark, CRLF throughout, no line that runs off the screen, no control characters."""
    views = [view("Zoë " + "x" * 200), view("evil\\x1b"), view("im\\xff", why="word " * 60)]
    page = status_file.file_bytes(StatusFileFacts("lobes", views), NOON)
    assert page.startswith(b"\xef\xbb\xbf")
    assert page.count(b"\n") == page.count(b"\r\n")
    text = page.decode("utf-8-sig")
    assert "Zoë" in text
    sentences = [line for line in text.split("\r\n") if line.startswith("    ")]
    assert max(map(len, sentences)) <= 88


def test_it_stays_short_however_many_cases_there_are():
    """Beyond some hundreds they are counted."""
    views = [view(f"p{n}") for n in range(MAX_CASES + 7)]
    text = said(StatusFileFacts("lobes", views))
    assert "and 7 more" in text
    assert f"p{MAX_CASES + 1} " not in text


# --- kept by a daemon ----------------------------------------------------------------------------


LEISURELY = replace(FAST, survey=30.0)
"""Whoever writes a report has half a minute."""


@pytest.fixture
def site(tmp_path, sandbox, monkeypatch):
    monkeypatch.setattr(status_files, "_STOP_PATIENCE_SECONDS", 60.0)
    return Site(tmp_path, sandbox, report="status.txt")


def paper(site, name="status.txt"):
    path = site.folder / name
    return path.read_text("utf-8-sig") if path.exists() else ""


def test_the_daemon_keeps_it_up_to_date(site):
    """What waits is there while it waits, what failed when it has, and the sum in the end."""
    site.configure(report="status.txt", ready="READY.txt")
    site.drop("doe-jane")
    with site.running():
        until(lambda: "not marked as complete" in paper(site))
        assert "doe-jane   (lobes-" in paper(site)
        (site.inbox / "doe-jane" / "READY.txt").touch()
        until(lambda: "1 delivered." in paper(site))
        assert "doe-jane" not in paper(site)
        site.drop("x-ray", {**vendors_image(), "READY.txt": b""})
        until(lambda: "FAILED" in paper(site))
        assert "x-ray.failed.txt" in paper(site)
    assert "gcwatch stopped at " in paper(site)
    assert site.sandbox.token not in paper(site)


def test_what_is_not_taken_is_named_with_what_to_do(site):
    """An empty folder, a loose file and an archive are named until they are gone."""
    (site.inbox / "p1").mkdir()
    (site.inbox / "slice.dcm").write_bytes(b"x")
    (site.inbox / "p2.zip").write_bytes(b"PK")
    (site.inbox / "brain.nii.gz").write_bytes(b"x")
    with site.running():
        text = until(lambda: "NOT SENT" in paper(site) and paper(site))
        one_line = " ".join(text.split())
        assert "1 empty folder: p1. What to do: Put the files" in one_line
        assert "1 archive: p2.zip. What to do: Unpack" in one_line
        assert "2 files: brain.nii.gz, slice.dcm. What to do: Put the files" in one_line
        (site.inbox / "slice.dcm").rename(site.inbox / "p1" / "slice.dcm")
        (site.inbox / "p2.zip").unlink()
        (site.inbox / "brain.nii.gz").unlink()
        until(lambda: "NOT SENT" not in paper(site))


def test_it_shows_life_though_nothing_happens(site):
    """It is written now and then, or nobody could tell a quiet daemon from a dead one."""
    with site.running():
        first = until(lambda: paper(site) and (site.folder / "status.txt").stat().st_mtime_ns)
        until(lambda: (site.folder / "status.txt").stat().st_mtime_ns > first)


def test_a_refused_token_is_told(site):
    """The reason for which nothing moves, in the place where people look."""
    site.drop("p1")
    site.use_token("0" * 64)
    with site.running():
        until(lambda: "All work is paused" in paper(site))
    assert "0" * 64 not in paper(site)


def test_one_run_leaves_it_behind(site):
    """`gcwatch once` tells how things stand when it ends."""
    site.drop("p1")
    site.run_once()
    assert "1 delivered." in paper(site)
    assert "gcwatch stopped at " in paper(site)


def test_a_share_that_is_away_is_told_once_and_taken_up_again(site):
    """No flood of warnings, no harm to the cases; the report comes back with its folder."""
    site.configure(report="share/status.txt")
    site.listen()
    with site.running(LEISURELY):
        until(lambda: site.said("report.failed"))
        site.drop("p1")
        until(site.delivered)
        (site.folder / "share").mkdir()
        until(lambda: "1 delivered." in paper(site, "share/status.txt"))
        until(lambda: site.said("report.returned"))
    [told] = site.said("report.failed")
    assert (told["route"], told["error"]) == ("lobes", "No such file or directory")


def test_somebody_elses_file_is_left_alone(site):
    """A slip in the config must not cost a file that was there before."""
    (site.folder / "status.txt").write_text("precious")
    site.listen()
    with site.running():
        until(lambda: site.said("report.failed"))
    assert paper(site) == "precious"


def test_a_link_in_its_place_is_replaced_not_followed(site):
    """Who can write to the share can't have other files written."""
    (site.folder / "elsewhere").write_text("precious")
    (site.folder / "status.txt").symlink_to("elsewhere")
    site.run_once()
    assert (site.folder / "elsewhere").read_text() == "precious"
    assert "gcwatch, route lobes" in paper(site)


def test_a_share_that_hangs_holds_up_nobody(site, monkeypatch):
    """Cases go on, the loop lives, the end comes; it is told once."""
    gate, usual = threading.Event(), os.stat

    def hanging(path, *how, **more):
        if str(path).endswith("status.txt"):
            gate.wait(60)
        return usual(path, *how, **more)

    monkeypatch.setattr(os, "stat", hanging)
    monkeypatch.setattr(status_files, "_STOP_PATIENCE_SECONDS", 0.05)
    site.listen()
    with site.running():
        until(lambda: site.said("report.failed"))
        site.drop("p1")
        until(site.delivered)
    gate.set()
    [told] = site.said("report.failed")
    assert told["error"] == "it takes too long"


def test_a_reload_begins_a_report_and_ends_one(tmp_path, sandbox):
    """What the config names from now on is kept, what it does not name any more is left alone."""
    house = House(tmp_path / "house", sandbox)
    one, two = house.folder / "one.txt", house.folder / "two.txt"
    house.write(route("a", report="one.txt"))
    with house.serving(program=[sys.executable, "-c", TALKATIVE]) as daemon:
        daemon.ready()
        until(one.exists)
        house.write(route("a", report="two.txt"))
        daemon.reload()
        until(two.exists)
        assert daemon.stop() == 0
    assert "gcwatch stopped at" in two.read_text()
    assert "gcwatch stopped at" not in one.read_text()


def test_it_is_readable_for_the_group_that_shares_the_folders(site):
    """As results are."""
    site.run_once()
    assert (site.folder / "status.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("cases", ["folders", "series"])
def test_in_the_inbox_it_is_no_case_and_no_loose_file(site, cases):
    """Where people have only the inbox, it may stand there."""
    site.configure(report="in/status.txt", cases=cases)
    site.listen()
    site.drop("p1", vendors_image() if cases == "series" else None)
    site.run_once()
    site.run_once()
    assert "gcwatch, route lobes" in paper(site, "in/status.txt")
    assert len(site.said("case.found")) == 1
    assert site.said("inbox.loose_files_ignored") == []


def test_ten_thousand_delivered_cases_are_not_read(site):
    """The journal gives the open, the failed and the odd ones, and counts the others."""
    site.drop("p1")
    site.run_once()
    with site.watch() as watch:
        record = watch.journal
        with record._database.writing() as connection:
            connection.execute(
                "INSERT INTO cases (key, route, folder, newest, open, stage, gone, stamp, due,"
                " record, submission, notable)"
                " SELECT key || value, route, CAST(folder || value AS BLOB), newest, open, stage,"
                " gone, stamp, due, 'unreadable', submission, notable"
                " FROM cases, ("
                "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n"
                " WHERE value < 10000) SELECT value FROM n)"
            )
        assert record.counts("lobes") == {"delivered": 10_001}
        assert record.attention() == []


# --- where it may stand --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "more", "says"),
    [
        ("in/p1/status.txt", {}, "which would take it for a case"),
        ("in/status.txt", {"cases": "files"}, "which would take it for a case"),
        ("out/p1/status.txt", {}, "for results"),
        ("out/.partial/status.txt", {}, "for results"),
        ("out/.status.txt", {}, "would not be seen as a status file"),
        ("out/p1.failed.txt", {}, "would not be seen as a status file"),
        ("state/status.txt", {}, "state directory, which is private"),
        (
            "done/status.txt",
            {"after": "move", "done": "done"},
            "to which route 'lobes' moves folders",
        ),
    ],
)
def test_a_report_in_a_wrong_place_is_refused(site, where, more, says):
    """It must be nobody's case, result or state."""
    site.configure(report=where, **more)
    with pytest.raises(ConfigError) as refused:
        config.load(site.file)
    [problem] = refused.value.problems
    assert problem.path == "route 'lobes': report"
    assert says in problem.message
    assert problem.hint


@pytest.mark.parametrize("where", ["status.txt", "out/status.txt", "in/status.txt"])
def test_a_report_beside_the_folders_is_taken(site, where):
    """Beside inbox and outbox, or directly in either."""
    site.configure(report=where)
    [route] = config.load(site.file).routes
    assert route.report == site.folder / where


def test_two_routes_can_t_share_a_report_nor_use_each_other_s_folders(site):
    """Each would overwrite, or send, the other's."""
    other = (
        '\n[[route]]\nname = "other"\ninbox = "in2"\noutbox = "out2"\nalgorithm = "copy-image"\n'
    )
    text = site.file.read_text()
    for where, says in (
        ("status.txt", "is also that of route 'lobes'"),
        ("in/other.txt", "inside the inbox of route 'lobes'"),
        ("out/other.txt", "inside the folder of route 'lobes' for results"),
    ):
        site.file.write_text(f'{text}{other}report = "{where}"\n')
        with pytest.raises(ConfigError) as refused:
            config.load(site.file)
        assert says in refused.value.problems[0].message


def found(site):
    each = check.check(config.load(site.file), offline=True)
    return next(finding for finding in each if finding.what == "report")


def test_check_tells_whether_it_can_be_written(site):
    """A missing folder, and a file that is no report, are crosses with a hint."""
    assert found(site).is_fine
    (site.folder / "status.txt").write_text("precious")
    assert "is not a status file of gcwatch" in found(site).detail
    site.configure(report="share/status.txt")
    assert "mkdir -p" in found(site).hint
    site.configure(report="out/status.txt")
    (site.outbox / "status.txt").mkdir()
    assert not found(site).is_fine


def test_the_service_may_write_it(site):
    """The drop-in opens its folder."""
    site.configure(report="/mnt/share/status.txt")
    text = systemd_dropin.dropin(config.load(site.file), systemd_unit.service_named(""))
    assert 'ReadWritePaths="/mnt/share"' in text


def test_an_empty_file_and_an_older_report_are_taken_over(site, capsys):
    """Who prepared the file for its rights, or another version, is not in the way."""
    (site.folder / "status.txt").touch()
    assert found(site).is_fine
    site.run_once()
    assert found(site).is_fine
    with pytest.raises(SystemExit):
        main(["check", "--offline", "--config", str(site.file)])
    assert "status.txt" in capsys.readouterr().out
