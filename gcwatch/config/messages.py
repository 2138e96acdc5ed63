"""Mistakes in a config file: in plain words, with the key's path and the line."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from gcwatch.config.descriptions import descriptions
from gcwatch.config.model import ARRAYS, TABLES, Document
from gcwatch.config.service_tables import Table
from gcwatch.config.toml_lines import find_line
from gcwatch.config.values.types import Loc
from gcwatch.core.errors import Problem


@dataclass(frozen=True)
class Mistake:
    """A problem that has no line yet; `message` continues a sentence that starts with the key."""

    loc: Loc
    message: str
    hint: str


_KINDS = {
    "model_type": ("must be a table", "write it as [platform], or [[route]] for routes"),
    "dict_type": ("must be a table", "write it as [route.inputs], under its [[route]]"),
    "tuple_type": ("must be a list", 'write it in brackets: ["*.txt", "*.pdf"]'),
}


def describe_error(error: ErrorDetails) -> Mistake:
    """Given an error of pydantic, return it in plain words."""
    loc = tuple(part for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "wrong":
            return Mistake(loc, error["ctx"]["message"], error["ctx"]["hint"])
        case "missing":
            return Mistake(loc, "is missing", _meaning(loc))
        case "extra_forbidden":
            return Mistake(loc, "is not a known key", _guess(loc))
        case kind if kind in _KINDS:
            return Mistake(loc, *_KINDS[kind])
        case _:
            words = re.sub(r"^\w+ should", "must", error["msg"]).partition(" after validation")[0]
            return Mistake(loc, words, _meaning(loc))


def _table(loc: Loc) -> type[Table]:
    """Return the model of the table that a key is in."""
    return TABLES[str(loc[0])] if len(loc) > 1 else Document


def _meaning(loc: Loc) -> str:
    """Return the first sentence of the innermost known key's description."""
    meanings = descriptions(_table(loc))
    known = [meanings[part] for part in loc if isinstance(part, str) and part in meanings]
    return re.split(r"(?<=\.)\s", known[-1])[0] if known else ""


def _guess(loc: Loc) -> str:
    """Given an unknown key, return the similar key, its right place, or all known keys."""
    key, known = str(loc[-1]), list(_table(loc).model_fields)
    if close := difflib.get_close_matches(key, known, n=1):
        return f"did you mean {close[0]}?"
    if key in Document.model_fields:
        return f"write {key} at the top of the file, above the first [table]"
    return f"known keys here: {', '.join(known)}"


def locate_problems(
    mistakes: list[Mistake], data: Mapping[str, Any], lines: Mapping[Loc, int]
) -> list[Problem]:
    """Return mistakes as problems with paths and lines, in the order of the file."""
    found = [
        Problem(_path(each.loc, data), each.message, each.hint, find_line(each.loc, lines))
        for each in mistakes
    ]
    return sorted(found, key=lambda problem: problem.line or 0)


def _path(loc: Loc, data: Mapping[str, Any]) -> str:
    """Return a place as people call it: `platform.url`, `route 'lobes': settle`."""
    match loc:
        case (str(kind), int(index), *inner) if kind in ARRAYS:
            table = data[kind][index]
            return ": ".join(filter(None, [table_label(index, table, kind), _dotted(inner)]))
        case _:
            return _dotted(loc)


def table_label(index: int, table: Any, kind: str = "route") -> str:
    """Given the table of a route or mirror, return what people call it: `route 'lobes'`."""
    name = table.get("name") if isinstance(table, dict) else None
    return f"{kind} {name!r}" if isinstance(name, str) else f"{kind} #{index + 1}"


def _dotted(parts: Iterable[str | int]) -> str:
    words = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return "".join(words).removeprefix(".")
