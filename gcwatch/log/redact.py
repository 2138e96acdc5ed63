"""Removes secrets, and everything but plain JSON values, from log lines."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_HIDDEN = "[hidden]"


# The platform's tokens are 64 hex digits; a presigned URL has its signature in the query. What
# libpq connects with has names and values, some in quotes.
_SECRET_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?)(?:\w+\s+)?[^\s'\",}]+"), r"\1[hidden]"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s'\",}]+"), r"\1[hidden]"),
    (re.compile(r"(?i)\b(x-amz-[a-z-]+|signature|awsaccesskeyid)=[^&\s'\"]+"), r"\1=[hidden]"),
    (re.compile(r"(\bhttps?://[^\s?'\"]+|(?<!\S)/[^\s?'\"]*)\?[^\s'\"]+"), r"\1?[hidden]"),
    (re.compile(r"(\bpostgres(?:ql)?(?:\+\w+)?://)[^\s'\"]*@"), r"\1[hidden]@"),
    (re.compile(r"(://)[^/\s@]+@"), r"\1[hidden]@"),
    (
        re.compile(r"(?i)(password['\"]?\s*[:=]\s*)('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s&'\",}]+)"),
        r"\1[hidden]",
    ),
    (re.compile(r"\b[0-9a-fA-F]{64}\b"), _HIDDEN),
)


_known_secrets: list[str] = []
"""All secrets read so far, the longest first, so that no part of one remains."""


def hide_secret(secret: str) -> None:
    """Given a secret, hide it in every log line from now on."""
    if secret.strip():
        known = {*_known_secrets, secret}
        _known_secrets[:] = sorted(known, key=len, reverse=True)


def to_plain_json(value: Any) -> Any:
    """Given a fact, return it as a JSON value; an object of another type as its type's name."""
    match value:
        case None | bool() | int() | float():
            return value
        case str() | PurePath():
            return _printable(str(value))
        case Mapping():
            return {_printable(str(key)): to_plain_json(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [to_plain_json(item) for item in value]
        case _:
            return type(value).__name__


def _printable(text: str) -> str:
    """Escape control characters, and what UTF-8 can't hold."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def hide_secrets(value: Any) -> Any:
    """Given a JSON value, return it with every secret in it replaced by [hidden]."""
    match value:
        case str():
            return _hidden_text(value)
        case dict():
            return {_hidden_text(key): hide_secrets(item) for key, item in value.items()}
        case list():
            return [hide_secrets(item) for item in value]
        case _:
            return value


def _hidden_text(text: str) -> str:
    for secret in _known_secrets:
        text = text.replace(secret, _HIDDEN)
    for pattern, replacement in _SECRET_PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def forget_secrets() -> None:
    """Forget the secrets that `hide_secret` got."""
    _known_secrets.clear()
