"""When a job may be created: the platform's checks, in its order and words (contract 3, 7)."""

from typing import Any

from gcwatch.sandbox.asking import linked
from gcwatch.sandbox.catalogue import Algorithm, Interface, Socket
from gcwatch.sandbox.model import DONE, Job, Session, Source, Upload, User, World
from gcwatch.sandbox.reply import Refusal, refuse

CREDITS_PER_JOB = 20
_MONTH = 30 * 86_400.0
_SOURCES = (
    "['image', 'value', 'file', 'user_upload', 'upload_session', ('image_name', 'user_uploads')]"
)
_MISSING = "Invalid hyperlink - Object does not exist."
_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "Integer": ("integer", (int,)),
    "Float": ("number", (int, float)),
    "String": ("string", (str,)),
    "Bool": ("boolean", (bool,)),
}

Errors = dict[str, Any]


class _Wrong(Exception):
    """One input is wrong."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors)
        self.errors = errors


def create_job(world: World, user: User, data: dict[str, Any]) -> Job:
    """Check a job's POST and create the job; a session named in it is used up (contract 7, 9).

    Raises:
        Refusal: 400, with the platform's body.
    """
    algorithm, sources = _fields(world, user, data)
    interface = _checked(world, user, algorithm, sources)
    _check_duplicates(world, algorithm, sources)
    job = Job(algorithm, interface, user, world.now(), sources)
    for source in sources:
        _start(world, job, source)
    world.jobs[job.pk] = job
    return job


def _start(world: World, job: Job, source: Source) -> None:
    source.job = job
    if source.value is not None:
        source.attached = job.created
    if source.session is not None:
        source.session.status = "Re-Queued"
        source.session.started = job.created
        source.session.source = source
        world.sessions[source.session.pk] = source.session


def _no(message: str) -> Refusal:
    return refuse(400, {"non_field_errors": [message]})


def _fields(world: World, user: User, data: dict[str, Any]) -> tuple[Algorithm, list[Source]]:
    errors: Errors = {}
    algorithm = _algorithm(world, user, data, errors)
    sources = _inputs(world, user, data, errors)
    if errors or algorithm is None:
        raise refuse(400, errors)
    return algorithm, sources


def _algorithm(world: World, user: User, data: dict[str, Any], errors: Errors) -> Algorithm | None:
    if data.get("algorithm") is None:
        errors["algorithm"] = ["This field is required."]
        return None
    try:
        pk = linked(data["algorithm"], "algorithms/")
    except ValueError as error:
        errors["algorithm"] = [str(error)]
        return None
    for algorithm in world.catalogue.algorithms:
        if algorithm.pk == pk and user.username in algorithm.executors:
            return algorithm
    errors["algorithm"] = [_MISSING]
    return None


def _inputs(world: World, user: User, data: dict[str, Any], errors: Errors) -> list[Source]:
    given = data.get("inputs")
    if given is None:
        errors["inputs"] = ["This field is required."]
        return []
    if not isinstance(given, list):
        problem = f'Expected a list of items but got type "{type(given).__name__}".'
        errors["inputs"] = {"non_field_errors": [problem]}
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
        errors["inputs"] = problems
    return list(sources.values())


def _source(world: World, user: User, given: Any) -> Source:
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


def _socket(world: World, there: dict[str, Any]) -> Socket:
    if "interface" not in there:
        raise _Wrong({"interface": ["This field is required."]})
    slug = there["interface"]
    socket = world.catalogue.socket(slug) if isinstance(slug, str) else None
    if socket is None:
        raise _Wrong({"interface": [f"Object with slug={slug} does not exist."]})
    return socket


def _links(world: World, user: User, there: dict[str, Any]) -> dict[str, Any]:
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
    errors = {key: problems[:1] for key, problems in errors.items() if problems}
    if errors:
        raise _Wrong(errors)
    return found


def _follow(world: World, user: User, link: Any, prefix: str, problems: list[str]) -> Any:
    try:
        pk = linked(link, prefix)
    except ValueError as error:
        problems.append(str(error))
        return None
    record = usable(world, user, prefix, pk)
    if record is None:
        problems.append(_MISSING)
    return record


def usable(world: World, user: User, prefix: str, pk: str) -> Any:
    """The record that a hyperlink may name: a visible image, own upload, own unused session."""
    if prefix == "cases/images/":
        image = world.images.get(pk)
        return image if image and image.visible and image.owner is user else None
    if prefix == "uploads/":
        upload = world.uploads.get(pk)
        return upload if upload and upload.owner is user else None
    session = world.sessions.get(pk)
    mine = session and session.creator is user and session.status == "Queued"
    return session if mine else None


def _made(
    world: World, user: User, socket: Socket, there: dict[str, Any], links: dict[str, Any]
) -> Source:
    """An input of the right sort for its socket."""
    if socket.super_kind == "Value":
        if "value" not in there:
            raise _kind_error("value is", socket)
        _check_schema(socket, there["value"])
        return Source(socket, value=world.value_of(socket, value=there["value"]))
    if socket.super_kind == "File":
        if "user_upload" not in there:
            raise _kind_error("user_upload or file is", socket)
        return Source(socket, upload=links["user_upload"])
    return _image_source(world, user, socket, there, links)


def _image_source(
    world: World, user: User, socket: Socket, there: dict[str, Any], links: dict[str, Any]
) -> Source:
    if "image_name" in there:
        # Routed into the DICOM import, which fails without telling the job (contract 3, 7).
        return Source(socket, stuck=True)
    if "image" in there:
        return Source(socket, value=world.value_of(socket, image=links["image"]))
    if "upload_session" in there:
        return Source(socket, session=links["upload_session"])
    if "user_uploads" in there:
        uploads: list[Upload] = links["user_uploads"]
        return Source(socket, session=Session(user, uploads, world.now()))
    raise _kind_error("upload_session, user_uploads or image is", socket)


def _kind_error(what: str, socket: Socket) -> _Wrong:
    return _Wrong({"non_field_errors": [f"{what} required for interface kind {socket.code}"]})


def _check_schema(socket: Socket, value: Any) -> None:
    name, types = _TYPES.get(socket.kind, ("", (object,)))
    fits = isinstance(value, types) and (bool in types or not name or not isinstance(value, bool))
    if not fits:
        problem = f"JSON does not fulfill schema: instance {value!r} is not of type {name!r}"
        raise _Wrong({"__all__": [problem]})


def _checked(world: World, user: User, algorithm: Algorithm, sources: list[Source]) -> Interface:
    if not (algorithm.ready and world.settings.images_ready):
        raise _no("Algorithm image is not ready to be used")
    mine = [job for job in world.jobs.values() if job.creator is user]
    recent = sum(job.created > world.now() - _MONTH for job in mine)
    if not algorithm.funded or (recent + 1) * CREDITS_PER_JOB > world.settings.credits:
        raise _no("You have run out of algorithm credits")
    if sum(job.status not in DONE for job in mine) >= world.settings.active_jobs:
        raise _no("You have too many active jobs, please try again after they have completed")
    given = {source.socket.slug for source in sources}
    for interface in algorithm.interfaces:
        if {socket.slug for socket in interface.inputs} == given:
            return interface
    raise _no(
        "The set of inputs provided does not match any of the algorithm's interfaces. "
        f"This algorithm supports the following input combinations: {_combinations(algorithm)}"
    )


def _combinations(algorithm: Algorithm) -> str:
    return ", ".join(
        f"Interface {number}: {_enumerated(interface)}"
        for number, interface in enumerate(algorithm.interfaces, 1)
    )


def _enumerated(interface: Interface) -> str:
    names = [f"{socket.title} ({socket.kind})" for socket in interface.inputs]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _check_duplicates(world: World, algorithm: Algorithm, sources: list[Source]) -> None:
    """Refuse equal existing images and values, even after a failed job (contract 7)."""
    if any(source.value is None for source in sources):
        return
    wanted = {id(source.value) for source in sources}
    for job in world.jobs.values():
        if job.algorithm is algorithm and {id(value) for value in job.inputs} == wanted:
            raise _no("A result for these inputs with the current image and model already exists.")
