"""Questions and answers of reader studies as JSON, and what all records share (platform 14)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gcwatch.sandbox.content.catalogue import ReaderStudy
from gcwatch.sandbox.content.names import clean_html
from gcwatch.sandbox.content.questions import Question
from gcwatch.sandbox.model import Answer, DisplaySet, Image, PlatformState

Json = dict[str, Any]

STUDY_SWITCHES = (
    "is_educational",
    "instant_verification",
    "allow_answer_modification",
    "enable_autosaving",
    "allow_case_navigation",
    "allow_show_all_annotations",
)
"""Settings of a reader study that its editors switch on and off."""


@dataclass
class StudySerializer:
    """Turns questions and answers into JSON with absolute URLs.

    Attributes:
        state: For the settings.
        site: Origin of the platform, without a slash at the end.
        storage: Origin of the storage, without a slash at the end.
    """

    state: PlatformState
    site: str
    storage: str

    def url(self, path: str) -> str:
        """Absolute URL of an API path."""
        return f"{self.site}/api/v1/{path}"

    @property
    def is_2026(self) -> bool:
        """Whether answers are those of 2026 (platform 12)."""
        return self.state.settings.schema == "2026-07"

    def image_url(self, image: Image) -> str:
        """The URL that identifies an image."""
        return self.url(f"cases/images/{image.pk}/")

    def questions_of(self, study: ReaderStudy) -> list[Question]:
        """The questions of a reader study, in its order."""
        return [each for each in self.state.questions.values() if each.study == study.slug]

    def has_ground_truth(self, study: ReaderStudy) -> bool:
        """Whether a reader study has an answer that is ground truth."""
        answers = self.state.answers.values()
        return any(each.is_ground_truth and each.case.parent is study for each in answers)

    def question(self, question: Question) -> Json:
        """A question; since 2026 without texts that are not safe HTML (platform 12.4)."""
        (study,) = (
            each for each in self.state.catalogue.reader_studies if each.slug == question.study
        )
        plain = {
            "help_text": "",
            "question_text": question.text,
            "empty_answer_confirmation_label": "",
        }
        return {
            **({"algorithms": []} if self.is_2026 else plain),
            "answer_type": question.kind,
            "api_url": self.question_url(question),
            "form_direction": "Horizontal",
            "help_text_safe": "",
            "image_port": "",
            "default_annotation_color": "",
            "pk": question.pk,
            "question_text_safe": clean_html(question.text),
            "reader_study": self.url(f"reader-studies/{study.pk}/"),
            "required": question.required,
            "options": [
                {"id": number, "title": title, "default": False}
                for number, title in question.options.items()
            ],
            "interface": None,
            "overlay_segments": [
                {"name": name, "visible": True, "voxel_value": value}
                for value, name in question.segments
            ],
            "look_up_table": None,
            "widget": "",
            "answer_min_value": None,
            "answer_max_value": None,
            "answer_step_size": None,
            "answer_min_length": None,
            "answer_max_length": None,
            "answer_match_pattern": "",
            "empty_answer_confirmation": False,
            "empty_answer_confirmation_label_safe": "",
            "interactive_algorithms": [],
        }

    def question_url(self, question: Question) -> str:
        """The URL that identifies a question."""
        return self.url(f"reader-studies/questions/{question.pk}/")

    def answer(self, answer: Answer) -> Json:
        """An answer; since 2026 with its score (platform 14.3)."""
        return {
            "answer": answer.answer,
            "api_url": self.url(f"reader-studies/answers/{answer.pk}/"),
            "created": format_time(answer.created),
            "creator": answer.creator.username,
            "display_set": self.display_set_url(answer.case),
            "pk": answer.pk,
            "question": self.question_url(answer.question),
            "modified": format_time(answer.modified),
            "answer_image": self.image_url(answer.image) if answer.image else None,
            "last_edit_duration": format_duration(answer.last_edit),
            "total_edit_duration": format_duration(answer.total_edit),
            "is_ground_truth": answer.is_ground_truth,
            **({"score": answer.score} if self.is_2026 else {}),
        }

    def display_set_url(self, case: DisplaySet) -> str:
        """The URL that identifies a display set."""
        return self.url(f"reader-studies/display-sets/{case.pk}/")


def format_time(seconds: float, precision: str = "microseconds") -> str:
    """Format a time as the API does, in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision)
    return text.replace("+00:00", "Z")


def format_duration(seconds: float | None) -> str | None:
    """Format a duration as the API does: hours, minutes and seconds."""
    if seconds is None:
        return None
    hours, rest = f"{timedelta(seconds=seconds)}".split(":", 1)
    return f"{hours.zfill(2)}:{rest}"
