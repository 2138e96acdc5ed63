"""What is lost in a soak, by chance: daemons, a host's way to the database, the database."""

import json
import time
from dataclasses import dataclass, field

from .daemon import PACE

DONE = {"Succeeded", "Failed", "Cancelled"}
LONGEST_ABSENCE = 4 * PACE.lease
"""Seconds; nobody else can go on with a host's work in less than a lease."""


@dataclass
class Loss:
    """An absence of a host, from `at` to `back` by the clock; `work` is what it had leases of."""

    host: str
    at: float
    work: frozenset[str]
    back: float = 0.0


def is_in_doubt(record):
    """Whether a case's record leaves open if a call that uses its uploads came true."""
    made = record["submission"]
    return bool(record["attempt"]) and not (made and made["filled"])


@dataclass
class Deaths:
    """Lets daemons, hosts and their database go and come back.

    `after` is called with seconds and with what to do then; what is wrong is added to `problems`.
    """

    platform: object
    folders: object
    group: object
    changes: object
    chance: object
    after: object
    problems: list
    losses: list = field(default_factory=list)
    expiries: int = 0
    cuts: int = 0
    crashes: int = 0
    _absent: list = field(default_factory=list)

    @property
    def is_shared(self):
        """Whether there is more than one host."""
        return len(self.folders.hosts) > 1

    def start(self):
        """Let all daemons work that do not."""
        if self.changes.is_spoiled:
            self.changes.put_back()
        for each in self.group:
            if not each.is_alive:
                each.start()

    def look(self):
        """Start again what has ended by itself."""
        for each in self.group:
            code = each.died()
            if code is not None:
                self.problems.append(f"the daemon of {each.host.name} ended by itself, with {code}")
                self.start()

    # --- one host --------------------------------------------------------------------------------

    def kill(self):
        """SIGKILL, now or after some further write to the platform."""
        for daemon in self._some():
            if self.chance.random() < 0.5:
                daemon.kill()
            else:
                writes = self.chance.randint(1, 12)
                self.platform.tell("kill", pid=daemon.pid, after_write=writes)
                daemon.await_death(20.0)
            self._miss(daemon, self.start)

    def freeze(self):
        """SIGSTOP, mostly for longer than a lease."""
        for daemon in self._some():
            daemon.freeze()
            self._miss(daemon, daemon.thaw)

    def cut_off(self):
        """Let the last host not reach the database, mostly for longer than a lease."""
        *_, daemon = self.group
        if daemon not in self._absent:
            daemon.await_begun()
            self.cuts += 1
            self.folders.journal.cutter.freeze()
            self._miss(daemon, self.folders.journal.cutter.heal)

    def cut(self):
        """Break all connections of the last host to the database."""
        self.cuts += 1
        self.folders.journal.cutter.cut()

    def _some(self):
        """Choose a daemon of those that are there, if any is."""
        here = [each for each in self.group if each not in self._absent]
        return [self.chance.choice(here)] if here else []

    def _miss(self, daemon, come_back):
        """Note that a daemon is not there; let it come back later, a sole one at once."""
        if not self.is_shared:
            come_back()
            return
        now = time.time()
        owner = self._identity(daemon)
        work = frozenset(name for by, name in self.folders.journal.held() if by == owner)
        loss = Loss(daemon.host.name, now, work)
        self.losses.append(loss)
        self._absent.append(daemon)

        def end():
            loss.back = time.time()
            self._absent.remove(daemon)
            come_back()

        self.after(self.chance.uniform(0.0, LONGEST_ABSENCE), end)

    @staticmethod
    def _identity(daemon):
        file = daemon.host.state / "identity"
        return file.read_text() if file.exists() else ""

    # --- all of them -----------------------------------------------------------------------------

    def crash(self):
        """Kill the database, and start it again after some seconds.

        A daemon that was just starting begins its start anew, and so needs a config that is whole.
        """
        if self.changes.is_spoiled:
            self.changes.put_back()
        self.crashes += 1
        self.folders.journal.server.kill()
        time.sleep(self.chance.uniform(0.1, 2 * PACE.lease))
        self.folders.journal.server.start()

    def stop(self):
        """SIGTERM for one; or for all, and uploads expire before they start again."""
        if self.chance.random() < 0.5:
            self.stop_all()
            self.expire()
        else:
            for daemon in self._some():
                self._stop(daemon)
        self.start()

    def stop_all(self):
        """SIGTERM for all, also for those that are frozen or cut off."""
        if self.is_shared:
            self.folders.journal.cutter.heal()
        for each in self.group:
            if each.is_alive:
                each.thaw()
                self._stop(each)

    def _stop(self, daemon):
        code = daemon.stop()
        if code != 0:
            self.problems.append(f"SIGTERM ended the daemon of {daemon.host.name} with {code}")

    def expire(self):
        """Uploads die of old age while nobody is there, as after a long week-end.

        Left alone where a call that used them is in doubt: the platform keeps uploads for a day,
        and whether such a call came true shows long before.
        """
        time.sleep(3.0)
        state = self.platform.tell("state")
        records = [json.loads(each) for (each,) in self.folders.rows("record", "open = 1")]
        is_busy = any(job["status"] not in DONE for job in state["jobs"])
        if not is_busy and not any(map(is_in_doubt, records)):
            self.platform.tell("expire_uploads")
            self.expiries += 1
