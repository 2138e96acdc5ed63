"""What a request may give for a socket: the platform's checks, in its words (platform 3.8, 5.6)."""

from typing import Any

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import linked
from gcwatch.sandbox.content import json_schemas
from gcwatch.sandbox.content.catalogue import Socket
from gcwatch.sandbox.content.socket_kinds import DICOM_SET
from gcwatch.sandbox.importer.socket_fit import misfit
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
_SOURCES = (
    "['image', 'value', 'file', 'user_upload', 'upload_session', ('image_name', 'user_uploads')]"
)
Errors = dict[str, Any]


class _Wrong(Exception):
    """One input is wrong."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors)
        self.errors = errors


def read_sources(
    world: PlatformState, user: User, key: str, given: Any, errors: Errors
) -> list[Source]:
    """What a request gives for sockets; of a socket that is named twice, the last.

    Args:
        world: All records.
        user: Whose uploads, sessions and images may be named.
        key: The field of the request.
        given: What the field holds.
        errors: Takes what is wrong with it, under its key.
    """
    if not isinstance(given, list):
        problem = f'Expected a list of items but got type "{type(given).__name__}".'
        errors[key] = {"non_field_errors": [problem]}
        return []
    sources: dict[str, Source] = {}
    problems: list[Errors] = []
    for each in given:
        try:
            source = _source(world, user, each)
            sources[source.socket.slug] = source
            problems.append({})
        except _Wrong as wrong:
            problems.append(wrong.errors)
    if any(problems):
        errors[key] = problems
    return list(sources.values())


def _source(world: PlatformState, user: User, given: Any) -> Source:
    if not isinstance(given, dict):
        found = type(given).__name__
        problem = f"Invalid data. Expected a dictionary, but got {found}."
        raise _Wrong({"non_field_errors": [problem]})
    there = {key: value for key, value in given.items() if value is not None}
    socket = _socket(world, there)
    links = _links(world, user, there)
    kinds = {"user_uploads" if key == "image_name" else key for key in there} & {
        "image",
        "value",
        "file",
        "user_upload",
        "upload_session",
        "user_uploads",
    }
    if not kinds:
        _refuse_null(socket, given)
        raise _Wrong({"non_field_errors": [f"You must provide at least one of {_SOURCES}."]})
    if len(kinds) > 1:
        problem = f"You can only provide one of {_SOURCES} for each socket."
        raise _Wrong({"non_field_errors": [problem]})
    return _made(world, user, socket, there, links)


def _refuse_null(socket: Socket, given: dict[str, Any]) -> None:
    if socket.super_kind == "Value" and "value" in given:
        problem = f"value is required for interface kind {socket.code}"
        raise _Wrong({"non_field_errors": [problem]})


def _socket(world: PlatformState, there: dict[str, Any]) -> Socket:
    if "interface" not in there:
        raise _Wrong({"interface": ["This field is required."]})
    slug = there["interface"]
    socket = world.catalogue.socket(slug) if isinstance(slug, str) else None
    if socket is None:
        raise _Wrong({"interface": [f"Object with slug={slug} does not exist."]})
    return socket


def _links(world: PlatformState, user: User, there: dict[str, Any]) -> dict[str, Any]:
    """The records that an input's hyperlinks name."""
    found: dict[str, Any] = {}
    errors: Errors = {}
    for key, prefix in (
        ("image", "cases/images/"),
        ("upload_session", "cases/upload-sessions/"),
        ("user_upload", "uploads/"),
    ):
        if key in there:
            found[key] = _follow(world, user, there[key], prefix, errors.setdefault(key, []))
    if "user_uploads" in there:
        given = there["user_uploads"] if isinstance(there["user_uploads"], list) else []
        problems = errors.setdefault("user_uploads", [])
        found["user_uploads"] = [_follow(world, user, each, "uploads/", problems) for each in given]
    if str(there.get("image_name", "name")).strip() == "":
        errors["image_name"] = ["This field may not be blank."]
    errors = {key: problems[:1] for key, problems in errors.items() if problems}
    if errors:
        raise _Wrong(errors)
    return found


