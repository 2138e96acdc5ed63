"""The sources that a request gives for sockets: the platform's checks (platform 3.8, 5.6)."""

from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import parse_hyperlink
from gcwatch.sandbox.content import json_schemas
from gcwatch.sandbox.content.catalogue import Socket
from gcwatch.sandbox.content.socket_kinds import DICOM_SET
from gcwatch.sandbox.importer.socket_fit import find_misfit
from gcwatch.sandbox.model import (
    Case,
    DicomUpload,
    Image,
    Job,
    PlatformState,
    Session,
    Source,
    Upload,
    User,
)

DEAD_LINK = "Invalid hyperlink - Object does not exist."
_SOURCE_NAMES = (
    "['image', 'value', 'file', 'user_upload', 'upload_session', ('image_name', 'user_uploads')]"
)
Errors = dict[str, Any]


class _InputError(Exception):
    """One input is invalid."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors)
        self.errors = errors


def read_sources(
    state: PlatformState, user: User, key: str, given: Any, errors: Errors
) -> list[Source]:
    """Read the sources in a request; if a socket is named twice, its last source counts.

    Args:
        state: All records.
        user: The user whose uploads, sessions and images may be named.
        key: Name of the field in the request.
        given: Content of the field.
        errors: Receives the errors, under *key*.
    """
    if not isinstance(given, list):
        problem = f'Expected a list of items but got type "{type(given).__name__}".'
        errors[key] = {"non_field_errors": [problem]}
        return []
    sources: dict[str, Source] = {}
    problems: list[Errors] = []
    for each in given:
        try:
            source = _read_source(state, user, each)
            sources[source.socket.slug] = source
            problems.append({})
        except _InputError as wrong:
            problems.append(wrong.errors)
    if any(problems):
        errors[key] = problems
    return list(sources.values())


def _read_source(state: PlatformState, user: User, given: Any) -> Source:
    if not isinstance(given, dict):
        found = type(given).__name__
        problem = f"Invalid data. Expected a dictionary, but got {found}."
        raise _InputError({"non_field_errors": [problem]})
    fields = {key: value for key, value in given.items() if value is not None}
    socket = _find_socket(state, fields)
    links = _find_linked(state, user, fields)
    kinds = {"user_uploads" if key == "image_name" else key for key in fields} & {
        "image",
        "value",
        "file",
        "user_upload",
        "upload_session",
        "user_uploads",
    }
    if not kinds:
        _refuse_null(socket, given)
        raise _InputError(
            {"non_field_errors": [f"You must provide at least one of {_SOURCE_NAMES}."]}
        )
    if len(kinds) > 1:
        problem = f"You can only provide one of {_SOURCE_NAMES} for each socket."
        raise _InputError({"non_field_errors": [problem]})
    return _make_source(state, user, socket, fields, links)


def _refuse_null(socket: Socket, given: dict[str, Any]) -> None:
    if socket.super_kind == "Value" and "value" in given:
        problem = f"value is required for interface kind {socket.code}"
        raise _InputError({"non_field_errors": [problem]})


def _find_socket(state: PlatformState, fields: dict[str, Any]) -> Socket:
    if "interface" not in fields:
        raise _InputError({"interface": ["This field is required."]})
    slug = fields["interface"]
    socket = state.catalogue.socket(slug) if isinstance(slug, str) else None
    if socket is None:
        raise _InputError({"interface": [f"Object with slug={slug} does not exist."]})
    return socket


def _find_linked(state: PlatformState, user: User, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the records that an input's hyperlinks name."""
    found: dict[str, Any] = {}
    errors: Errors = {}
    for key, prefix in (
        ("image", "cases/images/"),
        ("upload_session", "cases/upload-sessions/"),
        ("user_upload", "uploads/"),
    ):
        if key in fields:
            found[key] = _follow_link(state, user, fields[key], prefix, errors.setdefault(key, []))
    if "user_uploads" in fields:
        given = fields["user_uploads"] if isinstance(fields["user_uploads"], list) else []
        problems = errors.setdefault("user_uploads", [])
        found["user_uploads"] = [
            _follow_link(state, user, each, "uploads/", problems) for each in given
        ]
    if str(fields.get("image_name", "name")).strip() == "":
        errors["image_name"] = ["This field may not be blank."]
    errors = {key: problems[:1] for key, problems in errors.items() if problems}
    if errors:
        raise _InputError(errors)
    return found


