"""Controls of reader studies: users, questions and answers, as if editors and readers made them."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from gcwatch.sandbox import seeds
from gcwatch.sandbox.api import answer_rules
from gcwatch.sandbox.content.catalogue import Archive, ReaderStudy
from gcwatch.sandbox.content.questions import Question
from gcwatch.sandbox.model import PlatformState, User, new_pk

STUDY_CONTROLS = frozenset(
    {"add_user", "switch_study", "add_question", "add_answer", "remove_answer"}
)


P = TypeVar("P", ReaderStudy, Archive)


def find_by_slug(owned: Iterable[P], slug: str) -> P:
    """Return the one with this slug; raise ValueError without one."""
    for each in owned:
        if each.slug == slug:
            return each
    message = f"no such slug: {slug}"
    raise ValueError(message)


class StudyControls:
    """What a sandbox offers for reader studies, beside its API."""

    platform_state: PlatformState

    def notify_waiters(self) -> None:
        """Let those who wait for a state look again."""

    def _find_study(self, slug: str) -> ReaderStudy:
        return find_by_slug(self.platform_state.catalogue.reader_studies, slug)

    def add_user(self, username: str) -> str:
        """Add a user, who sees nothing yet but what the catalogue says; return the token."""
        with self.platform_state.lock:
            user = User(len(self.platform_state.users) + 2, username, secrets.token_hex(32))
            self.platform_state.users.append(user)
        return user.token

    def switch_study(self, reader_study: str, **switches: bool) -> None:
        """Switch settings of a reader study on or off, by their names in its JSON."""
        study = self._find_study(reader_study)
        with self.platform_state.lock:
            on = self.platform_state.switches.setdefault(study.slug, set())
            for name, value in switches.items():
                (on.add if value else on.discard)(name)

    def add_question(
        self,
        reader_study: str,
        text: str,
        kind: str = "Text",
        *,
        required: bool = False,
        options: Iterable[str] = (),
        segments: Mapping[int, str] | None = None,
    ) -> str:
        """Add a question to a reader study, as its last.

        Args:
            reader_study: Slug of the study.
            text: What is asked.
            kind: Display text of its answer type.
            required: Whether answers must not be empty.
            options: Titles of choices; the platform numbers them.
            segments: Names of the voxel values that a mask may have; None allows all.

        Returns:
            The question's pk.
        """
        study = self._find_study(reader_study)
        with self.platform_state.lock:
            known = self.platform_state.questions
            first = sum(len(each.options) for each in known.values()) + 1
            allowed = tuple((int(value), name) for value, name in (segments or {}).items())
            numbered = dict(enumerate(options, first))
            made = Question(new_pk(), study.slug, text, kind, required, numbered, allowed)
            known[made.pk] = made
        return made.pk

    def add_answer(
        self,
        display_set: str,
        question: str = "",
        answer: Any = "seen",
        *,
        username: str = "alice",
        is_ground_truth: bool = False,
        explanation: str = "",
        mask: seeds.Content | None = None,
    ) -> str:
        """Add a reader's answer to a display set, which can no longer be changed.

        Args:
            display_set: Its pk.
            question: Pk of the question; "" is the study's first one, which is made if missing.
            answer: The answer, which is not checked.
            username: The reader.
            is_ground_truth: Whether it is ground truth, as editors make it on the web pages.
            explanation: Only of ground truth.
            mask: The image of a mask, as in `add_item`.

        Returns:
            The answer's pk.
        """
        with self.platform_state.lock:
            case = self.platform_state.display_sets.get(display_set)
            if case is None:
                message = f"no such display set: {display_set}"
                raise ValueError(message)
            asked = self.platform_state.questions[
                question or self._first_question(case.parent.slug)
            ]
            (reader,) = (each for each in self.platform_state.users if each.username == username)
            made = answer_rules.add_answer(self.platform_state, asked, case, reader, answer)
            if mask is not None:
                seeds.attach_mask(self.platform_state, made, mask)
            made.is_ground_truth, made.explanation = is_ground_truth, explanation
        self.notify_waiters()
        return made.pk

    def _first_question(self, study: str) -> str:
        questions = self.platform_state.questions.values()
        found = next((each.pk for each in questions if each.study == study), None)
        return found or self.add_question(study, "What do you see?")

    def remove_answer(self, answer: str) -> None:
        """Remove an answer, as editors do on the web pages."""
        with self.platform_state.lock:
            gone = self.platform_state.answers.pop(answer)
            gone.case.answers.remove(gone)
