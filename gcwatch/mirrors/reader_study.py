"""A reader study as the source of a mirror: what readers answered, with masks and annotations.

A display set is an item if it has answers with files. All answers are in answers.csv. They are read
again from the first on if an old one may be another by now; else only the new ones are read.
"""

import errno
import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Final

from gcwatch import config
from gcwatch.core.case import Output
from gcwatch.core.errors import NotYet, TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.answer_rows import (
    ANSWERS_NAME,
    COLUMNS,
    QUESTIONS_NAME,
    AnswerRow,
    MaskState,
    answer_cells,
)
from gcwatch.core.tables.table_cells import BYTE_ORDER_MARK, csv_line
from gcwatch.files.atomic import FILE_MODE, disk_trouble, error_text, write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import with_suffix
from gcwatch.files.safe_open import read_small_file
from gcwatch.mirrors.answer_store import AnswerStore, FiledAnswer
from gcwatch.mirrors.archive import HOUR_SECONDS, is_unknown_item
from gcwatch.mirrors.receipts import File, Held, Wanted
from gcwatch.mirrors.storage import plain_name
from gcwatch.mirrors.tally import TableCounts
from gcwatch.outbox.table_file import replace_table
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Collection
from gcwatch.platform.study_models import Question, ReaderStudy, StudyAnswer

_FULL_PASS_SECONDS: Final = 86400.0
"""All answers are read at least so often: switches of a study may have been on for a while."""
_LIST_TRIES: Final = 20
"""Tries to read a complete list of answers."""
_IN_USE: Final = {errno.EEXIST, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY}
"""Errors of a table that somebody has changed (`NotOurTable`), or has open on a share."""
_GROUND_TRUTH: Final = "ground truth"
"""Instead of a reader's name, which has no spaces."""

Origins = Callable[[str], Mapping[str, str]]
"""Given a study's slug, returns the names of the folders of its display sets, by pk."""


