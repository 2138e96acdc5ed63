"""The replies of both origins, before they are sent."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any


@dataclass
class Reply:
    """An HTTP reply.

    Attributes:
        status: HTTP status.
        body: The whole body, unless it is a file's.
        headers: Headers in addition to Content-Length, which is always sent.
        file: A file whose bytes are the body.
        start: First byte of the file that is sent.
        length: Bytes of the file that are sent.
        route: Path of the endpoint, with the names of its parameters.
        applied: Whether the call changed any state.
        cut_after_bytes: Bytes of the body after which the connection breaks; None for never.
        chunk_bytes: Bytes of the file between two pauses; 0 for no pauses.
        pause_seconds: Length of a pause, in real seconds.
        no_pauses: Ends the pauses when it is set.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    start: int = 0
    length: int = 0
    route: str = ""
    applied: bool = False
    cut_after_bytes: int | None = None
    chunk_bytes: int = 0
    pause_seconds: float = 0.0
    no_pauses: Event = field(default_factory=Event)

    @property
    def size(self) -> int:
        """Size of the body, in bytes."""
        return self.length if self.file else len(self.body)


class Refusal(Exception):
    """Ends the handling of a request with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(status: int, data: Any, **headers: str) -> Reply:
    """Make a reply with a JSON body."""
    body = json.dumps(data, ensure_ascii=False).encode()
    return Reply(status, body, {"Content-Type": "application/json", **headers})


def json_refusal(status: int, data: Any, **headers: str) -> Refusal:
    """Make an error with a JSON body, to be raised."""
    return Refusal(json_reply(status, data, **headers))


_TITLES = {403: "Forbidden", 404: "Not Found", 500: "Server Error", 502: "502 Bad Gateway"}


def html_reply(status: int) -> Reply:
    """Make an error page, as for unknown routes and internal errors (platform 1.10)."""
    title = _TITLES.get(status, f"Error {status}")
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def html_refusal(status: int) -> Refusal:
    """Make an error with an HTML body, to be raised."""
    return Refusal(html_reply(status))
