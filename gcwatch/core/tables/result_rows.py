"""Rows of results.csv and items.csv, and the columns that all of them have together. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.core.receipt import receipt_key
from gcwatch.core.tables.table_cells import (
    MOST_LEAVES,
    fits_cell,
    flat_cells,
    text_cell,
    value_cell,
)

TABLE_NAMES: Final[Mapping[Kind, str]] = {
    "algorithm": "results.csv",
    "reader_study": "items.csv",
    "archive": "items.csv",
}
"""The table in an outbox, by the kind of its route's target."""

MOST_COLUMNS: Final = 4000
"""Columns of a table; receipts that need more were not written by gcwatch."""

_TIMES: Final = ("found", "settled", "submitted", "delivered")
_SLUG: Final = re.compile(r"[\w-]{1,200}")
_ISO_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\+00:00|Z)")


@dataclass(frozen=True)
class SocketCell:
    """What a row says of a socket: one cell, and a cell for each name if it is an object."""

    socket: str
    cell: str
    leaves: Mapping[str, str]


@dataclass(frozen=True)
class ResultRow:
    """One result folder: the cells that each row has, and those of its sockets."""

    fixed: Sequence[str]
    sockets: Sequence[SocketCell]


def fixed_columns(kind: Kind) -> tuple[str, ...]:
    """Return the names of the first columns, which each row has."""
    product = KIND_NAMES[kind].product_key
    title = () if kind == "algorithm" else ("title",)
    times = (f"{time}_utc" for time in _TIMES)
    first = ("folder", "result", "key", "route", product, f"{product}_url")
    return (*first, *title, *times, "warnings")


def fixed_cells(receipt: Mapping[str, Any], kind: Kind, result: str) -> tuple[str, ...] | None:
    """Given a receipt and the path of its folder in the outbox, return its first cells.

    Return None if it is no receipt of such a target. Anybody may have written it.
    """
    target, times = _table(receipt.get("target")), _table(receipt.get("times"))
    product = KIND_NAMES[kind].product_key
    key, pk = receipt_key(receipt), _text(target.get(product))
    if not key or not pk:
        return None
    title = () if kind == "algorithm" else (_text(target.get("title")),)
    warnings = receipt.get("warnings")
    told = "; ".join(map(_text, warnings)) if isinstance(warnings, list) else ""
    return (
        _text(receipt.get("folder")),
        text_cell(result),
        key,
        _text(receipt.get("route")),
        pk,
        _text(target.get(f"{product}_url")),
        *title,
        *(_time(times.get(name)) for name in _TIMES),
        text_cell(told) if fits_cell(told) else "",
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return text_cell(value) if isinstance(value, str) and fits_cell(value) else ""


def _time(value: Any) -> str:
    """Return a time without the letters by which spreadsheets do not know it as a time."""
    found = _ISO_TIME.fullmatch(value) if isinstance(value, str) else None
    return f"{found[1]} {found[2]}" if found else ""


def listed_sockets(receipt: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Given a receipt, return its `inputs` or `outputs` that have the slug of a socket."""
    listed = receipt.get(key)
    found = [_table(each) for each in listed] if isinstance(listed, list) else []
    return [each for each in found if _SLUG.fullmatch(str(each.get("socket", "")))]


def value_of_socket(socket: str, value: Any, file: str = "") -> SocketCell:
    """Given a value, return what a row says of it; *file* instead of one too long for a cell."""
    cell, leaves = value_cell(value), flat_cells(value)
    if not fits_cell(cell) or not all(map(fits_cell, leaves.values())):
        return SocketCell(socket, text_cell(file), {})
    return SocketCell(socket, cell, leaves)


class Columns:
    """The columns of all rows together, in the order in which rows first have them.

    So a new case adds columns at the end. A socket whose objects have more than `MOST_LEAVES` names
    in all rows together has one column, with JSON text.
    """

    def __init__(self, kind: Kind) -> None:
        self._fixed = fixed_columns(kind)
        self._found: dict[tuple[str, str], None] = {}
        self._counts: dict[str, int] = {}
        self.is_full = False

    def add(self, row: ResultRow) -> None:
        """Add the columns that a row needs; `is_full` tells if there are too many."""
        for each in row.sockets:
            for leaf in each.leaves or ("",):
                self._add(each.socket, leaf)

    def _add(self, socket: str, leaf: str) -> None:
        if (socket, leaf) in self._found or (leaf and self._is_wide(socket)):
            return
        if len(self._found) >= MOST_COLUMNS:
            self.is_full = True
            return
        self._found[socket, leaf] = None
        self._counts[socket] = self._counts.get(socket, 0) + bool(leaf)

    def _is_wide(self, socket: str) -> bool:
        return self._counts.get(socket, 0) > MOST_LEAVES

    def _used(self) -> dict[tuple[str, str], None]:
        return dict.fromkeys(
            (socket, "" if self._is_wide(socket) else leaf) for socket, leaf in self._found
        )

    def head(self) -> list[str]:
        """Return the names of all columns; no two are the same."""
        names = [*self._fixed]
        for socket, leaf in self._used():
            name = f"{socket}.{leaf}" if leaf else socket
            while name in names:
                name = f"output.{name}"
            names.append(name)
        return list(map(text_cell, names))

    def lay_out(self, rows: Iterable[ResultRow]) -> Iterable[list[str]]:
        """Given the rows that were added, yield the cells of each."""
        used = self._used()
        for row in rows:
            cells = {}
            for each in row.sockets:
                is_flat = each.leaves and not self._is_wide(each.socket)
                for leaf, cell in each.leaves.items() if is_flat else (("", each.cell),):
                    cells[each.socket, leaf] = cell
            yield [*row.fixed, *(cells.get(column, "") for column in used)]
