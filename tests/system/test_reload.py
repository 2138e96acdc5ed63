"""Signals: the daemon stops between parts, and follows another config without stopping."""

import fcntl
import json
import random
from itertools import pairwise
from operator import le
from pathlib import Path

import pytest
from support import builders
from support.builders import check_nothing_half_done, mha, voxels
from support.house import REFUSED, RELOADED, House, mirror, route

from gcwatch.core import folding

MIB = 1 << 20
PARTS = 5
CONNECTIONS = 3


def until(condition, seconds=120):
    """Machines may be slow."""
    return builders.until(condition, seconds)


@pytest.fixture
def house(tmp_path, sandbox):
    return House(tmp_path / "house", sandbox)


def big_head(parts):
    """The head of an image of so many parts of 16 MiB."""
    return (
        f"ObjectType = Image\nNDims = 3\nDimSize = 1024 1024 {16 * parts}\n"
        "ElementSpacing = 1 1 1\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    ).encode()


def drop_big(house, folder, name="big", parts=PARTS):
    """Drop an image of so many parts (and a bit), which takes no room on the disk."""
    house.drop(folder, name, big_head(parts), len(big_head(parts)) + parts * 16 * MIB)


def hold_uploads(house, times=None, after=0):
    """Each part, or so many, gets no answer until the faults are cleared; *after* so many do."""
    house.sandbox.fault(
        "delay", method="PUT", host="storage", nth=after + 1, times=times, seconds=140
    )


def slow_downloads(house):
    """Files come in small steps until the faults are cleared: a `noise` in minutes."""
    house.sandbox.fault(
        "trickle", method="GET", host="storage", times=None, keep=1 << 16, seconds=1.5
    )


def noise():
    """An image of 4 MB that can't be compressed."""
    head = mha(0).partition(b"LOCAL\n")[0].replace(b"= 1 1 1", b"= 2000000 1 1")
    return head + b"LOCAL\n" + random.Random(0).randbytes(4_000_000)


def check_one_job_each(house, *folders):
    """Every folder became one job, and has one whole result."""
    assert len(house.jobs()) == len(folders)
    for folder in {folder for folder, _ in folders}:
        check_nothing_half_done(house.folder / folder / "out")
    for folder, name in folders:
        assert house.delivered(folder).count(name) == 1


def check_histories(house):
    """Every case is the fold of its events, whatever its route is called."""
    for case in house.cases().values():
        assert folding.fold_events(case.key, house.history(case.key)) == case


# --- SIGTERM -------------------------------------------------------------------------------------


def test_a_stop_cuts_an_upload_between_parts_and_the_rest_is_sent_later(house):
    """No part is begun after the signal; the next start sends only what is missing."""
    house.write(route("a"), limits={"connections": CONNECTIONS})
    hold_uploads(house, after=CONNECTIONS)
    drop_big(house, "a")
    with house.serving() as daemon:
        until(lambda: house.puts() > CONNECTIONS)
        daemon.begin_to_stop()
        house.sandbox.clear_faults()
        assert daemon.process.wait(60) == 0
        assert daemon.ear.heard("STOPPING") == ["1"]
    assert house.puts() <= 2 * CONNECTIONS
    assert house.jobs() == []

    with house.serving() as daemon:
        until(lambda: house.delivered("a"))
        daemon.stop()

    check_one_job_each(house, ("a", "big"))
    assert house.puts() <= PARTS + 1 + CONNECTIONS
    assert len(house.said("upload.resumed")) == 1


def test_a_stop_cuts_a_mirrors_download_and_the_rest_is_fetched_later(house):
    """In the middle of a file that comes slowly; nothing half done is seen, then all of it is."""
    big = noise()
    house.sandbox.add_item("ct-archive", "p1", {"generic-medical-image": big})
    house.write(mirror("m"))
    slow_downloads(house)
    with house.serving() as daemon:
        [part] = until(lambda: list((house.folder / "m").rglob("*.part")))
        until(lambda: part.stat().st_size)
        assert daemon.stop() == 0
    assert part.stat().st_size < len(big)
    assert visible_in(house, "m") == []
    house.sandbox.clear_faults()

    with house.serving() as daemon:
        until(lambda: visible_in(house, "m"))
        daemon.stop()

    [image] = (house.folder / "m" / "p1").rglob("*.mha")
    assert voxels(image.read_bytes()) == voxels(big)


def visible_in(house, folder):
    return sorted(each.name for each in (house.folder / folder).iterdir() if each.name.isalnum())


# --- SIGHUP: routes come, change and go ----------------------------------------------------------


def test_a_route_that_is_added_takes_in_what_stands_in_its_inbox(house):
    """Without a restart; systemd is told that it reloads, and when it is ready again."""
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        house.write(route("a"), route("b"))
        house.drop("b")

        came = daemon.reload()

        assert (came["event"], came["added"]) == (RELOADED, ["b"])
        assert came["changed"] == came["removed"] == came["tables"] == []
        until(lambda: house.delivered("b"))
        check_reloading_is_told(daemon, 1)
        daemon.stop()
    check_one_job_each(house, ("b", "p1"))


def check_reloading_is_told(daemon, times):
    """RELOADING with its time, each followed by READY (sd_notify(3))."""
    told = [each for each in daemon.ear.listen() if {"READY", "RELOADING"} & each.keys()]
    assert ["RELOADING" in each for each in told] == [False] + [True, False] * times
    moments = [int(each["MONOTONIC_USEC"]) for each in told if "RELOADING" in each]
    assert all(earlier < later for earlier, later in pairwise(moments))


def test_an_upload_goes_on_while_other_routes_change(house):
    """It is not begun anew, and no part goes twice, though a route comes and another goes."""
    house.write(route("a"), route("b"), limits={"connections": CONNECTIONS})
    hold_uploads(house)
    drop_big(house, "a")
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: house.puts() > 1)

        house.write(route("a"), route("c"), limits={"connections": CONNECTIONS})
        came = daemon.reload()

        assert (came["added"], came["removed"]) == (["c"], ["b"])
        assert house.puts() <= CONNECTIONS
        house.sandbox.clear_faults()
        until(lambda: house.delivered("a"))
        daemon.stop()
    check_one_job_each(house, ("a", "big"))
    assert house.puts() == PARTS + 1
    assert not house.said("upload.resumed")


