"""What becomes of a folder that gets another name: it stays the same case, and somebody is told."""

import shutil

import pytest
from support.builders import Site, check_history, check_results, mha, series, until


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox, report="status.txt")


def rename(site, before, after):
    (site.inbox / before).rename(site.inbox / after)


def only_case(site, name="p1"):
    """The one case there is: it is under this name, and its history gives what is on record."""
    with site.watch() as watch:
        [case] = watch.cases()
        assert case.folder == name
        check_history(watch)
    return case


def check_one_job(site, result="p1"):
    """There was one job, and there is one result, with this name."""
    assert len(site.jobs()) == 1
    assert site.delivered() == [result]
    check_results(site.sandbox, site.outbox / result)


def status_file(site):
    """The words of the status file; none before the daemon's first report."""
    file = site.folder / "status.txt"
    return " ".join(file.read_text("utf-8-sig").split()) if file.exists() else ""


def test_a_delivered_folder_that_is_renamed_is_told_and_not_sent_again(site):
    """A typo is corrected while the daemon runs: same case, same result, and a line says so."""
    site.drop("p1")
    with site.running() as watch:
        until(site.delivered)
        until(lambda: watch.find("lobes/p1").ending)
        rename(site, "p1", "p2")
        until(lambda: "p2 was called p1 when it was delivered" in status_file(site))
        site.drop("p3", {"image.mha": mha(3)})
        until(lambda: site.delivered() == ["p1", "p3"])
    assert len(site.jobs()) == 2
    assert "DELIVERED, WITH A WARNING p2 " in status_file(site)


def test_a_rename_while_no_daemon_runs_is_seen(site):
    """The next start finds the files where they are, and what they are."""
    site.drop("p1")
    site.run_once()
    rename(site, "p1", "p2")
    site.run_once()
    check_one_job(site)
    assert [each.code for each in only_case(site, "p2").warnings] == ["folder_renamed"]


def test_a_folder_that_was_away_under_its_old_name_is_known_under_the_new(site):
    """Between the two names there may be scans that find neither."""
    site.drop("p0", {"image.mha": mha(0)})
    site.drop("p1")
    site.run_once()
    (site.inbox / "p1").rename(site.folder / "aside")
    site.run_once()
    (site.folder / "aside").rename(site.inbox / "p2")
    site.run_once()
    assert site.delivered() == ["p0", "p1"]
    assert len(site.jobs()) == 2


def test_a_folder_that_is_named_back_is_as_it_was(site):
    """Two renames leave no warning behind."""
    site.drop("p1")
    site.run_once()
    for before, after in (("p1", "p2"), ("p2", "p3"), ("p3", "p1")):
        rename(site, before, after)
        site.run_once()
    check_one_job(site)
    assert only_case(site).warnings == ()


def test_two_folders_that_swap_their_names_are_followed(site):
    """Each case goes where its files are, also if the daemon sees only the end."""
    for name, voxel in (("p1", 1), ("p2", 2)):
        site.drop(name, {"image.mha": mha(voxel)})
    site.run_once()
    with site.watch() as watch:
        before = {case.folder: case.key for case in watch.cases()}
    for one, other in (("p1", "p3"), ("p2", "p1"), ("p3", "p2")):
        rename(site, one, other)
    site.run_once()
    site.run_once()
    assert len(site.jobs()) == 2
    with site.watch() as watch:
        after = {name: watch.find(f"lobes/{name}").key for name in ("p1", "p2")}
        assert len(watch.cases()) == 2
        check_history(watch)
    assert after == {"p1": before["p2"], "p2": before["p1"]}


def test_a_renamed_folder_is_sent_again_if_somebody_asks_for_it(site):
    """`gcwatch retry` takes the new name, and so do the results."""
    site.drop("p1")
    site.run_once()
    rename(site, "p1", "p2")
    site.run_once()
    with site.watch() as watch:
        watch.retry(watch.find("lobes/p2"))
    site.run_once()
    assert site.delivered() == ["p1", "p2"]
    assert only_case(site, "p2").warnings == ()
    assert len(site.jobs()) == 2


def test_another_folder_may_take_the_old_name(site):
    """It is a new case; the results stand side by side."""
    site.drop("p1", {"image.mha": mha(1)})
    site.run_once()
    rename(site, "p1", "p2")
    site.drop("p1", {"image.mha": mha(2)})
    site.run_once()
    assert site.delivered() == ["p1", "p1.2"]
    assert len(site.jobs()) == 2


def test_a_copy_with_the_same_times_is_no_rename(site):
    """Only the very files are taken for the same case: a copy has other change times."""
    folder = site.drop("p1")
    site.run_once()
    shutil.copytree(folder, site.folder / "copy")  # keeps the files' times
    shutil.rmtree(folder)
    (site.folder / "copy").rename(site.inbox / "p2")
    site.run_once()
    assert site.delivered() == ["p1", "p2"]


def test_a_failed_folder_that_is_renamed_is_tried_anew(site):
    """Another name may be the very correction that was asked for."""
    site.drop("p1", {"image.mha": b""})
    site.run_once()
    rename(site, "p1", "p2")
    site.run_once()
    assert (site.outbox / "p2.failed.txt").exists()


@pytest.mark.parametrize("route", [{}, {"after": "delete"}, {"after": "move", "done": "done"}])
def test_a_folder_that_is_renamed_while_its_job_runs_is_followed(site, route):
    """One job; the results have the new name, and the folder is disposed of under it."""
    site.configure(**route)
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    site.drop("p1")
    with site.running() as watch:
        until(lambda: watch.cases() and watch.cases()[0].status)
        rename(site, "p1", "p2")
        until(lambda: watch.cases()[0].folder == "p2")
        site.sandbox.advance(3600)
        until(site.delivered)
        until(lambda: not watch.cases()[0].is_open)
    check_one_job(site, "p2")
    only_case(site, "p2")
    assert (site.inbox / "p2").exists() == (not route)
    assert (site.folder / "done" / "p2").exists() == (route.get("after") == "move")


def test_the_series_of_a_renamed_patient_are_followed(site):
    """With a case a series, renaming the patient's folder sends none again."""
    site.configure(cases="series", deidentify=False)
    site.drop("p1", {f"MR/{name}": content for name, content in series().items()})
    site.run_once()
    [before] = site.results()
    rename(site, "p1", "p2")
    site.run_once()
    assert site.results() == [before]
    assert len(site.jobs()) == 1
    assert only_case(site, before.replace("p1", "p2")).warnings


def test_a_folder_that_changed_after_delivery_is_followed_too(site):
    """It is told of as changed and as renamed, and is not sent again."""
    site.drop("p1")
    site.run_once()
    (site.inbox / "p1" / "late.txt").write_text("late")
    site.run_once()
    rename(site, "p1", "p2")
    site.run_once()
    check_one_job(site)
    case = only_case(site, "p2")
    assert case.late is not None
    assert [each.code for each in case.warnings] == ["folder_renamed"]
