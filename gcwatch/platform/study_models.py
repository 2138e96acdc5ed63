"""The platform's answers about reader studies as pydantic models (platform 14)."""

import html
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from gcwatch.platform.models import Collection, Pk, Text, Url, Word, _Answer, pk_of

_MOST_QUESTIONS: Final = 10_000
_MOST_OPTIONS: Final = 10_000
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")
_SPAN: Final = re.compile(r"(?:(\d{1,6})(?: days?,)? )?(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,9})?)")


def _seconds(text: Any) -> Any:
    """Return the seconds of a text such as `00:00:16.500000`, None if it is another."""
    # It is told to people only, so one that makes no sense stops nothing.
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    days, hours, minutes, seconds = found.groups()
    return ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)


def _in_utc(at: datetime) -> datetime:
    """Return a time in UTC; raise ValueError if no calendar has it."""
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is not in the calendar") from error


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Span = Annotated[float | None, BeforeValidator(_seconds)]
ObjectPk = Annotated[str, AfterValidator(pk_of), Field(max_length=8192)]
"""The pk of an object that is told as its URL."""


class Option(_Answer):
    """One choice of a question."""

    id: int = Field(ge=0, lt=2**63)
    title: Text = ""


class Question(_Answer):
    """A question of a reader study; `kind` is its answer type, a text for people."""

    pk: Pk
    text: Text = Field(default="", alias="question_text")
    kind: Word = Field(default="", alias="answer_type")
    required: bool | None = None
    options: Annotated[tuple[Option, ...], Field(max_length=_MOST_OPTIONS)] = ()

    @model_validator(mode="before")
    @classmethod
    def _add_text(cls, question: Any) -> Any:
        """Take the text from the one for web pages, if there is no other (platform 14.2)."""
        if not isinstance(question, dict) or "question_text" in question:
            return question
        plain = html.unescape(_TAG.sub("", str(question.get("question_text_safe") or "")))
        return {**question, "question_text": plain}

    def titles_of(self, answer: Any) -> list[str] | None:
        """Given an answer, return the titles of its options; None if it names no options."""
        chosen = answer if isinstance(answer, list) else [answer]
        titles = {option.id: option.title for option in self.options}
        if not titles or not all(type(each) is int and each in titles for each in chosen):
            return None
        return [titles[each] for each in chosen]


class ReaderStudy(Collection):
    """A reader study with its questions, and whether readers may change their answers."""

    questions: Annotated[tuple[Question, ...], Field(max_length=_MOST_QUESTIONS)] = ()
    allow_answer_modification: bool | None = None
    enable_autosaving: bool | None = None

    @property
    def lets_answers_change(self) -> bool:
        """Whether an answer may be another than it was."""
        return bool(self.allow_answer_modification or self.enable_autosaving)


class StudyAnswer(_Answer):
    """What somebody answered to a question about a display set.

    Times spent are in seconds; `image` is the API URL of a mask once it is imported.
    """

    pk: Pk
    question: ObjectPk
    display_set: ObjectPk | None = None
    creator: Word
    answer: Any = None
    image: Url | None = Field(default=None, alias="answer_image")
    is_ground_truth: bool = False
    score: float | None = None
    created: Moment
    modified: Moment
    last_edit: Span = Field(default=None, alias="last_edit_duration")
    total_edit: Span = Field(default=None, alias="total_edit_duration")

    @field_validator("answer")
    @classmethod
    def _can_be_written(cls, answer: Any) -> Any:
        """Refuse a number such as 1e999, which no JSON can hold."""
        json.dumps(answer, allow_nan=False)
        return answer