def test_a_step_under_way_ends_as_it_began_and_the_next_follows_the_change(house):
    """An outbox that changes during the upload gets the result."""
    house.write(route("a"))
    hold_uploads(house)
    drop_big(house, "a", parts=3)
    with house.serving() as daemon:
        daemon.ready()
        until(house.puts)

        house.write(route("a", outbox="elsewhere/out"))
        assert daemon.reload()["changed"] == ["a"]
        house.sandbox.clear_faults()

        until(lambda: house.delivered("elsewhere"))
        daemon.stop()
    assert house.delivered("a") == []
    assert house.puts() == 4


def test_results_half_fetched_are_whole_in_the_outbox_that_is_new(house):
    """What was fetched for the old outbox is fetched again for the new one."""
    house.write(route("a"))
    house.drop("a", content=noise())
    slow_downloads(house)
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: list((house.folder / "a" / "out").rglob("*.part")))

        house.write(route("a", outbox="elsewhere/out"))
        daemon.reload()
        house.sandbox.clear_faults()

        until(lambda: house.delivered("elsewhere"))
        daemon.stop()
    check_nothing_half_done(house.folder / "elsewhere" / "out")
    assert house.delivered("a") == []


def test_a_case_whose_route_is_gone_rests_until_it_is_back(house):
    """It is named in the log and left as it is; with the route it goes on where it was."""
    house.sandbox.configure(job_seconds=10_000, average_duration=0.0)
    house.write(route("a"), route("b"))
    house.drop("a")
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: house.said("case.submitted"))
        before = hold_a_poll(house)

        house.write(route("b"))
        assert daemon.reload()["removed"] == ["a"]

        house.sandbox.clear_faults()
        case = until(lambda: (now := house.cases()["a", "p1"]) != before and now)
        [orphaned] = until(lambda: house.said("case.orphaned"))  # logged after the reload
        assert orphaned["case"] == case.key
        house.sandbox.advance(20_000)
        house.drop("b")
        until(lambda: house.said("case.submitted", route="b"))
        assert house.cases()["a", "p1"] == case
        house.sandbox.configure(job_seconds=0)

        house.write(route("a"), route("b"))
        daemon.reload()

        until(lambda: house.delivered("a") and house.delivered("b"))
        daemon.stop()
    check_one_job_each(house, ("a", "p1"), ("b", "p1"))


