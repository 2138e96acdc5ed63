"""`gcwatch demo`: a sandbox, real patients, the daemon, and the proof that it all came true.

The patients are those that the pydicom package ships. What the platform's stand-in says that it
produced is compared with what stands in the outboxes, byte by byte.
"""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pydicom
import requests
from rich.console import Console
from rich.json import JSON
from rich.text import Text

from gcwatch import config, display, log
from gcwatch.cases import Case
from gcwatch.display import Meter
from gcwatch.errors import StateError
from gcwatch.outbox import RECEIPT
from gcwatch.reasons import explain
from gcwatch.steps import stage
from gcwatch.watch import Watch

_PATIENTS: Final = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
_COPIED: Final[Mapping[str, str]] = {
    "doe-peter-ct-2": "98892001/CT2N",
    "doe-peter-ct-5": "98892001/CT5N",
    "doe-peter-mr": "98892003/MR700",
}
_REFUSED: Final[Mapping[str, tuple[str, str]]] = {
    "doe-archibald-xray": ("77654033/CR1", "not_deidentified"),
    "doe-peter-three-mr": ("98892003/MR1", "several_images"),
    "doe-archibald-ct": ("77654033/CT2", "slices_missing"),
}
_PHANTOM: Final = "phantom"
_SIZE: Final = (32, 32, 16)
_THRESHOLD: Final = 500
_DELIVERED: Final = {("copy", name) for name in (*_COPIED, _PHANTOM)} | {("count", _PHANTOM)}
_SECONDS: Final = 60.0

_CONFIG: Final = """\
# Written by gcwatch demo. Go on with it: gcwatch --config gcwatch.toml status
state = "state"

[platform]
url = "{url}"
token_file = "sandbox/token"

[log]
file = "log.jsonl"

[[route]]
name = "copy"                       # one image in, the same image out
inbox = "copy/in"
outbox = "copy/out"
algorithm = "copy-image"
settle = "500ms"
poll = "500ms"

[[route]]
name = "count"                      # an image and a number in, four kinds of results out
inbox = "count/in"
outbox = "count/out"
algorithm = "threshold"
settle = "500ms"
poll = "500ms"

[route.inputs]
"ct-image" = "*.mha"
"threshold" = {{ value = {threshold} }}
"""


@dataclass(frozen=True)
class _Platform:
    """The running sandbox: where its API is, and where it can be asked for the truth."""

    url: str
    control: str

    @property
    def port(self) -> int | None:
        """Where it listens."""
        return urlsplit(self.url).port

    def state(self) -> dict[str, Any]:
        """Return all that the sandbox has and did."""
        reply = requests.post(f"{self.control}state", json={}, timeout=10)
        reply.raise_for_status()
        state: dict[str, Any] = reply.json()
        return state


def was_here(folder: Path) -> bool:
    """Given a folder to keep a demo in, return whether there is one already."""
    return (folder / "gcwatch.toml").exists()


def demo(keep: Path | None = None) -> list[str]:
    """Run the demo, in *keep* or in a temporary folder; return what went wrong, if anything."""
    screen = display.console()
    screen.print(Text("A stand-in for the platform, two routes, seven patients.", "bold"))
    with _place(keep) as folder, _sandbox(folder / "sandbox") as platform:
        file = _write_config(folder, platform)
        _drop(folder)
        cases = _work(file)
        wrong = list(problems(folder, cases, platform.state()))
        _tell(screen, folder, cases)
    if not wrong:
        screen.print(
            Text("Every result is here with the right bytes; refusals are explained.", "green")
        )
    if keep:
        screen.print(f"Look at the cases:    gcwatch --config {file} status")
        screen.print(
            f"The platform again:   gcwatch sandbox --dir {folder}/sandbox --port {platform.port}"
        )
    return wrong


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="gcwatch-demo-") as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()


# --- the scene -----------------------------------------------------------------------------------


