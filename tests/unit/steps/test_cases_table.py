"""The values of cases from cases.csv in the inbox, and cases.status.csv in the outbox."""

import csv
import os

import pytest
from support.builders import Site, mha, put, until, visible, waiting

from gcwatch import config
from gcwatch.commands import check
from gcwatch.commands.plan import plan
from gcwatch.core.errors import ConfigError, NotYet
from gcwatch.core.reasons import explain
from gcwatch.inbox.case_tables import read_case_table

INPUTS = {"ct-image": "*.mha", "threshold": {"column": "threshold"}}


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox, algorithm="threshold", inputs=INPUTS, cases_table=True)


def write(site, text):
    put(site.inbox, {"cases.csv": text.encode()})


def statuses(site):
    path = site.outbox / "cases.status.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["folder"]: row for row in csv.DictReader(file, strict=True)}


def thresholds(site):
    receipts = {name: site.receipt(name)["inputs"] for name in site.delivered()}
    return {
        name: next(each["value"] for each in inputs if each["socket"] == "threshold")
        for name, inputs in receipts.items()
    }


def test_each_case_gets_the_value_of_its_row(site):
    """A table of German Excel; the status comes back with a row for each."""
    for name in ("p1", "p2"):
        site.drop(name, {"image.mha": mha(1, 2)})
    write(site, "\ufefffolder;threshold\r\np2;0,25\r\np1;2\r\np3;1\r\n")
    site.run_once()
    assert thresholds(site) == {"p1": 2, "p2": 0.25}
    found = statuses(site)
    assert [(name, row["status"]) for name, row in found.items()] == [
        ("p2", "delivered"),
        ("p1", "delivered"),
        ("p3", "no folder"),
    ]
    assert found["p1"]["result"] == "p1"
    assert found["p1"]["case"] == site.receipt()["key"]
    assert "No folder of this name" in found["p3"]["why"]
    assert found["p3"]["line"] == "4"
    assert sorted(filter(visible, site.inbox.iterdir())) == [
        site.inbox / name for name in ("cases.csv", "p1", "p2")
    ]


def test_a_case_waits_for_the_table_and_goes_on_by_itself(site):
    """A wrong table is told in its status, and fails no case; a right one lets the case go on."""
    site.drop("p1")
    with site.running() as watch:
        waiting(watch, "cases_table_missing")
    write(site, "folder,weight\np1,2\n")
    site.listen()
    with site.running():
        until(lambda: "weight" in statuses(site).get("", {}).get("why", ""))
    assert statuses(site)[""]["status"] == "not used"
    assert "weight" not in (site.folder / "log.jsonl").read_text()
    assert not site.jobs()
    write(site, "folder,threshold\np1,2\n")
    with site.watch() as watch:
        [case] = watch.cases()
        watch.retry(case)  # a minute later it would look by itself
    site.run_once()
    assert thresholds(site) == {"p1": 2}


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("folder,threshold\np2,2\n", "no_table_row", "has no row for it"),
        ("folder,threshold\np1,\n", "no_table_row", "has no value for threshold in line 2"),
        ("folder,threshold\np1,much\n", "no_table_row", "wrong value for threshold in line 2"),
        ("folder,threshold\np1,true\n", "no_table_row", "wrong value for threshold in line 2"),
        ("folder,title\np1,A\n", "cases_table_wrong", "does not take; it takes folder, threshold"),
    ],
)
def test_what_the_table_lacks_is_a_reason_to_wait(site, text, code, problem):
    """Nobody has to try again after it is corrected; nothing is sent with a wrong value."""
    site.drop("p1")
    write(site, text)
    [planned] = plan(config.load(site.file))
    [folder] = planned.folders
    assert (folder.verdict, folder.reason.code) == ("wait", code)
    assert problem in explain(folder.reason).detail


def test_a_row_that_changes_after_its_case_was_sent_is_told_and_sends_nothing(site):
    """Whoever corrects a value sees that it did not count."""
    site.drop("p1")
    write(site, "folder,threshold\np1,2\n")
    site.run_once()
    write(site, "folder,threshold\np1,3\n")
    site.run_once()
    assert len(site.jobs()) == 1
    assert "The row has changed since it was sent" in statuses(site)["p1"]["why"]
    write(site, "folder,threshold\np1,2\n")
    site.run_once()
    assert statuses(site)["p1"]["why"] == ""


