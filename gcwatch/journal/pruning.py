"""Old closed cases leave the journal: they are written to a file first.

What stays of each is its key and the pk of what it became, so that an audit takes nothing on the
platform or in an outbox for somebody else's. Only cases whose folder is gone from the inbox leave:
without its case, a folder would be sent again.
"""

import json
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from gcwatch.core.case import Case
from gcwatch.core.text import iso_time
from gcwatch.files.atomic import write_atomically
from gcwatch.journal.journal import Journal
from gcwatch.journal.rows import CASE, Recorded, encode, event_adapter

_DROPPED_AT_ONCE: Final = 200
_GZIP: Final = 31
"""The window of zlib that makes a gzip file."""


def prune_journal(journal: Journal, before: float, file: Path) -> int:
    """Write closed cases that ended *before* a time to a new file, then drop them; return how many.

    The file has one case a line, as JSON with its events, compressed with gzip; only its owner may
    read it. It is complete on the disk before the first case is dropped. Without such cases there
    is no file.

    Raises:
        OSError: when the file can't be written; then nothing is dropped.
        JournalUnavailable: when the journal can't be used at the moment.
    """
    cases = journal.prunable(before)
    first = next(cases, None)
    if first is None:
        return 0
    keys: list[str] = []
    write_atomically(file, _compressed(_lines(journal, first, cases, keys)))
    return sum(
        journal.drop(keys[start : start + _DROPPED_AT_ONCE], before)
        for start in range(0, len(keys), _DROPPED_AT_ONCE)
    )


def _lines(
    journal: Journal, first: Case, others: Iterator[Case], keys: list[str]
) -> Iterator[bytes]:
    """Yield a line for each case; remember its key."""
    for case in chain([first], others):
        keys.append(case.key)
        told = [_event(each) for each in journal.history(case.key)]
        line = {"case": json.loads(encode(CASE, case)), "events": told}
        yield json.dumps(line).encode() + b"\n"


def _event(each: Recorded) -> dict[str, Any]:
    facts = json.loads(encode(event_adapter(each.event.kind), each.event))
    return {"at": iso_time(each.at), "kind": each.event.kind, **facts}


def _compressed(lines: Iterator[bytes]) -> Iterator[bytes]:
    deflater = zlib.compressobj(wbits=_GZIP)
    yield from map(deflater.compress, lines)
    yield deflater.flush()
