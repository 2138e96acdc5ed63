"""A host works on the routes that are its own, and leaves the others and their cases alone."""

import json
import sys

import pytest
from support.builders import Site

from gcwatch import config, log
from gcwatch.core.errors import StateError
from gcwatch.journal.journal import Journal


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def on_host(site, name, **route):
    site.configure(**route)
    site.file.write_text(f'host = "{name}"\n{site.file.read_text()}')
    log.configure(config.load(site.file).log)
    return site.run_once()


def logged(site, event):
    lines = map(json.loads, (site.folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def test_a_route_of_another_host_rests_here(site):
    """Nothing is sent, no marker is left in its inbox, and one line at the start says so."""
    site.drop()
    on_host(site, "watch-b", hosts=["watch-a"])
    assert [each.name for each in site.inbox.iterdir()] == ["p1"]
    [line] = logged(site, "route.elsewhere")
    assert (line["route"], line["host"], line["hosts"]) == ("lobes", "watch-b", ["watch-a"])
    assert site.delivered() == []
    on_host(site, "watch-a", hosts=["watch-a", "watch-c"])
    assert site.delivered() == ["p1"]
    assert len(logged(site, "route.elsewhere")) == 1


def test_a_case_whose_route_goes_to_another_host_is_no_orphan(site):
    """Its route is in the config: it waits for that host, as `status` says."""
    with site.watch() as watch:
        case = watch.journal.open_case("lobes", "p1")
    on_host(site, "watch-b", hosts=["watch-a"])
    assert not logged(site, "case.orphaned")
    with site.watch() as watch:
        assert [each.key for each in watch.journal.open_cases()] == [case.key]


def test_hosts_that_share_a_journal_work_on_their_own_routes(site, database):
    """What one host has found, and does not work on any more, another one goes on with."""
    site.drop()

    def on(name, **route):
        site.configure(**route)
        text = site.file.read_text().replace('"state"', f'"state-{name}"')
        site.file.write_text(f'host = "{name}"\njournal = "{database}"\n{text}')
        log.configure(config.load(site.file).log)
        return site

    with on("watch-b", hosts=["watch-b"]).watch() as watch:
        case = watch.journal.open_case("lobes", "p1")
    on("watch-b", hosts=["watch-a"]).run_once()
    assert site.delivered() == []
    assert not logged(site, "case.orphaned")
    on("watch-a", hosts=["watch-a"]).run_once()
    assert site.receipt()["key"] == case.key
    with on("watch-b", hosts=["watch-a"]).watch() as watch:
        assert [each.key for each in watch.journal.cases()] == [case.key]


def test_without_its_libraries_the_error_says_what_to_install(site, monkeypatch):
    """A daemon does not start without its journal."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "gcwatch.journal.databases.postgres", raising=False)
    site.configure()
    site.file.write_text(f'journal = "postgresql://127.0.0.1:1/x"\n{site.file.read_text()}')
    with pytest.raises(StateError) as error:
        Journal(config.load(site.file).journal)
    assert "gcwatch[postgres]" in error.value.hint
