"""Folders that change after their case has ended, and a daemon that dies again and again."""

from functools import partial

import pytest
from support.builders import (
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    series,
)
from support.victims import die_at_every_kind

pytestmark = pytest.mark.timeout(1200)


def die_again_and_again(victims, site, folder):
    """Let daemons die at each kind of point on one site, until one comes to an end."""
    kinds = die_at_every_kind(
        partial(victims.live, site),
        folder / "points",
        check=lambda: check_nothing_half_done(site.outbox),
    )
    with site.watch() as watch:
        check_history(watch)
    return kinds


@pytest.mark.prove
def test_a_corrected_folder_is_sent_once_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox
):
    """SIGKILL at each kind of commit, reply and file change: one job and one result."""
    site = Site(tmp_path / "site", sandbox)
    folder = site.drop("p1", {"image.mha": b""})
    assert victims.live(site) == 0
    (folder / "image.mha").write_bytes(mha(4, 2))

    kinds = die_again_and_again(victims, site, tmp_path)

    assert "after folder_corrected" in kinds
    assert len(site.jobs()) == 1
    assert [path.name for path in site.outbox.iterdir()] == ["p1"]
    check_results(site.sandbox, site.outbox / "p1")


def test_swapped_folders_are_sent_once_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox
):
    """SIGKILL also between the two records of a swap: each case finds its folder, none is new."""
    site = Site(tmp_path / "site", sandbox)
    for name, voxel in (("p1", 1), ("p2", 2)):
        site.drop(name, {"image.mha": mha(voxel)})
    assert victims.live(site) == 0
    for one, other in (("p1", "p3"), ("p2", "p1"), ("p3", "p2")):
        (site.inbox / one).rename(site.inbox / other)

    kinds = die_again_and_again(victims, site, tmp_path)

    assert "after folder_renamed" in kinds
    assert len(site.jobs()) == 2
    with site.watch() as watch:
        cases = {case.folder: case.result for case in watch.cases()}
    assert cases == {"p1": "p2", "p2": "p1"}


@pytest.mark.parametrize("changed", ["tell", pytest.param("send", marks=pytest.mark.prove)])
def test_a_folder_that_changed_is_told_or_sent_once_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox, changed
):
    """SIGKILL at each kind of commit, reply and file change: one note, or one more job."""
    site = Site(tmp_path / "site", sandbox, changed=changed)
    folder = site.drop("p1")
    assert victims.live(site) == 0
    (folder / "late.txt").write_text("late")

    kinds = die_again_and_again(victims, site, tmp_path)

    note = site.outbox / "p1.changed.txt"
    if changed == "tell":
        assert "after late_change_told" in kinds
        assert "1 file more" in note.read_text()
        assert (site.delivered(), len(site.jobs())) == (["p1"], 1)
    else:
        assert not note.exists()
        assert (site.delivered(), len(site.jobs())) == (["p1", "p1.2"], 2)
        check_results(site.sandbox, site.outbox / "p1.2")


@pytest.mark.prove
def test_an_operator_file_is_obeyed_once_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox
):
    """SIGKILL also between the record of the verb and the end of its file: one more job."""
    site = Site(tmp_path / "site", sandbox, operator_files=True)
    site.drop("p1")
    assert victims.live(site) == 0
    file = site.outbox / "p1.retry"
    file.touch()

    kinds = die_at_every_kind(partial(victims.live, site), tmp_path / "points")

    assert {"before retried", "after retried"} <= {*kinds}
    assert any("os.remove" in kind and ".retry" in kind for kind in kinds)
    assert not file.exists()
    assert (site.delivered(), len(site.jobs())) == (["p1", "p1.2"], 2)


@pytest.mark.prove
@pytest.mark.parametrize(
    "files",
    [series(), {"image.mha": mha()}, {"image.mha": mha(*[1] * (9 << 20))}],
    ids=["dicom", "others", "large"],
)
def test_of_equal_folders_one_is_sent_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox, files
):
    """SIGKILL also between what is known of the content and what follows from it.

    Large files are compared while they are sent, as the folders have not the same size.
    """
    site = Site(tmp_path / "site", sandbox, duplicates="hold")
    site.drop("p1", files)
    site.drop("p2", {**files, "notes.txt": b"beside the images"})

    kinds = die_again_and_again(victims, site, tmp_path)

    assert "after content_identified" in kinds
    assert len(site.jobs()) == 1
    [sent] = site.delivered()
    assert {path.name for path in site.outbox.iterdir()} == {
        sent,
        {"p1": "p2", "p2": "p1"}[sent] + ".failed.txt",
    }
    check_results(site.sandbox, site.outbox / sent)


def command(site):
    """A command that writes down that it ran, if the results are there."""
    script = 'test -f "$2/gcwatch.json" && echo ran >> "$1"'
    return ["/bin/sh", "-c", script, "sh", str(site.folder / "runs"), "{folder}"]


def check_handed_on(site):
    """There is one job and one result; the command ran, at the last time with its end on record."""
    assert (site.folder / "runs").read_text().splitlines().count("ran") >= 2
    assert (site.delivered(), len(site.jobs())) == (["p1"], 1)
    with site.watch() as watch:
        case = watch.find("lobes/p1")
        kinds = [each.event.kind for each in watch.history(case)]
    assert (case.command, kinds.count("command_completed")) == (None, 1)


def test_a_command_runs_though_the_daemon_dies_again_and_again(victims, tmp_path, sandbox):
    """SIGKILL before and after the record of its end: it runs again, and then never more."""
    site = Site(tmp_path / "site", sandbox, on_delivered=["false"])
    site.drop("p1")
    assert victims.live(site) == 0
    with site.watch() as watch:
        assert watch.find("lobes/p1").command.attempts >= 1
        watch.retry(watch.find("lobes/p1"))
    site.configure(on_delivered=command(site))

    kinds = die_again_and_again(victims, site, tmp_path)

    assert {"before command_completed", "after command_completed"} <= {*kinds}
    check_handed_on(site)
    assert victims.live(site) == 0
    check_handed_on(site)


@pytest.mark.prove
@pytest.mark.parametrize("after", ["keep", "delete"])
def test_each_result_is_handed_on_wherever_the_daemon_dies(victims, tmp_path, sandbox, after):
    """SIGKILL at each kind of point from the folder on: one job, and the command ran."""
    site = Site(tmp_path / "site", sandbox, after=after)
    site.configure(on_delivered=command(site), after=after)
    site.drop("p1")

    kinds = die_again_and_again(victims, site, tmp_path)

    assert {"after delivered", "before command_completed"} <= {*kinds}
    check_handed_on(site)
    check_results(site.sandbox, site.outbox / "p1")
