"""Making and changing answers of a reader study: the platform's checks (platform 14.4)."""

import re
from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import parse_hyperlink
from gcwatch.sandbox.api.socket_sources import DEAD_LINK, Errors, queue_import
from gcwatch.sandbox.content.catalogue import Socket
from gcwatch.sandbox.content.questions import Question
from gcwatch.sandbox.model import Answer, DisplaySet, PlatformState, Session, Source, User
from gcwatch.sandbox.server.reply import html_refusal, json_refusal

_SECONDS_BEFORE = 30e-6
"""An answer counts as modified a moment before it is created."""
_DURATION = re.compile(r"(?:(\d+) )?(?:(\d+):)?(?:(\d+):)?(\d+(?:\.\d+)?)")


def create_answer(state: PlatformState, user: User, data: dict[str, Any]) -> Answer:
    """Create the answer of a user to a question about a display set.

    Raises:
        Refusal: 400 with the platform's body; 500 without a display set, as the platform does.
    """
    errors: Errors = {}
    question = _find_question(state, data, errors)
    case = _find_case(state, user, data, errors)
    if errors:
        raise json_refusal(400, errors)
    if question is None or case is None:
        raise html_refusal(500)
    if any(each.question is question and each.creator is user for each in case.answers):
        _refuse(f"User {user.username} has already answered this question for this display set.")
    _check_answer(question, data.get("answer"))
    answer = add_answer(state, question, case, user, data.get("answer"))
    _edit(answer, data, state)
    return answer


def add_answer(
    state: PlatformState, question: Question, case: DisplaySet, user: User, answer: Any
) -> Answer:
    """Add an answer without a check."""
    now = state.now()
    made = Answer(question, case, user, answer, now, now - _SECONDS_BEFORE)
    state.answers[made.pk] = made
    case.answers.append(made)
    return made


def update_answer(state: PlatformState, user: User, answer: Answer, data: dict[str, Any]) -> None:
    """Change the user's own answer.

    Raises:
        Refusal: 400 with the platform's body; 403 if it is another reader's.
    """
    if answer.creator is not user:
        raise json_refusal(403, {"detail": "You do not have permission to perform this action."})
    if "allow_answer_modification" not in state.switches.get(answer.question.study, set()):
        _refuse("This reader study does not allow answer modification.")
    if data.keys() & {"display_set", "question"}:
        _refuse("Only the answer and last_edit_duration field can be modified.")
    if "answer" in data:
        _check_answer(answer.question, data["answer"])
        answer.answer = data["answer"]
    _edit(answer, data, state)
    answer.modified = state.now()


def await_mask(state: PlatformState, answer: Answer, session: Session) -> None:
    """Let an answer wait for the image of a session (platform 14.6)."""
    answer.answer = {"upload_session_pk": session.pk}
    answer.modified = state.now()
    question = answer.question
    socket = Socket(0, question.text, "mask", "Segmentation", "Image", "", question.segments)
    queue_import(state, session, Source(socket, answer))


def _find_question(state: PlatformState, data: dict[str, Any], errors: Errors) -> Question | None:
    found = _follow(data, "question", "reader-studies/questions/", errors)
    question = state.questions.get(found or "")
    if question is None and "question" not in errors:
        errors["question"] = [DEAD_LINK if "question" in data else "This field is required."]
    return question


def _find_case(
    state: PlatformState, user: User, data: dict[str, Any], errors: Errors
) -> DisplaySet | None:
    found = _follow(data, "display_set", "reader-studies/display-sets/", errors)
    if found is None:
        return None
    case = state.display_sets.get(found)
    if case is None or not permissions.can_view(state, user, case.parent):
        errors["display_set"] = [DEAD_LINK]
    return case


def _follow(data: dict[str, Any], key: str, prefix: str, errors: Errors) -> str | None:
    """Return the pk in a link of a body; None if there is none, or no such link."""
    if data.get(key) is None:
        return None
    try:
        return parse_hyperlink(data[key], prefix)
    except ValueError as error:
        errors[key] = [str(error)]
        return None


def _check_answer(question: Question, answer: Any) -> None:
    if problem := question.find_problem(answer):
        _refuse(problem)


def _edit(answer: Answer, data: dict[str, Any], state: PlatformState) -> None:
    """Set what a request may set beside the answer itself."""
    if state.settings.schema == "2026-07" and "score" in data:
        answer.score = data["score"]
    given, before = data.get("last_edit_duration"), answer.total_edit
    answer.last_edit = answer.total_edit = None  # an edit without a duration forgets all
    if given is not None:
        answer.last_edit = _parse_duration(given)
        answer.total_edit = (before or 0.0) + answer.last_edit


def _parse_duration(given: Any) -> float:
    found = _DURATION.fullmatch(str(given))
    if not found:
        problem = (
            "Duration has wrong format. Use one of these formats instead: "
            "[DD] [HH:[MM:]]ss[.uuuuuu]."
        )
        raise json_refusal(400, {"last_edit_duration": [problem]})
    days, *clock, seconds = found.groups()
    hours_and_minutes = [int(each) for each in clock if each]
    total = float(int(days or 0) * 24)
    for each in [0, 0, *hours_and_minutes][-2:]:
        total = total * 60 + each
    return total * 60 + float(seconds)


def _refuse(problem: str) -> None:
    raise json_refusal(400, {"non_field_errors": [problem]})
