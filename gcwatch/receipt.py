"""What a receipt says: everything of a delivered case, for people and for programs."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gcwatch.cases import Case

FORMAT = 1

_UNDECODED = re.compile("[\udc80-\udcff]")
"""What Python makes of a name's bytes that are no UTF-8."""


def iso(at: float) -> str:
    """Given seconds since the epoch, return the time in UTC as ISO 8601, to the second."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def readable(name: str) -> str:
    """Given a file name, return it as text that any program can read, whatever its bytes are."""
    bytes_shown = _UNDECODED.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", name)
    return bytes_shown.encode("utf-8", "backslashreplace").decode()


def receipt(case: Case, platform: str, version: str, now: float) -> Mapping[str, Any]:
    """Given a case whose outputs are all on disk, return its receipt (design, section 4)."""
    job, target = case.job, case.target
    assert job is not None, "only a job has results"
    assert target is not None, "a job has a target"
    return {
        "format": FORMAT,
        "gcwatch": version,
        "route": case.route,
        "folder": readable(case.folder),
        "key": case.key,
        "round": case.round,
        "target": {
            "platform": platform,
            "algorithm": target.slug,
            "algorithm_url": target.api_url,
            "job": job.pk,
            "job_url": job.url,
        },
        "inputs": _inputs(case),
        "outputs": _outputs(case),
        "times": {
            "found": iso(case.found),
            "settled": iso(case.settled or case.found),
            "submitted": iso(job.submitted),
            "delivered": iso(now),
        },
    }


def _inputs(case: Case) -> list[dict[str, Any]]:
    sent = {upload.socket: upload for upload in case.uploads}
    inputs = []
    for item in case.inputs or ():
        entry: dict[str, Any] = {"socket": item.socket, "carrier": item.carrier}
        if item.socket in sent:
            upload = sent[item.socket]
            entry |= {
                "sent_as": upload.filename,
                "size": upload.size,
                "sha256": upload.sha256,
                "files": upload.files,
                "left_out": upload.left_out,
            }
        else:
            text = json.dumps(item.value).encode()
            digest = hashlib.sha256(text).hexdigest()
            entry |= {"value": item.value, "size": len(text), "sha256": digest}
        inputs.append(entry)
    return inputs


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
