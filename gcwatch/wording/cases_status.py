"""What cases.status.csv says: what became of each row of the table in an inbox."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gcwatch.core.case import Case
from gcwatch.core.checklist import stage
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.tables.case_table import CaseRow, CaseTable
from gcwatch.core.tables.table_cells import text_cell
from gcwatch.core.text import readable_name

STATUS_COLUMNS: Final = ("folder", "line", "status", "why", "case", "result", "link")

_CHANGED: Final = (
    "The row has changed since it was sent; nothing is sent again by itself. gcwatch retry sends "
    "the folder with the new values."
)
_MISSING: Final = "No folder of this name has been seen in the inbox."


@dataclass(frozen=True)
class CaseStatus:
    """What is told of one case; `row` is the digest of the row with which it was sent."""

    cells: tuple[str, ...]
    why: str
    row: str


def case_status(case: Case) -> CaseStatus:
    """Given a case, return what is told of it; the same as long as nothing happens."""
    reason = case.wait.reason if case.wait is not None and case.is_open else case.failure
    words = explain(reason) if reason else None
    why = f"{words.plain} {words.advice}".strip() if words else ""
    link = case.submission.url if case.submission else ""
    return CaseStatus((stage(case), case.key, case.result, link), why, case.row)


def status_rows(
    table: CaseTable | Reason, cases: Mapping[str, Sequence[CaseStatus]]
) -> Iterator[list[str]]:
    """Given a table, or why there is none, and its cases by folder, yield the cells of all rows."""
    if isinstance(table, Reason):
        words = explain(table)
        yield _cells("", "", "not used", f"{words.detail} {words.advice}", "", "", "")
        return
    for row in table.rows:
        found = cases.get(row.folder, ())
        if not found:
            yield _cells(row.folder, str(row.line), "no folder", _MISSING, "", "", "")
        for each in found:
            status, key, result, link = each.cells
            why = f"{each.why} {_changed(row, each)}".strip()
            yield _cells(row.folder, str(row.line), status, why, key, result, link)


def _changed(row: CaseRow, case: CaseStatus) -> str:
    return _CHANGED if case.row and case.row != row.digest else ""


def _cells(*cells: str) -> list[str]:
    return [text_cell(readable_name(each)) for each in cells]


def by_folder(
    cases: Iterable[tuple[str, CaseStatus]], table: CaseTable | Reason
) -> Mapping[str, Sequence[CaseStatus]]:
    """Given cases with the names of their folders, return those of the table's rows, by folder."""
    found: dict[str, list[CaseStatus]] = {}
    if isinstance(table, CaseTable):
        for name, status in cases:
            if (row := table.find(name)) is not None:
                found.setdefault(row.folder, []).append(status)
    return found
