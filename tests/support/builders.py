"""Builders: a site (config, inbox, outbox, journal) beside a sandbox, and patients to drop."""

import hashlib
import io
import json
import shutil
import struct
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydicom.data

import gcwatch
from gcwatch import config, log
from gcwatch.api import Watch
from gcwatch.core import folding
from gcwatch.core.case import Uptime
from gcwatch.core.timing import Pace
from gcwatch.daemon.waking.uptime import read_uptime

FAST = Pace(survey=0.3, backoff=0.02, slowest=0.5, doubt=0.3, refused=0.2, lease=0.5)
IN_DOUBT = replace(FAST, doubt=600.0)
"""What is in doubt stays so until the clock is put forward."""

PATIENTS = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"
SERIES = PATIENTS / "98892001" / "CT5N"


def mha(*voxels, code="h", element="MET_SHORT"):
    """A MetaImage of one row of voxels."""
    voxels = voxels or (1, 2, 3, 4)
    head = (
        f"ObjectType = Image\nNDims = 3\nDimSize = {len(voxels)} 1 1\n"
        f"ElementSpacing = 1 2 3\nElementType = {element}\nElementDataFile = LOCAL\n"
    )
    return head.encode() + struct.pack(f"<{len(voxels)}{code}", *voxels)


def voxels(content):
    """The bytes of a MetaImage's voxels, inflated."""
    head, data = content.split(b"LOCAL\n", 1)
    return zlib.decompress(data) if b"CompressedData = True" in head else data


def series():
    """The files of a real DICOM series, by name."""
    return {path.name: path.read_bytes() for path in sorted(SERIES.iterdir())}


X_RAY_CLASS, CAPTURE_CLASS = b"1.2.840.10008.5.1.4.1.1.1\0", b"1.2.840.10008.5.1.4.1.1.7\0"
VENDORS_CLASS = b"1.2.840.113619.4.26.1.1.1\0"


def xray(sop_class=X_RAY_CLASS):
    """A real X-ray image, by name; its class can be another one."""
    [file] = (PATIENTS / "77654033" / "CR1").iterdir()
    return {file.name: file.read_bytes().replace(X_RAY_CLASS, sop_class)}


def vendors_image():
    """An image of a class that no procedure knows: it is refused."""
    return xray(VENDORS_CLASS)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def _toml(value):
    match value:
        case dict():
            pairs = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
            return f"{{ {pairs} }}"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case Path():
            return json.dumps(str(value))
        case _:
            return json.dumps(value)


class Site:
    """One installation of gcwatch beside a sandbox, with one route.

    *journal* is the address of a database; without it, the journal is in the state directory.
    """

    def __init__(self, folder, sandbox, *, journal=None, **route):
        self.folder = folder
        self.sandbox = sandbox
        self.journal = journal
        self.inbox, self.outbox = folder / "in", folder / "out"
        self.state, self.file = folder / "state", folder / "gcwatch.toml"
        self.token = folder / "token"
        for place in (self.inbox, self.outbox):
            place.mkdir(parents=True, exist_ok=True)
        self.use_token(sandbox.token)
        self.configure(**route)

    def use_token(self, token):
        self.token.touch(0o600)
        self.token.write_text(token)

    def configure(self, *, limits=None, **route):
        """Write the config file; the arguments are keys of its route."""
        route = {
            "name": "lobes",
            "inbox": "in",
            "outbox": "out",
            "algorithm": "copy-image",
            "settle": "0s",
            "poll": "50ms",
            "duplicates": "send",  # most tests drop the same image under several names
            # With a shared journal, one host must be named where a route's folders are its own.
            "hosts": ["here"] if self.journal else None,
            **route,
        }
        lines = [
            'state = "state"',
            *([f"journal = {json.dumps(self.journal)}", 'host = "here"'] if self.journal else []),
            "[platform]",
            f"url = {json.dumps(self.sandbox.url)}",
            'token_file = "token"',
            "[log]",
            'file = "log.jsonl"',
            *(["[limits]"] if limits else []),
            *(f"{key} = {value}" for key, value in (limits or {}).items()),
            "[[route]]",
            *(f"{key} = {_toml(value)}" for key, value in route.items() if value is not None),
        ]
        self.file.write_text("\n".join(lines))

    # --- the folders -----------------------------------------------------------------------------

    def drop(self, name="p1", files=None):
        """Put a complete folder into the inbox by one rename; return it."""
        made = self.folder / "arriving"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for relative, content in ({"image.mha": mha()} if files is None else files).items():
            path = made / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made.rename(self.inbox / name)
        return self.inbox / name

    def delivered(self):
        """The names of the outbox's folders that people see."""
        return sorted(
            path.name for path in self.outbox.iterdir() if path.is_dir() and visible(path)
        )

    def results(self):
        """The names of the folders with a receipt, below the outbox."""
        found = self.outbox.rglob("gcwatch.json")
        return sorted(str(path.parent.relative_to(self.outbox)) for path in found)

    def receipt(self, name="p1"):
        return json.loads((self.outbox / name / "gcwatch.json").read_bytes())

    def note(self, name="p1"):
        """What the explanation of a failure says."""
        return (self.outbox / f"{name}.failed.txt").read_text()

    # --- working ---------------------------------------------------------------------------------

    @contextmanager
    def watch(self, pace=FAST, clock=time.time):
        """Everything of this site, open."""
        uptime = getattr(clock, "uptime", read_uptime)
        watch = Watch(config.load(self.file), pace=pace, clock=clock, uptime=uptime)
        try:
            yield watch
        finally:
            watch.close()

    def run_once(self, pace=FAST, clock=time.time):
        with self.watch(pace, clock) as watch:
            return watch.run_once()

    @contextmanager
    def running(self, pace=FAST, clock=time.time, stop=None, reload=None):
        """The daemon at work in a thread; what it raised is raised here."""
        stop, trouble = stop or threading.Event(), []
        with self.watch(pace, clock) as watch:

            def work():
                try:
                    watch.run(stop, reload=reload)
                except Exception as error:  # noqa: BLE001 - told to the test
                    trouble.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            try:
                yield watch
            finally:
                stop.set()
                thread.join()
            if trouble:
                raise trouble[0]

    def case(self, name="p1"):
        """A folder's latest case."""
        with self.watch() as watch:
            return watch.find(f"lobes/{name}")

    def jobs(self):
        return self.sandbox.state()["jobs"]

    # --- what was said ---------------------------------------------------------------------------

    def listen(self):
        """Write the log file from now on."""
        log.configure(config.load(self.file).log, stream=io.StringIO())

    def said(self, event=None):
        """The lines of the log file, of one event if it is named."""
        lines = lines_of(self.folder / "log.jsonl")
        return [line for line in lines if event in {None, line["event"]}]


