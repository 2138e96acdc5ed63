"""Mistakes of a config file: in our words, with the path and the line that people look for."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from gcwatch.config.descriptions import descriptions
from gcwatch.config.model import ARRAYS, TABLES, Document, Table
from gcwatch.config.toml_lines import line_of
from gcwatch.config.types import Loc
from gcwatch.core.errors import Problem


@dataclass(frozen=True)
class Mistake:
    """A problem before it has a line; `message` reads on from the key's name."""

    loc: Loc
    message: str
    hint: str


_KINDS = {
    "model_type": ("must be a table", "write it as [platform], or [[route]] for routes"),
    "dict_type": ("must be a table", "write it as [route.inputs], under its [[route]]"),
    "tuple_type": ("must be a list", 'write it in brackets: ["*.txt", "*.pdf"]'),
}


def mistake(error: ErrorDetails) -> Mistake:
    """Given one of pydantic's errors, return it in our words."""
    loc = tuple(part for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "wrong":
            return Mistake(loc, error["ctx"]["message"], error["ctx"]["hint"])
        case "missing":
            return Mistake(loc, "is missing", _meaning(loc))
        case "extra_forbidden":
            return Mistake(loc, "is no known key", _guess(loc))
        case kind if kind in _KINDS:
            return Mistake(loc, *_KINDS[kind])
        case _:
            words = re.sub(r"^\w+ should", "must", error["msg"]).partition(" after validation")[0]
            return Mistake(loc, words, _meaning(loc))


def _table(loc: Loc) -> type[Table]:
    """Return the model of the table that a key is in."""
    return TABLES[str(loc[0])] if len(loc) > 1 else Document


def _meaning(loc: Loc) -> str:
    """Return what the innermost known key of a place means, in its first sentence."""
    meanings = descriptions(_table(loc))
    known = [meanings[part] for part in loc if isinstance(part, str) and part in meanings]
    return re.split(r"(?<=\.)\s", known[-1])[0] if known else ""


def _guess(loc: Loc) -> str:
    """Given an unknown key, return which one was probably meant."""
    key, known = str(loc[-1]), list(_table(loc).model_fields)
    if close := difflib.get_close_matches(key, known, n=1):
        return f"did you mean {close[0]}?"
    if key in Document.model_fields:
        return f"{key} stands at the top of the file, above the first [table]"
    return f"known here: {', '.join(known)}"


def problems(
    mistakes: list[Mistake], data: Mapping[str, Any], lines: Mapping[Loc, int]
) -> list[Problem]:
    """Return mistakes with their paths and lines, in the order of the file."""
    found = [
        Problem(_path(each.loc, data), each.message, each.hint, line_of(each.loc, lines))
        for each in mistakes
    ]
    return sorted(found, key=lambda problem: problem.line or 0)


def _path(loc: Loc, data: Mapping[str, Any]) -> str:
    """Return a place as people name it: `platform.url`, `route 'lobes': settle`."""
    match loc:
        case (str(kind), int(index), *inner) if kind in ARRAYS:
            table = data[kind][index]
            return ": ".join(filter(None, [label(index, table, kind), _dotted(inner)]))
        case _:
            return _dotted(loc)


def label(index: int, table: Any, kind: str = "route") -> str:
    """Given a route's or a mirror's table, return how people call it."""
    name = table.get("name") if isinstance(table, dict) else None
    return f"{kind} {name!r}" if isinstance(name, str) else f"{kind} #{index + 1}"


def _dotted(parts: Iterable[str | int]) -> str:
    words = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return "".join(words).removeprefix(".")
