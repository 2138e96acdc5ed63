"""What several hosts with one journal show together, from any of them."""

import io
import json
from contextlib import ExitStack
from dataclasses import replace

import pytest
from rich.console import Console
from support.builders import FAST, Site
from support.hosts import host_sites

from gcwatch.cli import main
from gcwatch.commands.health import Level, judge_health
from gcwatch.commands.status import read_overview
from gcwatch.core.reasons import Reason
from gcwatch.journal.hosts.progress import NOTHING
from gcwatch.mirrors.last_run import LastRun, read_last_run, write_last_run
from gcwatch.views.status_table import live_status, status_lines, status_tables

PACE = replace(FAST, lease=600.0)
"""However slow this machine is, no host counts as silent that has told something."""


class Group:
    """Hosts with one journal that tell what a test wants; what they work on they have claimed."""

    def __init__(self, stack, site, database):
        self.sites = host_sites(site, database)
        self.watches = {
            name: stack.enter_context(site.watch(PACE)) for name, site in self.sites.items()
        }

    def tell(self, name, pause="", **progress):
        """Let a host tell that it lives, and what it does."""
        hosts = self.watches[name].journal.hosts
        hosts.join()
        hosts.tell(NOTHING.model_copy(update=progress), pause)

    def seen(self, name="a"):
        """What a command shows on a host."""
        return read_overview(self.watches[name])

    def open_case(self, folder="p1"):
        return self.watches["a"].journal.open_case("lobes", folder).key

    def silence(self, name, seconds=1200):
        """Let it be so long ago that a host told something."""
        identity = self.watches[name].journal.hosts._identity
        with self.watches["a"].journal._database.writing() as connection:
            values = {"identity": identity, "seconds": seconds}
            change = "UPDATE hosts SET seen = seen - :seconds WHERE identity = :identity"
            connection.execute(change, values)


@pytest.fixture
def group(tmp_path, sandbox, database):
    with ExitStack() as stack:
        yield Group(stack, Site(tmp_path, sandbox), database)


def shown(what):
    screen = Console(file=io.StringIO(), width=160)
    screen.print(what)
    return screen.file.getvalue()


def test_status_shows_the_same_on_each_host_who_lives_and_who_works_on_what(group):
    key, other = group.open_case(), group.open_case("p2")
    group.tell("a")
    group.tell("b", working=frozenset({key}), transfers={key: (3, 12), "gone-1": (1, 2)})
    group.watches["b"].journal.leases.claim(key)
    for name in ("a", "b"):
        seen = group.seen(name)
        record = seen.record()
        assert [(h["host"], h["alive"], h["working"]) for h in record["hosts"]] == [
            ("a", True, 0),
            ("b", True, 1),
        ]
        by_key = {each["case"]: each for each in record["cases"]}
        assert (by_key[key]["host"], by_key[other]["host"]) == ("b", "")
        assert (by_key[key]["moved"], by_key[key]["total"]) == (3, 12)
        json.dumps(record)
        text = shown(status_tables(seen))
        assert "running on 2 hosts" in text
        assert "works on 1 case." in text
        assert "  b (gcwatch" in shown(live_status(seen, 40))


def test_a_silent_host_needs_somebody_and_does_not_hold_the_status_up(group):
    key = group.open_case()
    group.tell("a")
    group.tell("b", working=frozenset({key}), away=frozenset({"lobes"}))
    group.silence("b")
    seen = group.seen()
    assert [(each.host, each.alive) for each in seen.hosts] == [("a", True), ("b", False)]
    assert "silent for 20 min" in shown(status_tables(seen))
    assert (seen.working, seen.away) == ({}, ())
    found = judge_health(seen)
    assert found.level == Level.NEEDS_SOMEBODY
    assert "1 host silent" in found.why
    assert (found.numbers["hosts"], found.numbers["hosts_silent"]) == (2, 1)


def test_it_does_not_work_only_if_no_host_does(group):
    assert judge_health(group.seen()).why.startswith("no gcwatch runs")
    assert "on any host" in shown(status_tables(group.seen()))
    group.tell("a", pause="token_refused")
    assert judge_health(group.seen("b")).level == Level.NOT_WORKING
    assert group.seen("b").pause == Reason("token_refused")
    group.tell("b")
    seen = group.seen("a")
    assert seen.pause is None
    assert judge_health(seen).level == Level.NEEDS_SOMEBODY
    assert "1 living host paused" in judge_health(seen).why
    group.tell("a")
    assert judge_health(group.seen("a")).level == Level.WELL
    group.watches["a"].journal.hosts.leave()
    assert [each.host for each in group.seen("a").hosts] == ["b"]


def test_an_inbox_is_away_only_if_no_host_reaches_it(group):
    group.tell("a", away=frozenset({"lobes"}))
    group.tell("b")
    seen = group.seen()
    assert (seen.away, seen.hosts[0].away) == ((), ("lobes",))
    assert "can't reach the inbox of route lobes" in shown(status_tables(seen))
    group.tell("b", away=frozenset({"lobes"}))
    seen = group.seen()
    assert (seen.away, seen.hosts[0].away) == (("lobes",), ())


def test_lines_of_changes_do_not_repeat_what_time_alone_changes(group):
    group.tell("a")
    before = group.seen()
    group.silence("a", 1)
    after = group.seen()
    assert before.without_times() == after.without_times()
    assert not list(status_lines(before, after, ()))


def test_without_a_shared_journal_there_is_no_word_of_hosts(tmp_path, sandbox):
    with Site(tmp_path, sandbox).running() as watch:
        record = read_overview(watch).record()
        assert "hosts" not in record
        assert "hosts" not in judge_health(read_overview(watch)).numbers


def test_how_a_mirrors_run_ended_is_known_on_each_host(group):
    write_last_run(group.watches["b"].journal.hosts, "chest", LastRun(items=3))
    assert read_last_run(group.watches["a"].journal.hosts, "chest").items == 3
    assert read_last_run(group.watches["a"].journal.hosts, "liver") == LastRun()


def said(capsys, site, *arguments):
    """The exit code of a command, and what it printed and said."""
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--config", str(site.file)])
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out + printed.err


def test_retry_and_withdraw_work_from_each_host(group, capsys):
    """Also while another host works on the case; a host that runs anywhere is enough."""
    key = group.open_case()
    group.watches["b"].journal.leases.claim(key)
    assert "left alone from now on" in said(capsys, group.sites["a"], "withdraw", key)[1]
    _, told = said(capsys, group.sites["b"], "retry", key)
    assert "is tried again" in told
    assert "No gcwatch is running" in told
    group.tell("b")
    assert "No gcwatch is running" not in said(capsys, group.sites["a"], "retry", key)[1]
    assert group.watches["b"].journal.case(key).is_open


def test_a_database_that_is_away_is_told_with_a_hint(tmp_path, sandbox, capsys):
    """`status` ends as with a journal that can't be read; `health` says that nothing works."""
    site = host_sites(Site(tmp_path, sandbox), "postgresql://gcwatch@127.0.0.1:1/x")["a"]
    code, told = said(capsys, site, "status")
    assert code == 74
    assert "Look after the database" in told
    code, told = said(capsys, site, "health")
    assert code == 2
    assert "not working: The journal can't be used" in told
