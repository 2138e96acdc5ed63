"""Whether a stream is JSON, however large it is."""

import codecs
import math
import re
from collections.abc import Iterator
from typing import BinaryIO

from gcwatch.files import BUFFER

_DEPTH = 500
"""Levels of nesting; Python's own decoder, which the platform uses, gives up at about 1000."""

_LONGEST = 4096
"""Characters of a number; Python refuses integers of more than 4300 digits."""

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_SCALAR = re.compile(r"[-+.0-9A-Za-z]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def is_json(stream: BinaryIO, buffer: int = BUFFER) -> bool:
    """Given a binary stream, return whether it is one JSON text in UTF-8 without a BOM.

    NaN, Infinity and numbers that overflow are refused. It is read `buffer` bytes at a time, so
    memory does not depend on its size.
    """
    checker = _Checker()
    try:
        for text, last in _texts(stream, buffer):
            checker.feed(text, last=last)
    except ValueError:
        return False
    return checker.is_complete()


def _texts(stream: BinaryIO, buffer: int) -> Iterator[tuple[str, bool]]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    while data := stream.read(buffer):
        yield decoder.decode(data), False
    yield decoder.decode(b"", final=True), True


class _Checker:
    """Takes a text apart into tokens, piece by piece, and holds them to the grammar.

    `_next` is what may come: a `value`, an `item` (a value or the end of its array), a `key`, a
    `name` (a key or the end of its object), a `colon`, or the `end` of a value.
    """

    def __init__(self) -> None:
        self._open: list[str] = []
        self._next = "value"
        self._in_string = False
        self._rest = ""

    def is_complete(self) -> bool:
        """Return whether what was fed is one whole JSON text."""
        return self._next == "end" and not self._open and not self._in_string

    def feed(self, text: str, *, last: bool) -> None:
        """Take the next piece; `last` if none follows. Raise ValueError if it is no JSON."""
        text = self._rest + text
        position = 0
        while position < len(text):
            step = self._string if self._in_string else self._token
            reached = step(text, position, last=last)
            if reached is None:
                break  # a token that may go on in the next piece
            position = reached
        self._rest = text[position:]
        if len(self._rest) > _LONGEST or (last and self._rest):
            raise ValueError

    def _string(self, text: str, position: int, *, last: bool) -> int | None:
        end = _end(_PLAIN, text, position)
        if end > position:
            return end
        if text[position] == '"':
            self._in_string = False
            self._take("string")
            return position + 1
        if escape := _ESCAPE.match(text, position):
            return escape.end()
        if text[position] == "\\" and len(text) - position < 6 and not last:
            return None
        raise ValueError

    def _token(self, text: str, position: int, *, last: bool) -> int | None:
        end = _end(_SPACE, text, position)
        if end > position:
            return end
        first = text[position]
        if first == '"':
            self._in_string = True
            return position + 1
        if first in "{}[]:,":
            self._take(first)
            return position + 1
        end = _end(_SCALAR, text, position)
        if end == len(text) and not last:
            return None
        _check_scalar(text[position:end])
        self._take("scalar")
        return end

    def _take(self, part: str) -> None:
        match part, self._next:
            case "string", "key" | "name":
                self._next = "colon"
            case "string" | "scalar", "value" | "item":
                self._next = "end"
            case "{" | "[", "value" | "item":
                self._enter(part)
            case ":", "colon":
                self._next = "value"
            case ",", "end" if self._open:
                self._next = "key" if self._open[-1] == "{" else "value"
            case "}", "end" | "name":
                self._leave("{")
            case "]", "end" | "item":
                self._leave("[")
            case _:
                raise ValueError

    def _enter(self, bracket: str) -> None:
        if len(self._open) == _DEPTH:
            raise ValueError
        self._open.append(bracket)
        self._next = "name" if bracket == "{" else "item"

    def _leave(self, bracket: str) -> None:
        if not self._open or self._open.pop() != bracket:
            raise ValueError
        self._next = "end"


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Given where to begin, return where the pattern's match ends; at once if there is none."""
    found = pattern.match(text, position)
    return found.end() if found else position


def _check_scalar(text: str) -> None:
    if text in {"true", "false", "null"}:
        return
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError
