"""The API's endpoints: one function each, on a world that is locked and up to date."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Protocol, TypeVar
from uuid import UUID

from werkzeug.wrappers import Request

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.job_rules import create_job
from gcwatch.sandbox.api.requests import data_of, page, signed_in
from gcwatch.sandbox.api.serializers import Answers, Json
from gcwatch.sandbox.content.catalogue import Algorithm, Archive, Catalogue, ReaderStudy, Socket
from gcwatch.sandbox.model import Image, Job, PlatformState, Upload, User
from gcwatch.sandbox.server.reply import Reply, html_refusal, json_reply, refuse
from gcwatch.sandbox.storage import dicom_sets
from gcwatch.sandbox.storage.objects import UPLOADS
from gcwatch.sandbox.storage.presign import Signer

T = TypeVar("T")

_SMALLEST_PART = 5 * 1024**2
_NO_CHOICE = "Select a valid choice. That choice is not one of the available choices."


@dataclass
class Asked:
    """A request to the API, and what is needed to answer it.

    Attributes:
        user: Who asks; None is anonymous.
    """

    request: Request
    user: User | None
    world: PlatformState
    answers: Answers
    signer: Signer


Endpoint = Callable[..., Reply]


def version(asked: Asked) -> Reply:
    """Versions of gcapi (platform 1.5)."""
    settings = asked.world.settings
    return json_reply(
        200,
        {
            "latest_version": settings.latest_version,
            "lowest_supported_version": settings.lowest_version,
        },
    )


def profile(asked: Asked) -> Reply:
    """Whose token this is (platform 1.4)."""
    return json_reply(200, asked.answers.profile(asked.user))


def nothing(asked: Asked) -> Reply:
    """A list in which nobody sees anything."""
    return json_reply(200, page(asked.request, [], str))


def _not_found(model: str, pk: str) -> Exception:
    try:
        UUID(pk)
    except ValueError:
        return refuse(404, {"detail": "Not found."})
    return refuse(404, {"detail": f"No {model} matches the given query."})


def one(model: str, pk: str, rows: list[T], key: Callable[[T], str]) -> T:
    """The row with this pk.

    Raises:
        Refusal: 404, as of a model's object that is not there.
    """
    for row in rows:
        if key(row) == pk:
            return row
    raise _not_found(model, pk)


# Places: algorithms, reader studies and archives (platform 2); sockets (platform 3)

P = TypeVar("P", Algorithm, ReaderStudy, Archive)


def seen(asked: Asked, places: Iterable[P]) -> list[P]:
    """Of some places, those that the user sees."""
    return [each for each in places if permissions.sees(asked.world, asked.user, each)]


def places(
    path: str,
    model: str,
    rows: Callable[[Catalogue], Iterable[P]],
    answer: Callable[[Answers, P], Json],
) -> dict[str, dict[str, Endpoint]]:
    """The routes of a kind of place: the list of those that the user sees, and each."""

    def listing(asked: Asked) -> Reply:
        slug = asked.request.args.get("slug")
        found = seen(asked, rows(asked.world.catalogue))
        chosen = [each for each in found if slug in {None, "", each.slug}]
        return json_reply(200, page(asked.request, chosen, partial(answer, asked.answers)))

    def showing(asked: Asked, pk: str) -> Reply:
        found = one(model, pk, seen(asked, rows(asked.world.catalogue)), lambda each: each.pk)
        return json_reply(200, answer(asked.answers, found))

    return {path: {"GET": listing}, f"{path}<pk>/": {"GET": showing}}


def list_algorithm_images(asked: Asked) -> Reply:
    """Container images; of an algorithm's editors only, and here those who may run it are."""
    wanted = asked.request.args.get("algorithm")
    rows = [
        each
        for each in seen(asked, asked.world.catalogue.algorithms)
        if permissions.executes(asked.world, asked.user, each) and wanted in {None, "", each.pk}
    ]
    return json_reply(200, page(asked.request, rows, asked.answers.algorithm_image))


def show_algorithm_image(asked: Asked, pk: str) -> Reply:
    """One container image."""
    algorithms = seen(asked, asked.world.catalogue.algorithms)
    found = one("AlgorithmImage", pk, algorithms, lambda each: each.image_pk)
    return json_reply(200, asked.answers.algorithm_image(found))


def _sockets(asked: Asked) -> list[Socket]:
    signed_in(asked.user)
    return sorted(asked.world.catalogue.sockets, key=lambda each: each.pk)


def list_sockets(asked: Asked) -> Reply:
    """All sockets; anonymous users may not (platform 1.3)."""
    slug = asked.request.args.get("slug")
    rows = [each for each in _sockets(asked) if slug in {None, "", each.slug}]
    return json_reply(200, page(asked.request, rows, asked.answers.socket))


def show_socket(asked: Asked, pk: str) -> Reply:
    """One socket, by its number."""
    for socket in _sockets(asked):
        if str(socket.pk) == pk:
            return json_reply(200, asked.answers.socket(socket))
    raise refuse(404, {"detail": "No ComponentInterface matches the given query."})


# Uploads (platform 4)