def _follow(world: PlatformState, user: User, link: Any, prefix: str, problems: list[str]) -> Any:
    try:
        pk = linked(link, prefix)
    except ValueError as error:
        problems.append(str(error))
        return None
    record = usable(world, user, prefix, pk)
    if record is None:
        problems.append(DEAD_LINK)
    return record


def usable(world: PlatformState, user: User, prefix: str, pk: str) -> Any:
    """The record that a hyperlink may name: a visible image, own upload, own unused session."""
    if prefix == "cases/images/":
        return permissions.seen_images(world, user).get(pk)
    if prefix == "uploads/":
        upload = world.uploads.get(pk)
        return upload if upload and upload.owner is user else None
    session = world.sessions.get(pk)
    mine = session and session.creator is user and session.status == "Queued"
    return session if mine else None


def _made(
    world: PlatformState, user: User, socket: Socket, there: dict[str, Any], links: dict[str, Any]
) -> Source:
    """An input of the right sort for its socket."""
    if socket.super_kind == "Value":
        if "value" not in there:
            raise _kind_error("value is", socket)
        if problem := json_schemas.find_problem(socket.kind, there["value"], socket.schema):
            raise _Wrong({"__all__": [problem]})
        return Source(socket, value=world.value_of(socket, value=there["value"]))
    if socket.super_kind == "File":
        if "user_upload" not in there:
            raise _kind_error("user_upload or file is", socket)
        return Source(socket, upload=links["user_upload"])
    return _image_source(world, user, socket, there, links)


def _image_source(
    world: PlatformState, user: User, socket: Socket, there: dict[str, Any], links: dict[str, Any]
) -> Source:
    if socket.kind == DICOM_SET:
        return _dicom_source(world, user, socket, there, links)
    if "image_name" in there:
        # Routed into the DICOM import, which fails without telling the job (platform 3.10, 7.8).
        return Source(socket, stuck=True)
    if "image" in there:
        return _existing(world, socket, links["image"])
    if "upload_session" in there:
        return Source(socket, session=links["upload_session"])
    if "user_uploads" in there:
        uploads: list[Upload] = links["user_uploads"]
        return Source(socket, session=Session(user, uploads, world.now()))
    raise _kind_error("upload_session, user_uploads or image is", socket)


def _existing(world: PlatformState, socket: Socket, image: Image) -> Source:
    if problem := misfit(socket, image):
        raise _Wrong({"__all__": [f"{problem}."]})
    return Source(socket, value=world.value_of(socket, image=image))


def _dicom_source(
    world: PlatformState, user: User, socket: Socket, there: dict[str, Any], links: dict[str, Any]
) -> Source:
    """An existing image, or uploads together with the name of the image to be (platform 3.9)."""
    if "image" in there:
        return _existing(world, socket, links["image"])
    name, uploads = there.get("image_name"), links.get("user_uploads")
    if not (name and uploads):
        raise _kind_error("either user_uploads with image_name, or image are", socket)
    return Source(socket, dicom=DicomUpload(user, str(name).strip(), uploads))


def _kind_error(what: str, socket: Socket) -> _Wrong:
    return _Wrong({"non_field_errors": [f"{what} required for interface kind {socket.code}"]})


def start(world: PlatformState, target: Job | Case, source: Source) -> None:
    """Let a checked source be on its way to its socket; a session is used up (platform 9.3)."""
    source.target, source.started = target, world.now()
    if source.value is not None:
        source.attached = source.started
    if source.session is not None:
        begin(world, source.session, source)


def begin(world: PlatformState, session: Session, source: Source) -> None:
    """Put a session's import in the queue."""
    session.status, session.started, session.source = "Re-Queued", world.now(), source
    world.sessions[session.pk] = session