class ReaderStudySource:
    """The display sets of a reader study with what was answered; see `MirrorSource`."""

    def __init__(
        self,
        settings: config.Mirror,
        platform: GrandChallenge,
        store: AnswerStore,
        *,
        origins: Origins,
        clock: Callable[[], float],
        on_progress: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._store = store
        self._origins = origins
        self._clock = clock
        self._on_progress = on_progress
        self._questions: Mapping[str, Question] = {}
        self._listed = 0

    def find_place(self) -> ReaderStudy:
        """Return the study; raise NotYet (`reader_study_not_found`) if it can't be seen."""
        found = self._platform.study(self._settings.slug)
        if found is None:
            facts = {"slug": self._settings.slug}
            raise NotYet(Reason("reader_study_not_found", facts), HOUR_SECONDS)
        return found

    # --- reading ---------------------------------------------------------------------------------

    def list_items(self, place: Collection, held: Container[str]) -> list[Wanted]:
        """Read the answers; return the display sets that have files, and those on disk."""
        assert isinstance(place, ReaderStudy), "found by this source"
        self._questions = {each.pk: each for each in place.questions}
        with disk_trouble("remembering answers"):
            with self._store.change():
                self._read(place)
            titles = self._store.titles()
            grouped = groupby(self._store.filed_answers(), lambda each: each.display_set)
            wanted = {
                pk: Wanted(pk, titles.get(pk, ""), tuple(map(self._output, answers)))
                for pk, answers in grouped
            }
        emptied = (pk for pk in titles if pk in held and pk not in wanted)
        return [*wanted.values(), *(Wanted(pk, titles[pk], ()) for pk in emptied)]

    def _read(self, study: ReaderStudy) -> None:
        """Read the answers that are new, or all of them; also display sets that are not known."""
        if self._store.recall("pk") != study.pk:
            self._store.forget_all()
        is_whole = not (self._may_continue(study) and self._read_new(study))
        if is_whole:
            self._read_all(study)
            self._store.note("read", self._clock())
        if is_whole or self._store.lacks_sets():
            sets = self._platform.items("reader_study", study.pk)
            self._store.keep_sets((each.pk, each.title) for each in sets)
        self._store.keep_questions(study)
        self._store.note("pk", study.pk)
        self._store.note("changeable", study.lets_answers_change)

    def _may_continue(self, study: ReaderStudy) -> bool:
        """Whether the answers that were read are what they were, if the last one is."""
        now = self._clock()
        age = now - float(self._store.recall("read") or 0.0)
        changeable = study.lets_answers_change or self._store.recall("changeable")
        is_current = 0 <= age < _FULL_PASS_SECONDS and not changeable
        return is_current and self._store.count() > 0 and not self._store.has_open(now)

    def _read_new(self, study: ReaderStudy) -> bool:
        """Read the answers after the last one; return False if that is not where it was."""
        last = self._store.count() - 1
        found = False
        for place, answer in self._numbered_answers(study, last):
            if place == last and not self._store.is_last(answer):
                return False
            found = True
            self._keep(answer, place, pass_number=0)
        return found

    def _read_all(self, study: ReaderStudy) -> None:
        """Read all answers; forget those that are gone.

        Raises:
            NotYet: when the list stays incomplete after several tries, or other readers' answers
                are not seen any more (`answers_not_seen`).
        """
        # An answer that is deleted while the pages are read moves another one out of sight.
        number = self._store.next_pass()
        for _ in range(_LIST_TRIES):
            count = 0
            for place, answer in self._numbered_answers(study):
                self._keep(answer, place, number)
                count = place + 1
            if self._store.count_read(number) >= max(count, self._listed):
                break
        else:
            facts = {"seconds": 60, "message": f"{self._listed} answers could not be listed"}
            raise NotYet(Reason("busy", facts), 60)
        self._require_right(self._store.readers_not_read(number))
        self._store.forget_not_read(number)

    def _numbered_answers(
        self, study: ReaderStudy, first: int = 0
    ) -> Iterator[tuple[int, StudyAnswer]]:
        """Yield answers with their place in the list; `_listed` is how many the platform counts."""
        self._listed, place = 0, first
        for page in self._platform.answers(study.pk, first):
            self._on_progress()
            self._listed = max(self._listed, page.count)
            yield from enumerate(page.results, place)
            place += len(page.results)

    def _keep(self, answer: StudyAnswer, place: int, pass_number: int) -> None:
        question = self._questions.get(answer.question)
        if question is None:  # one that is newer than what was read, or of another study
            facts = {"what": "the question of an answer", "found": answer.question}
            raise TryAgain(Reason("other_object", {**facts, "wanted": "one of the study"}))
        self._store.keep(answer, question.kind, place, pass_number)

    def _require_right(self, readers: set[str]) -> None:
        """Raise NotYet if these readers' answers may be missing because this account lost a right.

        An editor sees all answers, anybody else only own ones (platform 14.5).
        """
        others = readers - {self._platform.me()} if readers else set()
        if others and not self._platform.may_add("reader_study", self._settings.slug):
            facts = {"slug": self._settings.slug}
            raise NotYet(Reason("answers_not_seen", facts), HOUR_SECONDS)

    # --- files -----------------------------------------------------------------------------------

    def _output(self, answer: FiledAnswer) -> Output:
        question = self._questions.get(answer.question)
        who = _GROUND_TRUTH if answer.is_ground_truth else answer.reader
        what = question.text if question and question.text else answer.question
        name = plain_name(what)
        path = PurePosixPath(plain_name(who), name if answer.image else with_suffix(name, ".json"))
        return Output(
            pk=answer.content_pk,
            socket=f"{who}/{what}",
            carrier="image" if answer.image else "value",
            path=str(path),
            url=answer.image,
        )

    def load_values(self, wanted: Wanted) -> Wanted:
        """Return a display set with its annotations, which are not in memory before."""
        with disk_trouble("remembering answers"):
            values = self._store.values_of(wanted.item)
        outputs = (replace(each, value=values.get(str(each.pk))) for each in wanted.outputs)
        return replace(wanted, outputs=tuple(outputs))

    def is_gone(self, item: str) -> bool:
        """Return whether the platform does not know a display set any more."""
        return is_unknown_item(self._platform, "reader_study", item)

    # --- tables ----------------------------------------------------------------------------------

    def write_tables(self, list_held: Callable[[], Mapping[str, Held]]) -> TableCounts:
        """Write the questions and the answers.

        Raises:
            TryAgain: (`table_not_written`) when somebody has changed the table, or has it open.
        """
        self._write_questions()
        files = _files_by_content(list_held())
        origins = self._origins(self._settings.slug)
        answers = SharePath(self._settings.outbox) / ANSWERS_NAME
        try:
            replace_table(answers, COLUMNS, lambda: self._lines(files, origins), self._store)
        except OSError as error:
            if error.errno not in _IN_USE:
                raise
            facts = {"table": ANSWERS_NAME, "error": error_text(error)}
            raise TryAgain(Reason("table_not_written", facts)) from error
        return TableCounts(self._store.count(), self._store.count_waiting())

    def _lines(
        self, files: Mapping[tuple[str, str], str], origins: Mapping[str, str]
    ) -> Iterator[bytes]:
        yield BYTE_ORDER_MARK
        yield csv_line(COLUMNS)
        titles = self._store.titles()
        for answer, content, waits in self._store.answers():
            item, question = answer.display_set or "", self._questions.get(answer.question)
            row = AnswerRow(
                display_set=titles.get(item, ""),
                folder=origins.get(item, ""),
                question=question.text if question else "",
                kind=question.kind if question else "",
                reader=answer.creator,
                is_ground_truth=answer.is_ground_truth,
                answer=answer.answer,
                titles=question.titles_of(answer.answer) if question else None,
                file=files.get((item, content), "") if content else "",
                mask=_mask_state(answer, waits=waits),
                has_file=content is not None,
                score=answer.score,
                last_edit=answer.last_edit,
                total_edit=answer.total_edit,
                created=answer.created,
                modified=answer.modified,
                pks=(item, answer.question, answer.pk),
            )
            yield csv_line(answer_cells(row))

    def _write_questions(self) -> None:
        told = [each.model_dump(mode="json") for each in self._questions.values()]
        content = json.dumps(told, indent=2, ensure_ascii=False).encode()
        path = SharePath(self._settings.outbox) / QUESTIONS_NAME
        if read_small_file(path, len(content)) != content:
            write_atomically(path, content, FILE_MODE)


def _mask_state(answer: StudyAnswer, *, waits: bool) -> MaskState:
    if waits:
        return "missing"
    if answer.image is None:
        return "none"
    return "there" if answer.answer is not None else "left"


def _files_by_content(held: Mapping[str, Held]) -> dict[tuple[str, str], str]:
    """Return the paths of the files of all answers, by display set and what names the content."""
    return {
        (item, str(content.pk)): _path_of(ours, content.files)
        for item, ours in held.items()
        for content in ours.receipt.outputs
        if content.files and ours.whole
    }


def _path_of(held: Held, files: Sequence[File]) -> str:
    """Return the path of a file, or of the folder if a mask has several."""
    path = PurePosixPath(held.name, files[0].path)
    return str(path if len(files) == 1 else path.parent)
