"""results.csv and items.csv: made from the receipts of an outbox, and replaced only if ours."""

import csv
import json
import os
import shutil
import sqlite3

import pytest
from support.builders import Site, until
from support.house import House, route

from gcwatch import config
from gcwatch.commands import check
from gcwatch.core.errors import ConfigError
from gcwatch.outbox import tables
from gcwatch.outbox.table_file import NotOurTable
from gcwatch.outbox.tables import TablePlace, update_table

TIMES = {
    name: f"2026-11-2{day}T10:00:00+00:00"
    for day, name in enumerate(("found", "settled", "submitted", "delivered"))
}


def publish(outbox, name="p1", values=None, *, files=None, target=None, delivered=None, **more):
    """A result folder as gcwatch publishes it, with values by socket."""
    folder = outbox / name
    made = outbox / ".arriving"
    outputs = [
        {"socket": slug, "carrier": "value", "files": [{"path": f"{slug}.json"}]}
        for slug in values or {}
    ]
    for slug, paths in (files or {}).items():
        outputs.append({"socket": slug, "carrier": "image", "files": [{"path": p} for p in paths]})
    receipt = {
        "route": "lobes",
        "folder": name,
        "key": "lobes-7f3k2q9d",
        "target": target or {"algorithm": "a", "job": f"pk-{name}", "job_url": "https://gc/job"},
        "outputs": outputs,
        "warnings": [],
        "times": TIMES | ({"delivered": delivered} if delivered else {}),
        **more,
    }
    made.mkdir()
    for slug, value in (values or {}).items():
        (made / f"{slug}.json").write_text(json.dumps(value))
    (made / "gcwatch.json").write_text(json.dumps(receipt))
    folder.parent.mkdir(exist_ok=True)
    made.rename(folder)
    return folder


@pytest.fixture
def place(tmp_path):
    (tmp_path / "out").mkdir()
    return TablePlace(tmp_path / "out", "algorithm", tmp_path / "state" / "tables")


