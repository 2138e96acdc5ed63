"""systemd's journal, spoken to natively: one event, one entry with fields of its own.

`journalctl -u gcwatch GCWATCH_CASE=lobes-7f3k2q9d` finds what a line of JSON in MESSAGE would hide.
The protocol is systemd.io/JOURNAL_NATIVE_PROTOCOL: fields in a datagram, or, if it would be too
large, in a sealed memory file whose descriptor is the datagram.
"""

import array
import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID, uuid5

SOCKET = Path("/run/systemd/journal/socket")
PATIENCE = 0.1
"""Seconds that a full journal may hold up the work before the entry is lost."""

_NAMESPACE = UUID("ab65752c-22c5-4b01-8c88-d3ab4997fc46")
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

# Told by the journal itself, or told better by another field or as the sentence's own words.
_NO_FIELDS = ("time", "level")
_UNSAID = (*_NO_FIELDS, "event", "route", "case", "frames", "reason", "plain", "detail")


def is_output(stream: TextIO) -> bool:
    """Given a stream, return whether it leads into the journal: systemd says so of its services.

    The variable alone proves nothing: children inherit it, and may write elsewhere.
    """
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def message_id(event: str) -> str:
    """Given an event's name, return its MESSAGE_ID: 32 hex digits, the same for ever."""
    return uuid5(_NAMESPACE, event).hex


def entry(line: Mapping[str, Any], meaning: str) -> dict[str, str]:
    """Given an event as a line of the log has it, and what it means, return the journal's fields.

    A list becomes a field of several lines; what is None is left out.
    """
    facts = {key: value for key, value in line.items() if key not in _NO_FIELDS}
    return {
        "MESSAGE": _sentence(line, meaning),
        "PRIORITY": str(_PRIORITIES.get(line["level"], 6)),
        "MESSAGE_ID": message_id(line["event"]),
        "SYSLOG_IDENTIFIER": "gcwatch",
        **{_name(key): _text(value, "\n") for key, value in facts.items() if value is not None},
    }


def encoded(fields: Mapping[str, str]) -> bytes:
    """Given fields, return them as the journal reads them; a value may hold anything."""
    return b"".join(
        _encoded(name, value.encode(errors="backslashreplace")) for name, value in fields.items()
    )


def send(fields: Mapping[str, str], journal: Path = SOCKET) -> None:
    """Given fields, make an entry of them.

    Raises:
        TimeoutError: The journal is full and took nothing for `PATIENCE` seconds.
        OSError: There is no journal at this place.
    """
    data = encoded(fields)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.settimeout(PATIENCE)
        try:
            out.sendto(data, str(journal))
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            _send_file(out, data, journal)


def _send_file(out: socket.socket, data: bytes, journal: Path) -> None:
    """The journal reads a memory file only if nobody can change it any more."""
    descriptor = os.memfd_create("gcwatch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(data)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))
        out.sendmsg([], [rights], 0, str(journal))


def _encoded(name: str, value: bytes) -> bytes:
    """`NAME=value`; with a newline in the value, its length goes before it instead."""
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)


def _name(key: str) -> str:
    """Upper case, digits and underscores, at most 64 characters: the journal drops others."""
    return re.sub(r"[^A-Z0-9_]", "_", f"GCWATCH_{key.upper()}")[:64]


def _text(value: Any, between: str) -> str:
    match value:
        case str():
            return value
        case list():
            return between.join(_text(item, between) for item in value)
        case _:
            return json.dumps(value)


def _sentence(line: Mapping[str, Any], meaning: str) -> str:
    """`lobes-7f3k2q9d: The job exists (job 12).`, and the reason in plain words if there is one."""
    facts = ", ".join(_facts(line))
    told = f"{meaning.removesuffix('.')} ({facts})." if facts else meaning
    where = line.get("case") or line.get("route")
    return " ".join(filter(None, [f"{where}:" if where else "", told, line.get("plain")]))


def _facts(line: Mapping[str, Any]) -> Iterator[str]:
    for key, value in line.items():
        if key not in _UNSAID and value not in (None, "", []):
            counted = isinstance(value, int | float) and key.endswith("s")
            name, said = key.replace("_", " "), _text(value, ", ")
            yield f"{said} {name}" if counted else f"{name} {said}"
