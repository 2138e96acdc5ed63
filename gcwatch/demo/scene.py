"""The scene of the demo: a stand-in for the platform with an archive, a config, and patients.

The archive's cases are phantoms of a chest, whose lungs are known voxel by voxel. The patients that
are dropped by hand are those that the pydicom package ships.
"""

import json
import shutil
import struct
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pydicom
import requests

from gcwatch.core.errors import StateError

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

ARCHIVE: Final = "ct-archive"
PHANTOM: Final = "phantom"
CHESTS: Final[Mapping[str, int]] = {"chest-1": 1, "chest-2": 2}
"""The archive's cases, and which phantom each one is."""

REFUSALS: Final[Mapping[str, str]] = {name: code for name, (_, code) in _REFUSED.items()}
"""The patients that can't be sent, and why."""

JOBS: Final = frozenset(("copy", name) for name in (*_COPIED, PHANTOM)) | {
    ("lungs", name) for name in CHESTS
}
"""The cases that become jobs, by route and folder."""

READ: Final = frozenset(("reading", name) for name in CHESTS)
"""The cases that become display sets."""

CASES: Final = len(JOBS) + len(READ) + len(REFUSALS)

_CONFIG: Final = """\
# Written by gcwatch demo. Go on with it: gcwatch --config gcwatch.toml status
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
name = "lungs"                      # each case of the archive through an algorithm
inbox = "archive"
outbox = "segmented"
algorithm = "segment-lungs"
reuse = true                        # what came from the platform is not uploaded again
settle = "500ms"
poll = "500ms"

[route.inputs]
"ct-image" = "images/ct-image/*"

[[route]]
name = "reading"                    # case and segmentation, side by side, for readers
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
name = "copy"                       # patients dropped by hand: one image in, the same image out
inbox = "copy/in"
outbox = "copy/out"
algorithm = "copy-image"
settle = "500ms"
poll = "500ms"
"""


@dataclass(frozen=True)
class Platform:
    """The running sandbox: where its API is, and where it can be told and asked everything."""

    url: str
    control: str

    @property
    def port(self) -> int | None:
        """Where it listens."""
        return urlsplit(self.url).port

    def state(self) -> dict[str, Any]:
        """Return all that the sandbox has and did."""
        state: dict[str, Any] = self._control("state")
        return state

    def fill_archive(self) -> None:
        """Put the cases into the archive that are there before anybody does anything."""
        for title, number in CHESTS.items():
            data = b64encode(mha(chest(number))).decode()
            values = {"ct-image": {"base64": data, "name": f"{title}.mha"}}
            self._control("add_item", archive=ARCHIVE, title=title, values=values)

    def _control(self, name: str, **arguments: Any) -> Any:
        reply = requests.post(f"{self.control}{name}", json=arguments, timeout=60)
        reply.raise_for_status()
        return reply.json()


@contextmanager
def sandbox(folder: Path) -> Iterator[Platform]:
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
            yield Platform(facts["url"], facts["control"])
        finally:
            process.terminate()


def write_config(folder: Path, platform: Platform) -> Path:
    """Write the demo's config and make its folders; return the file."""
    for name in ("archive", "segmented", "reading", "copy/in", "copy/out"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file = folder / "gcwatch.toml"
    file.write_text(_CONFIG.format(url=platform.url, archive=ARCHIVE))
    return file


def drop_patients(folder: Path) -> None:
    """Put patients into the inbox, as a scanner or a person would."""
    inbox = folder / "copy" / "in"
    for name, source in (*_COPIED.items(), *((n, s) for n, (s, _) in _REFUSED.items())):
        shutil.copytree(_PATIENTS / source, inbox / name)
    (inbox / PHANTOM).mkdir()
    (inbox / PHANTOM / "phantom.mha").write_bytes(mha(chest(0)))


# --- phantoms ------------------------------------------------------------------------------------

_SIZE: Final = (32, 32, 16)
_AIR, _TISSUE, _LUNG = -1000, 40, -850
_LUNGS: Final = ((10, 16), (22, 16))
_RADII: Final = (4, 8)


def chest(number: int) -> list[int]:
    """Given a number, return the CT numbers of the chest that has the lungs of this number."""
    width, height, depth = _SIZE
    places = product(range(depth), range(height), range(width))
    return [_voxel(x, y, z, 4 + number) for z, y, x in places]


def _voxel(x: int, y: int, z: int, length: int) -> int:
    width, height, depth = _SIZE
    if _distance(x, y, z, (width / 2, height / 2), (14, 12), depth) > 1:
        return _AIR
    if any(_distance(x, y, z, centre, _RADII, length) <= 1 for centre in _LUNGS):
        return _LUNG + (x * y + 37 * z) % 400
    return _TISSUE


def _distance(  # noqa: PLR0917 -- a point and an ellipsoid
    x: int,
    y: int,
    z: int,
    centre: tuple[float, float],
    radii: tuple[float, float],
    length: float,
) -> float:
    """How far a voxel is from an ellipsoid's centre: up to 1 it is inside."""
    across = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    return across + ((z - _SIZE[2] / 2) / length) ** 2


def raw(voxels: list[int]) -> bytes:
    """Given CT numbers, return them as 16-bit integers."""
    return struct.pack(f"<{len(voxels)}h", *voxels)


def lungs(voxels: list[int]) -> bytes:
    """Given CT numbers, return the segmentation that is right: 1 where a voxel is lung, else 0."""
    return bytes(voxel not in {_AIR, _TISSUE} for voxel in voxels)


def mha(voxels: list[int]) -> bytes:
    """Given CT numbers, return them as a MetaImage."""
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
    return "\n".join((*header, "")).encode() + raw(voxels)
