"""Rows of answers.csv: what readers answered in a reader study. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from gcwatch.core.tables.table_cells import fits_cell, text_cell, value_cell

ANSWERS_NAME: Final = "answers.csv"
QUESTIONS_NAME: Final = "questions.json"

COLUMNS: Final = (
    "display_set",
    "folder",
    "question",
    "reader",
    "ground_truth",
    "answer",
    "file",
    "problem",
    "score",
    "last_edit_seconds",
    "total_edit_seconds",
    "created_utc",
    "modified_utc",
    "type",
    "display_set_pk",
    "question_pk",
    "answer_pk",
)

MASK_MISSING: Final = "no mask on the platform: its import waits, was refused or was lost"
"""An editor can't see which of them it is (platform 14.6)."""
MASK_LEFT: Final = "the answer is empty now, but its mask is still on the platform"
FILE_MISSING: Final = "its file could not be fetched"

MaskState = Literal["none", "missing", "there", "left"]
"""Whether an answer has a mask: it is no mask, or has none on the platform, or has one although the
answer is empty now ("left")."""


@dataclass(frozen=True)
class AnswerRow:
    """One answer; `display_set` is a title, `folder` the name of the folder that it came from.

    Times are in UTC. `titles` are those of the chosen options, None if it is no choice. `file` is
    the path of its mask or annotation; `has_file` says that it must have one.
    """

    display_set: str
    folder: str
    question: str
    kind: str
    reader: str
    is_ground_truth: bool
    answer: Any
    titles: Sequence[str] | None
    file: str
    has_file: bool
    mask: MaskState
    score: float | None
    last_edit: float | None
    total_edit: float | None
    created: datetime
    modified: datetime
    pks: tuple[str, str, str]


def needs_file(answer: Any) -> bool:
    """Whether an answer is an annotation, or too long for a cell: it gets a file of its own."""
    if isinstance(answer, list):
        return any(isinstance(each, dict | list) for each in answer)
    return isinstance(answer, dict) or not fits_cell(value_cell(answer))


def answer_cells(row: AnswerRow) -> list[str]:
    """Return the cells of a row, in the order of `COLUMNS`."""
    return [
        *(_text(each) for each in (row.display_set, row.folder, row.question, row.reader)),
        value_cell(row.is_ground_truth),
        _answer_cell(row),
        _text(row.file),
        _problem(row),
        *map(value_cell, (row.score, row.last_edit, row.total_edit)),
        *map(_time, (row.created, row.modified)),
        _text(row.kind),
        *row.pks,
    ]


def _problem(row: AnswerRow) -> str:
    if row.mask == "missing":
        return MASK_MISSING
    if row.has_file and not row.file:
        return FILE_MISSING
    return MASK_LEFT if row.mask == "left" else ""


def _answer_cell(row: AnswerRow) -> str:
    if row.titles is not None:
        return _text("; ".join(row.titles))
    cell = value_cell(row.answer) if row.mask == "none" else ""
    return cell if fits_cell(cell) else ""


def _text(text: str) -> str:
    cell = text_cell(text)
    return cell if fits_cell(cell) else ""


def _time(at: datetime) -> str:
    """Return a time without the letters by which spreadsheets do not know it as a time."""
    return f"{at:%Y-%m-%d %H:%M:%S}"