def uploads_of(asked: Asked) -> list[Upload]:
    """Whoever asks, their uploads."""
    if asked.user is None:
        return []
    return sorted(asked.world.uploads_of(asked.user), key=lambda each: each.pk)


def list_uploads(asked: Asked) -> Reply:
    """The user's uploads, in no order that means anything."""
    return json_reply(200, page(asked.request, uploads_of(asked), asked.answers.upload))


def create_upload(asked: Asked) -> Reply:
    """Begin an upload."""
    name = _filename(data_of(asked.request).get("filename"))
    world = asked.world
    if len(uploads_of(asked)) >= world.settings.max_uploads:
        problem = "You have created too many uploads. Please try again later."
        raise refuse(400, {"non_field_errors": [problem]})
    upload = Upload(signed_in(asked.user), name, world.now())
    world.uploads[upload.pk] = upload
    return json_reply(201, asked.answers.upload(upload))


def _filename(given: Any) -> str:
    problem = None
    name = given.strip() if isinstance(given, str) else ""
    if given is None:
        problem = "This field is required."
    elif not isinstance(given, str):
        problem = "Not a valid string."
    elif not name:
        problem = "This field may not be blank."
    elif "\0" in name:
        problem = "Null characters are not allowed."
    elif len(name) > 128:
        problem = "Ensure this field has no more than 128 characters."
    elif name not in {PurePosixPath(name).name, "..", "."}:
        problem = f"{name} is not a valid filename"
    if problem:
        raise refuse(400, {"filename": [problem]})
    return name


def _upload(asked: Asked, pk: str, s3_id: str | None = None) -> Upload:
    found = one("UserUpload", pk, uploads_of(asked), lambda each: each.pk)
    if s3_id is not None and found.s3_id != s3_id:
        raise refuse(404, {"detail": "Not found."})
    return found


def show_upload(asked: Asked, pk: str) -> Reply:
    """One upload; 404 once it is consumed or expired."""
    return json_reply(200, asked.answers.upload(_upload(asked, pk)))


def presign(asked: Asked, pk: str, s3_id: str) -> Reply:
    """Give URLs to which parts can be PUT."""
    upload = _upload(asked, pk, s3_id)
    numbers = _part_numbers(data_of(asked.request))
    settings, now = asked.world.settings, asked.world.now()
    held = sum(each.size for each in uploads_of(asked) if each.status == "Completed")
    if upload.status != "Initialized" or held + upload.size >= settings.byte_quota:
        raise refuse(403, {"detail": "Upload limit reached"})
    urls = {
        str(number): asked.signer.sign(
            "PUT",
            f"{UPLOADS}{upload.key}",
            {"uploadId": upload.s3_id, "partNumber": str(number)},
            now,
            settings.presign_lifetime,
        )
        for number in numbers
    }
    return json_reply(200, {**asked.answers.upload(upload), "presigned_urls": urls})


def _part_numbers(data: dict[str, Any]) -> list[int]:
    numbers = _required_list(data, "part_numbers")
    problems = {}
    for index, number in enumerate(numbers):
        if not isinstance(number, int) or isinstance(number, bool):
            problems[str(index)] = ["A valid integer is required."]
        elif number < 1:
            problems[str(index)] = ["Ensure this value is greater than or equal to 1."]
        elif number > 10_000:
            problems[str(index)] = ["Ensure this value is less than or equal to 10000."]
    if problems:
        raise refuse(400, {"part_numbers": problems})
    return numbers


