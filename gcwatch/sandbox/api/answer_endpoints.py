"""Endpoints of questions and answers of reader studies (platform 14)."""

from collections.abc import Iterable
from uuid import UUID

from gcwatch.sandbox.api import answer_rules, permissions
from gcwatch.sandbox.api.catalogue_endpoints import filter_visible
from gcwatch.sandbox.api.requests import (
    RequestContext,
    find_by_pk,
    find_filtered,
    paginate,
    parse_body,
    require_user,
)
from gcwatch.sandbox.content.questions import Question
from gcwatch.sandbox.model import Answer
from gcwatch.sandbox.server.reply import Reply, html_refusal, json_refusal, json_reply

_TRUTHS = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}


def _visible_questions(context: RequestContext) -> list[Question]:
    studies = filter_visible(context, context.state.catalogue.reader_studies)
    return [each for study in studies for each in context.serializer.questions_of(study)]


def list_questions(context: RequestContext) -> Reply:
    """List the questions of the studies that the user sees, in the studies' order."""
    study = find_filtered(context, "reader_study", context.state.catalogue.reader_studies)
    found = _visible_questions(context)
    rows = [each for each in found if study is None or each.study == study.slug]
    return json_reply(200, paginate(context.request, rows, context.serializer.question))


def show_question(context: RequestContext, pk: str) -> Reply:
    """Show one question."""
    found = find_by_pk("Question", pk, _visible_questions(context), lambda each: each.pk)
    return json_reply(200, context.serializer.question(found))


def list_answers(context: RequestContext) -> Reply:
    """List the answers that the user sees, by their creation."""
    return _list(context, permissions.visible_answers(context.state, context.user))


def list_own_answers(context: RequestContext) -> Reply:
    """List the user's own answers, without ground truth."""
    seen = permissions.visible_answers(context.state, context.user)
    own = (each for each in seen if each.creator is context.user and not each.is_ground_truth)
    return _list(context, own)


def _list(context: RequestContext, rows: Iterable[Answer]) -> Reply:
    """Answer with a page of the rows that the filters leave; others are ignored (platform 14.5)."""
    state, args = context.state, context.request.args
    study = find_filtered(context, "question__reader_study", state.catalogue.reader_studies)
    case = find_filtered(context, "display_set", state.display_sets.values())
    creator = (args.getlist("creator") or [""])[-1]
    truth = _TRUTHS.get(args.get("is_ground_truth", ""))
    chosen = [
        each
        for each in rows
        if (study is None or each.question.study == study.slug)
        and (case is None or each.case is case)
        and creator in {"", each.creator.username}
        and truth in {None, each.is_ground_truth}
    ]
    return json_reply(200, paginate(context.request, chosen, context.serializer.answer))


def _find_answer(context: RequestContext, pk: str) -> Answer:
    seen = permissions.visible_answers(context.state, context.user)
    return find_by_pk("Answer", pk, seen, lambda each: each.pk)


def show_answer(context: RequestContext, pk: str) -> Reply:
    """Show one answer."""
    return json_reply(200, context.serializer.answer(_find_answer(context, pk)))


def create_answer(context: RequestContext) -> Reply:
    """Create the user's answer to a question about a display set."""
    user, data = require_user(context.user), parse_body(context.request)
    made = answer_rules.create_answer(context.state, user, data)
    return json_reply(201, context.serializer.answer(made))


def update_answer(context: RequestContext, pk: str) -> Reply:
    """Change an answer of the user."""
    answer = _find_answer(context, pk)
    user, data = require_user(context.user), parse_body(context.request)
    answer_rules.update_answer(context.state, user, answer, data)
    return json_reply(200, context.serializer.answer(answer))


def show_ground_truth(context: RequestContext, pk: str, case: str) -> Reply:
    """Show the ground truth of a display set, by question (platform 14.7)."""
    state = context.state
    studies = filter_visible(context, state.catalogue.reader_studies)
    study = find_by_pk("ReaderStudy", pk, studies, lambda each: each.pk)
    try:
        UUID(case)
    except ValueError as error:
        raise html_refusal(500) from error
    educational = "is_educational" in state.switches.get(study.slug, set())
    if not educational or not context.serializer.has_ground_truth(study):
        raise json_refusal(404, {"detail": "Not found."})
    truths = [
        each
        for each in state.answers.values()
        if each.is_ground_truth and each.case.pk == case and each.case.parent is study
    ]
    return json_reply(200, {each.question.pk: _truth(each) for each in truths})


def _truth(answer: Answer) -> dict[str, object]:
    question = answer.question
    return {
        "answer": answer.answer,
        "answer_text": question.answer_text(answer.answer),
        "question_text": question.text,
        "options": {str(number): title for number, title in question.options.items()},
        "explanation": answer.explanation,
    }