@contextmanager
def _sandbox(folder: Path) -> Iterator[_Platform]:
    """Run a sandbox as a process of its own, so that the daemon's log and memory are its own."""
    command = [sys.executable, "-m", "gcwatch", "sandbox", "--dir", str(folder)]
    times = ["--job-seconds", "2", "--import-seconds", "0.5"]
    with subprocess.Popen([*command, *times], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own program
        try:
            assert process.stdout is not None, "it was asked for"
            line = process.stdout.readline()
            if not line:
                raise StateError("The sandbox did not start.", "Try it alone: gcwatch sandbox")
            facts = json.loads(line)
            yield _Platform(facts["url"], facts["control"])
        finally:
            process.terminate()


def _write_config(folder: Path, platform: _Platform) -> Path:
    for name in ("copy/in", "copy/out", "count/in", "count/out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file = folder / "gcwatch.toml"
    file.write_text(_CONFIG.format(url=platform.url, threshold=_THRESHOLD))
    return file


def _drop(folder: Path) -> None:
    """Put the patients into the inboxes, as a scanner or a person would."""
    for name, source in (*_COPIED.items(), *((n, s) for n, (s, _) in _REFUSED.items())):
        shutil.copytree(_PATIENTS / source, folder / "copy" / "in" / name)
    for route in ("copy", "count"):
        patient = folder / route / "in" / _PHANTOM
        patient.mkdir()
        (patient / "phantom.mha").write_bytes(_mha())


def _voxels() -> list[int]:
    width, height, depth = _SIZE
    places = product(range(depth), range(height), range(width))
    return [(x * y + 37 * z) % 1000 for z, y, x in places]


def _raw() -> bytes:
    voxels = _voxels()
    return struct.pack(f"<{len(voxels)}h", *voxels)


def _mha() -> bytes:
    """A MetaImage with voxels that are easy to tell from any others."""
    header = (
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "ElementSpacing = 0.7 0.7 1.5",
        f"DimSize = {' '.join(map(str, _SIZE))}",
        "ElementType = MET_SHORT",
        "ElementDataFile = LOCAL",
    )
    return "\n".join((*header, "")).encode() + _raw()


# --- the daemon ----------------------------------------------------------------------------------


def _work(file: Path) -> Mapping[tuple[str, str], Case]:
    """Be the daemon until every folder has come to its end; return the cases by their folders."""
    settings, meter, stop = config.load(file), Meter(), threading.Event()
    with (
        closing(Watch(settings, progress=meter)) as watch,
        display.live(meter, watch.counts) as stream,
    ):
        log.configure(settings.log, stream=stream)
        judge = threading.Thread(target=_wait_for_the_end, args=(watch, stop))
        judge.start()
        try:
            watch.run(stop)
        finally:
            stop.set()
            judge.join()
            log.reset()
    return outcome(file)


def outcome(file: Path) -> Mapping[tuple[str, str], Case]:
    """Given a config file, return each folder's latest case, by route and folder."""
    with closing(Watch(config.load(file))) as watch:
        return {(case.route, case.folder): case for case in watch.cases()}


def _wait_for_the_end(watch: Watch, stop: threading.Event) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and not stop.wait(0.1):
        cases = watch.cases()
        if len(cases) == len(_DELIVERED) + len(_REFUSED) and not any(c.is_open for c in cases):
            break
    stop.set()


# --- the proof -----------------------------------------------------------------------------------


def problems(
    folder: Path, cases: Mapping[tuple[str, str], Case], state: Mapping[str, Any]
) -> Iterator[str]:
    """Given a demo's folder, its cases and the sandbox's state, yield what is wrong."""
    if len(state["jobs"]) != len(_DELIVERED):
        yield f"{len(state['jobs'])} jobs were made for {len(_DELIVERED)} folders."
    jobs = {job["pk"]: job for job in state["jobs"]}
    for route, name in sorted(_DELIVERED):
        case = cases.get((route, name))
        if case is None or case.ending != "delivered" or case.submission is None:
            yield f"{route}/{name}: is not delivered: {stage(case) if case else 'not found'}."
        elif case.submission.pk not in jobs:
            yield f"{route}/{name}: the platform knows no job {case.submission.pk}."
        else:
            result = folder / route / "out" / case.result
            wrong = _differences(result, jobs[case.submission.pk]["outputs"])
            yield from (f"{route}/{name}: {each}" for each in wrong)
    yield from _wrong_pixels(folder, cases)
    for name, (_, code) in sorted(_REFUSED.items()):
        yield from _unexplained(folder / "copy" / "out", cases.get(("copy", name)), name, code)


def _differences(result: Path, outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Given a result folder and what its job produced, yield where the two differ."""
    receipt = json.loads((result / RECEIPT).read_bytes())
    listed = {output["socket"]: output["files"] for output in receipt["outputs"]}
    for output in outputs:
        files = listed.get(output["socket"], [])
        if len(files) != 1:
            yield f"{len(files)} files for {output['socket']} instead of 1"
            continue
        content = (result / files[0]["path"]).read_bytes()
        if output["sha256"] is None:
            same = json.loads(content) == output["value"]
        else:
            same = hashlib.sha256(content).hexdigest() == output["sha256"]
        if not same:
            yield f"{files[0]['path']} is not what the platform produced"


def _wrong_pixels(folder: Path, cases: Mapping[tuple[str, str], Case]) -> Iterator[str]:
    """A copied image must hold the voxels that were dropped, a count must be their count."""
    copied, counted = cases.get(("copy", _PHANTOM)), cases.get(("count", _PHANTOM))
    if not copied or not counted or not copied.result or not counted.result:
        return
    [image] = (folder / "copy" / "out" / copied.result).rglob("*.mha")
    if _pixels(image) != _raw():
        yield f"copy/{_PHANTOM}: the image that came back is not the one that was dropped"
    above = sum(voxel > _THRESHOLD for voxel in _voxels())
    count = json.loads(
        (folder / "count" / "out" / counted.result / "voxel-count.json").read_bytes()
    )
    if count != above:
        yield f"count/{_PHANTOM}: {count} voxels were counted instead of {above}"


def _pixels(image: Path) -> bytes:
    header, _, raw = image.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    return zlib.decompress(raw) if b"CompressedData = True" in header else raw


def _unexplained(outbox: Path, case: Case | None, name: str, code: str) -> Iterator[str]:
    """A patient that can't be sent must have failed for its reason, in words, in the outbox."""
    if case is None or case.failure is None or case.failure.code != code:
        found = case.failure.code if case and case.failure else "no failure"
        yield f"copy/{name}: must be refused as {code}, found {found}"
        return
    note = outbox / f"{name}.failed.txt"
    if not note.exists() or explain(case.failure).plain not in note.read_text():
        yield f"copy/{name}: {note.name} does not explain it"


# --- what is shown -------------------------------------------------------------------------------


def _tell(screen: Console, folder: Path, cases: Mapping[tuple[str, str], Case]) -> None:
    screen.print()
    for route in ("copy", "count"):
        screen.print(display.tree(folder / route / "out", f"{route}/out"))
    counted = cases.get(("count", _PHANTOM))
    if counted and counted.result:
        screen.print(Text(f"\nThe receipt, count/out/{counted.result}/{RECEIPT}:", "bold"))
        receipt = folder / "count" / "out" / counted.result / RECEIPT
        screen.print(JSON(receipt.read_text()))
    for name in _REFUSED:
        note = folder / "copy" / "out" / f"{name}.failed.txt"
        if note.exists():
            screen.print(Text(f"\n{name} was not sent; {note.name} says:", "bold"))
            screen.print(Text(note.read_text().rstrip()))
    screen.print()
