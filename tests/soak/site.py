"""The two processes of a soak: the platform's replacement, and the daemon over its folders."""

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from .daemon import HELD
from .patients import LINES

GENTLE_SECONDS = 120.0
"""How long a stop by SIGTERM may take before it counts as hanging."""


class Platform:
    """A sandbox in a process of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        command = [sys.executable, "-m", "gcwatch.sandbox", "--dir", str(folder)]
        with (folder / "stderr").open("w") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        self.facts = json.loads(self._process.stdout.readline())
        self._session = requests.Session()
        self._session.trust_env = False

    def tell(self, control, **arguments):
        """Ask for one of the sandbox's controls; return its answer."""
        reply = self._session.post(self.facts["control"] + control, json=arguments, timeout=300)
        assert reply.status_code == 200, f"{control}: {reply.text}"
        return reply.json()

    def close(self):
        self._session.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


class Folders:
    """All that the config file names, below one folder."""

    def __init__(self, root, token, url):
        self.root = root
        self.url = url
        self.state, self.file = root / "state", root / "gcwatch.toml"
        self.token, self.mirror = root / "token", root / "mirror"
        for line in LINES:
            self.make(line.name)
        self.mirror.mkdir()
        (root / "arriving").mkdir()
        self.routes = {line.name: (line.name, line.keys) for line in LINES}
        self.connections = 8
        self.give(token)
        self.write()

    def make(self, name):
        for place in (self.inbox(name), self.outbox(name), self.done(name)):
            place.mkdir(parents=True, exist_ok=True)

    def inbox(self, name):
        return self.root / "in" / name

    def outbox(self, name):
        return self.root / "out" / name

    def done(self, name):
        return self.root / "done" / name

    def give(self, token):
        """Write the token, whole and readable for its owner only."""
        new = self.root / "token.new"
        new.touch(0o600)
        new.write_text(token)
        new.rename(self.token)

    # --- the config file -------------------------------------------------------------------------

    def write(self, spoiled=""):
        """Write the config file of `routes`: folders are named by key, routes as they are called.

        With *spoiled*, that line makes it invalid.
        """
        lines = [
            f"{spoiled}",
            f"state = {json.dumps(str(self.state))}",
            f'platform = {{ url = "{self.url}", token_file = "token" }}',
            f"limits = {{ cases = 8, connections = {self.connections} }}",
            'log = { level = "debug", file = "log.jsonl" }',
            "[[mirror]]",
            'name = "mirror"\narchive = "ct-archive"\noutbox = "mirror"\nevery = "15s"',
        ]
        for folder, (name, keys) in self.routes.items():
            lines += ["[[route]]", *self._route(folder, name, keys)]
        new = self.root / "gcwatch.toml.new"
        new.write_text("\n".join(lines) + "\n")
        new.rename(self.file)

    def _route(self, folder, name, keys):
        places = {"inbox": f"in/{folder}", "outbox": f"out/{folder}"}
        if keys.get("after") == "move":
            places["done"] = f"done/{folder}"
        for key, value in {"name": name, **places, **keys}.items():
            yield f"{key} = {_toml(value)}"

    # --- what is known ---------------------------------------------------------------------------

    def rows(self, columns, where="1"):
        """Rows of the journal's cases, read beside the daemon."""
        path = self.state / "journal.sqlite"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as journal:
            (is_made,) = journal.execute("PRAGMA user_version").fetchone()
            query = f"SELECT {columns} FROM cases WHERE {where}"
            return journal.execute(query).fetchall() if is_made else []

    def open_cases(self):
        return len(self.rows("key", "open"))

    def known(self):
        """The names of all folders that are cases, and how many cases each is."""
        found = {}
        for (folder,) in self.rows("folder"):
            name = os.fsdecode(folder).partition("/")[0]
            found[name] = found.get(name, 0) + 1
        return found


def _toml(value):
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {_toml(v)}' for k, v in value.items())} }}"
    return json.dumps(value)


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
    """`gcwatch run`, which is killed and comes back."""

    def __init__(self, folders):
        self._folders = folders
        self._held = folders.root / "held.json"
        self._process = None
        self._said_before = 0
        self.lives = self.kills = self.stops = 0
        self.slowest_stop = 0.0

    @property
    def is_alive(self):
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Begin a life; what it says is added to what the others said."""
        self.lives += 1
        log = self._folders.root / "log.jsonl"
        self._said_before = log.stat().st_size if log.exists() else 0
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.soak.daemon", "run"]
        with (self._folders.root / "stderr.jsonl").open("a") as said:
            self._process = subprocess.Popen(
                [*command, "--config", str(self._folders.file)],
                # Fewer heaps: each of them fills up by itself, which would look like a leak.
                env={**os.environ, "MALLOC_ARENA_MAX": "2", HELD: str(self._held)},
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
        log = self._folders.root / "log.jsonl"
        with log.open("rb") if log.exists() else io.BytesIO() as file:
            file.seek(self._said_before)
            return b'"daemon.started"' in file.read()

    def kill(self):
        """SIGKILL, at once."""
        self.kills += 1
        self._process.kill()
        self._process.wait()

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


def command(folders, *arguments):
    """Run a gcwatch command as an operator does; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "gcwatch", *arguments, "--config", str(folders.file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def working(root):
    """A platform and the folders beside it, while the context is open."""
    platform = Platform(root / "platform")
    platform.tell("configure", job_seconds=1.0, import_seconds=0.3, average_duration=1.0)
    try:
        yield platform, Folders(root / "site", platform.facts["token"], platform.facts["url"])
    finally:
        platform.close()


def put(folders, patient, piece, *, first):
    """Let a piece of a patient arrive: the first by one rename, each further file by one."""
    inbox, arriving = folders.inbox(patient.line.name), folders.root / "arriving"
    if patient.line.takes_files:
        (arriving / "file").write_bytes(piece[""])
        (arriving / "file").rename(inbox / patient.name)
        return
    folder = arriving / patient.name if first else inbox / patient.name
    for name, content in piece.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.part")
        new.write_bytes(content)
        new.rename(path)
    if first:
        shutil.move(folder, inbox / patient.name)
