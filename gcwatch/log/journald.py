"""Log events as entries of journald (systemd's log), each fact in a field of its own.

With fields, `journalctl -u gcwatch GCWATCH_CASE=lobes-7f3k2q9d` finds all entries of a case. The
protocol is https://systemd.io/JOURNAL_NATIVE_PROTOCOL: the fields are one datagram; if that would
be too large, they are in a sealed memory file, and the datagram passes its descriptor.
"""

import array
import errno
import fcntl
import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID, uuid5

SOCKET = Path("/run/systemd/journal/socket")
PATIENCE_SECONDS = 0.1
"""Maximum wait if journald takes no entry; after that the entry is lost."""

_NAMESPACE = UUID("ab65752c-22c5-4b01-8c88-d3ab4997fc46")
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

# journald has fields of its own for these.
_NO_FIELDS = ("time", "level")


def is_journald_stream(stream: TextIO) -> bool:
    """Given a stream, return whether it leads to journald, as systemd says in JOURNAL_STREAM."""
    # Child processes inherit the variable and may write elsewhere, so compare the file, too.
    try:
        status = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def message_id(event: str) -> str:
    """Given an event's name, return its MESSAGE_ID: 32 hex digits that never change."""
    return uuid5(_NAMESPACE, event).hex


def entry_fields(line: Mapping[str, Any], sentence: str) -> dict[str, str]:
    """Given an event as a log line, and as a sentence, return the fields of its entry.

    A list becomes a field of several lines; a fact that is None is left out.
    """
    facts = {key: value for key, value in line.items() if key not in _NO_FIELDS}
    return {
        "MESSAGE": _message(line, sentence),
        "PRIORITY": str(_PRIORITIES.get(line["level"], 6)),
        "MESSAGE_ID": message_id(line["event"]),
        "SYSLOG_IDENTIFIER": "gcwatch",
        **{_name(key): _text(value) for key, value in facts.items() if value is not None},
    }


def encode_fields(fields: Mapping[str, str]) -> bytes:
    """Given fields, return them in journald's format; a value may hold any character."""
    return b"".join(
        _encode_field(name, value.encode(errors="backslashreplace"))
        for name, value in fields.items()
    )


def send_entry(fields: Mapping[str, str], journald_socket: Path = SOCKET) -> None:
    """Given fields, write an entry.

    Raises:
        TimeoutError: journald took nothing for `PATIENCE_SECONDS`.
        OSError: journald does not listen at this socket.
    """
    data = encode_fields(fields)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.settimeout(PATIENCE_SECONDS)
        try:
            out.sendto(data, str(journald_socket))
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            _send_file(out, data, journald_socket)


def _send_file(out: socket.socket, data: bytes, journald_socket: Path) -> None:
    """Send the data as a memory file, sealed: journald accepts only what nobody can change."""
    descriptor = os.memfd_create("gcwatch", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(data)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))
        out.sendmsg([], [rights], 0, str(journald_socket))


def _encode_field(name: str, value: bytes) -> bytes:
    """Return `NAME=value`, or for a value with a newline: name, length, value."""
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)


def _name(key: str) -> str:
    """Return a field name: upper case, digits and underscores, at most 64 characters."""
    return re.sub(r"[^A-Z0-9_]", "_", f"GCWATCH_{key.upper()}")[:64]


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return "\n".join(_text(item) for item in value)
        case _:
            return json.dumps(value)


def _message(line: Mapping[str, Any], sentence: str) -> str:
    """Return `lobes-7f3k2q9d: The job exists (job 12).`, with a reason's plain words behind it."""
    where = line.get("case") or line.get("route")
    return " ".join(filter(None, [f"{where}:" if where else "", sentence, line.get("plain")]))
