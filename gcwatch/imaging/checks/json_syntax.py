"""Checks the syntax of JSON of any size in constant memory, and finds the first error.

Python's decoder needs the whole text in memory. ijson reads streams, but keeps each string whole
(400 MiB took 50 s and 800 MiB), gives no line and column, and quotes the content in its errors.
"""

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.files.atomic import BUFFER_BYTES

_MAX_DEPTH_LEVELS = 500
"""Allowed levels of nesting; Python's decoder, which the platform uses, fails at about 1000."""

_MAX_NUMBER_CHARACTERS = 4096
"""Allowed length of a number; Python's decoder refuses integers of more than 4300 digits."""

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_SCALAR = re.compile(r"[-+.0-9A-Za-z]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


_GAP = r"[ \t\n\r]*+"
_SIMPLE_STRING = r'"[^"\\\x00-\x1f]*+"'
_SIMPLE_NUMBER = (
    r"-?(?:0|[1-9][0-9]{0,20}+)(?:\.[0-9]{1,40}+)?(?:[eE][-+]?[0-9]{1,2}+)?(?![-+.0-9A-Za-z])"
)
_LEAF = rf"(?:{_SIMPLE_NUMBER}|{_SIMPLE_STRING}|true|false|null)"
_FLAT = rf"(?:{_LEAF}|\[{_GAP}{_LEAF}(?:{_GAP},{_GAP}{_LEAF})*+{_GAP}\])"
_MEMBER = rf"{_SIMPLE_STRING}{_GAP}:{_GAP}{_FLAT}"
_SIMPLE = rf"(?:{_FLAT}|\{{{_GAP}{_MEMBER}(?:{_GAP},{_GAP}{_MEMBER})*+{_GAP}\}})"
_SIMPLE_ITEMS = re.compile(rf"(?:{_SIMPLE}{_GAP},{_GAP})++")
"""Simple items of an array, up to the comma after the last one.

Most of a large file consists of them (points, rows). One match is about 30 times as fast as single
tokens.
"""

_WANTED = {
    "value": "a value",
    "item": "a value or ']'",
    "key": "a name in double quotes",
    "name": "a name in double quotes or '}'",
    "colon": "':'",
}


class _NoJson(ValueError):
    """The text is not JSON from here on, for this reason."""


@dataclass(frozen=True)
class Fault:
    """Why a stream is not JSON; `line` and `column` (in characters) count from 1, 0 if unknown.

    As text it is a clause that contains no part of what was read.
    """

    problem: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return place + self.problem


def find_fault(stream: BinaryIO, buffer: int = BUFFER_BYTES) -> Fault | None:
    """Given a binary stream, return None if it is one JSON text in UTF-8 without a BOM.

    Otherwise return its first fault. NaN, Infinity and numbers that overflow are faults. The
    stream is read `buffer` bytes at a time, so memory use does not depend on its size.
    """
    checker = _Checker()
    try:
        for text, last in _decode_pieces(stream, buffer):
            checker.check_piece(text, last=last)
        checker.check_end()
    except UnicodeDecodeError:
        return Fault("it is not text in UTF-8")
    except _NoJson as error:
        return Fault(str(error), checker.line, checker.column)
    return None


def is_json(stream: BinaryIO, buffer: int = BUFFER_BYTES) -> bool:
    """Given a binary stream, return whether `find_fault` finds none."""
    return find_fault(stream, buffer) is None


def _decode_pieces(stream: BinaryIO, buffer: int) -> Iterator[tuple[str, bool]]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    while data := stream.read(buffer):
        yield decoder.decode(data), False
    yield decoder.decode(b"", final=True), True


class _Checker:
    """Splits a text into tokens, piece by piece, and checks their order.

    `_next` is what must come next: a `value`, an `item` (a value or the end of its array), a
    `key`, a `name` (a key or the end of its object), a `colon`, or the `end` of a value (a comma
    or a closing bracket). `line` and `column` tell where the next token begins.
    """

    def __init__(self) -> None:
        self.line = 1
        self.column = 1
        self._open: list[str] = []
        self._next = "value"
        self._in_string = False
        self._rest = ""

    def check_end(self) -> None:
        """Raise _NoJson if the text so far is not one complete JSON text."""
        if self._in_string:
            raise _NoJson("it ends within a string")
        if self._next != "end" or self._open:
            raise _NoJson(f"it ends where {self._describe_wanted()} is expected")

    def check_piece(self, text: str, *, last: bool) -> None:
        """Check the next piece; `last` if none follows. Raise _NoJson if it is not JSON."""
        text = self._rest + text
        position = 0
        try:
            while position < len(text):
                step = self._read_string if self._in_string else self._read_token
                reached = step(text, position, last=last)
                if reached is None:
                    break  # the token may continue in the next piece
                position = reached
        finally:
            self._count_position(text, position)
        self._rest = text[position:]
        if len(self._rest) > _MAX_NUMBER_CHARACTERS:
            raise _NoJson("a number or word is too long")

    def _count_position(self, text: str, position: int) -> None:
        lines = text.count("\n", 0, position)
        self.line += lines
        begin = text.rfind("\n", 0, position) + 1
        self.column = position - begin + (1 if lines else self.column)

    def _read_string(self, text: str, position: int, *, last: bool) -> int | None:
        end = _match_end(_PLAIN, text, position)
        if end > position:
            return end
        if text[position] == '"':
            self._in_string = False
            self._accept("string")
            return position + 1
        if escape := _ESCAPE.match(text, position):
            return escape.end()
        if text[position] != "\\":
            raise _NoJson("a string holds a line end or another control character")
        if len(text) - position < 6 and not last:
            return None
        raise _NoJson("a string holds a backslash that begins no escape")

    def _read_token(self, text: str, position: int, *, last: bool) -> int | None:
        end = self._skip_simple_items(text, position) or _match_end(_SPACE, text, position)
        if end > position:
            return end
        first = text[position]
        if first == '"':
            if self._next in {"end", "colon"}:
                raise self._unexpected_error()
            self._in_string = True
            return position + 1
        if first in "{}[]:,":
            self._accept(first)
            return position + 1
        end = _match_end(_SCALAR, text, position)
        if end == len(text) and not last:
            return None
        if first == "\ufeff":
            raise _NoJson("a byte order mark is no JSON")
        self._accept("scalar")
        _check_scalar(text[position:end])
        return end

    def _skip_simple_items(self, text: str, position: int) -> int:
        """Skip simple items of an array; return where they end, 0 if none begin here."""
        if self._next not in {"value", "item"} or self._open[-1:] != ["["]:
            return 0
        items = _SIMPLE_ITEMS.match(text, position)
        if not items:
            return 0
        self._next = "value"
        return items.end()

    def _accept(self, part: str) -> None:
        match part, self._next:
            case "string", "key" | "name":
                self._next = "colon"
            case "string" | "scalar", "value" | "item":
                self._next = "end"
            case "{" | "[", "value" | "item":
                self._open_bracket(part)
            case ":", "colon":
                self._next = "value"
            case ",", "end" if self._open:
                self._next = "key" if self._open[-1] == "{" else "value"
            case "}", "end" | "name" if self._open[-1:] == ["{"]:
                self._close_bracket()
            case "]", "end" | "item" if self._open[-1:] == ["["]:
                self._close_bracket()
            case _:
                raise self._unexpected_error()

    def _open_bracket(self, bracket: str) -> None:
        if len(self._open) == _MAX_DEPTH_LEVELS:
            raise _NoJson(f"it is nested more than {_MAX_DEPTH_LEVELS} levels deep")
        self._open.append(bracket)
        self._next = "name" if bracket == "{" else "item"

    def _close_bracket(self) -> None:
        self._open.pop()
        self._next = "end"

    def _unexpected_error(self) -> _NoJson:
        return _NoJson(f"{self._describe_wanted()} is expected")

    def _describe_wanted(self) -> str:
        if self._next != "end":
            return _WANTED[self._next]
        if not self._open:
            return "the end of the file"
        return "',' or '}'" if self._open[-1] == "{" else "',' or ']'"


def _match_end(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Given a position, return where the pattern's match ends, or the position without one."""
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
