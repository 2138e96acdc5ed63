"""Whether a case has exactly as many files or slices as its route expects."""

import json
import re
from typing import Any, Final

from gcwatch.config import Expected, Route
from gcwatch.config.values.expected import MOST_EXPECTED
from gcwatch.core.reasons import Reason
from gcwatch.files.beneath import SharePath
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.series import count_slices
from gcwatch.inbox.layouts import inbox_of
from gcwatch.inbox.tree import source_files

_MAX_NUMBER_FILE_BYTES: Final = 1_048_576

_NUMBER: Final = re.compile(r"[0-9]{1,7}")


def wrong_number(route: Route, folder: str) -> Reason | None:
    """Given a case's folder, return why it does not have what its route expects; None if it has.

    Raise as `tree.source_files` does, and SourceChanged if a file changed meanwhile.
    """
    expected = route.expect
    if expected is None:
        return None
    wanted = expected.number
    if expected.file:
        file = _number_file(route, expected, folder)
        facts = {"file": expected.file, "what": expected.count}
        if file is None:
            return Reason("number_missing", facts)
        wanted = _read_number(file, expected.key)
        if not wanted:
            return Reason("number_unreadable", {**facts, "most": MOST_EXPECTED})
    return _compare(_count(route, expected, folder), wanted, expected.count)


def _compare(found: int, wanted: int, what: str) -> Reason | None:
    if found == wanted:
        return None
    code = "files_missing" if found < wanted else "files_unexpected"
    return Reason(code, {"found": found, "wanted": wanted, "what": what})


def _count(route: Route, expected: Expected, folder: str) -> int:
    """Return how many files or slices there are; the file with the number is not one of them."""
    files = inbox_of(route).source_files(folder)
    if expected.count == "slices":
        return count_slices(files)
    return sum(file.name != expected.file for file in files)


def _number_file(route: Route, expected: Expected, folder: str) -> SourceFile | None:
    # Of a series, the folder is the patient's. The route's `ignore` may name the file.
    files = source_files(SharePath(route.inbox) / folder.partition("/")[0])
    return next((file for file in files if file.name == expected.file), None)


def _read_number(file: SourceFile, key: str) -> int:
    """Return the number in a file; 0 if it holds none in the range that is allowed."""
    if file.size > _MAX_NUMBER_FILE_BYTES:
        return 0
    with open_unchanged(file) as stream:
        content = stream.read(_MAX_NUMBER_FILE_BYTES)
    # Windows PowerShell writes text as UTF-16.
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = content.decode(encoding)
        number = _as_number(_find_value(json.loads(text), key) if key else text)
    except (ValueError, RecursionError):
        return 0
    return number if number <= MOST_EXPECTED else 0


def _find_value(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _as_number(value: Any) -> int:
    """Return a whole number, also one in a text; 0 for anything else."""
    match value:
        case bool():
            return 0
        case int():
            return max(value, 0)
        case str() if _NUMBER.fullmatch(value.strip()):
            return int(value)
        case _:
            return 0
