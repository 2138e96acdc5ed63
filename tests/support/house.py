"""One installation of gcwatch with any number of routes and mirrors, and a daemon as systemd's."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

from gcwatch.journal.journal import Journal
from support import builders
from support.builders import visible
from support.checkout import ROOT
from support.notify_socket import Ear

until = builders.until
PROGRAM = [sys.executable, "-m", "gcwatch"]


def route(name, folder=None, **keys):
    """A route's table; its inbox and outbox lie in a folder of its own name unless one is given."""
    folder = folder or name
    usual = {"algorithm": "copy-image", "settle": "0s", "poll": "50ms", "duplicates": "send"}
    places = {"inbox": f"{folder}/in", "outbox": f"{folder}/out"}
    return _table("route", {"name": name, **places, **usual, **keys})


def mirror(name, **keys):
    return _table("mirror", {"name": name, "archive": "ct-archive", "outbox": name, **keys})


def _table(kind, keys):
    lines = (f"{key} = {builders._toml(value)}" for key, value in keys.items() if value is not None)
    return "\n".join([f"[[{kind}]]", *lines])


class House:
    """A folder with a config file, beside a sandbox."""

    def __init__(self, folder, sandbox):
        self.folder, self.sandbox = folder, sandbox
        self.file, self.state, self.token = folder / "gcwatch.toml", folder / "state", "token"
        folder.mkdir(parents=True, exist_ok=True)
        self.use_token(sandbox.token)

    def use_token(self, token, name="token"):
        (self.folder / name).touch(0o600)
        (self.folder / name).write_text(token)
        self.token = name

    def write(self, *tables, limits=None, state="state", url=None, level="info"):
        """Write the config file, and make the folders that its routes and mirrors name."""
        lines = [
            f"state = {json.dumps(state)}",
            f"[platform]\nurl = {json.dumps(url or self.sandbox.url)}",
            f"token_file = {json.dumps(self.token)}",
            f'[log]\nfile = "log.jsonl"\nlevel = "{level}"',
            "[limits]",
            *(f"{key} = {value}" for key, value in (limits or {}).items()),
            *tables,
        ]
        for line in "\n".join(tables).splitlines():
            if line.startswith(("inbox", "outbox")):
                (self.folder / json.loads(line.partition(" = ")[2])).mkdir(
                    parents=True, exist_ok=True
                )
        new = self.file.with_suffix(".new")
        new.write_text("\n".join(lines))
        new.rename(self.file)

    def drop(self, folder, name="p1", content=None, size=None):
        """Put a patient with one image into a route's inbox by one rename."""
        arriving = self.folder / "arriving"
        arriving.mkdir()
        (arriving / "image.mha").write_bytes(builders.mha() if content is None else content)
        if size is not None:
            os.truncate(arriving / "image.mha", size)
        arriving.rename(self.folder / folder / "in" / name)

    def delivered(self, folder):
        """The names of the folders that people see in a route's outbox."""
        found = (self.folder / folder / "out").iterdir()
        return sorted(each.name for each in found if each.is_dir() and visible(each))

    def said(self, event=None, **facts):
        """The lines of the log file, of one event if it is named, with these facts."""
        return [
            line
            for line in builders.lines_of(self.folder / "log.jsonl")
            if event in {None, line["event"]} and facts.items() <= line.items()
        ]

    def cases(self):
        """All cases of the journal, by route and folder."""
        journal = Journal(self.state)
        try:
            return {(each.route, each.folder): each for each in journal.cases()}
        finally:
            journal.close()

    def history(self, key):
        """Return what is on record of a case."""
        journal = Journal(self.state)
        try:
            return [(each.at, each.event) for each in journal.history(key)]
        finally:
            journal.close()

    def jobs(self):
        return self.sandbox.state()["jobs"]

    def puts(self):
        """How many parts have reached the storage."""
        return sum(call["method"] == "PUT" for call in self.sandbox.calls())

    # --- the daemon ------------------------------------------------------------------------------

    @contextmanager
    def serving(self, command="run", program=PROGRAM):
        """The daemon as a process of its own; yield what asks things of it."""
        ear = Ear(f"@gcwatch-{os.getpid()}-{self.folder.parent.name}")
        environment = {**os.environ, "NOTIFY_SOCKET": ear.address, "PYTHONPATH": str(ROOT)}
        line = [*program, command, "--config", str(self.file)]
        errors = self.folder / "stderr"
        with (
            errors.open("ab") as stderr,
            subprocess.Popen(line, env=environment, stderr=stderr, stdout=stderr) as process,
        ):
            daemon = Daemon(self, process, ear)
            try:
                yield daemon
            finally:
                process.kill()
                ear.close()


class Daemon:
    """A running daemon, as systemd holds it."""

    def __init__(self, house, process, ear):
        self.house, self.process, self.ear = house, process, ear

    def ready(self, times=1):
        """Wait until it has said so that many times."""
        until(lambda: len(self.ear.heard("READY")) >= times, 60)
        return self

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def reload(self):
        """Let it read the config anew; wait until it is done, and return what came of it."""
        before = len(self.ear.heard("READY"))
        self.hang_up()
        self.ready(before + 1)
        found = [line for line in self.house.said() if line["event"] in {RELOADED, REFUSED}]
        return found[-1]

    def stop(self):
        """End it as systemd does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def begin_to_stop(self):
        """Ask it to end; wait until it begins nothing more, whatever is under way."""
        self.process.send_signal(signal.SIGTERM)
        until(lambda: self.ear.heard("STOPPING"))


RELOADED, REFUSED = "config.reloaded", "config.refused"
