"""The questions of a reader study, and which answers fit them (platform 14)."""

from dataclasses import dataclass
from typing import Any

from gcwatch.sandbox.content.json_schemas import SCHEMAS, find_problem

HEADING = "Heading"
MASK = "Mask"


@dataclass
class Question:
    """A question; like an editor of the study, a test may change it.

    Attributes:
        study: Slug of the reader study.
        kind: Display text of its answer type, for example "Multiple choice".
        required: Whether an answer must not be empty.
        options: The titles of choices, by their numbers.
        segments: Allowed voxel values of a mask, each with its name; empty allows all.
    """

    pk: str
    study: str
    text: str
    kind: str
    required: bool
    options: dict[int, str]
    segments: tuple[tuple[int, str], ...] = ()

    def find_problem(self, answer: Any) -> str | None:
        """Return the platform's message about an answer that does not fit, else None."""
        if self.kind == HEADING:
            return "Headings are not answerable."
        if answer is None or answer in ("", []):
            return "Answer for required question cannot be empty" if self.required else None
        if not self._has_right_type(answer):
            return (
                f"Your answer is not the correct type. {self.kind} expected, {type(answer)} found."
            )
        chosen = answer if self.kind == "Multiple choice" else [answer]
        if self.options and not set(chosen) <= set(self.options):
            return "Provided option is not valid for this question"
        return None

    def _has_right_type(self, answer: Any) -> bool:
        number = isinstance(answer, int | float) and not isinstance(answer, bool)
        match self.kind:
            case "Text":
                return isinstance(answer, str)
            case "Number":
                return number
            case "Bool":
                return isinstance(answer, bool)
            case "Choice":
                return number and isinstance(answer, int)
            case "Multiple choice":
                return isinstance(answer, list) and all(type(each) is int for each in answer)
            case "Mask":
                return isinstance(answer, dict) and answer.keys() == {"upload_session_pk"}
            case _:
                return self.kind not in SCHEMAS or find_problem(self.kind, answer) is None

    def answer_text(self, answer: Any) -> Any:
        """Return an answer with the titles of its options for their numbers."""
        if isinstance(answer, list) and self.options:
            return ", ".join(sorted(self.options[each] for each in answer))
        return self.options.get(answer, answer) if isinstance(answer, int) else answer
