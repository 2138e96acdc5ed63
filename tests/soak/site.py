"""The platform's replacement, and the folders that the hosts of a soak share."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import requests

from .journals import SoleJournal, shared_journal
from .patients import LINES


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


@dataclass(frozen=True)
class Host:
    """What a host has alone: its config file, state directory and logs.

    `journal` is its way to the journal that it shares with others; "" if it has its own.
    """

    root: Path
    name: str
    journal: str

    @property
    def file(self):
        return self.root / f"{self.name}.toml"

    @property
    def state(self):
        return self.root / f"state-{self.name}"

    @property
    def log(self):
        return self.root / f"{self.name}.jsonl"

    @property
    def stderr(self):
        return self.root / f"{self.name}.stderr.jsonl"

    @property
    def logs(self):
        """The log file, and those before it."""
        return [*self.root.glob(f"{self.log.name}*")]

    def config(self):
        """The lines of its config that no other host has."""
        yield f"state = {json.dumps(str(self.state))}"
        yield f'log = {{ level = "debug", file = "{self.log.name}" }}'
        if self.journal:
            yield f"host = {json.dumps(self.name)}\njournal = {json.dumps(self.journal)}"


class Folders:
    """All that the config files name, below one folder.

    Args:
        shared: The journal of all hosts; without one there is one host.
    """

    def __init__(self, root, token, url, shared=None):
        self.root = root
        self.url = url
        ways = shared.ways if shared else {"a": ""}
        self.hosts = [Host(root, name, way) for name, way in ways.items()]
        self.journal = shared or SoleJournal(self.hosts[0].state)
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

    # --- the config files ------------------------------------------------------------------------

    def write(self, spoiled=""):
        """Write the config files of `routes`: folders are named by key, routes as they are called.

        With *spoiled*, that line makes them invalid.
        """
        lines = [
            f"{spoiled}",
            f'platform = {{ url = "{self.url}", token_file = "token" }}',
            f"limits = {{ cases = 8, connections = {self.connections} }}",
            "[[mirror]]",
            'name = "mirror"\narchive = "ct-archive"\noutbox = "mirror"\nevery = "15s"',
        ]
        for folder, (name, keys) in self.routes.items():
            lines += ["[[route]]", *self._route(folder, name, keys)]
        for host in self.hosts:
            new = host.file.with_suffix(".new")
            new.write_text("\n".join([*host.config(), *lines]) + "\n")
            new.rename(host.file)

    def _route(self, folder, name, keys):
        places = {"inbox": f"in/{folder}", "outbox": f"out/{folder}"}
        if keys.get("after") == "move":
            places["done"] = f"done/{folder}"
        for key, value in {"name": name, **places, **keys}.items():
            yield f"{key} = {_toml(value)}"

    # --- what is known ---------------------------------------------------------------------------

    def rows(self, columns, where="TRUE"):
        """Rows of the journal's cases, read beside the daemons."""
        return self.journal.rows(f"SELECT {columns} FROM cases WHERE {where}")

    def open_cases(self):
        return len(self.rows("key", "open = 1"))

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


def command(host, *arguments):
    """Run a gcwatch command as an operator does; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "gcwatch", *arguments, "--config", str(host.file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def working(root, hosts):
    """A platform and the folders of so many hosts beside it, while the context is open."""
    platform = Platform(root / "platform")
    platform.tell("configure", job_seconds=1.0, import_seconds=0.3, average_duration=1.0)
    try:
        with shared_journal(hosts) if hosts > 1 else nullcontext() as shared:
            facts = platform.facts
            yield platform, Folders(root / "site", facts["token"], facts["url"], shared)
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
