"""The receipt gcwatch.json: what was sent for a delivered case, and what came back."""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gcwatch.core.case import Case, Input, Submission, Target, Upload
from gcwatch.core.kinds import KIND_NAMES, PRODUCT_KEYS, Kind
from gcwatch.core.reasons import explain
from gcwatch.core.text import iso_time, readable_name

RECEIPT_NAME = "gcwatch.json"
"""Name of the receipt file in a result folder or in a mirrored item's folder."""

FAILURE_NOTE, CHANGE_NOTE = ".failed.txt", ".changed.txt"
"""Suffixes of the notes in an outbox: a case failed; a folder changed after it was delivered."""

RETRY_FILE, WITHDRAW_FILE = ".retry", ".withdraw"
"""Suffixes of operator files in an outbox: what to do with the case of that name."""

_KEY = re.compile("[a-z0-9-]{1,200}")
_LONGEST_FACT = 2000
"""Characters of a title or URL; the platform has no longer ones."""

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
        "source": _source(case),
        "inputs": _inputs(case),
        "outputs": _outputs(case),
        "warnings": [explain(reason).detail for reason in case.warnings],
        "not_taken": [explain(reason).detail for reason in case.not_taken],
        "times": _times(case, submission, now),
    }


def _times(case: Case, submission: Submission, now: float) -> dict[str, str]:
    """Return when what happened; nothing ends before it begins, also if the clock was set back."""
    settled = case.settled or case.found
    told = {
        "found": case.found,
        "settled": settled,
        "submitted": submission.submitted,
        "delivered": now,
    }
    # The clock was wrong before it was set, so the last times count.
    latest_first = itertools.accumulate(reversed(told.values()), min)
    return dict(zip(told, map(iso_time, reversed([*latest_first])), strict=True))


def _source(case: Case) -> dict[str, Any]:
    """Return what the folder was like, and which archive item it was, if any.

    `listing` covers its files' names, sizes and times.
    """
    seen = case.seen
    told = {"files": seen.files, "bytes": seen.bytes, "listing": seen.digest} if seen else {}
    return told | ({"archive_item_url": case.item} if case.item else {})


def is_receipt_of(receipt: Mapping[str, Any], case: Case, kind: str, slug: str) -> bool:
    """Whether a receipt says that a case's folder, as it is now, went to this target.

    It has the case's key, or it is of a folder with the same files. Receipts that were written
    before they named their source are recognised by the key only.
    """
    target, source = receipt.get("target"), receipt.get("source")
    if not isinstance(target, dict) or target.get(kind) != slug or not receipt_key(receipt):
        return False
    if receipt_key(receipt) == case.key:
        return True
    listing = source.get("listing") if isinstance(source, dict) else None
    return case.seen is not None and listing == case.seen.digest


def receipt_key(receipt: Mapping[str, Any]) -> str:
    """Given a receipt, return the key of its case; "" without one that gcwatch can have made."""
    key = receipt.get("key")
    return key if isinstance(key, str) and _KEY.fullmatch(key) else ""


def product_pk(receipt: Mapping[str, Any]) -> str:
    """Given a receipt, return the pk of its job, display set or archive item; "" without one."""
    target = receipt.get("target")
    told = target if isinstance(target, dict) else {}
    return next((str(told[key]) for key in PRODUCT_KEYS if key in told), "")


def target_of_receipt(receipt: Mapping[str, Any], kind: Kind) -> Target:
    """Given a receipt that names a target of this kind, return the target."""
    told = {key: str(value)[:_LONGEST_FACT] for key, value in receipt["target"].items()}
    url, title = told.get(f"{kind}_url", ""), told.get("title", "")
    return Target(pk="", api_url=url, slug=told[kind], kind=kind, title=title)


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
    files: dict[int | str, list[dict[str, Any]]] = {}
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
