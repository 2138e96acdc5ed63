"""Several hosts that share one journal: each has its own state directory, and may be a process.

What a hospital has on a share, they share here: inbox, outbox, and the platform.
"""

import copy
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

from support.builders import lines_of
from support.checkout import TESTS

NAMES = ("a", "b")


def host_sites(site, journal, names=NAMES):
    """Given a site and a journal's address, return the site as each host sees it, by name."""
    return {name: _host_site(site, journal, name) for name in names}


def _host_site(site, journal, name):
    own = copy.copy(site)
    own.file, own.state = site.folder / f"{name}.toml", site.folder / f"state-{name}"
    text = site.file.read_text()
    text = text.replace('state = "state"', f'state = "state-{name}"')
    text = text.replace('file = "log.jsonl"', f'file = "{name}.jsonl"')
    own.file.write_text(f'journal = {json.dumps(journal)}\nhost = "{name}"\n{text}')
    own.said = partial(_said, site.folder / f"{name}.jsonl")
    return own


def _said(log_file, event=None):
    """The lines of a host's log file, of one event if it is named."""
    return [line for line in lines_of(log_file) if event in {None, line["event"]}]


class Host:
    """A daemon of one host, in a process; `ahead` is how many seconds its clock is wrong."""

    def __init__(self, site, *, variant="", ahead=0.0):
        self.site = site
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "support.host", site.file, variant, str(ahead)],
            cwd=TESTS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def freeze(self):
        """Let nothing of it go on, as if its computer was suspended."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Let it go on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        """Let it die at once, as in a power cut."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Let it end as systemd would; return its exit status."""
        self.thaw()
        self._process.terminate()
        return self._process.wait(60)

    def is_running(self):
        """Whether it has not ended."""
        return self._process.poll() is None


@contextmanager
def hosts_at_work(sites, **how):
    """Hosts at work on a site, by name; those that are left are stopped at the end."""
    hosts = {name: Host(site, **how) for name, site in sites.items()}
    try:
        yield hosts
    finally:
        for host in hosts.values():
            if host.is_running():
                host.stop()
