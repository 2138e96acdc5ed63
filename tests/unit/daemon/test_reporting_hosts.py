"""What hosts with one journal write and send: one of them at a time, and for all of them."""

import io
import json
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from support.builders import FAST, Site, mha, until
from support.hosts import host_sites
from support.receivers import webhook

from gcwatch import config, log
from gcwatch.daemon.hosts.held_leases import HeldLeases

PACE = replace(FAST, lease=600.0)
"""However slow this machine is, no lease ends by itself."""


AT_WORK = replace(FAST, lease=20.0)
"""No lease ends by itself here, either; a host that stops gives its own back."""


@contextmanager
def group(site, database, alerts=""):
    """Two hosts at work on one site, in threads; each can be stopped before the other."""
    sites = host_sites(site, database)
    for own in sites.values():
        own.file.write_text(own.file.read_text() + alerts)
    with ExitStack() as stack:
        yield {name: Running(stack, own) for name, own in sites.items()}


class Running:
    """A host at work, until it is stopped."""

    def __init__(self, stack, site):
        self.site = site
        self._own = stack.enter_context(ExitStack())
        self.watch = self._own.enter_context(site.running(AT_WORK))

    def stop(self):
        """Let it end in order."""
        self._own.close()


def holders(watch, name):
    """The identity of the host that has a duty."""
    return watch.journal.leases.owners().get(name)


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox, report="status.html", table=True, operator_files=True)


def read(path):
    return path.read_text() if path.exists() else ""


def test_one_host_at_a_time_has_a_duty_until_it_drops_it(site, database):
    """Whoever takes it over knows that another host had it; who dropped it asks later."""
    with ExitStack() as stack:
        watches = [
            stack.enter_context(each.watch()) for each in host_sites(site, database).values()
        ]
        a, b = (HeldLeases(watch.journal.leases, 0.0, frozenset) for watch in watches)
        first = a.keep("report:lobes")
        assert first is a.keep("report:lobes")
        assert b.keep("report:lobes") is None
        a.drop("report:lobes")
        assert a.keep("report:lobes") is None
        taken = HeldLeases(watches[1].journal.leases, 0.0, frozenset).keep("report:lobes")
        assert taken.is_taken_over
        a.keep("report:liver")
        a.drop_others("report:", {"report:lobes"})
        assert watches[0].journal.leases.owners().keys() == {"report:lobes"}


def test_the_page_and_the_table_go_on_when_a_host_stops(site, database):
    """The page names both hosts; it does not say that gcwatch stopped while one of them works."""
    page, table = site.folder / "status.html", site.outbox / "results.csv"
    site.drop("p1")
    with group(site, database) as hosts:
        until(lambda: "Hosts at work: a, b." in read(page))
        until(lambda: "p1" in read(table))
        hosts["a"].stop()
        until(lambda: "Hosts at work: b." in read(page))
        assert "gcwatch stopped" not in read(page)
        site.drop("p2")
        until(lambda: "p2" in read(table))


def test_what_one_host_told_the_other_does_not_tell_again(site, database):
    """Whoever tells next remembers what was told: a failure is told once."""
    with webhook() as hook:
        alerts = f'\n[alerts]\nurls = [{json.dumps(hook.url)}]\ncollect = "0s"\n'
        site.drop("p1", {"image.mha": mha()[:-9]})
        with group(site, database, alerts) as hosts:
            a, b = hosts.values()
            until(lambda: hook.got)
            teller = until(lambda: holders(a.watch, "alerts"))
            identities = {h.name: h.identity for h in a.watch.journal.hosts.all()}
            first, then = (a, b) if identities["a"] == teller else (b, a)
            first.stop()
            until(lambda: holders(then.watch, "alerts") not in {None, teller})
            site.drop("p2", {"notes.txt": b"no image"})
            until(lambda: len(hook.got) > 1)
            told = [each["title"] for each in hook.got]
        assert told == ["gcwatch: 1 case failed"] * 2


def test_each_line_of_the_log_says_whose_it_is(site, database):
    """Several hosts write one history."""
    own = host_sites(site, database)["b"]
    settings = config.load(own.file)
    log.configure(settings.log, stream=io.StringIO(), host=settings.log_host)
    site.drop("p1")
    own.run_once()
    lines = [json.loads(each) for each in (site.folder / "b.jsonl").read_text().splitlines()]
    assert {each["host"] for each in lines} == {"b"}


def test_once_leaves_to_another_host_what_that_works_on(site, database):
    """It ends, and so does not wait for the work of others."""
    sites = host_sites(site, database)
    with sites["a"].watch(PACE) as watch, sites["b"].watch(PACE) as other:
        case = watch.journal.open_case("lobes", "p1")
        (site.inbox / "p1").mkdir()
        other.journal.leases.claim(case.key)
        assert watch.run_once().waiting == 1
        assert watch.journal.case(case.key).is_open


def test_an_operator_file_that_both_hosts_see_is_obeyed_once(site, database):
    """One retry of a delivered case is one more case."""
    site.drop("p1")
    with group(site, database) as hosts:
        until(lambda: site.delivered() == ["p1"])
        (site.outbox / "p1.retry").touch()
        until(lambda: not (site.outbox / "p1.retry").exists())
        until(lambda: site.delivered() == ["p1", "p1.2"])
        assert len(list(hosts["a"].watch.journal.cases())) == 2