def _follow_link(
    state: PlatformState, user: User, link: Any, prefix: str, problems: list[str]
) -> Any:
    try:
        pk = parse_hyperlink(link, prefix)
    except ValueError as error:
        problems.append(str(error))
        return None
    record = find_usable(state, user, prefix, pk)
    if record is None:
        problems.append(DEAD_LINK)
    return record


def find_usable(state: PlatformState, user: User, prefix: str, pk: str) -> Any:
    """Return the visible image, own upload, or own unused session with a pk; else None."""
    if prefix == "cases/images/":
        return permissions.visible_images(state, user).get(pk)
    if prefix == "uploads/":
        upload = state.uploads.get(pk)
        return upload if upload and upload.owner is user else None
    session = state.sessions.get(pk)
    mine = session and session.creator is user and session.status == "Queued"
    return session if mine else None


def _make_source(
    state: PlatformState, user: User, socket: Socket, fields: dict[str, Any], links: dict[str, Any]
) -> Source:
    """Make the source for a socket of any super-kind."""
    if socket.super_kind == "Value":
        if "value" not in fields:
            raise _kind_error("value is", socket)
        if problem := json_schemas.find_problem(socket.kind, fields["value"], socket.schema):
            raise _InputError({"__all__": [problem]})
        return Source(socket, value=state.find_or_add_value(socket, value=fields["value"]))
    if socket.super_kind == "File":
        if "user_upload" not in fields:
            raise _kind_error("user_upload or file is", socket)
        return Source(socket, upload=links["user_upload"])
    return _make_image_source(state, user, socket, fields, links)


def _make_image_source(
    state: PlatformState, user: User, socket: Socket, fields: dict[str, Any], links: dict[str, Any]
) -> Source:
    if socket.kind == DICOM_SET:
        return _make_dicom_source(state, user, socket, fields, links)
    if "image_name" in fields:
        # The platform starts a DICOM import, which fails without an error (platform 3.10, 7.8).
        return Source(socket, stuck=True)
    if "image" in fields:
        return _use_existing_image(state, socket, links["image"])
    if "upload_session" in fields:
        return Source(socket, session=links["upload_session"])
    if "user_uploads" in fields:
        uploads: list[Upload] = links["user_uploads"]
        return Source(socket, session=Session(user, uploads, state.now()))
    raise _kind_error("upload_session, user_uploads or image is", socket)


def _use_existing_image(state: PlatformState, socket: Socket, image: Image) -> Source:
    if problem := find_misfit(socket, image):
        raise _InputError({"__all__": [f"{problem}."]})
    return Source(socket, value=state.find_or_add_value(socket, image=image))


def _make_dicom_source(
    state: PlatformState, user: User, socket: Socket, fields: dict[str, Any], links: dict[str, Any]
) -> Source:
    """Use an existing image, or uploads with the name of the future image (platform 3.9)."""
    if "image" in fields:
        return _use_existing_image(state, socket, links["image"])
    name, uploads = fields.get("image_name"), links.get("user_uploads")
    if not (name and uploads):
        raise _kind_error("either user_uploads with image_name, or image are", socket)
    return Source(socket, dicom=DicomUpload(user, str(name).strip(), uploads))


def _kind_error(what: str, socket: Socket) -> _InputError:
    return _InputError({"non_field_errors": [f"{what} required for interface kind {socket.code}"]})


def start_source(state: PlatformState, target: Job | Case, source: Source) -> None:
    """Start to attach a checked source; its session can't be used again (platform 9.3)."""
    source.target, source.started = target, state.now()
    if source.value is not None:
        source.attached = source.started
    if source.session is not None:
        queue_import(state, source.session, source)


def queue_import(state: PlatformState, session: Session, source: Source) -> None:
    """Queue the import of a session."""
    session.status, session.started, session.source = "Re-Queued", state.now(), source
    state.sessions[session.pk] = session
