"""The receipt gcwatch.json: what was sent for a delivered case, and what came back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gcwatch.core.case import Case, Input, Submission, Upload
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.reasons import explain
from gcwatch.core.text import iso_time, readable_name

RECEIPT_NAME = "gcwatch.json"
"""Name of the receipt file in a result folder or in a mirrored item's folder."""

FORMAT = 1
"""Version of the receipt's layout; a reader may rely on its keys."""


def make_receipt(case: Case, platform: str, version: str, now: float) -> Mapping[str, Any]:
    """Given a case whose outputs are all on disk, return its receipt, ready for JSON."""
    submission = case.submission
    assert submission is not None, "only what was submitted is delivered"
    return {
        "format": FORMAT,
        "gcwatch": version,
        "route": case.route,
        "folder": readable_name(case.folder),
        "key": case.key,
        "round": case.round,
        "target": _target(case, submission, platform),
        "inputs": _inputs(case),
        "outputs": _outputs(case),
        "warnings": [explain(reason).detail for reason in case.warnings],
        "times": {
            "found": iso_time(case.found),
            "settled": iso_time(case.settled or case.found),
            "submitted": iso_time(submission.submitted),
            "delivered": iso_time(now),
        },
    }


def _target(case: Case, submission: Submission, platform: str) -> dict[str, Any]:
    target = case.target
    assert target is not None, "what is submitted has a target"
    made = KIND_NAMES[target.kind].product_key
    named = {"title": target.title} if target.title else {}
    return {
        "platform": platform,
        target.kind: target.slug,
        f"{target.kind}_url": target.api_url,
        made: submission.pk,
        f"{made}_url": submission.url,
        **named,
    }


def _inputs(case: Case) -> list[dict[str, Any]]:
    return [_input(case, item) for item in case.inputs or ()]


def _input(case: Case, item: Input) -> dict[str, Any]:
    entry: dict[str, Any] = {"socket": item.socket, "carrier": item.carrier}
    if image := item.image or case.images.get(item.socket):
        entry["image"] = image
    if item.is_uploaded:
        return entry | _sent([each for each in case.uploads if each.socket == item.socket])
    if item.image:
        return entry | {"reused": True}
    text = json.dumps(item.value).encode()
    digest = hashlib.sha256(text).hexdigest()
    return entry | {"value": item.value, "size": len(text), "sha256": digest}


def _sent(uploads: Sequence[Upload]) -> dict[str, Any]:
    """Return what was sent for a socket; each file of a DICOM image set has its own digest."""
    if len(uploads) != 1:
        files = [{"sent_as": u.filename, "size": u.size, "sha256": u.sha256} for u in uploads]
        return {
            "size": sum(upload.size for upload in uploads),
            "files": len(uploads),
            "sent": files,
        }
    [upload] = uploads
    return {
        "sent_as": upload.filename,
        "size": upload.size,
        "sha256": upload.sha256,
        "files": upload.files,
        "left_out": upload.left_out,
    }


def _outputs(case: Case) -> list[dict[str, Any]]:
    files: dict[int, list[dict[str, Any]]] = {}
    for file in case.fetched:
        entry: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.sha256}
        if file.odd:
            entry["odd"] = file.odd
        files.setdefault(file.output, []).append(entry)
    return [
        {
            "socket": output.socket,
            "carrier": output.carrier,
            "pk": output.pk,
            "url": output.url,
            "files": files.get(output.pk, []),
        }
        for output in case.outputs or ()
    ]
