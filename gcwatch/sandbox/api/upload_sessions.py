"""Endpoints of upload sessions (platform 9)."""

from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.endpoints import Asked, one, uploads_of
from gcwatch.sandbox.api.requests import data_of, linked, page, signed_in
from gcwatch.sandbox.api.socket_sources import DEAD_LINK, Errors, begin
from gcwatch.sandbox.content.catalogue import Archive, Socket
from gcwatch.sandbox.model import Case, Session, Source, Upload
from gcwatch.sandbox.server.reply import Reply, json_reply, refuse

_SESSION_FILES = 100
_TARGETS = ("archive", "archive_item", "display_set", "answer")
_NO_TARGET = "generic-medical-image"


def _sessions(asked: Asked) -> list[Session]:
    rows = [each for each in asked.world.sessions.values() if each.creator is asked.user]
    return sorted(rows, key=lambda each: each.pk)


def list_sessions(asked: Asked) -> Reply:
    """The user's sessions, in no order that means anything."""
    return json_reply(200, page(asked.request, _sessions(asked), asked.answers.session))


def show_session(asked: Asked, pk: str) -> Reply:
    """One session."""
    found = one("RawImageUploadSession", pk, _sessions(asked), lambda each: each.pk)
    return json_reply(200, asked.answers.session(found))


def create_session(asked: Asked) -> Reply:
    """Make a session: inert without a target, otherwise its import begins at once."""
    data = data_of(asked.request)
    errors: Errors = {}
    target = _target(asked, data, errors)
    socket = _socket(asked, data, errors)
    uploads = _uploads(asked, data, errors)
    if not errors:
        _check_socket(data, errors)
    if errors:
        raise refuse(400, errors)
    session = Session(signed_in(asked.user), uploads, asked.world.now())
    asked.world.sessions[session.pk] = session
    reply = json_reply(201, asked.answers.session(session))
    if target and socket:
        begin(asked.world, session, Source(socket, target))
    return reply


def _target(asked: Asked, data: dict[str, Any], errors: Errors) -> Case | Archive | None:
    """What the images are for; the answer of a reader study is none, as here nobody gives one."""
    world = asked.world
    if data.get("archive") is not None:
        archives = {each.slug: each for each in world.catalogue.archives}
        archive = archives.get(data["archive"])
        if archive and permissions.changes(world, asked.user, archive):
            return archive
        errors["archive"] = [f"Object with slug={data['archive']} does not exist."]
    known: dict[str, dict[str, Any]] = {
        "archive_item": world.items,
        "display_set": world.display_sets,
        "answer": {},
    }
    for key, cases in known.items():
        if data.get(key) is not None:
            case: Case | None = cases.get(str(data[key]))
            if case and permissions.changes(world, asked.user, case.parent):
                return case
            errors[key] = [f'Invalid pk "{data[key]}" - object does not exist.']
    return None


def _socket(asked: Asked, data: dict[str, Any], errors: Errors) -> Socket | None:
    slug = data.get("interface")
    socket = asked.world.catalogue.socket(_NO_TARGET if slug is None else slug)
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
    elif targets and targets != ["archive"] and not named:
        problem = f"An interface needs to be specified for {targets[0]}"
    if problem:
        errors["non_field_errors"] = [problem]


def _uploads(asked: Asked, data: dict[str, Any], errors: Errors) -> list[Upload]:
    if data.get("uploads") is None:
        errors["uploads"] = ["This field is required."]
        return []
    try:
        return _linked_uploads(asked, data["uploads"])
    except ValueError as error:
        errors["uploads"] = [str(error)]
        return []


def _linked_uploads(asked: Asked, links: Any) -> list[Upload]:
    if not isinstance(links, list):
        message = f'Expected a list of items but got type "{type(links).__name__}".'
        raise ValueError(message)  # noqa: TRY004 - one error for all bad lists
    mine = {each.pk: each for each in uploads_of(asked) if each.status == "Completed"}
    pks = [linked(link, "uploads/") for link in links]
    if not set(pks) <= set(mine):
        raise ValueError(DEAD_LINK)
    uploads = [mine[pk] for pk in pks]
    if len(uploads) > _SESSION_FILES:
        message = (
            f"Too many files uploaded. A maximum of {_SESSION_FILES} files may be uploaded "
            "per session."
        )
        raise ValueError(message)
    if len({each.filename for each in uploads}) < len(uploads):
        message = "Filenames must be unique"
        raise ValueError(message)
    return uploads