def test_a_table_that_is_still_being_copied_is_not_used(site):
    """Half a table may end within a number, 0.2 of 0.25: it must not change for a while."""
    write(site, "folder,threshold\np1,0.2")
    [route] = config.load(site.file).routes
    patient = route.model_copy(update={"settle": 3600.0})
    assert read_case_table(patient, settled=False).rows
    with pytest.raises(NotYet) as error:
        read_case_table(patient)
    assert error.value.reason.code == "cases_table_changing"
    assert 3500 < error.value.wait <= 3600
    assert read_case_table(route).find("p1").cells == {"threshold": "0.2"}
    write(site, "folder,threshold\np1,0.25\n")
    assert read_case_table(route).find("p1").cells == {"threshold": "0.25"}


def test_a_link_or_a_huge_file_is_no_table(site):
    """Who can write to the share can't have other files read, or fill the memory."""
    (site.folder / "elsewhere").write_text("folder,threshold\np1,2\n")
    (site.inbox / "cases.csv").symlink_to(site.folder / "elsewhere")
    site.drop("p1")
    [planned] = plan(config.load(site.file))
    assert planned.folders[0].reason.code == "cases_table_wrong"
    (site.inbox / "cases.csv").unlink()
    (site.inbox / "cases.csv").touch()
    os.truncate(site.inbox / "cases.csv", 100 << 20)
    [planned] = plan(config.load(site.file))
    assert "at most 16 MiB" in explain(planned.folders[0].reason).detail


def test_titles_and_order_come_from_the_table(tmp_path, sandbox):
    """For a reader study; without a cell the route's own rule counts."""
    site = Site(
        tmp_path,
        sandbox,
        algorithm=None,
        reader_study="lung-study",
        inputs={"ct-image": "*.mha"},
        cases_table=True,
    )
    for name in ("p1", "p2"):
        site.drop(name)
    write(site, "folder,title,order\np1,Case A,7\np2,,\n")
    site.run_once()
    made = {each["title"]: each["order"] for each in sandbox.state()["display_sets"]}
    assert made["Case A"] == 7
    assert len(made) == 2


def test_a_title_with_the_folders_name_waits(tmp_path, sandbox):
    """The promise that no name leaves holds for titles that people write, too."""
    site = Site(
        tmp_path,
        sandbox,
        algorithm=None,
        archive="ct-archive",
        inputs={"ct-image": "*.mha"},
        cases_table=True,
    )
    site.drop("Miller")
    write(site, "folder,title\nMiller,Chest of miller\n")
    [planned] = plan(config.load(site.file))
    assert "has a title with the name of the folder" in planned.folders[0].reason.facts["problem"]


def test_with_files_as_cases_the_table_is_no_case(tmp_path, sandbox):
    """Its rows name the files without their suffix."""
    site = Site(
        tmp_path, sandbox, algorithm="threshold", inputs=INPUTS, cases_table=True, cases="files"
    )
    put(site.inbox, {"p1.mha": mha(1, 2)})
    write(site, "folder,threshold\np1,2\n")
    site.run_once()
    assert len(site.jobs()) == 1
    assert statuses(site)["p1"]["status"] == "delivered"


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        ({"inputs": INPUTS}, "takes values from cases.csv"),
        (
            {"inputs": {"ct-image": "*.mha", "threshold": {"column": "Title"}}},
            "names a column that cases.csv has for itself",
        ),
    ],
)
def test_a_column_without_a_table_is_refused(tmp_path, sandbox, route, complaint):
    """When the config is read."""
    site = Site(tmp_path, sandbox, algorithm="threshold", **route)
    with pytest.raises(ConfigError) as refused:
        config.load(site.file)
    assert complaint in refused.value.problems[0].message


def test_check_reads_the_table(site):
    """`gcwatch check` tells what is wrong before a patient waits; a missing one may come later."""

    def found():
        told = {each.what: each for each in check.check(config.load(site.file), offline=True)}
        return told["cases_table"]

    assert found().is_fine
    write(site, "folder,threshold\np1,2\n")
    assert "cases.csv: 1 row" in found().detail
    write(site, "patient,threshold\np1,2\n")
    assert not found().is_fine
