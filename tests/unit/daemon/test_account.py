"""What the platform tells one host of an account holds for all hosts that share its journal."""

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
from support.builders import FAST, Site
from support.hosts import host_sites

from gcwatch.core import events
from gcwatch.core.case import Case
from gcwatch.core.errors import NotYet, TokenRefused
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.hosts.host_sign import HostSign
from gcwatch.daemon.platform_gate import LONGEST_BUSY_SECONDS, PlatformGate
from gcwatch.journal.hosts.presence import only_daemon, pause_reason
from gcwatch.journal.hosts.progress import NOTHING

PACE = replace(FAST, refused=3600.0)
MEGABYTE = 1e6


class GateOfHost:
    """What decides on one host whether work may begin, without the rest of its daemon."""

    def __init__(self, site, stack):
        self.site = site
        self.watch = stack.enter_context(site.watch(PACE))
        self.current, self.journal = self.watch._current, self.watch.journal
        self.current.open_transfers(threading.Event())
        lock_file = stack.enter_context(only_daemon(site.state))
        self.gate = PlatformGate(self.current, self.journal, lock_file)
        held = HeldLeases(self.journal.leases, PACE.doubt, frozenset)
        self.sign = HostSign(
            self.journal.hosts,
            held,
            lambda: NOTHING,
            lambda: self.gate.pause,
            lambda others: self.current.share_limits(len(others) + 1),
            seconds=PACE.lease,
        )

    def rate(self):
        """How many bytes a second its uploads may send."""
        return self.current._throttle._rate()

    def look(self):
        """What the loop does first; return whether work may begin."""
        self.gate.follow_account()
        return not (self.gate.is_paused or self.gate.is_busy or self.gate.is_token_refused)

    def call(self):
        """Call the platform as a step does, and what a worker does if that refuses the token."""
        try:
            self.current.platform.me()
        except TokenRefused:
            self.gate.on_token_refused()
        except NotYet as error:
            return error.wait

    def probe(self):
        """Ask again as a worker does; return whether the platform was asked."""
        asked = len(self.site.sandbox.calls())
        try:
            self.gate.probe()
        except TokenRefused:
            self.gate.on_token_refused()
        return len(self.site.sandbox.calls()) > asked


@pytest.fixture
def hosts(tmp_path, sandbox, database):
    """Two hosts with one journal; each has a file with the same token."""
    shared = Site(tmp_path, sandbox, limits={"upload": '"8 Mbit/s"'})
    with ExitStack() as stack:
        sites = host_sites(shared, database).items()
        yield [GateOfHost(with_own_token(site, name), stack) for name, site in sites]


def with_own_token(site, name):
    site.token = site.folder / f"token-{name}"
    site.use_token(site.sandbox.token)
    site.file.write_text(site.file.read_text().replace('"token"', f'"{site.token.name}"'))
    return site


@pytest.fixture
def alone(tmp_path, sandbox):
    """A host with a journal of its own."""
    with ExitStack() as stack:
        yield GateOfHost(Site(tmp_path, sandbox), stack)


def let_pass(host, seconds):
    """What is on record now was so many seconds earlier."""
    with host.journal._database.beside() as connection:
        connection.execute("UPDATE limits SET until = until - :seconds", {"seconds": seconds})


def slow(sandbox, asked):
    sandbox.fault("status", status=429, body="{}", headers={"Retry-After": asked})


# --- a refused token -----------------------------------------------------------------------------


def test_a_token_that_one_host_saw_refused_is_tried_by_one_host_at_a_time(hosts, sandbox):
    """All that use it pause; once it is accepted, all go on."""
    a, b = hosts
    assert a.look()
    assert b.look()
    sandbox.configure(token_valid=False)
    a.call()
    assert not a.look()
    assert not b.look()
    assert b.gate.is_paused
    assert pause_reason(b.site.state).code == "token_refused"
    assert not b.probe()

    let_pass(a, PACE.refused + 1)
    for host in hosts:
        host.look()
        assert not host.gate.is_paused
        assert host.gate.is_token_refused
    assert b.probe()
    assert not a.probe()
    assert not a.look()
    assert a.gate.is_paused

    let_pass(a, PACE.refused + 1)
    sandbox.configure(token_valid=True)
    assert a.probe()
    assert a.look()
    assert b.look()
    assert pause_reason(b.site.state) is None


def test_hosts_with_another_token_are_not_held_up(hosts, sandbox):
    """Also a new token in the place of the refused one is tried at once."""
    a, b = hosts
    a.site.use_token("0" * 64)
    a.call()
    assert not a.look()
    assert b.look()

    b.site.use_token("0" * 64)
    assert not b.look()
    assert b.gate.is_paused

    b.site.use_token(sandbox.token)
    b.look()
    assert not b.gate.is_paused
    assert b.probe()
    assert b.look()
    assert not a.look()
    assert a.gate.is_paused


def test_what_the_journal_knows_of_a_token_does_not_tell_it(hosts):
    """It is the token's hash with the key of this journal."""
    a, _ = hosts
    a.site.use_token("0" * 64)
    a.call()
    [name] = a.journal.limits.all()
    assert "0" * 64 not in name
    assert a.current.token_mark(b"another key") not in name
    assert name.endswith(a.current.token_mark(a.journal.shared_key()))


# --- a pause -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "most"), [("77", 77), ("86400", LONGEST_BUSY_SECONDS)])
def test_a_pause_that_the_platform_asks_for_is_kept_by_all_hosts(hosts, sandbox, asked, most):
    """One answer holds them up for ten minutes at most."""
    a, b = hosts
    slow(sandbox, asked)
    assert a.call() == float(asked)
    assert not a.look()
    assert not b.look()
    assert not b.gate.is_paused  # what makes no call goes on
    assert most / 2 < b.journal.limits.all()["busy"].left <= most

    let_pass(a, most)
    assert a.look()
    assert b.look()


def test_pauses_that_follow_each_other_are_measured_as_one(hosts, sandbox):
    """After ten minutes `gcwatch once` leaves all to a later run; what succeeds ends them."""
    a, b = hosts

    def pause_begins():
        let_pass(a, 77)
        assert b.look()
        assert b.gate.busy_seconds == 0
        slow(sandbox, "77")
        a.call()
        a.look()
        assert not b.look()
        assert b.gate.busy_seconds >= 0
        return b.gate._busy_since

    first = pause_begins()
    assert pause_begins() == first
    b.gate.on_event(Case("", "", "", 0.0, 0.0), events.StillRunning("Executing"))
    assert pause_begins() > first


def test_a_host_alone_lets_the_case_wait_that_was_told_to(alone, sandbox):
    """The next one finds out by itself."""
    slow(sandbox, "77")
    assert alone.call() == 77
    assert alone.look()


# --- bytes ---------------------------------------------------------------------------------------


def test_hosts_that_live_share_the_limit_of_uploads(hosts):
    """Each has its part; who has ended needs none."""
    a, b = hosts
    assert a.rate() == MEGABYTE
    for host in hosts:
        host.journal.hosts.join()
        host.sign.tick()
    a.sign.tick()
    assert [host.rate() for host in hosts] == [MEGABYTE / 2] * 2

    b.sign.on_stop()
    a.sign.tick()
    assert a.rate() == MEGABYTE
