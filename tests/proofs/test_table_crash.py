"""The table of an outbox, and a daemon that dies again and again while it writes it."""

import csv
from functools import partial

import pytest
from support.builders import Site
from support.victims import die_at_every_kind

pytestmark = pytest.mark.timeout(1200)


def folders_of(table):
    """The folders that a whole table names; nothing if there is none."""
    if not table.exists():
        return None
    content = table.read_bytes().decode("utf-8-sig")
    assert content.endswith("\r\n"), "half a line"
    rows = list(csv.DictReader(content.splitlines(), strict=True))
    assert all(row["delivered_utc"] for row in rows)
    return sorted(row["folder"] for row in rows)


@pytest.mark.prove
def test_a_table_is_the_old_or_the_new_one_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox
):
    """SIGKILL at each change of a file while a table with one more row replaces the old one."""
    site = Site(tmp_path / "site", sandbox)
    for name in ("p1", "p2"):
        site.drop(name)
    assert victims.live(site) == 0
    site.configure(table=True)
    hidden = (site.outbox / "p2").rename(site.folder / "p2")
    assert victims.live(site) == 0
    table = site.outbox / "results.csv"
    assert folders_of(table) == ["p1"]
    hidden.rename(site.outbox / "p2")
    seen = []

    kinds = die_at_every_kind(
        partial(victims.live, site),
        tmp_path / "points",
        check=lambda: seen.append(folders_of(table)),
    )

    assert any("os.rename" in kind and "results.csv" in kind for kind in kinds)
    assert seen[0] == ["p1"]
    assert [each for each in seen if each not in (["p1"], ["p1", "p2"])] == []
    assert folders_of(table) == ["p1", "p2"]
    assert sorted(path.name for path in site.outbox.iterdir()) == ["p1", "p2", "results.csv"]


@pytest.mark.prove
def test_results_and_their_table_come_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox
):
    """SIGKILL at each kind of commit, reply and file change, from the dropped folder on."""
    site = Site(tmp_path / "site", sandbox, table=True)
    for name in ("p1", "p2"):
        site.drop(name)
    table = site.outbox / "results.csv"

    die_at_every_kind(
        partial(victims.live, site), tmp_path / "points", check=lambda: folders_of(table)
    )

    assert (folders_of(table), len(site.jobs())) == (["p1", "p2"], 2)


@pytest.mark.prove
def test_a_row_is_sent_once_and_its_status_comes_though_the_daemon_dies_again_and_again(
    victims, tmp_path, sandbox
):
    """SIGKILL at each kind of point: one job with the row's value, and a whole status file."""
    inputs = {"ct-image": "*.mha", "threshold": {"column": "threshold"}}
    site = Site(tmp_path / "site", sandbox, algorithm="threshold", inputs=inputs, cases_table=True)
    site.drop("p1")
    (site.inbox / "cases.csv").write_text("folder,threshold\np1,2\n")
    status = site.outbox / "cases.status.csv"

    def check_whole():
        if status.exists():
            assert status.read_bytes().endswith(b"\r\n")

    kinds = die_at_every_kind(partial(victims.live, site), tmp_path / "points", check=check_whole)

    assert any("os.rename" in kind and "cases.status.csv" in kind for kind in kinds)
    assert len(site.jobs()) == 1
    assert b"p1,2,delivered" in status.read_bytes()
