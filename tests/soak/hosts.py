"""The daemons of a soak: one on each host, as processes that die, freeze and come back."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from support.checkout import TESTS

from .daemon import HELD

GENTLE_SECONDS = 120.0
"""How long a stop by SIGTERM may take before it counts as hanging."""


@dataclass(frozen=True)
class Sample:
    """What the daemon holds at one moment.

    `memory` is its own, in KiB, without files that others map, too: what an operator sees grow.
    `blocks` of Python's objects and `held` KiB of all others are what is really in use of it.
    """

    cases: int
    memory: int
    blocks: int
    held: int
    files: int
    threads: int


class Daemon:
    """`gcwatch run` on a host, which is killed and comes back."""

    def __init__(self, host):
        self.host = host
        self._held = host.root / f"{host.name}.held.json"
        self._process = None
        self._said_before = 0
        self.kills = self.freezes = self.stops = 0
        self.slowest_stop = 0.0

    @property
    def is_alive(self):
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Begin a life; what it says is added to what the others said."""
        log = self.host.log
        self._said_before = log.stat().st_size if log.exists() else 0
        command = [sys.executable, "-X", "faulthandler", "-m", "soak.daemon", "run"]
        with self.host.stderr.open("a") as said:
            self._process = subprocess.Popen(
                [*command, "--config", str(self.host.file)],
                # Fewer heaps: each of them fills up by itself, which would look like a leak.
                env={**os.environ, "MALLOC_ARENA_MAX": "2", HELD: str(self._held)},
                cwd=TESTS,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def await_begun(self):
        """Wait until it is at work, or dead: before that no signal means anything to it."""
        pause = threading.Event()
        while self.is_alive and not self._has_begun():
            pause.wait(0.05)

    def _has_begun(self):
        log = self.host.log
        with log.open("rb") if log.exists() else io.BytesIO() as file:
            file.seek(self._said_before)
            return b'"daemon.started"' in file.read()

    def kill(self):
        """SIGKILL, at once."""
        self.kills += 1
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self):
        """SIGSTOP, once it is at work: nothing of it goes on."""
        self.await_begun()
        self.freezes += 1
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """SIGCONT: it goes on where it was."""
        if self.is_alive:
            self._process.send_signal(signal.SIGCONT)

    def stop(self):
        """SIGTERM; return the exit code, or None if it hung."""
        self.stops += 1
        self.await_begun()
        begun = time.monotonic()
        self._process.terminate()
        try:
            return self._process.wait(GENTLE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # faulthandler says where it hangs
            self._process.wait()
            return None
        finally:
            self.slowest_stop = max(self.slowest_stop, time.monotonic() - begun)
            self._process = None

    def reload(self):
        """SIGHUP, once it knows what that means."""
        self.await_begun()
        if self.is_alive:
            self._process.send_signal(signal.SIGHUP)

    def died(self):
        """The exit code of a daemon that ended by itself, if it did."""
        return None if self._process is None else self._process.poll()

    def await_death(self, seconds):
        """Give a kill that was asked for elsewhere its time, then kill."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def memory(self):
        """How many KiB are its own now."""
        return _table(self._proc / "smaps_rollup")["Pss_Anon"]

    def sample(self, cases, memory):
        """What it holds now, its memory having been measured already."""
        files, threads = (len(list((self._proc / kind).iterdir())) for kind in ("fd", "task"))
        return Sample(cases, memory, **self._ask(), files=files, threads=threads)

    @property
    def _proc(self):
        return Path("/proc") / str(self.pid)

    def _ask(self):
        """What it says of itself."""
        self._held.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR2)
        pause = threading.Event()
        while not self._held.exists():
            assert self.is_alive, "the daemon died while it was measured"
            pause.wait(0.05)
        return json.loads(self._held.read_text())


def _table(path):
    """The numbers of a /proc table, by name."""
    rows = (line.split() for line in path.read_text().splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


class Group:
    """The daemons of all hosts."""

    def __init__(self, hosts):
        self.daemons = [Daemon(host) for host in hosts]

    def __iter__(self):
        return iter(self.daemons)

    @property
    def is_alive(self):
        return any(each.is_alive for each in self)

    def await_begun(self):
        """Wait until all that live are at work."""
        for each in self:
            each.await_begun()

    def reload(self):
        """Let all that live read their config again."""
        for each in self:
            each.reload()

    def count(self, what):
        """How often something was done to them."""
        return sum(getattr(each, what) for each in self)
