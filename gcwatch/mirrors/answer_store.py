"""What was read of a reader study: its answers and display sets, in a private file.

A study may have more answers than should be in memory, and more than should be read at each run.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from gcwatch.core.tables.answer_rows import needs_file
from gcwatch.outbox.private_store import PrivateStore
from gcwatch.platform.models import pk_of
from gcwatch.platform.study_models import ReaderStudy, StudyAnswer

_FORMAT: Final = 1
_MASK: Final = "Mask"
_EMPTY_MASK_SECONDS: Final = 86400.0
"""An empty answer counts as one that stays empty after this time."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS study (name TEXT PRIMARY KEY, told TEXT);
CREATE TABLE IF NOT EXISTS sets (pk TEXT PRIMARY KEY, place INTEGER, title TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (pk TEXT PRIMARY KEY, place INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    pk TEXT PRIMARY KEY, place INTEGER, pass INTEGER, display_set TEXT, question TEXT, reader TEXT,
    truth INTEGER, content_pk TEXT, image TEXT, waits INTEGER, open_until REAL, told TEXT
);
CREATE INDEX IF NOT EXISTS by_set ON answers (display_set);
"""


@dataclass(frozen=True)
class FiledAnswer:
    """An answer that has a file: a mask with the API URL of its image, or an annotation ("").

    `content_pk` names what is in the file, and changes with it.
    """

    pk: str
    display_set: str
    question: str
    reader: str
    is_ground_truth: bool
    content_pk: str
    image: str


class AnswerStore(PrivateStore):
    """The private file of one mirror of a reader study."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORMAT, _TABLES)
        self._lock = Lock()

    # --- the study -------------------------------------------------------------------------------

    def recall(self, name: str) -> Any:
        """Return what was noted under a name, None if nothing was."""
        found = self._run("SELECT told FROM study WHERE name = ?", name).fetchone()
        return None if found is None else json.loads(found[0])

    def note(self, name: str, told: Any) -> None:
        """Note something of the study."""
        self._run("INSERT OR REPLACE INTO study VALUES (?, ?)", name, json.dumps(told))

    def forget_all(self) -> None:
        """Forget everything: it is of another study."""
        for table in ("study", "sets", "questions", "answers"):
            self._run(f"DELETE FROM {table}")  # noqa: S608 - no text from outside

    def keep_questions(self, study: ReaderStudy) -> None:
        """Keep the order of the questions."""
        self._run("DELETE FROM questions")
        for place, each in enumerate(study.questions):
            self._run("INSERT OR REPLACE INTO questions VALUES (?, ?)", each.pk, place)

    def keep_sets(self, titles: Iterable[tuple[str, str]]) -> None:
        """Keep the pks and titles of the display sets, in their order."""
        self._run("DELETE FROM sets")
        for place, (pk, title) in enumerate(titles):
            self._run("INSERT OR REPLACE INTO sets VALUES (?, ?, ?)", pk, place, title)

    def titles(self) -> Mapping[str, str]:
        """Return the titles of all display sets by pk."""
        return dict(self._run("SELECT pk, title FROM sets ORDER BY place"))

    def lacks_sets(self) -> bool:
        """Whether an answer is about a display set that is not known."""
        query = "SELECT count(*) FROM answers WHERE display_set NOT IN (SELECT pk FROM sets)"
        return self._number(f"{query} AND display_set != ''") > 0

    # --- answers ---------------------------------------------------------------------------------

    def count(self) -> int:
        """Return the number of answers."""
        return self._number("SELECT count(*) FROM answers")

    def count_waiting(self) -> int:
        """Return the number of masks that are not on the platform."""
        return self._number("SELECT count(*) FROM answers WHERE waits")

    def has_open(self, now: float) -> bool:
        """Whether a mask may come at any time to an answer that is known."""
        return self._number("SELECT count(*) FROM answers WHERE open_until > ?", now) > 0

    def next_pass(self) -> int:
        """Return a number that no answer has been read with."""
        return self._number("SELECT ifnull(max(pass), 0) + 1 FROM answers")

    def is_last(self, answer: StudyAnswer) -> bool:
        """Whether an answer is the last one of the list, unchanged."""
        query = "SELECT told FROM answers ORDER BY place DESC LIMIT 1"
        found = self._run(query).fetchone()
        return found is not None and found[0] == _told(answer)

    def keep(self, answer: StudyAnswer, kind: str, place: int, pass_number: int) -> None:
        """Keep an answer to a question of a kind, with its place in the list."""
        is_mask, told = kind == _MASK, _told(answer)
        waits = is_mask and answer.image is None and answer.answer is not None
        self._run(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            answer.pk,
            place,
            pass_number,
            answer.display_set or "",
            answer.question,
            answer.creator,
            answer.is_ground_truth,
            None if waits else _content_pk(answer),
            answer.image or "",
            waits,
            _open_until(answer) if is_mask else 0.0,
            told,
        )

    def count_read(self, pass_number: int) -> int:
        """Return the number of answers that were read with a pass."""
        return self._number("SELECT count(*) FROM answers WHERE pass = ?", pass_number)

    def readers_not_read(self, pass_number: int) -> set[str]:
        """Return whose answers were not read with a pass."""
        query = "SELECT DISTINCT reader FROM answers WHERE pass != ?"
        return {reader for (reader,) in self._run(query, pass_number)}

    def forget_not_read(self, pass_number: int) -> None:
        """Forget the answers that were not read with a pass."""
        self._run("DELETE FROM answers WHERE pass != ?", pass_number)

    def filed_answers(self) -> Iterator[FiledAnswer]:
        """Yield the answers that have files, those of a display set one after the other."""
        query = (
            "SELECT pk, display_set, question, reader, truth, content_pk, image FROM answers "
            "WHERE content_pk NOT NULL AND display_set != '' ORDER BY display_set, place"
        )
        for pk, display_set, question, reader, truth, content, image in self._run(query):
            yield FiledAnswer(pk, display_set, question, reader, bool(truth), content, image)

    def values_of(self, display_set: str) -> Mapping[str, Any]:
        """Return the answers about a display set that have files, by what names the content."""
        query = "SELECT content_pk, told FROM answers WHERE display_set = ? AND content_pk NOT NULL"
        with self._lock:  # several threads store display sets
            rows = self._run(query, display_set).fetchall()
        return {pk: json.loads(told)["answer"] for pk, told in rows}

    def answers(self) -> Iterator[tuple[StudyAnswer, str | None, bool]]:
        """Yield all answers, what names their content, and whether they wait for a mask.

        They are in the order of display sets and questions, ground truth first, then by reader.
        """
        query = (
            "SELECT told, content_pk, waits FROM answers "
            "LEFT JOIN sets ON sets.pk = display_set "
            "LEFT JOIN questions ON questions.pk = question "
            "ORDER BY sets.place, questions.place, truth DESC, reader, answers.place"
        )
        for told, content, waits in self._run(query):
            yield StudyAnswer.model_validate_json(told), content, bool(waits)


def _open_until(answer: StudyAnswer) -> float:
    """Return until when an answer may get its mask, in seconds since the epoch."""
    if answer.image is not None:
        return 0.0
    # An answer is made empty before its mask is uploaded (platform 14.6).
    created = answer.created.timestamp()
    return created + _EMPTY_MASK_SECONDS if answer.answer is None else float("inf")


def _told(answer: StudyAnswer) -> str:
    return answer.model_dump_json(by_alias=True)


def _content_pk(answer: StudyAnswer) -> str | None:
    """Return what names the content of an answer's file, None if it has no file."""
    if answer.image is not None:
        return pk_of(answer.image)
    if not needs_file(answer.answer):
        return None
    content = json.dumps(answer.answer, sort_keys=True).encode()
    return f"{answer.pk}-{hashlib.sha256(content).hexdigest()[:16]}"
