"""Endpoints of upload sessions (platform 9)."""

from typing import Any

from gcwatch.sandbox.api import answer_rules, permissions
from gcwatch.sandbox.api.requests import (
    RequestContext,
    find_by_pk,
    paginate,
    parse_body,
    parse_hyperlink,
    require_user,
)
from gcwatch.sandbox.api.socket_sources import DEAD_LINK, Errors, queue_import
from gcwatch.sandbox.api.upload_endpoints import own_uploads
from gcwatch.sandbox.content.catalogue import Archive, Socket
from gcwatch.sandbox.model import Answer, Case, Session, Source, Upload
from gcwatch.sandbox.server.reply import Reply, json_refusal, json_reply

_MAX_SESSION_FILES = 100
_TARGETS = ("archive", "archive_item", "display_set", "answer")
_DEFAULT_SOCKET = "generic-medical-image"


def _own_sessions(context: RequestContext) -> list[Session]:
    rows = [each for each in context.state.sessions.values() if each.creator is context.user]
    return sorted(rows, key=lambda each: each.pk)


def list_sessions(context: RequestContext) -> Reply:
    """List the user's sessions, in arbitrary order."""
    return json_reply(
        200, paginate(context.request, _own_sessions(context), context.serializer.session)
    )


def show_session(context: RequestContext, pk: str) -> Reply:
    """Show one session."""
    found = find_by_pk("RawImageUploadSession", pk, _own_sessions(context), lambda each: each.pk)
    return json_reply(200, context.serializer.session(found))


def create_session(context: RequestContext) -> Reply:
    """Create a session; with a target its import starts at once."""
    data = parse_body(context.request)
    errors: Errors = {}
    target = _find_target(context, data, errors)
    socket = _find_socket(context, data, errors)
    uploads = _find_uploads(context, data, errors)
    if not errors:
        _check_socket(data, errors)
    if errors:
        raise json_refusal(400, errors)
    session = Session(require_user(context.user), uploads, context.state.now())
    context.state.sessions[session.pk] = session
    reply = json_reply(201, context.serializer.session(session))
    if isinstance(target, Answer):
        answer_rules.await_mask(context.state, target, session)
    elif target and socket:
        queue_import(context.state, session, Source(socket, target))
    return reply


def _find_target(
    context: RequestContext, data: dict[str, Any], errors: Errors
) -> Case | Archive | Answer | None:
    """Return the case, archive or answer to add the images to."""
    state = context.state
    if data.get("archive") is not None:
        archives = {each.slug: each for each in state.catalogue.archives}
        archive = archives.get(data["archive"])
        if archive and permissions.can_change(state, context.user, archive):
            return archive
        errors["archive"] = [f"Object with slug={data['archive']} does not exist."]
    known: dict[str, dict[str, Any]] = {
        "archive_item": state.items,
        "display_set": state.display_sets,
    }
    for key, cases in known.items():
        if data.get(key) is not None:
            case: Case | None = cases.get(str(data[key]))
            if case and permissions.can_change(state, context.user, case.parent):
                return case
            errors[key] = [f'Invalid pk "{data[key]}" - object does not exist.']
    return _find_answer(context, data, errors)


def _find_answer(context: RequestContext, data: dict[str, Any], errors: Errors) -> Answer | None:
    """Return the user's own answer that is to become a mask."""
    if data.get("answer") is None:
        return None
    answer = context.state.answers.get(str(data["answer"]))
    if answer is None or answer.creator is not context.user:
        errors["answer"] = [f'Invalid pk "{data["answer"]}" - object does not exist.']
    elif answer.answer is not None:
        errors["answer"] = ["This answer already has an image assignment pending"]
    return answer


def _find_socket(context: RequestContext, data: dict[str, Any], errors: Errors) -> Socket | None:
    slug = data.get("interface")
    socket = context.state.catalogue.socket(_DEFAULT_SOCKET if slug is None else slug)
    if socket is None:
        errors["interface"] = [f"Object with slug={slug} does not exist."]
    return socket


def _check_socket(data: dict[str, Any], errors: Errors) -> None:
    targets = [key for key in _TARGETS if data.get(key) is not None]
    named = data.get("interface") is not None
    problem = None
    if len(targets) > 1:
        problem = f"Only one of {', '.join(_TARGETS)} can be set"
    elif named and not targets:
        problem = "An interface needs a target"
    elif targets and targets[0] not in {"archive", "answer"} and not named:
        problem = f"An interface needs to be specified for {targets[0]}"
    if problem:
        errors["non_field_errors"] = [problem]


def _find_uploads(context: RequestContext, data: dict[str, Any], errors: Errors) -> list[Upload]:
    if data.get("uploads") is None:
        errors["uploads"] = ["This field is required."]
        return []
    try:
        return _parse_upload_links(context, data["uploads"])
    except ValueError as error:
        errors["uploads"] = [str(error)]
        return []


def _parse_upload_links(context: RequestContext, links: Any) -> list[Upload]:
    if not isinstance(links, list):
        message = f'Expected a list of items but got type "{type(links).__name__}".'
        raise ValueError(message)  # noqa: TRY004 - one error for all bad lists
    mine = {each.pk: each for each in own_uploads(context) if each.status == "Completed"}
    pks = [parse_hyperlink(link, "uploads/") for link in links]
    if not set(pks) <= set(mine):
        raise ValueError(DEAD_LINK)
    uploads = [mine[pk] for pk in pks]
    if len(uploads) > _MAX_SESSION_FILES:
        message = (
            f"Too many files uploaded. A maximum of {_MAX_SESSION_FILES} files may be uploaded "
            "per session."
        )
        raise ValueError(message)
    if len({each.filename for each in uploads}) < len(uploads):
        message = "Filenames must be unique"
        raise ValueError(message)
    return uploads