class Clock:
    """The time of day: `ahead` is time that has passed for a test, `wrong` how far it was set."""

    def __init__(self):
        self.ahead = self.wrong = 0.0

    def __call__(self):
        return time.time() + self.ahead + self.wrong

    def uptime(self):
        return Uptime("boot", time.monotonic() + self.ahead)


def visible(path):
    return not path.name.startswith(".")


def lines_of(log_file):
    """What a log file says; a line that is just being written is not read yet."""
    whole = log_file.read_text().rpartition("\n")[0] if log_file.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def put(folder, files):
    """Write files, each at one stroke: whoever looks meanwhile sees it as it was or as it is."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}")
        fresh.write_bytes(content)
        fresh.rename(path)


def until(condition, seconds=60.0):
    """Wait until a condition holds; return what it gave."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to that"
        pause.wait(0.01)
    return found


def waiting(watch, code):
    """The first case, once it waits for this reason."""
    return until(
        lambda: next((c for c in watch.cases() if c.wait and c.wait.reason.code == code), None)
    )


# --- what must be true of a site at any time, and at the end --------------------------------------


def check_nothing_half_done(outbox, patients=frozenset()):
    """Every folder that people see in the outbox is complete, as its receipt tells.

    The folders of *patients* hold the results of their series.
    """
    for path in filter(visible, outbox.iterdir()):
        if path.name in patients:
            check_nothing_half_done(path)
        elif path.is_dir():
            _check_published(path)
        else:
            assert path.name.endswith((".failed.txt", ".changed.txt")), f"{path.name} in the outbox"
            assert path.read_text().strip(), "an explanation without words"


def _check_published(folder):
    receipt = json.loads((folder / "gcwatch.json").read_bytes())
    told = {
        file["path"]: (file["size"], file["sha256"])
        for output in receipt["outputs"]
        for file in output["files"]
    }
    found = {
        str(path.relative_to(folder)): (path.stat().st_size, sha256(path.read_bytes()))
        for path in folder.rglob("*")
        if path.is_file() and path.name != "gcwatch.json"
    }
    assert found == told, "what was published is not what the receipt says"


def check_history(watch):
    """Every case is the fold of its events; a daemon at work records nothing meanwhile."""
    with watch.journal.still():
        for case in watch.journal.cases():
            history = [(each.at, each.event) for each in watch.history(case)]
            assert folding.fold_events(case.key, history) == case, (
                "the journal's case is not its history"
            )


def check_results(sandbox, folder):
    """What was published has the bytes that the sandbox holds."""
    receipt = json.loads((folder / "gcwatch.json").read_bytes())
    job = next(job for job in sandbox.state()["jobs"] if job["pk"] == receipt["target"]["job"])
    assert job["status"] == "Succeeded"
    outputs = {output["socket"]: output for output in receipt["outputs"]}
    assert set(outputs) == {output["socket"] for output in job["outputs"]}
    for output in job["outputs"]:
        (file,) = outputs[output["socket"]]["files"]
        content = (folder / file["path"]).read_bytes()
        if output["sha256"]:
            assert sha256(content) == output["sha256"], f"{output['socket']} has other bytes"
        else:
            assert json.loads(content) == output["value"], f"{output['socket']} is another value"


def stage_of(site, name="p1"):
    return gcwatch.stage(site.case(name))