def _required_list(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        raise refuse(400, {"non_field_errors": [f"The `{key}` field is required"]})
    if not isinstance(value, list):
        problem = f'Expected a list of items but got type "{type(value).__name__}".'
        raise refuse(400, {key: [problem]})
    return value


def list_parts(asked: Asked, pk: str, s3_id: str) -> Reply:
    """What S3 holds; S3 knows nothing of it once it is completed."""
    upload = _upload(asked, pk, s3_id)
    if upload.status != "Initialized":
        raise html_refusal(500)
    parts = asked.answers.parts(upload)
    return json_reply(200, {**asked.answers.upload(upload), "parts": parts})


def complete(asked: Asked, pk: str, s3_id: str) -> Reply:
    """Make one object of the parts; whatever S3 dislikes is a 500 (platform 4.6)."""
    upload = _upload(asked, pk, s3_id)
    parts = _required_list(data_of(asked.request), "parts")
    if upload.status != "Initialized" or not _is_acceptable(upload, parts):
        raise html_refusal(500)
    named = {part["PartNumber"] for part in parts}
    for number in set(upload.parts) - named:
        upload.parts.pop(number).path.unlink(missing_ok=True)
    upload.status = "Completed"
    return json_reply(200, asked.answers.upload(upload))


def _is_acceptable(upload: Upload, parts: list[Any]) -> bool:
    for part in parts:
        if not isinstance(part, dict) or set(part) != {"ETag", "PartNumber"}:
            return False
        held = upload.parts.get(part["PartNumber"])
        if held is None or str(part["ETag"]).strip('"') != held.etag:
            return False
    numbers = [part["PartNumber"] for part in parts]
    sizes = [upload.parts[number].size for number in numbers]
    ascending = numbers == sorted(set(numbers))
    return bool(parts) and ascending and all(size >= _SMALLEST_PART for size in sizes[:-1])


def abort(asked: Asked, pk: str, s3_id: str) -> Reply:
    """Give an upload up."""
    upload = _upload(asked, pk, s3_id)
    if upload.status != "Initialized":
        raise html_refusal(500)
    for part in upload.parts.values():
        part.path.unlink(missing_ok=True)
    upload.parts.clear()
    upload.status, upload.s3_id = "Aborted", ""
    return json_reply(200, asked.answers.upload(upload))


# Jobs (platform 7)


def _jobs(asked: Asked) -> list[Job]:
    return [each for each in asked.world.jobs.values() if each.creator is asked.user]


def list_jobs(asked: Asked) -> Reply:
    """The user's jobs, oldest first; unknown parameters are ignored."""
    rows = _jobs(asked)
    algorithm = asked.request.args.get("algorithm_image__algorithm")
    if algorithm:
        if algorithm not in {each.pk for each in asked.world.catalogue.algorithms}:
            raise refuse(400, {"algorithm_image__algorithm": [_NO_CHOICE]})
        rows = [job for job in rows if job.algorithm.pk == algorithm]
    for key in ("input_image", "output_image"):
        images = _image_filter(asked, key)
        if images:
            rows = [job for job in rows if images & _images_of(job, key)]
    return json_reply(200, page(asked.request, rows, asked.answers.job))


def _image_filter(asked: Asked, key: str) -> set[str]:
    pks = asked.request.args.getlist(key)
    for pk in pks:
        try:
            UUID(pk)
        except ValueError as error:
            raise refuse(400, {key: [f"“{pk}” is not a valid value."]}) from error
        if pk not in asked.world.images:
            problem = f"Select a valid choice. {pk} is not one of the available choices."
            raise refuse(400, {key: [problem]})
    return set(pks)


def _images_of(job: Job, key: str) -> set[str]:
    values = job.inputs if key.startswith(("input", "job_input")) else job.outputs
    return {each.image.pk for each in values if each.image}


def show_job(asked: Asked, pk: str) -> Reply:
    """One job."""
    found = one("Job", pk, _jobs(asked), lambda each: each.pk)
    return json_reply(200, asked.answers.job(found))


def post_job(asked: Asked) -> Reply:
    """Start a job."""
    job = create_job(asked.world, signed_in(asked.user), data_of(asked.request))
    return json_reply(201, asked.answers.created_job(job))


# Images (platform 8)


class _HasPk(Protocol):
    @property
    def pk(self) -> str: ...


R = TypeVar("R", bound=_HasPk)


def chosen(asked: Asked, key: str, records: Iterable[R]) -> R | None:
    """The record that a filter names by its pk; None if the filter is not used.

    Raises:
        Refusal: 400, there is no such record.
    """
    pk = asked.request.args.get(key)
    if not pk:
        return None
    try:
        UUID(pk)
    except ValueError as error:
        raise refuse(400, {key: [f"“{pk}” is not a valid UUID."]}) from error
    for record in records:
        if record.pk == pk:
            return record
    raise refuse(400, {key: [_NO_CHOICE]})


def _images(asked: Asked) -> list[Image]:
    images = permissions.seen_images(asked.world, asked.user).values()
    return sorted(images, key=lambda each: each.name)


def list_images(asked: Asked) -> Reply:
    """The images that the user sees, by name."""
    rows = _images(asked)
    name = asked.request.args.get("name")
    if name:
        rows = [each for each in rows if each.name == name]
    session = chosen(asked, "origin", asked.world.sessions.values())
    if session:
        rows = [each for each in rows if each.origin is session]
    for images in _image_sets(asked):
        rows = [each for each in rows if each.pk in images]
    return json_reply(200, page(asked.request, rows, asked.answers.image))


def _image_sets(asked: Asked) -> Iterator[set[str]]:
    """For each filter that names a job, study or archive, the images in it."""
    world = asked.world
    for key in ("job_input", "job_output"):
        job = chosen(asked, key, world.jobs.values())
        if job:
            yield _images_of(job, key)
    archive = chosen(asked, "archive", world.catalogue.archives)
    study = chosen(asked, "reader_study", world.catalogue.reader_studies)
    for owner in filter(None, (archive, study)):
        cases = [each for each in permissions.all_cases(world) if each.parent is owner]
        yield {value.image.pk for case in cases for value in case.values.values() if value.image}


def _image(asked: Asked, pk: str) -> Image:
    return one("Image", pk, _images(asked), lambda each: each.pk)


def show_image(asked: Asked, pk: str) -> Reply:
    """One image; only once it is attached to something of the user's."""
    return json_reply(200, asked.answers.image(_image(asked, pk)))


def list_instances(asked: Asked, pk: str) -> Reply:
    """How to fetch each instance of a DICOM Image Set; other images have none."""
    found = _image(asked, pk)
    if not found.instances:
        raise refuse(404, {"detail": "Not found."})
    return json_reply(200, dicom_sets.requests(found, asked.signer, asked.world.now()))
