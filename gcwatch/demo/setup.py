"""What the demo runs on: a sandbox with an archive, a config file, and example patients.

The cases of the archive are phantoms (`gcwatch.demo.phantoms`). The patients in the inbox are the
example DICOM files of the pydicom package.
"""

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pydicom
import requests

from gcwatch.core.errors import StateError
from gcwatch.demo.phantoms import encode_mha, make_chest

_PATIENTS: Final = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
_SENT_PATIENTS: Final[Mapping[str, str]] = {
    "doe-peter-ct-5": "98892001/CT5N",
}
_REFUSED_PATIENTS: Final[Mapping[str, tuple[str, str]]] = {
    "doe-archibald-xray": ("77654033/CR1", "burned_in"),
    "doe-peter-ct-2": ("98892001/CT2N", "pixels_oblong"),
    "doe-peter-mr": ("98892003/MR700", "planes_differ"),
    "doe-peter-three-mr": ("98892003/MR1", "several_images"),
    "doe-archibald-ct": ("77654033/CT2", "slices_missing"),
}

_X_RAY, _CAPTURE = b"1.2.840.10008.5.1.4.1.1.1\0", b"1.2.840.10008.5.1.4.1.1.7\0"
"""SOP classes of computed radiography and of secondary captures."""

ARCHIVE_SLUG: Final = "ct-archive"
PHANTOM: Final = "phantom"
ARCHIVE_CASES: Final[Mapping[str, int]] = {"chest-1": 1, "chest-2": 2}
"""Titles of the archive's cases, each with the number of its phantom."""

REFUSALS: Final[Mapping[str, str]] = {name: code for name, (_, code) in _REFUSED_PATIENTS.items()}
"""The patients that can't be sent, each with the reason code of its failure."""

JOB_CASES: Final = frozenset(("copy", name) for name in (*_SENT_PATIENTS, PHANTOM)) | {
    ("lungs", name) for name in ARCHIVE_CASES
}
"""The cases that become jobs: pairs of route and folder."""

DISPLAY_SET_CASES: Final = frozenset(("reading", name) for name in ARCHIVE_CASES)
"""The cases that become display sets: pairs of route and folder."""

CASE_COUNT: Final = len(JOB_CASES) + len(DISPLAY_SET_CASES) + len(REFUSALS)

_CONFIG: Final = """\
# Written by gcwatch demo. Next: gcwatch --config gcwatch.toml status
state = "state"

[platform]
url = "{url}"
token_file = "sandbox/token"

[log]
file = "log.jsonl"

[[mirror]]
name = "chests"                     # an archive, kept here as a folder
archive = "{archive}"
outbox = "archive"

[[route]]
name = "lungs"                      # an algorithm runs on each case of the archive
inbox = "archive"
outbox = "segmented"
algorithm = "segment-lungs"
reuse = true                        # files from the platform are not uploaded again
settle = "500ms"
poll = "500ms"

[route.inputs]
"ct-image" = "images/ct-image/*"

[[route]]
name = "reading"                    # readers see each case with its segmentation
inbox = "segmented"
outbox = "reading"
reader_study = "lung-study"
reuse = true
settle = "500ms"
poll = "500ms"

[route.inputs]
"ct-image" = {{ socket = "ct-image" }}
"segmentation" = "images/segmentation/*"

[[route]]
name = "copy"                       # patients dropped by hand; the algorithm copies the image
inbox = "copy/in"
outbox = "copy/out"
algorithm = "copy-image"
settle = "500ms"
poll = "500ms"
"""


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that runs in another process.

    Attributes:
        url: Root of its API.
        control: Root of its own commands, such as `state`, which the platform does not have.
    """

    url: str
    control: str

    @property
    def port(self) -> int | None:
        """The TCP port of its API."""
        return urlsplit(self.url).port

    def state(self) -> dict[str, Any]:
        """Return all records of the sandbox."""
        state: dict[str, Any] = self._call_control("state")
        return state

    def fill_archive(self) -> None:
        """Put the phantoms into the archive, as cases that exist before the demo starts."""
        for title, number in ARCHIVE_CASES.items():
            data = b64encode(encode_mha(make_chest(number))).decode()
            values = {"ct-image": {"base64": data, "name": f"{title}.mha"}}
            self._call_control("add_item", archive=ARCHIVE_SLUG, title=title, values=values)

    def _call_control(self, name: str, **arguments: Any) -> Any:
        reply = requests.post(f"{self.control}{name}", json=arguments, timeout=60)
        reply.raise_for_status()
        return reply.json()


@contextmanager
def run_sandbox(folder: Path) -> Iterator[RunningSandbox]:
    """Run a sandbox in another process, apart from the daemon's log and memory."""
    command = [sys.executable, "-m", "gcwatch", "sandbox", "--dir", str(folder)]
    times = ["--job-seconds", "2", "--import-seconds", "0.5"]
    with subprocess.Popen([*command, *times], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own program
        try:
            assert process.stdout is not None  # stdout=PIPE
            line = process.stdout.readline()
            if not line:
                raise StateError("The sandbox did not start.", "To see why, run: gcwatch sandbox")
            ready = json.loads(line)
            yield RunningSandbox(ready["url"], ready["control"])
        finally:
            process.terminate()


def write_config(folder: Path, platform: RunningSandbox) -> Path:
    """Write the demo's config file and make the folders in it; return the file."""
    for name in ("archive", "segmented", "reading", "copy/in", "copy/out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file = folder / "gcwatch.toml"
    file.write_text(_CONFIG.format(url=platform.url, archive=ARCHIVE_SLUG))
    return file


def drop_patients(folder: Path) -> None:
    """Copy the example patients into the inbox, as a scanner or a person would."""
    inbox = folder / "copy" / "in"
    refused = {name: source for name, (source, _) in _REFUSED_PATIENTS.items()}
    for name, source in {**_SENT_PATIENTS, **refused}.items():
        shutil.copytree(_PATIENTS / source, inbox / name)
    for path in (inbox / "doe-archibald-xray").iterdir():  # scanned film, which may show a name
        path.write_bytes(path.read_bytes().replace(_X_RAY, _CAPTURE))
    (inbox / PHANTOM).mkdir()
    (inbox / PHANTOM / "phantom.mha").write_bytes(encode_mha(make_chest(0)))