def hold_a_poll(house):
    """From now on who asks after a job gets no answer; return the case that somebody asks for."""
    house.sandbox.fault("delay", method="GET", path="/jobs/.", times=None, seconds=140)
    house.sandbox.forget_calls()
    until(lambda: any("/jobs/" in call["path"] for call in house.sandbox.calls()))
    [case] = house.cases().values()
    return case


def test_a_case_that_is_on_its_way_to_an_algorithm_arrives_there(house):
    """A route that becomes an archive's takes its open cases to their end as they were planned."""
    house.sandbox.configure(job_seconds=10_000, average_duration=0.0)
    house.write(route("a"))
    house.drop("a")
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: house.said("case.submitted"))

        inputs = {"generic-medical-image": "*.mha"}
        house.write(route("a", algorithm=None, archive="ct-archive", inputs=inputs))
        assert daemon.reload()["event"] == RELOADED
        house.sandbox.configure(job_seconds=0)

        until(lambda: house.delivered("a"))
        daemon.stop()
    assert [each["status"] for each in house.jobs()] == ["Succeeded"]


# --- a route called otherwise --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_route_that_is_renamed_sends_nothing_again(house, how):
    """What was delivered is known, and an open case goes on under the new name."""
    house.write(route("a"))
    house.drop("a", "done")
    with house.serving() as daemon:
        until(lambda: house.delivered("a"))
        house.sandbox.configure(job_seconds=10_000, average_duration=0.0)
        house.drop("a", "open")
        until(lambda: len(house.said("case.submitted")) == 2)

        house.write(route("z", folder="a"))
        if how == "reload":
            came = daemon.reload()
            assert came["added"] == came["removed"] == came["changed"] == []
            finish_the_job(house, "open")
        daemon.stop()
    if how == "restart":
        with house.serving() as daemon:
            daemon.ready()
            finish_the_job(house, "open")
            daemon.stop()

    assert set(house.cases()) == {("z", "done"), ("z", "open")}
    assert [(line["old"], line["route"]) for line in house.said("route.renamed")] == [("a", "z")]
    check_one_job_each(house, ("a", "done"), ("a", "open"))
    check_histories(house)


def finish_the_job(house, name):
    house.sandbox.configure(job_seconds=0)
    until(lambda: name in house.delivered("a"))


@pytest.mark.prove
def test_routes_may_exchange_their_names_while_they_send(house):
    """Each goes on with its own folders, as their inboxes tell which is which."""
    house.write(route("a"), route("b"), limits={"connections": CONNECTIONS})
    for folder in ("a", "b"):
        house.drop(folder, "done")
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: house.delivered("a") and house.delivered("b"))
        hold_uploads(house)
        drop_big(house, "a", parts=4)
        until(lambda: house.said("upload.begun", route="a")[1:])

        house.write(
            route("b", folder="a"), route("a", folder="b"), limits={"connections": CONNECTIONS}
        )
        daemon.reload()
        house.sandbox.clear_faults()

        until(lambda: "big" in house.delivered("a"))
        daemon.stop()
    assert set(house.cases()) == {("b", "done"), ("a", "done"), ("b", "big")}
    check_one_job_each(house, ("a", "done"), ("a", "big"), ("b", "done"))
    check_histories(house)


