"""Old closed cases leave the journal for a file, and nothing is sent again by that."""

import gzip
import json
import stat
import time

import pytest
from support.builders import Site, check_history

from gcwatch.cli.app import main
from gcwatch.commands.audit import FINE, audit

YEAR_SECONDS = 365 * 86400.0


@pytest.fixture
def site(tmp_path, sandbox):
    site = Site(tmp_path, sandbox)
    for name in ("p1", "p2", "p3"):
        site.drop(name)
    site.run_once()
    for name in ("p1", "p2"):
        (site.inbox / name).rename(site.folder / f"taken {name}")
    site.run_once()
    return site


def prune(site, capsys, *options):
    with pytest.raises(SystemExit) as end:
        main(["journal", "prune", "--config", str(site.file), *options])
    told = capsys.readouterr()
    return end.value.code, told.out + told.err


def let_three_years_pass(monkeypatch):
    """For the command."""
    later = time.time() + 3 * YEAR_SECONDS
    monkeypatch.setattr("gcwatch.cli.verbs.journal.time.time", lambda: later)


def test_old_cases_whose_folder_is_gone_are_written_to_a_file(site, capsys, monkeypatch):
    """What was known of them is in it; the others stay, and the audit knows those that went."""
    with site.watch() as watch:
        known = {case.folder: (case, watch.history(case)) for case in watch.cases()}
        totals = watch.journal.totals()
    code, told = prune(site, capsys, "--older-than", "2y")
    assert (code, list(site.state.glob("pruned-*"))) == (0, [])
    assert "Nothing was changed" in told

    let_three_years_pass(monkeypatch)
    code, told = prune(site, capsys, "--older-than", "2y")
    assert code == 0
    [file] = site.state.glob("pruned-*.jsonl.gz")
    assert told.startswith(f"2 cases left the journal; what was known of them: {file}")
    assert "Its file had " in told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert [line["case"]["folder"] for line in lines] == ["p1", "p2"]
    for line in lines:
        case, history = known[line["case"]["folder"]]
        assert line["case"]["submission"]["pk"] == case.submission.pk
        assert [each["kind"] for each in line["events"]] == [each.event.kind for each in history]
    with site.watch() as watch:
        assert [case.folder for case in watch.cases()] == ["p3"]
        assert watch.counts() == {"delivered": 1}
        assert watch.journal.totals() == totals
        pks = [known[name][0].submission.pk for name in ("p1", "p2", "p3")]
        assert [watch.journal.is_of_pruned(pk) for pk in pks] == [True, True, False]
        check_history(watch)
        assert {each.kind for each in audit(watch.settings)} <= FINE


def test_a_pruned_folder_that_comes_back_is_found_in_the_outbox(site, capsys, monkeypatch):
    """Its results stand delivered: no second job."""
    let_three_years_pass(monkeypatch)
    assert prune(site, capsys, "--older-than", "2y")[0] == 0
    (site.folder / "taken p1").rename(site.inbox / "p1")
    assert site.run_once().delivered == 1
    assert len(site.sandbox.platform_state.jobs) == 3
    assert site.delivered() == ["p1", "p2", "p3"]


def test_what_can_t_be_written_is_not_dropped(site, capsys, monkeypatch):
    """A file that exists is not replaced, and a missing folder is told."""
    let_three_years_pass(monkeypatch)
    code, told = prune(site, capsys, "--older-than", "2y", "--to", str(site.file))
    assert (code, "exists" in told) == (64, True)
    code, told = prune(site, capsys, "--older-than", "2y", "--to", str(site.folder / "no" / "x"))
    assert code != 0
    code, told = prune(site, capsys, "--older-than", "two years")
    assert (code, "is no duration" in told) == (64, True)
    with site.watch() as watch:
        assert len(watch.cases()) == 3


def test_a_daemon_works_meanwhile(site, capsys, monkeypatch):
    """The file of the journal stays as it is then, and the command says so."""
    let_three_years_pass(monkeypatch)
    with site.running():
        code, told = prune(site, capsys, "--older-than", "2y")
        assert code == 0
        assert "2 cases left the journal" in told
    with site.watch() as watch:
        assert [case.folder for case in watch.cases()] == ["p3"]
