"""The lines of a TOML text where each table and each key begins."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gcwatch.config.values.types import Loc


def find_line(loc: Loc, lines: Mapping[Loc, int]) -> int | None:
    """Return the line of a key, or of the innermost table around it."""
    around = (loc[:size] for size in range(len(loc), 0, -1))
    return next((lines[each] for each in around if each in lines), None)


def number_lines(text: str) -> dict[Loc, int]:
    """Given valid TOML, return the line where each table and each key begins.

    `tomllib` gives no line numbers, but it shows whether a text is complete: a statement starts
    after the previous one, and ends with the first line that makes it valid.
    """
    lines: dict[Loc, int] = {}
    arrays: dict[Loc, int] = {}
    table: Loc = ()
    begin, statement = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        if (parsed := _complete(statement)) is None:
            continue
        if statement.lstrip().startswith("["):
            table = _enter(parsed, arrays)
            places = [table[:size] for size in range(1, len(table) + 1)]
        else:
            places = [(*table, *path) for path in _paths(parsed)]
        for place in places:
            lines.setdefault(place, begin)
        begin, statement = number + 1, ""
    return lines


def _complete(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _enter(header: Any, arrays: dict[Loc, int]) -> Loc:
    """Given a parsed header, return its table's place; `arrays` counts arrays of tables."""
    table: Loc = ()
    while header:
        [(key, header)] = header.items()
        table = (*table, key)
        if isinstance(header, list):
            arrays[table] = arrays.get(table, -1) + 1
            header = None
        if table in arrays:
            table = (*table, arrays[table])
    return table


def _paths(value: Any) -> Iterator[Loc]:
    """Yield the path of everything inside a value."""
    match value:
        case dict():
            inner: Iterable[tuple[str | int, Any]] = value.items()
        case list():
            inner = enumerate(value)
        case _:
            return
    for key, item in inner:
        yield (key,)
        yield from ((key, *path) for path in _paths(item))
