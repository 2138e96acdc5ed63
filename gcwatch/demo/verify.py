"""Verify a demo: compare the files on disk with the records of the sandbox.

Results are compared byte by byte, images voxel by voxel, and failures by their reason codes.
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
from gcwatch.demo.phantoms import encode_voxels, make_chest, segment_lungs
from gcwatch.demo.setup import ARCHIVE_CASES, DISPLAY_SET_CASES, JOB_CASES, PHANTOM, REFUSALS

Cases = Mapping[tuple[str, str], Case]
"""The latest case of each folder, by route and folder."""

State = Mapping[str, Any]
"""All records of the sandbox."""

OUTBOXES: Mapping[str, str] = {"lungs": "segmented", "reading": "reading", "copy": "copy/out"}
"""The outbox of each route, below the demo's folder."""


def find_problems(folder: Path, cases: Cases, state: State) -> Iterator[str]:
    """Compare a demo's folder and cases with the sandbox's records; yield a sentence a problem."""
    if (count := len(state["jobs"])) != len(JOB_CASES):
        yield f"{count} jobs were made for {len(JOB_CASES)} folders."
    if (count := len(state["display_sets"])) != len(DISPLAY_SET_CASES):
        yield f"{count} display sets were made for {len(DISPLAY_SET_CASES)} folders."
    for name in ARCHIVE_CASES:
        yield from (f"archive/{name}: {wrong}" for wrong in _check_mirrored(folder, name, state))
    for case in sorted(JOB_CASES | DISPLAY_SET_CASES):
        yield from (
            "/".join(case) + f": {wrong}" for wrong in _check_case(folder, cases, case, state)
        )
    for name, code in sorted(REFUSALS.items()):
        yield from _check_failure_note(
            folder / "copy" / "out", cases.get(("copy", name)), name, code
        )


def _check_mirrored(folder: Path, name: str, state: State) -> Iterator[str]:
    """Check that a case of the archive is mirrored, with the same files and voxels."""
    item = _find_item(name, state)
    here = folder / "archive" / name
    if item is None or not (here / RECEIPT_NAME).exists():
        yield "is not mirrored"
        return
    if _read_receipt(here)["target"]["item"] != item["pk"]:
        yield "is another item"
    yield from _compare_files(here, item["values"])
    yield from _compare_voxels(
        here / "images" / "ct-image", encode_voxels(make_chest(ARCHIVE_CASES[name]))
    )


def _find_item(name: str, state: State) -> Mapping[str, Any] | None:
    return next((item for item in state["items"] if item["title"] == name), None)


def _check_case(folder: Path, cases: Cases, which: tuple[str, str], state: State) -> Iterator[str]:
    """Check that a case is delivered, and that its results are those on the platform."""
    route, name = which
    case = cases.get(which)
    made = {each["pk"]: each for each in (*state["jobs"], *state["display_sets"])}
    if case is None or case.ending != "delivered" or case.submission is None:
        yield f"is not delivered: {stage(case) if case else 'not found'}."
    elif case.submission.pk not in made:
        yield f"the platform knows no {case.submission.pk}."
    else:
        result, record = folder / OUTBOXES[route] / case.result, made[case.submission.pk]
        yield from _compare_files(result, record.get("outputs", ()))
        yield from _CHECKS[route](result, record, name, state)


def _check_copy(result: Path, _record: State, name: str, _state: State) -> Iterator[str]:
    if name == PHANTOM:
        yield from _compare_voxels(result, encode_voxels(make_chest(0)))


def _check_segmentation(result: Path, record: State, name: str, state: State) -> Iterator[str]:
    """Check the segmentation, the count, and that the archive's image was not uploaded again."""
    expected = segment_lungs(make_chest(ARCHIVE_CASES[name]))
    yield from _compare_voxels(result / "images" / "segmentation", expected)
    count = json.loads((result / "voxel-count.json").read_bytes())
    if count != sum(expected):
        yield f"{count} voxels were counted instead of {sum(expected)}"
    item = _find_item(name, state)
    if item and _image_pks(record["inputs"]).items() != _image_pks(item["values"]).items():
        yield "the archive's image was not used as it is"


def _check_display_set(_result: Path, record: State, name: str, state: State) -> Iterator[str]:
    """Check that the display set shows a case of the archive with its job's segmentation."""
    item, seen = _find_item(name, state), _image_pks(record["values"])
    made = [
        _image_pks([*job["inputs"], *job["outputs"]])
        for job in state["jobs"]
        if item and _image_pks(job["inputs"]) == _image_pks(item["values"])
    ]
    if seen not in made:
        yield "the display set does not show the case beside its segmentation"


_CHECKS = {"copy": _check_copy, "lungs": _check_segmentation, "reading": _check_display_set}


def _image_pks(values: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the pks of the images in some values, by socket slug."""
    return {value["socket"]: value["image"] for value in values if value["image"]}


def _read_receipt(folder: Path) -> Any:
    return json.loads((folder / RECEIPT_NAME).read_bytes())


def _compare_files(result: Path, outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield each file of a result folder that differs from the platform's value."""
    listed = {output["socket"]: output["files"] for output in _read_receipt(result)["outputs"]}
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


def _compare_voxels(folder: Path, voxels: bytes) -> Iterator[str]:
    """Check that the only image below a folder has these voxels."""
    images = list(folder.rglob("*.mha"))
    if len(images) != 1 or _read_voxels(images[0]) != voxels:
        yield "the image is not what it should be"


def _read_voxels(image: Path) -> bytes:
    header, _, data = image.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    return zlib.decompress(data) if b"CompressedData = True" in header else data


def _check_failure_note(outbox: Path, case: Case | None, name: str, code: str) -> Iterator[str]:
    """Check that a refused patient has the expected reason and a failure note that explains it."""
    if case is None or case.failure is None or case.failure.code != code:
        found = case.failure.code if case and case.failure else "no failure"
        yield f"copy/{name}: must be refused as {code}, found {found}"
        return
    note = outbox / f"{name}.failed.txt"
    if not note.exists() or explain(case.failure).plain not in note.read_text():
        yield f"copy/{name}: {note.name} does not explain it"
