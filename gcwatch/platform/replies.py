"""Reads the platform's replies to API calls: their JSON, or the error that their status is."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import requests
from pydantic_core import from_json

from gcwatch.core.case import LONGEST_WAIT_SECONDS
from gcwatch.core.errors import NotYet, Refused, TokenRefused, Unreachable
from gcwatch.core.reasons import Reason
from gcwatch.platform.models import wrong_answer

MOST_ANSWER_VALUES = 1_000_000
"""Commas and brackets in an answer: what is small as text can be large in memory."""
READING_METHODS = frozenset({"GET", "OPTIONS"})
"""Methods that change nothing."""
_BUSY_SECONDS = 60.0
"""The wait if a 429 names none."""
_SHORTEST_BUSY_SECONDS = 1.0
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+")


def read_reply(call: str, method: str, response: requests.Response, content: bytes) -> Any:
    """Given a reply of the API and its body, return its JSON, or raise its status as an error."""
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise busy_error(response.headers)
    body, doubt = _json_or_none(content), method not in READING_METHODS
    if status == HTTPStatus.UNAUTHORIZED:
        raise TokenRefused("; ".join(_error_sentences(response, body)))
    if body is None and status < 300:
        raise wrong_answer(call, f"status {status} without JSON", doubt=doubt)
    if status >= 500 or 300 <= status < 400:
        reason = Reason("server_error", {"call": call, "status": status})
        raise Unreachable(reason, doubt=doubt)
    if status >= 400:
        fields = body if isinstance(body, dict) else ()
        raise Refused(call, status, _error_sentences(response, body), fields)
    return body


def _error_sentences(response: requests.Response, body: Any) -> list[str]:
    """Given an error's body, return its sentences without the token or a signed URL's query."""
    # A proxy may repeat the request in its error, and the sentences are kept in the journal.
    token = response.request.headers.get("Authorization", "").rpartition(" ")[2]
    found = [each.replace(token, "[hidden]") if token else each for each in _collect_messages(body)]
    return [_QUERY.sub(r"\1?[hidden]", message) for message in found]


def busy_error(headers: Mapping[str, str]) -> NotYet:
    """Given the headers of a reply with status 429, return the error with the seconds to wait."""
    asked = headers.get("Retry-After", "")
    # More digits than these are no number of seconds that anybody means.
    wait = float(asked[:20]) if re.fullmatch("[0-9]+", asked) else _BUSY_SECONDS
    if wait <= LONGEST_WAIT_SECONDS:
        wait = max(wait, _SHORTEST_BUSY_SECONDS)
        return NotYet(Reason("busy", {"seconds": wait, "message": "429"}), wait)
    facts = {"asked": _long_span(wait), "seconds": LONGEST_WAIT_SECONDS}
    return NotYet(Reason("busy_long", facts), LONGEST_WAIT_SECONDS)


def _long_span(seconds: float) -> str:
    """Given more than a day in seconds, return it in words; some servers send an epoch."""
    days = seconds / 86400
    return f"{days:.0f} days" if days < 3650 else "more than 10 years"


def _json_or_none(content: bytes) -> Any:
    """Return a body's JSON, or None if it is something else, such as an HTML error page."""
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_ANSWER_VALUES:
        return None
    try:
        # This reader limits the depth, and refuses what is no Unicode; Python's own does not.
        return from_json(content)
    except ValueError:
        return None


def _collect_messages(body: Any) -> Sequence[str]:
    """Given an error body (platform 1.9), return its sentences, the outermost first."""
    match body:
        case str():
            return [body]
        case dict():
            return [message for value in body.values() for message in _collect_messages(value)]
        case list():
            return [message for value in body for message in _collect_messages(value)]
        case _:
            return []
