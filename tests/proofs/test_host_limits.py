"""Daemons on two hosts keep together to what the platform allows their account."""

from contextlib import contextmanager

import pytest
from support.builders import Site, until
from support.hosts import host_sites, hosts_at_work

from gcwatch.sandbox import Sandbox, Settings

pytestmark = pytest.mark.prove

FOLDERS = [f"p{number}" for number in range(8)]


@contextmanager
def group(folder, journal, **settings):
    """A site, and two hosts at work on it."""
    with Sandbox(folder / "sandbox", Settings(**settings)) as sandbox:
        site = Site(folder / "site", sandbox)
        with hosts_at_work(host_sites(site, journal)) as hosts:
            until(lambda: all(said(host, "daemon.started") for host in hosts.values()))
            yield site, hosts.values()


def said(host, event):
    """What a host has said of one event."""
    return [line for line in host.site.said() if line["event"] == event]


def refused_jobs(site):
    """How many jobs the platform did not take."""
    made = [call for call in site.sandbox.calls() if call["path"].endswith("/jobs/")]
    return len([call for call in made if call["method"] == "POST" and call["status"] >= 400])


def test_more_folders_than_jobs_at_a_time_are_delivered_by_both_hosts(tmp_path, database):
    """What the platform refuses waits, and goes on when a job of either host has ended."""
    with group(tmp_path, database, active_jobs=2, job_seconds=0.5) as (site, _):
        for name in FOLDERS:
            site.drop(name)
        until(lambda: site.delivered() == FOLDERS, 300)
    assert refused_jobs(site)
    assert len(site.jobs()) == len(FOLDERS)


def test_a_pause_that_one_host_is_asked_for_is_kept_by_both(tmp_path, database):
    """No case begins before its end: not one call is made meanwhile."""
    with group(tmp_path, database) as (site, hosts):
        slow = {"status": 429, "body": "{}", "headers": {"Retry-After": "3"}}
        site.sandbox.fault("status", path="/jobs/", method="POST", **slow)
        site.drop("p1")
        until(lambda: all(said(host, "platform.busy") for host in hosts))
        [asked] = [call["at"] for call in site.sandbox.calls() if call["status"] == 429]
        site.sandbox.forget_calls()
        for name in FOLDERS:
            site.drop(f"later-{name}")
        until(lambda: len(site.delivered()) == len(FOLDERS) + 1)
    assert min(call["at"] for call in site.sandbox.calls()) >= asked + 3
    assert len(site.jobs()) == len(FOLDERS) + 1


def test_both_hosts_go_on_when_one_has_found_that_the_token_is_taken_again(tmp_path, database):
    """Both pause, and no case fails."""
    with group(tmp_path, database) as (site, hosts):
        site.sandbox.configure(token_valid=False)
        for name in FOLDERS:
            site.drop(name)
        until(lambda: all(said(host, "platform.token_refused") for host in hosts))
        site.sandbox.configure(token_valid=True)
        until(lambda: site.delivered() == FOLDERS)
        until(lambda: all(said(host, "platform.token_accepted") for host in hosts))
        assert not any(said(host, "case.failed") for host in hosts)
    assert len(site.jobs()) == len(FOLDERS)
