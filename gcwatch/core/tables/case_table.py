"""Reads cases.csv, the table in an inbox that gives the values of cases. Pure."""

import csv
import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CASES_TABLE: Final = "cases.csv"
"""The table, directly in an inbox."""

CASES_STATUS: Final = "cases.status.csv"
"""What became of its rows, in the outbox."""

MOST_ROWS: Final = 200_000
TITLE, ORDER = "title", "order"

_FOLDER: Final = "folder"
_OWN_COLUMNS: Final = (_FOLDER, TITLE, ORDER)
_MOST_COLUMNS: Final = 200
_SHORTEST_NAME: Final = 3
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_TRUTH: Final = {"true": True, "wahr": True, "false": False, "falsch": False}
"""As Excel writes truth values in English and German."""


@dataclass(frozen=True)
class CaseRow:
    """The row of one folder: its cells by column, without those that are empty."""

    line: int
    folder: str
    cells: Mapping[str, str]
    has_decimal_comma: bool = False

    @property
    def digest(self) -> str:
        """What tells this row's values from others."""
        content = json.dumps(sorted(self.cells.items()))
        return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]

    def value(self, column: str, kind: str) -> Any:
        """Return the value in a column, for a socket of this kind; ValueError if it is none."""
        text = self.cells[column]
        if kind in {"String", "Choice"}:
            return text
        if kind == "Bool" and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        if self.has_decimal_comma and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"is no {kind}") from None


@dataclass(frozen=True)
class TableColumns:
    """The columns that a table may have: `values` of sockets, and which of the others."""

    values: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset((TITLE, ORDER))


@dataclass(frozen=True)
class CaseTable:
    """A table: its rows by folder, in their order."""

    by_folder: Mapping[str, CaseRow] = field(default_factory=dict)

    def find(self, folder: str) -> CaseRow | None:
        """Return the row of a folder, None if there is none."""
        return self.by_folder.get(_normal(folder))

    @property
    def rows(self) -> Collection[CaseRow]:
        """All rows, in their order."""
        return self.by_folder.values()


def parse_case_table(content: bytes, columns: TableColumns) -> CaseTable:
    """Given the content of a file, return its table.

    Raise ValueError with what is wrong, as the end of a sentence about the table. It may name a
    column, and never a folder.
    """
    text = _decode(content)
    first = text.partition("\n")[0]
    delimiter = next((each for each in ",;\t" if _FOLDER in _names(first, each)), "")
    if not delimiter:
        raise ValueError('has no column "folder" in its first line')
    rows = _read_rows(text, delimiter)
    _, head = next(rows)
    names = _check_head([each.strip() for each in head], columns)
    found: dict[str, CaseRow] = {}
    titles: set[str] = set()
    for line, cells in rows:
        row = _make_row(line, cells, names, has_decimal_comma=delimiter != ",")
        if row is None:
            continue
        if row.folder in found:
            lines = f"{found[row.folder].line} and {line}"
            raise ValueError(f"has the same folder twice: lines {lines}")
        _check_own_cells(row, titles)
        found[row.folder] = row
        if len(found) > MOST_ROWS:
            raise ValueError(f"has more than {MOST_ROWS} rows")
    return CaseTable(found)


def _decode(content: bytes) -> str:
    """Return a text with one character as line end; Excel writes UTF-8 with a mark, or UTF-16."""
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError('is not UTF-8 text: in Excel, save it as "CSV UTF-8"') from None
    if "\0" in text:
        raise ValueError("is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _names(line: str, delimiter: str) -> list[str]:
    return [each.strip().strip('"').strip().lower() for each in line.split(delimiter)]


def _read_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line in which each row ends, and its cells."""
    lines = (f"{line}\n" for line in text.split("\n"))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error:
        line = reader.line_num
        raise ValueError(f"has quotes that do not fit, or a long cell, in line {line}") from None


def _check_head(head: Sequence[str], columns: TableColumns) -> list[str]:
    """Return the names of the columns, "" for one without a name."""
    names = [each.lower() if each.lower() in _OWN_COLUMNS else each for each in head]
    if len(names) > _MOST_COLUMNS:
        raise ValueError(f"has more than {_MOST_COLUMNS} columns")
    named = [name for name in names if name]
    if twice := next((name for name in named if named.count(name) > 1), ""):
        raise ValueError(f'has the column "{twice}" twice')
    known = columns.values | columns.others | {_FOLDER}
    if unknown := next((name for name in named if name not in known), ""):
        raise ValueError(
            f'has the column "{unknown}", which this route does not take; it takes '
            + ", ".join([_FOLDER, *sorted(known - {_FOLDER})])
        )
    return names


def _make_row(
    line: int, cells: Sequence[str], names: Sequence[str], *, has_decimal_comma: bool
) -> CaseRow | None:
    """Return a row; None for one without any content."""
    stripped = [each.strip() for each in cells]
    if not any(stripped):
        return None
    beyond = stripped[len(names) :]
    if len(cells) < len(names) or any(beyond):
        raise ValueError(f"needs {len(names)} cells in line {line}, as its first line has")
    by_name = dict(zip(names, stripped, strict=False))
    if by_name.get(""):
        raise ValueError(f"has a cell without a column in line {line}")
    folder = _normal(by_name.pop(_FOLDER))
    if not folder:
        raise ValueError(f"names no folder in line {line}")
    filled = {name: cell for name, cell in by_name.items() if cell}
    return CaseRow(line, folder, filled, has_decimal_comma)


def _check_own_cells(row: CaseRow, titles: set[str]) -> None:
    """Refuse a title that is there twice, and an order that is no number."""
    title, order = row.cells.get(TITLE, ""), row.cells.get(ORDER, "0")
    if title and title in titles:
        raise ValueError(f"has a title in line {row.line} that another line has")
    titles.add(title)
    if not re.fullmatch("[0-9]{1,9}", order):
        raise ValueError(f"has an order that is no whole number in line {row.line}")


def shows_folder(row: CaseRow) -> bool:
    """Whether the title of a row has the folder's name in it, which the platform must not see."""
    title, folder = row.cells.get(TITLE, "").casefold(), row.folder.casefold()
    return title == folder or (len(folder) >= _SHORTEST_NAME and folder in title)


def _normal(name: str) -> str:
    """Return a name as it is compared: programs write the same letters in several ways."""
    return unicodedata.normalize("NFC", name).strip(" \0/")
