"""Cells of the tables that gcwatch writes (CSV): for pandas, R and spreadsheets alike. Pure."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""Excel takes a CSV file without it for another encoding; pandas and readr skip it."""

LONGEST_CELL: Final = 32_000
"""Characters of a cell, counted as Excel does, which takes 32,767."""

MOST_LEAVES: Final = 100
"""Columns that the values of one socket may have; more keys are no columns but data."""

_LONGEST_COLUMN: Final = 200

_FORMULA: Final = re.compile(r"(^|[;\n])(?=[=+\-@\uff1d\uff0b\uff0d\uff20\t])")
"""Where a spreadsheet would begin a formula: in a cell, or in a part of it if it splits at ";"."""

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TO_QUOTE: Final = re.compile('[",\n]|^ | $')
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def text_cell(text: str) -> str:
    """Given a text from outside, return it as a cell that no spreadsheet takes for a formula.

    An apostrophe is put before what would begin one, as spreadsheets themselves do; numbers stay.
    Line ends become those within cells, and other control characters U+FFFD.
    """
    if _NUMBER.fullmatch(text):
        return text
    plain = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _FORMULA.sub(r"\1'", plain)


def value_cell(value: Any) -> str:
    """Given a JSON value, return its cell; what is no single value becomes JSON text."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case str():
            return text_cell(value)
        case float():
            return _float_cell(value)
        case int():
            return str(value)
        case _:
            return text_cell(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _float_cell(value: float) -> str:
    """Return a number as pandas and R read it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(value)


def fits_cell(text: str) -> bool:
    """Whether a spreadsheet can hold a text in one cell."""
    # Excel counts a letter beyond the first 65,536 as two.
    return len(text) + sum(letter > "\uffff" for letter in text) <= LONGEST_CELL


def flat_cells(value: Any) -> Mapping[str, str]:
    """Given a JSON value, return a cell for each name of an object, within others as "a.b".

    Lists become JSON text. Return {} if the value is no object, or one that can't be columns: it
    has too many names, two that become the same, or odd ones.
    """
    cells: dict[str, str] = {}
    for name, cell in _leaves(value, ()):
        is_odd = not name.isprintable() or not 0 < len(name) <= _LONGEST_COLUMN
        if is_odd or name in cells or len(cells) == MOST_LEAVES:
            return {}
        cells[name] = cell
    return cells


def _leaves(value: Any, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and (value or not above):
        for name, inner in value.items():
            yield from _leaves(inner, (*above, name))
    elif above:
        yield ".".join(above), value_cell(value)


def csv_line(cells: Iterable[str]) -> bytes:
    """Given the cells of a row, return its line: commas, quotes where needed, CRLF."""
    return (",".join(map(_quoted, cells)) + "\r\n").encode("utf-8", "replace")


def _quoted(cell: str) -> str:
    if not _TO_QUOTE.search(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'
