"""Checks the table of pseudonyms that a hospital keeps (CSV)."""

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Column = Literal["folder", "PatientID"]

MOST_ROWS: Final = 200_000
_COLUMNS: Final[Mapping[str, Column]] = {"folder": "folder", "patientid": "PatientID"}
_PSEUDONYM: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9._-])?")
"""At most 64 characters: that is the length of a PatientID."""


@dataclass(frozen=True)
class Pseudonyms:
    """A table: what its first column holds, and the pseudonym of each."""

    column: Column
    by_name: Mapping[str, str]

    def find(self, name: str) -> str:
        """Return the pseudonym of a folder or a PatientID, "" if there is none."""
        return self.by_name.get(_normal(name), "")


def parse_pseudonyms(content: bytes) -> Pseudonyms:
    """Given the content of a file, return its table; raise ValueError with what is wrong.

    No message holds a name: it goes into logs.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    lines = text.splitlines()
    if len(lines) > MOST_ROWS:
        raise ValueError(f"has more than {MOST_ROWS} lines")
    column, delimiter = _read_head(lines[0] if lines else "")
    by_name: dict[str, str] = {}
    for number, name, pseudonym in _rows(lines[1:], delimiter):
        if name in by_name:
            raise ValueError(f"has the same {column} twice: line {number}")
        by_name[name] = pseudonym
    return Pseudonyms(column, by_name)


def _read_head(line: str) -> tuple[Column, str]:
    for delimiter in ",;\t":
        names = [each.strip().strip('"').lower().replace("_", "") for each in line.split(delimiter)]
        if len(names) == 2 and names[0] in _COLUMNS and names[1] == "pseudonym":
            return _COLUMNS[names[0]], delimiter
    raise ValueError('does not begin with the line "folder,pseudonym" or "PatientID,pseudonym"')


def _rows(lines: list[str], delimiter: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line, what stands first in it, and the pseudonym."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        raise ValueError("has quotes that do not fit") from None
    for number, row in enumerate(rows, start=2):
        if not any(each.strip() for each in row):
            continue
        if len(row) != 2:
            raise ValueError(f"needs two fields in line {number}")
        name, pseudonym = _normal(row[0]), row[1].strip()
        if not name:
            raise ValueError(f"has no name in line {number}")
        if not _PSEUDONYM.fullmatch(pseudonym):
            raise ValueError(
                f"has no usable pseudonym in line {number}: letters, digits, . _ - and spaces, "
                "at most 64"
            )
        if pseudonym.casefold() == name.casefold():
            raise ValueError(f"has a name as its own pseudonym in line {number}")
        yield number, name, pseudonym


def _normal(name: str) -> str:
    """Return a name as it is compared: programs write the same letters in several ways."""
    return unicodedata.normalize("NFC", name).strip(" \0")
