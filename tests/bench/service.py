"""gcwatch as a service: a config with its folders, and the daemon in a process of its own."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from gcwatch import config
from gcwatch.core import events
from gcwatch.core.case import Fetched, Input, Output, Snapshot, Target, Upload
from gcwatch.inbox.layouts import inbox_of
from gcwatch.journal.journal import Journal
from tests.bench.material import make_cases
from tests.bench.process import cpu_seconds

CASES, FILES = [f"patient-{number:04}" for number in range(1000)], 100
"""The names of the folders, and how many files there are in each."""

NOWHERE = {"url": "http://127.0.0.1:9/api/v1/", "token": "0" * 40}
RESULT = bytes(130)
"""The content of each result's one file."""
_QUIET = 0.05
"""CPU seconds in a second, below which a daemon counts as quiet."""


class Site:
    """A config with one route, and its folders; `keys` are lines of the route."""

    def __init__(self, folder: Path, facts: dict[str, Any], *keys: str) -> None:
        self.folder, self.inbox, self.log = folder, folder / "in", folder / "log.jsonl"
        for place in (self.inbox, folder / "out"):
            place.mkdir(parents=True)
        token = folder / "token"
        token.touch(0o600)
        token.write_text(facts["token"])
        self.file = folder / "gcwatch.toml"
        lines = [
            'state = "state"',
            f'platform = {{ url = "{facts["url"]}", token_file = "token" }}',
            'log = { file = "log.jsonl" }',
            "[[route]]",
            'name = "bench"\ninbox = "in"\noutbox = "out"\nalgorithm = "copy-image"',
            'inputs = { "generic-medical-image" = "000.mha" }',
            'duplicates = "send"',
            *keys,
        ]
        self.file.write_text("\n".join(lines))

    def said(self, event: str) -> list[float]:
        """When an event was told of, each time, in seconds since the epoch."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        told = (json.loads(line) for line in lines if f'"{event}"' in line)
        return [datetime.fromisoformat(line["time"]).timestamp() for line in told]

    def await_told(self, event: str, times: int, seconds: float = 900) -> None:
        """Return once an event was told of so often."""
        end = time.monotonic() + seconds
        while len(self.said(event)) < times:
            assert time.monotonic() < end, f"{event} was not told of {times} times"
            time.sleep(0.05)


def settled(folder: Path) -> Site:
    """A site whose inbox is full, and whose journal holds all of it as delivered."""
    site = Site(folder, NOWHERE)
    make_cases(site.inbox, CASES, FILES)
    deliver(site)
    warm_up(site)
    return site


def deliver(site: Site) -> None:
    """Let the journal hold every folder of the inbox as delivered, by events as they come."""
    settings = config.load(site.file)
    [route] = settings.routes
    # In memory: a disk would be waited for twelve thousand times.
    with TemporaryDirectory(dir="/dev/shm") as aside:
        with closing(Journal(Path(aside))) as journal:
            _deliver(route, journal)
        shutil.copytree(aside, settings.state)


def _deliver(route: config.Route, journal: Journal) -> None:
    for entry in inbox_of(route).list_cases().cases:
        case = journal.open_case(route.name, entry.name)
        for event in lifetime(inbox_of(route).snapshot_case(entry.name), case.key):
            journal.record(case.key, event)


def lifetime(seen: Snapshot, key: str) -> Iterator[events.Event]:
    """All that becomes of a case that is found, until it is delivered."""
    root = "https://grand-challenge.org/api/v1/"
    pk = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    slug, digest = "generic-medical-image", hashlib.sha256(RESULT).hexdigest()
    job = str(uuid5(NAMESPACE_URL, key))
    yield events.FolderChanged(seen)
    yield events.FolderSettled()
    target = Target(pk, f"{root}algorithms/{pk}/", "copy-image")
    yield events.Planned((Input(slug, "image", "000.mha"),), target)
    upload = Upload(slug, pk, pk, f"{root}uploads/{pk}/", f"{key}.mha", 130, 8 << 20, 0.0)
    yield events.UploadStarted(upload)
    yield events.UploadCompleted(pk, digest)
    yield events.SessionCreated(slug, f"{root}cases/upload-sessions/{pk}/")
    yield events.SubmissionAttempted(0)
    yield events.Submitted(job, f"https://grand-challenge.org/algorithms/copy-image/jobs/{job}/")
    image = f"{root}cases/images/{pk}/"
    output = Output(1, slug, "image", "images/output", image)
    yield events.Succeeded((output,), {slug: image})
    yield events.OutputFetched((Fetched(1, f"images/output/{pk}.mha", len(RESULT), digest),))
    yield events.Delivered(key)


class Daemon:
    """`gcwatch run` in a process of its own; `start_seconds` is how long until it was ready."""

    def __init__(self, site: Site) -> None:
        address = site.folder / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            manager.settimeout(300)
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gcwatch", "run", "--config", str(site.file)],
                env=_environment(site) | {"NOTIFY_SOCKET": str(address)},
                stderr=subprocess.DEVNULL,
            )
            while b"READY=1" not in manager.recv(4096):
                pass
            self.start_seconds = time.perf_counter() - begun
        self.pid = self._process.pid
        self.start_cpu = cpu_seconds(self.pid)

    def calm_down(self) -> None:
        """Return when it has done whatever it had to do."""
        before, quiet = cpu_seconds(self.pid), 0
        while quiet < 3:
            time.sleep(1)
            now = cpu_seconds(self.pid)
            quiet = quiet + 1 if now - before < _QUIET else 0
            before = now

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it do nothing during the body, and hear of nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, and see that it ended well."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(90) == 0, "the daemon did not end well"


def _environment(site: Site) -> dict[str, str]:
    """As where gcwatch is installed: its bytecode is there, after the first start at the latest."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(site.folder / "bytecode")}


def warm_up(site: Site) -> None:
    """Let Python write the bytecode."""
    command = [sys.executable, "-m", "gcwatch", "--version"]
    subprocess.run(command, env=_environment(site), check=True, stdout=subprocess.DEVNULL)


@contextmanager
def serving(site: Site) -> Iterator[Daemon]:
    """The daemon for the time of the body."""
    daemon = Daemon(site)
    try:
        yield daemon
    finally:
        daemon.stop()
