"""Whether a stream is JSON, however large it is, and where it stops being that."""

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER

_MAX_DEPTH_LEVELS = 500
"""Levels of nesting; Python's own decoder, which the platform uses, gives up at about 1000."""

_MAX_NUMBER_CHARACTERS = 4096
"""Characters of a number; Python refuses integers of more than 4300 digits."""

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_SCALAR = re.compile(r"[-+.0-9A-Za-z]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


_GAP = r"[ \t\n\r]*+"
_EASY_STRING = r'"[^"\\\x00-\x1f]*+"'
_EASY_NUMBER = (
    r"-?(?:0|[1-9][0-9]{0,20}+)(?:\.[0-9]{1,40}+)?(?:[eE][-+]?[0-9]{1,2}+)?(?![-+.0-9A-Za-z])"
)
_LEAF = rf"(?:{_EASY_NUMBER}|{_EASY_STRING}|true|false|null)"
_FLAT = rf"(?:{_LEAF}|\[{_GAP}{_LEAF}(?:{_GAP},{_GAP}{_LEAF})*+{_GAP}\])"
_MEMBER = rf"{_EASY_STRING}{_GAP}:{_GAP}{_FLAT}"
_EASY = rf"(?:{_FLAT}|\{{{_GAP}{_MEMBER}(?:{_GAP},{_GAP}{_MEMBER})*+{_GAP}\}})"
_EASY_ITEMS = re.compile(rf"(?:{_EASY}{_GAP},{_GAP})++")
"""Items of an array that a regular expression can vouch for, to the comma behind the last.

Most of a large file is of these (points, rows), and they pass some thirty times as fast.
"""

_WANTED = {
    "value": "a value",
    "item": "a value or ']'",
    "key": "a name in double quotes",
    "name": "a name in double quotes or '}'",
    "colon": "':'",
}


class _NoJson(ValueError):
    """The text stops being JSON here, for this reason."""


@dataclass(frozen=True)
class Fault:
    """Why a stream is no JSON; `line` and `column` (in characters) count from 1, 0 if unknown.

    As text it is a clause that quotes nothing of what was read.
    """

    problem: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return place + self.problem


def find_fault(stream: BinaryIO, buffer: int = BUFFER) -> Fault | None:
    """Given a binary stream, return None if it is one JSON text in UTF-8 without a BOM.

    Return its first fault otherwise. NaN, Infinity and numbers that overflow are faults. It is
    read `buffer` bytes at a time, so memory does not depend on its size.
    """
    checker = _Checker()
    try:
        for text, last in _decode_pieces(stream, buffer):
            checker.feed(text, last=last)
        checker.finish()
    except UnicodeDecodeError:
        return Fault("it is not text in UTF-8")
    except _NoJson as error:
        return Fault(str(error), checker.line, checker.column)
    return None


def is_json(stream: BinaryIO, buffer: int = BUFFER) -> bool:
    """Given a binary stream, return whether `find_fault` finds none."""
    return find_fault(stream, buffer) is None


def _decode_pieces(stream: BinaryIO, buffer: int) -> Iterator[tuple[str, bool]]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    while data := stream.read(buffer):
        yield decoder.decode(data), False
    yield decoder.decode(b"", final=True), True


class _Checker:
    """Takes a text apart into tokens, piece by piece, and holds them to the grammar.

    `_next` is what may come: a `value`, an `item` (a value or the end of its array), a `key`, a
    `name` (a key or the end of its object), a `colon`, or the `end` of a value. `line` and
    `column` tell where the next token begins.
    """

    def __init__(self) -> None:
        self.line = 1
        self.column = 1
        self._open: list[str] = []
        self._next = "value"
        self._in_string = False
        self._rest = ""

    def finish(self) -> None:
        """Raise _NoJson unless what was fed is one whole JSON text."""
        if self._in_string:
            raise _NoJson("it ends within a string")
        if self._next != "end" or self._open:
            raise _NoJson(f"it ends where {self._wanted()} is expected")

    def feed(self, text: str, *, last: bool) -> None:
        """Take the next piece; `last` if none follows. Raise _NoJson if it is no JSON."""
        text = self._rest + text
        position = 0
        try:
            while position < len(text):
                step = self._string if self._in_string else self._token
                reached = step(text, position, last=last)
                if reached is None:
                    break  # a token that may go on in the next piece
                position = reached
        finally:
            self._advance(text, position)
        self._rest = text[position:]
        if len(self._rest) > _MAX_NUMBER_CHARACTERS:
            raise _NoJson("a number or word is too long")

    def _advance(self, text: str, position: int) -> None:
        lines = text.count("\n", 0, position)
        self.line += lines
        begin = text.rfind("\n", 0, position) + 1
        self.column = position - begin + (1 if lines else self.column)

    def _string(self, text: str, position: int, *, last: bool) -> int | None:
        end = _match_end(_PLAIN, text, position)
        if end > position:
            return end
        if text[position] == '"':
            self._in_string = False
            self._take("string")
            return position + 1
        if escape := _ESCAPE.match(text, position):
            return escape.end()
        if text[position] != "\\":
            raise _NoJson("a string holds a line end or another control character")
        if len(text) - position < 6 and not last:
            return None
        raise _NoJson("a string holds a backslash that begins no escape")

    def _token(self, text: str, position: int, *, last: bool) -> int | None:
        end = self._easy(text, position) or _match_end(_SPACE, text, position)
        if end > position:
            return end
        first = text[position]
        if first == '"':
            if self._next in {"end", "colon"}:
                raise self._unexpected()
            self._in_string = True
            return position + 1
        if first in "{}[]:,":
            self._take(first)
            return position + 1
        end = _match_end(_SCALAR, text, position)
        if end == len(text) and not last:
            return None
        if first == "\ufeff":
            raise _NoJson("a byte order mark is no JSON")
        self._take("scalar")
        _check_scalar(text[position:end])
        return end

    def _easy(self, text: str, position: int) -> int:
        """Pass over easy items of an array; return where they end, 0 if none begin here."""
        if self._next not in {"value", "item"} or self._open[-1:] != ["["]:
            return 0
        items = _EASY_ITEMS.match(text, position)
        if not items:
            return 0
        self._next = "value"
        return items.end()

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
            case "}", "end" | "name" if self._open[-1:] == ["{"]:
                self._leave()
            case "]", "end" | "item" if self._open[-1:] == ["["]:
                self._leave()
            case _:
                raise self._unexpected()

    def _enter(self, bracket: str) -> None:
        if len(self._open) == _MAX_DEPTH_LEVELS:
            raise _NoJson(f"it is nested more than {_MAX_DEPTH_LEVELS} levels deep")
        self._open.append(bracket)
        self._next = "name" if bracket == "{" else "item"

    def _leave(self) -> None:
        self._open.pop()
        self._next = "end"

    def _unexpected(self) -> _NoJson:
        return _NoJson(f"{self._wanted()} is expected")

    def _wanted(self) -> str:
        if self._next != "end":
            return _WANTED[self._next]
        if not self._open:
            return "the end of the file"
        return "',' or '}'" if self._open[-1] == "{" else "',' or ']'"


def _match_end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Given where to begin, return where the pattern's match ends; at once if there is none."""
    found = pattern.match(text, position)
    return found.end() if found else position


def _check_scalar(text: str) -> None:
    if text in {"true", "false", "null"}:
        return
    if text.lstrip("+-") in {"NaN", "Infinity"}:
        raise _NoJson("NaN and Infinity are no JSON")
    if not _NUMBER.fullmatch(text):
        raise _NoJson("a value is expected")
    if len(text) > _MAX_NUMBER_CHARACTERS or not math.isfinite(float(text)):
        raise _NoJson("a number is too large")