INBOXES = ("x", "y", "z")


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.prove)])
def test_whatever_routes_are_called_and_whenever_they_are_there_each_folder_is_one_job(house, seed):
    """Reloads at random, under work: names go round, routes go and come back, limits change."""
    dice, dropped = random.Random(seed), []
    house.sandbox.configure(latency=0.02)
    house.write(*some_routes(dice, 1.0))
    with house.serving() as daemon:
        daemon.ready()
        for number in range(10):
            dropped += [(dice.choice(INBOXES), f"p{number}")]
            house.drop(*dropped[-1])
            limits = {"cases": dice.randint(1, 4), "connections": dice.randint(1, 4)}
            house.write(*some_routes(dice, 0.7), limits=limits)
            assert daemon.reload()["event"] == RELOADED
        house.write(*some_routes(dice, 1.0))
        daemon.reload()

        until(lambda: all(name in house.delivered(folder) for folder, name in dropped))
        daemon.stop()
    check_one_job_each(house, *dropped)
    check_histories(house)
    assert not house.said("step.crashed")


def some_routes(dice, share):
    """Routes for some of the inboxes, at least one, each called at random."""
    there = [folder for folder in INBOXES if dice.random() < share] or [dice.choice(INBOXES)]
    names = dice.sample("abcd", len(there))
    return [route(name, folder=folder) for name, folder in zip(names, there, strict=True)]


# --- mirrors and limits --------------------------------------------------------------------------


def test_a_mirror_that_is_added_is_filled(house):
    """At once, as at a start."""
    house.sandbox.add_item("ct-archive", "p1", {"generic-medical-image": mha()})
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        house.write(route("a"), mirror("m"))

        assert daemon.reload()["added"] == ["m"]

        until(lambda: visible_in(house, "m") == ["p1"])
        daemon.stop()


def test_a_mirror_that_changes_stops_and_goes_on_at_its_new_place(house):
    """In the middle of a download; the old folder is left without anything half done in sight."""
    house.sandbox.add_item("ct-archive", "p1", {"generic-medical-image": noise()})
    house.write(mirror("m"))
    slow_downloads(house)
    with house.serving() as daemon:
        until(lambda: list((house.folder / "m").rglob("*.part")))
        daemon.ready()

        house.write(mirror("m", outbox="n"))
        assert daemon.reload()["changed"] == ["m"]
        house.sandbox.clear_faults()

        until(lambda: visible_in(house, "n") == ["p1"])
        assert visible_in(house, "m") == []
        daemon.stop()


def test_a_mirror_that_is_renamed_goes_on_in_its_folder(house):
    """In the middle of a download: the new run waits for the end of the old one."""
    big = noise()
    house.sandbox.add_item("ct-archive", "p1", {"generic-medical-image": big})
    house.write(mirror("m"))
    slow_downloads(house)
    with house.serving() as daemon:
        until(lambda: list((house.folder / "m").rglob("*.part")))
        daemon.ready()

        house.write(mirror("n", outbox="m"))
        came = daemon.reload()
        assert (came["added"], came["removed"]) == (["n"], ["m"])
        house.sandbox.clear_faults()

        until(lambda: house.said("mirror.finished", mirror="n"))
        daemon.stop()
    assert not house.said("mirror.finished", mirror="m")
    assert visible_in(house, "m") == ["p1"]
    [image] = (house.folder / "m" / "p1").rglob("*.mha")
    assert voxels(image.read_bytes()) == voxels(big)


