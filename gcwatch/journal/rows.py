"""Cases and events as rows of the journal's tables."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from gcwatch.core import checklist
from gcwatch.core.case import Case
from gcwatch.core.clock import LATEST_SECONDS
from gcwatch.core.errors import JournalDamaged
from gcwatch.core.events import Event
from gcwatch.core.reasons import is_normal
from gcwatch.core.timing import Pace, due_time
from gcwatch.journal.packing import Json, Packed, parsed, unpack

CASE: TypeAdapter[Case] = TypeAdapter(Case)
_EVENTS: dict[str, type[Event]] = {event.kind: event for event in Event.__args__}

CASE_TABLE: Final[Sequence[str]] = (
    *("rowid", "key", "route", "folder", "newest", "open", "stage", "gone", "stamp"),
    *("submission", "due", "record", "notable", "listing", "bytes", "content"),
    *("touched", "command", "command_failed", "packed"),
)
"""All columns of the table of cases."""


@cache
def event_adapter(kind: str) -> TypeAdapter[Event]:
    """Given the kind of an event, return what reads and writes it."""
    # Made when it is first needed: `status` reads no events, and all of them take a while.
    return TypeAdapter(_EVENTS[kind])


def encode(adapter: TypeAdapter[Any], record: object) -> str:
    """As JSON in ASCII: undecodable file names survive as escaped surrogates."""
    return json.dumps(adapter.dump_python(record, mode="json"))


def decode_case(route: str, record: Json, packed: bytes | None) -> Case:
    """Given the route of a case and its record, or what is packed instead, return the case.

    Raises:
        JournalDamaged: when the record is none.
    """
    case: Case = _decode(CASE, record if packed is None else unpack_case(packed).record)
    # A record keeps the name that its route had when it was written.
    return case if case.route == route else replace(case, route=route)


def unpack_case(packed: bytes) -> Packed:
    """Given a packed case, return its record and its events; raise JournalDamaged if it is none."""
    try:
        return unpack(packed)
    except ValueError as error:
        raise _damaged() from error


def decode_event(at: Any, kind: str, record: Json) -> "Recorded":
    """Given an event's row, return the event; raise JournalDamaged if it is none."""
    if kind not in _EVENTS:
        raise _damaged()
    if not isinstance(at, float) or not 0 <= at <= LATEST_SECONDS:
        raise _damaged()
    return Recorded(at, _decode(event_adapter(kind), record))


def _decode(adapter: TypeAdapter[Any], record: Json) -> Any:
    try:
        return adapter.validate_python(parsed(record))
    # A disk that fails, or a person with an editor for databases, leaves any text.
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged() from error


def _damaged() -> JournalDamaged:
    return JournalDamaged("", "one of its records can't be read")


@dataclass(frozen=True)
class Recorded:
    """One event of a case's history and its time."""

    at: float
    event: Event


@dataclass(frozen=True)
class Known:
    """What a scan needs of a folder's latest case; `stamp` is the folder's last change time."""

    key: str
    is_open: bool
    stage: str
    gone: bool
    stamp: int


def _is_notable(case: Case) -> bool:
    """Whether a closed case is more than done: it failed, or something about it is odd."""
    is_odd = case.is_to_check or not all(map(is_normal, case.warnings))
    return case.ending == "failed" or (case.ending == "delivered" and is_odd)


def case_row(case: Case, pace: Pace) -> dict[str, Any]:
    """Given a case and its route's pace, return its row: its record, and the columns of queries."""
    seen = case.last_seen
    return {
        "key": case.key,
        "route": case.route,
        "folder": os.fsencode(case.folder),
        "open": int(case.is_open),
        "stage": checklist.stage(case),
        "gone": int(case.gone),
        "stamp": seen.stamp if seen else 0,
        "submission": case.submission.pk if case.submission else None,
        "due": due_time(case, pace),
        "record": encode(CASE, case),
        "notable": int(_is_notable(case)),
        "listing": seen.digest if seen else None,
        "bytes": seen.bytes if seen else -1,
        "content": case.content or None,
        "touched": case.touched,
        "command": int(checklist.next_step(case) is checklist.Step.COMMAND),
        "command_failed": int(checklist.has_failed_command(case)),
    }
