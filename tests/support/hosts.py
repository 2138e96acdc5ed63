"""Several hosts that share one journal: each a process with its own state directory.

What a hospital has on a share, they share here: inbox, outbox, and the platform.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from support.builders import Site
from support.checkout import TESTS

LEASE_SECONDS = 2.0
"""How long a lost host's work waits in a test."""


class HostSite(Site):
    """One of the hosts at a site: its own config, state and log, and the site's folders."""

    def __init__(self, folder, sandbox, journal, name, **route):
        self.journal, self.name = journal, name
        super().__init__(folder / name, sandbox, **route)

    def configure(self, **route):
        """Write the config file; the folders are those of the site."""
        site = self.folder.parent
        places = {"inbox": site / "in", "outbox": site / "out"}
        self.inbox, self.outbox = places.values()
        for place in places.values():
            place.mkdir(exist_ok=True)
        super().configure(**places, **route)
        own = f"journal = {json.dumps(self.journal)}\nhost = {json.dumps(self.name)}\n"
        self.file.write_text(own + self.file.read_text())


class Host:
    """A daemon of one host, in a process."""

    def __init__(self, site, variant=""):
        self.site = site
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "support.host", site.file, variant],
            cwd=TESTS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if os.environ.get("QUIET") else None,
        )

    def signal(self, number):
        """Send a signal: SIGSTOP freezes the host, SIGCONT lets it go on."""
        self._process.send_signal(number)

    def kill(self):
        """Let it die at once, as in a power cut."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """Let it end as systemd would; return its exit status."""
        self.signal(signal.SIGCONT)
        self._process.terminate()
        return self._process.wait(60)

    def is_running(self):
        """Whether it has not ended."""
        return self._process.poll() is None


@contextmanager
def hosts_at(folder, sandbox, journal, names=("a", "b"), *, variant="", **route):
    """Hosts at work on one site, by name; those that are left are stopped at the end."""
    sites = {name: HostSite(folder, sandbox, journal, name, **route) for name in names}
    hosts = {name: Host(site, variant) for name, site in sites.items()}
    try:
        yield hosts
    finally:
        for host in hosts.values():
            if host.is_running():
                host.stop()