def test_a_mirror_that_is_removed_stops(house):
    """In the middle of a download, and does not begin again."""
    house.sandbox.add_item("ct-archive", "p1", {"generic-medical-image": noise()})
    house.write(mirror("m"), route("a"))
    slow_downloads(house)
    with house.serving() as daemon:
        until(lambda: list((house.folder / "m").rglob("*.part")))
        daemon.ready()

        house.write(route("a"))
        assert daemon.reload()["removed"] == ["m"]
        house.sandbox.clear_faults()

        lock = house.state / "mirrors" / "m.lock"
        until(lambda: is_free(lock))
        calls = archive_calls(house)
        house.drop("a")
        until(lambda: house.delivered("a"))
        assert archive_calls(house) == calls
        daemon.stop()
    assert visible_in(house, "m") == []


def is_free(lock):
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def archive_calls(house):
    return [call for call in house.sandbox.calls() if "archives" in call["path"]]


@pytest.mark.prove
def test_other_limits_hold_from_now_on(house):
    """More cases at once; the upload under way keeps its connections, the next ones have theirs."""
    house.sandbox.configure(latency=0.05)
    house.write(route("a"), limits={"cases": 1, "connections": 2})
    hold_uploads(house, times=2)
    drop_big(house, "a", "first", parts=4)
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: house.puts() == 2)
        house.drop("a", "second")
        house.write(route("a"), limits={"cases": 2, "connections": 5})

        assert daemon.reload()["tables"] == ["limits"]

        until(lambda: "second" in house.delivered("a"))
        assert "first" not in house.delivered("a")
        house.sandbox.clear_faults()
        until(lambda: "first" in house.delivered("a"))
        daemon.stop()
    check_one_job_each(house, ("a", "first"), ("a", "second"))
    assert house.puts() == 6


def test_a_refused_token_is_replaced_by_another_file(house):
    """The pause ends with the reload that names a token which is taken."""
    good = house.sandbox.token
    house.use_token("0" * 64)
    house.write(route("a"))
    house.drop("a")
    with house.serving() as daemon:
        daemon.ready()
        until(lambda: house.said("platform.token_refused"))

        house.use_token(good, "other")
        house.write(route("a"))
        assert daemon.reload()["tables"] == ["platform"]

        until(lambda: house.delivered("a"))
        daemon.stop()
    assert good not in (house.folder / "log.jsonl").read_text()


# --- what can't be followed ----------------------------------------------------------------------


def refused(daemon, *words):
    """Reload; what came of it names file, mistake and remedy, and systemd is told."""
    came = daemon.reload()
    assert (came["event"], came["level"]) == (REFUSED, "error")
    assert came["file"] == str(daemon.house.file)
    problems = " ".join(came["problems"])
    assert all(word in problems for word in words), problems
    assert any("refused" in status for status in daemon.ear.heard("STATUS"))


def test_a_config_with_a_mistake_is_refused_and_the_one_before_is_followed(house):
    """A mistake of any kind; work goes on, and the next good one is followed."""
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        house.write(route("a", algoritm="x"))
        refused(daemon, "algoritm", "line ")
        house.file.write_text("[[route")
        refused(daemon, "not valid TOML")
        house.write(route("a"), route("b", folder="a"))
        refused(daemon, "overlaps")
        house.file.unlink()
        refused(daemon, "can't be read")

        house.drop("a")
        until(lambda: house.delivered("a"))

        house.write(route("a"), route("c"))
        assert daemon.reload()["event"] == RELOADED
        until(lambda: "refused" not in daemon.ear.heard("STATUS")[-1])
        daemon.stop()
    check_one_job_each(house, ("a", "p1"))


def test_what_needs_a_restart_is_refused_and_said_so(house):
    """Another state directory or another platform: the cases under way are in the former."""
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        house.write(route("a"), state="other")
        refused(daemon, "state", "restart")
        house.write(route("a"), url="http://127.0.0.1:9/api/v1/")
        refused(daemon, "platform.url", "restart")

        house.drop("a")
        until(lambda: house.delivered("a"))
        daemon.stop()
    assert not (house.folder / "other").exists()