def rows(outbox, name="results.csv"):
    with (outbox / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_each_result_is_a_row_with_its_values_and_paths(place):
    """One column a value, paths that begin at the outbox, times as spreadsheets know them."""
    images = {"lobes": ["images/lobes/a.mha"], "dicom": ["images/d/1.dcm", "images/d/2.dcm"]}
    publish(place.outbox, "p1", {"score": 0.5, "report": {"stage": "II", "n": 3}}, files=images)
    assert not update_table(place)
    content = (place.outbox / "results.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbffolder,result,key,route,job,job_url,found_utc,")
    assert content.count(b"\r\n") == 2
    [row] = rows(place.outbox)
    assert row == {
        "folder": "p1",
        "result": "p1",
        "key": "lobes-7f3k2q9d",
        "route": "lobes",
        "job": "pk-p1",
        "job_url": "https://gc/job",
        "found_utc": "2026-11-20 10:00:00",
        "settled_utc": "2026-11-21 10:00:00",
        "submitted_utc": "2026-11-22 10:00:00",
        "delivered_utc": "2026-11-23 10:00:00",
        "warnings": "",
        "score": "0.5",
        "report.stage": "II",
        "report.n": "3",
        "lobes": "p1/images/lobes/a.mha",
        "dicom": "p1/images/d",
    }


def test_items_tell_which_item_holds_which_images(place, tmp_path):
    """What the evaluation of a challenge needs: pk, title, folder, and the pks of images."""
    archive = TablePlace(place.outbox, "archive", tmp_path / "state")
    target = {"archive": "a", "archive_item": "item-1", "title": "Case 1"}
    inputs = [
        {"socket": "ct", "carrier": "image", "image": "https://gc/api/v1/cases/images/im-1/"},
        {"socket": "age", "carrier": "value", "value": 61},
        {"socket": "csv", "carrier": "file", "sent_as": "lobes-p1-01.csv"},
    ]
    publish(place.outbox, "p1", target=target, inputs=inputs)
    publish(place.outbox, "p2")  # of an algorithm
    update_table(archive)
    [row] = rows(place.outbox, "items.csv")
    named = ("archive_item", "title", "folder", "ct", "age", "csv")
    assert [row[name] for name in named] == [
        "item-1",
        "Case 1",
        "p1",
        "im-1",
        "61",
        "lobes-p1-01.csv",
    ]


def test_series_of_a_patient_are_rows_of_their_own(place):
    """Also one that is delivered later into the same patient's folder."""
    publish(place.outbox, "p1/ct", {"score": 1})
    update_table(place)
    publish(place.outbox, "p1/mr", {"score": 2})
    update_table(place)
    assert [(row["result"], row["score"]) for row in rows(place.outbox)] == [
        ("p1/ct", "1"),
        ("p1/mr", "2"),
    ]


def test_rows_come_in_the_order_of_delivery(place):
    """New cases are at the end, whatever their names are."""
    publish(place.outbox, "a", delivered="2026-11-28T10:00:00+00:00")
    publish(place.outbox, "z", delivered="2026-11-27T10:00:00+00:00")
    update_table(place)
    assert [row["folder"] for row in rows(place.outbox)] == ["z", "a"]


def test_each_receipt_is_read_once(place, monkeypatch):
    """With 10,000 results a delivery costs the reading of one receipt, also after a start."""
    read, usual = [], tables.read_receipt
    monkeypatch.setattr(tables, "read_receipt", lambda p: read.append(p.below) or usual(p))
    publish(place.outbox, "p1")
    update_table(place)
    publish(place.outbox, "p2")
    update_table(place)
    assert read == ["p1", "p2"]
    assert len(rows(place.outbox)) == 2


def test_a_result_that_is_gone_or_made_anew_is_told_as_it_is(place):
    """The outbox is the truth, not what gcwatch remembers of it."""
    publish(place.outbox, "p1", {"score": 1})
    publish(place.outbox, "p2", {"score": 2})
    update_table(place)
    shutil.rmtree(place.outbox / "p2")
    shutil.rmtree(place.outbox / "p1")
    publish(place.outbox, "p1", {"score": 3})
    update_table(place)
    assert [(row["folder"], row["score"]) for row in rows(place.outbox)] == [("p1", "3")]


def test_nothing_is_written_while_nothing_changes(place):
    """Backups and synchronisation see a new file only if it says something new."""
    publish(place.outbox)
    update_table(place)
    before = (place.outbox / "results.csv").stat()
    update_table(place, is_current=True)
    update_table(place)
    after = (place.outbox / "results.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_an_empty_outbox_gets_no_table(place):
    """It may be the mount point of a share that is away; what is known of it stays known."""
    update_table(place)
    assert not [*place.outbox.iterdir()]
    publish(place.outbox)
    update_table(place)
    share = place.outbox.rename(place.outbox.with_name("share"))
    place.outbox.mkdir()
    update_table(place)
    assert not [*place.outbox.iterdir()]
    place.outbox.rmdir()
    share.rename(place.outbox)
    assert not update_table(place, is_current=True)
    assert len(rows(place.outbox)) == 1


@pytest.mark.parametrize(
    "content", ["my own notes", "folder;result;key\r\n", "\ufefffolder,result"]
)
def test_somebody_elses_file_is_left_alone(place, content):
    """Also a table that a spreadsheet has saved with other separators."""
    (place.outbox / "results.csv").write_text(content, newline="")
    publish(place.outbox)
    with pytest.raises(NotOurTable):
        update_table(place)
    assert (place.outbox / "results.csv").read_bytes() == content.encode()


def test_a_table_with_notes_of_people_is_left_alone(place):
    """Whoever adds a column in a spreadsheet does not lose it to the next delivery."""
    publish(place.outbox, "p1")
    update_table(place)
    with (place.outbox / "results.csv").open("a") as file:
        file.write("mine")
    publish(place.outbox, "p2")
    with pytest.raises(NotOurTable):
        update_table(place)
    (place.outbox / "results.csv").rename(place.outbox / "mine.csv")
    update_table(place)
    assert len(rows(place.outbox)) == 2


def test_a_link_in_its_place_is_not_followed(place):
    """Who can write to the share can't have other files read or written."""
    target = place.outbox.parent / "elsewhere"
    target.write_text("")
    (place.outbox / "results.csv").symlink_to(target)
    publish(place.outbox)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        update_table(place)
    assert target.read_text() == ""


@pytest.mark.parametrize("damage", [b"no database", None], ids=["damaged", "lost"])
def test_the_rows_in_the_state_directory_may_be_lost(place, damage):
    """The receipts are read again, and the table that gcwatch wrote before is replaced."""
    publish(place.outbox, "p1")
    update_table(place)
    if damage is None:
        place.store.unlink()
    else:
        place.store.write_bytes(damage * 1000)
    publish(place.outbox, "p2")
    assert not update_table(place)
    assert len(rows(place.outbox)) == 2


def test_rows_of_another_version_are_made_anew(place):
    """An older gcwatch, or a newer one, wrote other rows."""
    publish(place.outbox, "p1")
    update_table(place)
    with sqlite3.connect(place.store) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("DROP TABLE rows")
    update_table(place)
    assert len(rows(place.outbox)) == 1


HOSTILE = [
    {"outputs": [{"socket": "s", "carrier": "value", "files": [{"path": "../../secret.json"}]}]},
    {"outputs": [{"socket": "s", "carrier": "value", "files": [{"path": "/etc/passwd"}]}]},
    {"outputs": [{"socket": "a,b\n", "carrier": "value", "files": []}]},
    {"outputs": [{"socket": ["s"]}, 7, None], "warnings": [3, None]},
    {"outputs": {"socket": "s"}, "times": [], "warnings": 3, "folder": 7},
    {"outputs": [{"socket": "s", "carrier": "image", "files": [{"path": 3}, "x"]}]},
]


@pytest.mark.parametrize("more", HOSTILE)
def test_no_receipt_of_others_breaks_the_table_or_reads_elsewhere(place, more):
    """Whoever may write into the outbox may write receipts: one odd row at most."""
    (place.outbox.parent / "secret.json").write_text('"secret"')
    publish(place.outbox, "p1", {"score": 1})
    publish(place.outbox, "odd", **more)
    assert not update_table(place)
    assert len(rows(place.outbox)) == 2
    assert b"secret\r\n" not in (place.outbox / "results.csv").read_bytes()
    assert b"root" not in (place.outbox / "results.csv").read_bytes()


@pytest.mark.parametrize("content", ["no json", "[" * 100_000, '"\\ud800"', "x" * 2_000_000])
def test_a_value_that_is_no_json_or_too_long_is_told_as_a_path(place, content):
    """The file is there for who wants to know."""
    folder = publish(place.outbox, "p1", {"score": 1})
    (folder / "score.json").write_text(content)
    update_table(place)
    assert rows(place.outbox)[0]["score"] == "p1/score.json"


# --- the daemon ----------------------------------------------------------------------------------


def test_one_run_leaves_the_table_of_all_results(tmp_path, sandbox):
    """`gcwatch once` ends after the table has the last result; the store is private."""
    site = Site(tmp_path, sandbox, algorithm="segment-lungs", table=True)
    for name in ("p1", "p2"):
        site.drop(name)
    site.run_once()
    found = rows(site.outbox)
    assert sorted(row["folder"] for row in found) == ["p1", "p2"]
    for row in found:
        assert row["voxel-count"].isdigit()
        assert (site.outbox / row["segmentation"]).is_file()
    assert (site.outbox / "results.csv").stat().st_mode & 0o777 == 0o640
    assert (site.state / "tables").stat().st_mode & 0o077 == 0


def test_a_table_that_a_spreadsheet_holds_open_is_told_once_and_written_later(
    tmp_path, sandbox, monkeypatch
):
    """As on a Windows share: the rename fails; the cases go on, and the table comes later."""
    site = Site(tmp_path, sandbox, table=True)
    site.listen()
    rename, unlink, is_open = os.rename, os.unlink, [True]

    def locked(call, path, *paths, **more):
        if is_open and str((path, *paths)).count("results.csv"):
            raise PermissionError(13, "Permission denied")
        return call(path, *paths, **more)

    monkeypatch.setattr(os, "rename", lambda *a, **k: locked(rename, *a, **k))
    monkeypatch.setattr(os, "unlink", lambda *a, **k: locked(unlink, *a, **k))
    with site.running():
        site.drop("p1")
        until(lambda: site.said("table.failed"))
        site.drop("p2")
        until(lambda: len(site.delivered()) == 2)
        is_open.clear()
        until(lambda: site.said("table.returned"))
    assert len(rows(site.outbox)) == 2
    [told] = site.said("table.failed")
    assert (told["table"], told["error"]) == ("results.csv", "Permission denied")


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (route("b", outbox="a/out", table=True), "would be written by route"),
        (route("b", inbox="a/out", cases="files"), "would be a case of route"),
    ],
)
def test_a_table_that_would_be_wrong_is_refused(tmp_path, sandbox, second, complaint):
    """Two routes would write one file, or the table would be sent."""
    house = House(tmp_path, sandbox)
    house.write(route("a", table=True), second)
    with pytest.raises(ConfigError) as refused:
        config.load(house.file)
    assert [complaint in problem.message for problem in refused.value.problems] == [True]


