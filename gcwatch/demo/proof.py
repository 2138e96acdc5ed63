"""The proof that the demo came true: what stands on disk against what the platform says it has.

Results are compared byte by byte, images voxel by voxel, and refusals with their reasons.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gcwatch.core.case import Case
from gcwatch.core.checklist import stage
from gcwatch.core.reasons import explain
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.demo.scene import CHESTS, JOBS, PHANTOM, READ, REFUSALS, chest, lungs, raw

Cases = Mapping[tuple[str, str], Case]
"""Each folder's latest case, by route and folder."""

State = Mapping[str, Any]
"""All that the sandbox has and did."""

OUTBOXES: Mapping[str, str] = {"lungs": "segmented", "reading": "reading", "copy": "copy/out"}
"""Where the results of each route are."""


def problems(folder: Path, cases: Cases, state: State) -> Iterator[str]:
    """Given a demo's folder, its cases and the sandbox's state, yield what is wrong."""
    if len(state["jobs"]) != len(JOBS):
        yield f"{len(state['jobs'])} jobs were made for {len(JOBS)} folders."
    if len(state["display_sets"]) != len(READ):
        yield f"{len(state['display_sets'])} display sets were made for {len(READ)} folders."
    for name in CHESTS:
        yield from (f"archive/{name}: {wrong}" for wrong in _mirrored(folder, name, state))
    for case in sorted(JOBS | READ):
        yield from ("/".join(case) + f": {wrong}" for wrong in _case(folder, cases, case, state))
    for name, code in sorted(REFUSALS.items()):
        yield from _unexplained(folder / "copy" / "out", cases.get(("copy", name)), name, code)


def _mirrored(folder: Path, name: str, state: State) -> Iterator[str]:
    """An item of the archive must be here with the file and the voxels that it has there."""
    item = _item(name, state)
    here = folder / "archive" / name
    if item is None or not (here / RECEIPT_NAME).exists():
        yield "is not mirrored"
        return
    if _receipt(here)["target"]["item"] != item["pk"]:
        yield "is another item"
    yield from _differences(here, item["values"])
    yield from _other_voxels(here / "images" / "ct-image", raw(chest(CHESTS[name])))


def _item(name: str, state: State) -> Mapping[str, Any] | None:
    return next((item for item in state["items"] if item["title"] == name), None)


def _case(folder: Path, cases: Cases, which: tuple[str, str], state: State) -> Iterator[str]:
    """A case must be delivered, and be on the platform what its receipt says."""
    route, name = which
    case = cases.get(which)
    made = {each["pk"]: each for each in (*state["jobs"], *state["display_sets"])}
    if case is None or case.ending != "delivered" or case.submission is None:
        yield f"is not delivered: {stage(case) if case else 'not found'}."
    elif case.submission.pk not in made:
        yield f"the platform knows no {case.submission.pk}."
    else:
        here, there = folder / OUTBOXES[route] / case.result, made[case.submission.pk]
        yield from _differences(here, there.get("outputs", ()))
        yield from _CHECKS[route](here, there, name, state)


def _copied(here: Path, _there: State, name: str, _state: State) -> Iterator[str]:
    if name == PHANTOM:
        yield from _other_voxels(here, raw(chest(0)))


def _segmented(here: Path, there: State, name: str, state: State) -> Iterator[str]:
    """The lungs must be the phantom's, made of the archive's own image."""
    right = lungs(chest(CHESTS[name]))
    yield from _other_voxels(here / "images" / "segmentation", right)
    count = json.loads((here / "voxel-count.json").read_bytes())
    if count != sum(right):
        yield f"{count} voxels were counted instead of {sum(right)}"
    item = _item(name, state)
    if item and _images(there["inputs"]).items() != _images(item["values"]).items():
        yield "the archive's image was not used as it is"


def _read(_here: Path, there: State, name: str, state: State) -> Iterator[str]:
    """Readers must see an item of the archive beside what a job made of it."""
    item, seen = _item(name, state), _images(there["values"])
    made = [
        _images([*job["inputs"], *job["outputs"]])
        for job in state["jobs"]
        if item and _images(job["inputs"]) == _images(item["values"])
    ]
    if seen not in made:
        yield "the display set does not show the case beside its segmentation"


_CHECKS = {"copy": _copied, "lungs": _segmented, "reading": _read}


def _images(values: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the images that sockets hold, by their pks."""
    return {value["socket"]: value["image"] for value in values if value["image"]}


def _receipt(folder: Path) -> Any:
    return json.loads((folder / RECEIPT_NAME).read_bytes())


def _differences(result: Path, outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Given a folder and what the platform has for it, yield where the two differ."""
    listed = {output["socket"]: output["files"] for output in _receipt(result)["outputs"]}
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


def _other_voxels(folder: Path, voxels: bytes) -> Iterator[str]:
    """The one image below a folder must have these voxels."""
    images = list(folder.rglob("*.mha"))
    if len(images) != 1 or _voxels(images[0]) != voxels:
        yield "the image is not what it should be"


def _voxels(image: Path) -> bytes:
    header, _, data = image.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    return zlib.decompress(data) if b"CompressedData = True" in header else data


def _unexplained(outbox: Path, case: Case | None, name: str, code: str) -> Iterator[str]:
    """A patient that can't be sent must have failed for its reason, in words, in the outbox."""
    if case is None or case.failure is None or case.failure.code != code:
        found = case.failure.code if case and case.failure else "no failure"
        yield f"copy/{name}: must be refused as {code}, found {found}"
        return
    note = outbox / f"{name}.failed.txt"
    if not note.exists() or explain(case.failure).plain not in note.read_text():
        yield f"copy/{name}: {note.name} does not explain it"
