"""Closed cases take less room: a case's record and its events become one compressed value.

The words that nearly every case has are in a dictionary (zlib's `zdict`), so that short texts
shrink, too. A packed value tells which dictionary it needs; a dictionary never changes.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

_DICTIONARIES: Final = {
    1: (
        b'["folder_changed_late", {"snapshot": {["folder_removed", {}]["folder_returned", {}]'
        b'["attempt_failed", {"reason": {"code": "postponed"["still_running", {"status": "Queued"}]'
        b'["warning_found"["rejected", {"reason": {"code": "", "facts": {["failure_reported", {}]'
        b'["withdrawn", {"request": ""}]["retried", {"even_if_same": true}]["item_filled", {}]'
        b'"ending": "failed""ending": "withdrawn""kind": "reader_study""kind": "archive"'
        b'["folder_found", {"route": "", "folder": "", "even_if_same": false}], '
        b'["folder_changed", {"snapshot": {"digest": "", "files": 1, "bytes": , "stamp": 179'
        b', "latest": 179, "changing": 0, "moved": 0, "copies": null}, "uptime": {"boot": "'
        b'-4, "seconds": }}], ["folder_settled", {}], ["content_identified", {"content": ""}], '
        b'["planned", {"inputs": [{"socket": "generic-medical-image", "carrier": "image", '
        b'"pattern": "**/*", "value": null, "image": "", "uploads": 1}], "target": {"pk": "'
        b'", "api_url": "https://grand-challenge.org/api/v1/algorithms//", "slug": "", '
        b'"expected": 0.0, "kind": "algorithm", "title": "", "order": null}, "why": "", '
        b'"pseudonym": "", "not_taken": [], "row": ""}], ["upload_started", {"upload": {"socket": "'
        b'", "pk": "", "s3_upload_id": "", "api_url": "https://grand-challenge.org/api/v1/uploads//'
        b'", "filename": "-1-01.zip", "size": , "part_size": 16777216, "created": 179, "files": 1, '
        b'"left_out": 0, "sha256": "", "completed": false, "forecast": {"shape": [512, 512], '
        b'"color_space": "GRAY", "voxel_sizes": [1.0, 1.0, 1.0], "times": null, "pixel_type": '
        b'"int16", "order": []}}}], ["upload_completed", {"pk": "", "sha256": ""}], '
        b'["session_created", {"socket": "", "session": "https://grand-challenge.org/api/v1/cases/'
        b'upload-sessions//"}], ["submission_attempted", {"jobs": null, "images": [], "uptime": '
        b'{"boot": "", "seconds": }}], ["submitted", {"pk": "", "url": "https://grand-challenge.org'
        b'/algorithms//jobs//", "filled": true}], ["succeeded", {"outputs": [{"pk": 1, "socket": "'
        b'results-json-file", "carrier": "value", "path": ".json", "url": "", "value": {"score": }}'
        b', {"pk": , "socket": "", "carrier": "image", "path": "images/", "url": '
        b'"https://grand-challenge.org/api/v1/cases/images//", "value": null}], "images": {"": '
        b'"https://grand-challenge.org/api/v1/cases/images//"}}], ["output_fetched", {"files": '
        b'[{"output": , "path": ".mha", "size": , "sha256": "", "odd": ""}]}], ["delivered", '
        b'{"folder": "", "source": "kept", "command": false}]]{"key": "", "route": "", "folder": "'
        b'", "found": 179, "touched": 179, "round": 1, "seen": {"digest": "", "files": 1, "bytes": '
        b', "stamp": 179, "latest": 179, "changing": 0, "moved": 0, "copies": null}, "changed": 179'
        b', "quiet_since": {"boot": "", "seconds": }, "copying": null, "settled": 179, "inputs": [{'
        b'"socket": "", "carrier": "image", "pattern": "**/*", "value": null, "image": "", '
        b'"uploads": 1}], "target": {"pk": "", "api_url": "", "slug": "", "expected": 0.0, "kind": '
        b'"algorithm", "title": "", "order": null}, "uploads": [{"socket": "", "pk": "", '
        b'"s3_upload_id": "", "api_url": "", "filename": "", "size": , "part_size": 16777216, '
        b'"created": 179, "files": 1, "left_out": 0, "sha256": "", "completed": true, "forecast": '
        b'{"shape": [], "color_space": "GRAY", "voxel_sizes": [], "times": null, "pixel_type": "", '
        b'"order": []}}], "sessions": {"": ""}, "attempt": {"at": 179, "jobs": null, "images": [], '
        b'"uptime": {"boot": "", "seconds": }}, "submission": {"pk": "", "url": "", "submitted": '
        b'179, "parent": "", "filled": true}, "status": "", "images": {"": ""}, "warnings": [], '
        b'"outputs": [{"pk": , "socket": "", "carrier": "value", "path": "", "url": "", "value": '
        b'}], "fetched": [{"output": , "path": "", "size": , "sha256": "", "odd": ""}], "failure": '
        b'null, "ending": "delivered", "result": "", "adopted": "", "gone": false, "attempts": 0, '
        b'"wait": null, "late": null, "request": "", "content": "", "pseudonym": "", '
        b'"even_if_same": false, "command": null, "not_taken": [], "row": ""}'
    ),
}
"""By number; only ever add one. The most frequent words stand at the end, as zlib wants them."""
_NEWEST: Final = max(_DICTIONARIES)
_MAX_BYTES: Final = 64 << 20
"""Far above any case: 1000 outputs with their events are 1 MB."""


Json = str | Mapping[str, Any]
"""A record of the journal: its text, or what the text means where that is known already."""


class EventRow(NamedTuple):
    """A row of the table of events, without the key of its case."""

    number: int
    at: float
    kind: str
    record: Json


class Packed(NamedTuple):
    """A case's record and its events, oldest first."""

    record: Json
    events: Sequence[EventRow]


def parsed(record: Json) -> Any:
    """Return what a record means; raise ValueError if its text is no JSON."""
    return json.loads(record) if isinstance(record, str) else record


def pack(record: str, events: Sequence[EventRow]) -> bytes:
    """Return a case's record (JSON) and its events as one value, which `unpack` takes."""
    deflater = zlib.compressobj(level=9, wbits=-15, zdict=_DICTIONARIES[_NEWEST])
    told = [[each.number, each.at, [each.kind, parsed(each.record)]] for each in events]
    text = json.dumps([told, json.loads(record)]).encode()
    return bytes([_NEWEST]) + deflater.compress(text) + deflater.flush()


def unpack(packed: bytes) -> Packed:
    """Return what `pack` was given, parsed; raise ValueError if it is nothing of the kind."""
    try:
        inflater = zlib.decompressobj(wbits=-15, zdict=_DICTIONARIES[packed[0]])
        told, record = json.loads(inflater.decompress(packed[1:], _MAX_BYTES))
        rows = [EventRow(number, at, kind, event) for number, at, (kind, event) in told]
    except (IndexError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(str(error)) from error
    return Packed(record, rows)