def test_check_names_a_file_that_is_in_the_way(tmp_path, sandbox):
    """Before the first result, not after it."""
    site = Site(tmp_path, sandbox, table=True)
    (site.outbox / "results.csv").write_text("mine")
    found = {each.what: each for each in check.check(config.load(site.file), offline=True)}
    assert not found["table"].is_fine
    assert "is not a table of gcwatch" in found["table"].detail


@pytest.mark.prove
def test_pandas_reads_it_without_options(place):
    """Numbers as numbers, truth values, times, empty cells, quotes and lines in cells."""
    pandas = pytest.importorskip("pandas")
    publish(place.outbox, "p1", {"score": -0.5, "ok": True, "text": 'a "b", c\nd', "n": 3})
    publish(place.outbox, "Zoë", {"score": None, "ok": False, "text": "=1", "n": 4})
    update_table(place)
    found = pandas.read_csv(place.outbox / "results.csv", parse_dates=["delivered_utc"])
    assert found.columns[0] == "folder"
    assert set(found["folder"]) == {"p1", "Zoë"}
    by_folder = found.set_index("folder")
    assert by_folder.loc["p1", "score"] == -0.5
    assert str(found["score"].dtype) == "float64"
    assert str(found["n"].dtype) == "int64"
    assert str(found["ok"].dtype) == "bool"
    assert by_folder.loc["p1", "text"] == 'a "b", c\nd'
    assert by_folder.loc["p1", "delivered_utc"].day == 23
