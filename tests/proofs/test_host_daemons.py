"""Daemons on several hosts deliver each folder once, whatever happens to hosts and database."""

import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest
from support.builders import Site, check_history, until
from support.cutter import Cutter
from support.databases import Databases, prepare_databases
from support.hosts import Host, host_sites, hosts_at_work
from support.postgres import PostgresServer, missing

from gcwatch.core.errors import StateError
from gcwatch.sandbox import Sandbox, Settings

FOLDERS = [f"p{number}" for number in range(8)]
SLOW = Settings(job_seconds=0.3)


@contextmanager
def group(folder, journals, **how):
    """A site and hosts at work on it: each host by its own way to the journal."""
    with Sandbox(folder / "sandbox", SLOW) as sandbox:
        site = Site(folder / "site", sandbox)
        sites = {
            name: host_sites(site, journal, [name])[name] for name, journal in journals.items()
        }
        with hosts_at_work(sites, **how) as hosts:
            yield site, hosts


def drop_all(site, names=FOLDERS):
    """Put folders into the inbox, one by one."""
    for name in names:
        site.drop(name)


def check_all_delivered(site, hosts, names=FOLDERS):
    """Wait for the results; one job and one result for each folder, by the journal, too."""
    until(lambda: site.delivered() == sorted(names))
    some = next(iter(hosts.values())).site
    with some.watch() as watch:
        until(lambda: not watch.journal.open_cases())
        assert watch.counts() == {"delivered": len(names)}
        check_history(watch)
    assert len(site.jobs()) == len(names)


def said(host, event):
    """What a host has said of one event."""
    return [line for line in host.site.said() if line["event"] == event]


def test_hosts_share_the_work_and_one_that_dies_or_freezes_loses_none(tmp_path, database):
    """Three hosts, whose clocks are minutes apart: one is killed, one frozen and thawed."""
    journals = dict.fromkeys(("a", "b", "c"), database)
    with group(tmp_path, journals) as (site, hosts):
        for name, ahead in (("a", 0.0), ("b", 400.0), ("c", -400.0)):
            hosts[name].kill()
            hosts[name] = Host(hosts[name].site, ahead=ahead)
        until(lambda: all(said(host, "watch.started") for host in hosts.values()))
        drop_all(site)
        until(site.jobs)

        hosts["a"].kill()
        hosts["b"].freeze()
        until(site.delivered)
        hosts["b"].thaw()

        check_all_delivered(site, hosts)
        submitted = [len(said(host, "case.submitted")) for host in hosts.values()]
        assert sum(submitted) >= len(FOLDERS) - 1  # who dies at once logs nothing


@pytest.mark.prove
def test_a_host_without_the_database_does_nothing_and_the_other_goes_on(
    tmp_path, postgres, database
):
    """It is cut off for longer than its leases; once it is back, it goes on, too."""
    with Cutter(postgres.folder) as cutter:
        journals = {"a": cutter.url(database), "b": database}
        with group(tmp_path, journals) as (site, hosts):
            until(lambda: all(said(host, "watch.started") for host in hosts.values()))
            drop_all(site, FOLDERS[:4])
            until(site.jobs)
            cutter.freeze()
            drop_all(site, FOLDERS[4:])
            until(lambda: site.delivered() == sorted(FOLDERS))
            assert not said(hosts["b"], "journal.away")

            cutter.heal()
            hosts["b"].stop()
            site.drop("late")

            check_all_delivered(site, hosts, [*FOLDERS, "late"])


@pytest.mark.prove
def test_a_database_that_is_killed_and_comes_back_loses_nothing(tmp_path):
    """All hosts wait meanwhile, say so once, and go on by themselves."""
    if why := missing():
        pytest.skip(why)
    with PostgresServer(fsync=True) as server:
        prepare_databases(server.folder)
        with Databases(server.folder) as databases:
            journal = databases.url(databases.create())
        with group(tmp_path, dict.fromkeys(("a", "b"), journal)) as (site, hosts):
            until(lambda: all(said(host, "watch.started") for host in hosts.values()))
            drop_all(site)
            until(site.jobs)

            server.kill()
            until(lambda: all(said(host, "journal.away") for host in hosts.values()))
            server.start()

            check_all_delivered(site, hosts)
            assert all(said(host, "journal.returned") for host in hosts.values())


@pytest.mark.prove
def test_a_host_that_does_not_reach_the_inbox_leaves_the_work_to_the_one_that_does(
    tmp_path, database
):
    """Its share is away: it neither fails cases nor puts them off."""
    with group(tmp_path, dict.fromkeys(("a", "b"), database)) as (site, hosts):
        a = hosts["a"]
        a.stop()
        a.site.file.write_text(
            a.site.file.read_text().replace('inbox = "in"', 'inbox = "not-mounted"')
        )
        hosts["a"] = Host(a.site)
        until(lambda: said(hosts["a"], "inbox.away"))
        drop_all(site)

        check_all_delivered(site, {"b": hosts["b"]})
        assert not said(hosts["a"], "case.submitted")
        assert not said(hosts["a"], "case.faltered")


@pytest.mark.prove
def test_a_route_that_another_host_renames_is_not_sent_again(tmp_path, database):
    """All its folders would seem to be new to the host with the old name: it stops, and says so."""
    with group(tmp_path, {"a": database}) as (site, hosts):
        drop_all(site, FOLDERS[:2])
        check_all_delivered(site, hosts, FOLDERS[:2])
        other = host_sites(site, database, ["b"])["b"]
        other.file.write_text(other.file.read_text().replace('"lobes"', '"nodules"'))
        host = Host(other)
        until(lambda: said(host, "route.renamed"))
        site.drop("p2")
        until(lambda: said(hosts["a"], "route.unknown"))
        check_all_delivered(site, {"b": host}, FOLDERS[:3])
        host.stop()


def test_a_host_that_is_older_than_the_journal_pauses_and_says_so(tmp_path, database):
    """As if a newer gcwatch had upgraded it, and as if the older one was upgraded, too."""
    version = "UPDATE meta SET value = CAST(value AS int) + {} WHERE name = 'version'"
    with group(tmp_path, {"a": database}) as (site, hosts):
        until(lambda: said(hosts["a"], "watch.started"))
        with psycopg.connect(database, autocommit=True) as other:
            other.execute(version.format(1))
            until(lambda: said(hosts["a"], "journal.newer"))
            drop_all(site, FOLDERS[:2])
            with (
                pytest.raises(StateError, match="was written by a newer gcwatch"),
                hosts["a"].site.watch(),
            ):
                pass
            assert not site.jobs()

            other.execute(version.format(-1))

        check_all_delivered(site, hosts, FOLDERS[:2])


def test_a_start_without_the_database_says_so_and_waits(tmp_path, sandbox):
    """It neither ends nor calls it a full disk; SIGTERM ends the wait."""
    journal = f"postgresql://gcwatch@/none?host={tmp_path}"
    [site] = host_sites(Site(tmp_path, sandbox), journal, ["a"]).values()
    command = [sys.executable, "-m", "gcwatch", "run", "--config", site.file]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until(lambda: site.said("journal.away"))
        process.terminate()
        assert process.wait(20) == 0
    assert not site.said("journal.full")