def test_a_log_file_that_cannot_be_opened_is_refused_and_the_old_one_written(house):
    """What is said of it stands in the file that there is."""
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        text = house.file.read_text()
        house.file.write_text(text.replace("log.jsonl", "not/there/log.jsonl"))
        came = daemon.reload()
        assert came["event"] == REFUSED
        assert "log.file" in came["problems"][0]
        daemon.stop()
    assert house.said("daemon.stopped")


def test_another_log_file_and_level_hold_at_once(house):
    """The old file gets nothing more."""
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        text = house.file.read_text()
        house.file.write_text(text.replace("log.jsonl", "new.jsonl").replace("info", "warning"))
        daemon.hang_up()
        daemon.ready(2)
        before = house.said()
        house.file.write_text("")
        daemon.hang_up()
        daemon.ready(3)
        daemon.stop()
    assert house.said() == before
    assert before[-1]["event"] != RELOADED  # which is no warning
    [line] = (house.folder / "new.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == REFUSED


# --- hang-ups at odd moments ---------------------------------------------------------------------


def test_hang_ups_during_the_start_are_remembered_until_it_is_over(house):
    """Before it is ready: none is lost, none harms, and READY comes before RELOADING."""
    house.write(route("a"))
    house.drop("a")
    with house.serving() as daemon:
        until(lambda: house.said("config.loaded"))
        daemon.hang_up()
        daemon.ready(2)
        until(lambda: house.delivered("a"))
        check_reloading_is_told(daemon, 1)
        daemon.stop()
    check_one_job_each(house, ("a", "p1"))


@pytest.mark.prove
def test_many_hang_ups_one_after_the_other_do_no_harm(house):
    """While it reloads: each reload comes to its end, and the last one sees the last config."""
    house.write(route("a"))
    drop_big(house, "a", parts=2)
    with house.serving() as daemon:
        daemon.ready()
        for number in range(20):
            house.write(route("a"), route(f"b{number}"))
            daemon.hang_up()
        until(lambda: any("b19" in line["added"] for line in house.said(RELOADED)))
        until(lambda: house.delivered("a"))
        assert daemon.stop() == 0
        check_reloading_is_told(daemon, len(daemon.ear.heard("RELOADING")))
    check_one_job_each(house, ("a", "big"))


def test_once_passes_a_hang_up_over(house):
    """It ends when everything is delivered, with 0."""
    house.write(route("a"))
    hold_uploads(house)
    drop_big(house, "a", parts=3)
    with house.serving("once") as daemon:
        until(house.puts)
        daemon.hang_up()
        house.sandbox.clear_faults()
        assert daemon.process.wait(60) == 0
    check_one_job_each(house, ("a", "big"))
    assert not house.said(RELOADED)


@pytest.mark.prove
def test_a_reload_keeps_nothing_open_of_what_was(house):
    """After many, the daemon comes back to as many open files and threads as after few."""
    house.write(route("a"))
    with house.serving() as daemon:
        daemon.ready()
        counts = []
        for number in range(12):
            limits = {"connections": 4 + number % 2}
            house.write(route("a"), route(f"b{number % 3}"), limits=limits)
            house.drop("a", f"p{number}")
            daemon.reload()
            until(lambda number=number: f"p{number}" in house.delivered("a"))
            counts.append(used(daemon.process.pid))
        files, threads = (max(some) + 2 for some in zip(*counts[:6], strict=True))
        until(lambda: all(map(le, used(daemon.process.pid), (files, threads))))
        daemon.stop()


def used(pid):
    """How many files and threads a process has."""
    return tuple(sum(1 for _ in Path(f"/proc/{pid}/{what}").iterdir()) for what in ("fd", "task"))
