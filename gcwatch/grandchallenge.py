"""The platform's REST API as typed calls (contract sections 1 to 9).

Answers are read leniently: unknown keys are ignored, and `socket` (2026) or `interface` (2025)
names a value's socket.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from gcwatch.errors import Refused, TokenRefused, Unreachable
from gcwatch.http import Http
from gcwatch.reasons import Reason

PAGE = 100


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


A = TypeVar("A", bound=_Answer)


class Socket(_Answer):
    """A named slot of an algorithm; `super_kind` says how its content travels (contract 3)."""

    slug: str
    kind: str
    super_kind: Literal["Image", "File", "Value"]
    relative_path: str = ""


class Interface(_Answer):
    """One set of sockets that an algorithm takes, and what it gives for them."""

    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]


class Algorithm(_Answer):
    """An algorithm; `average_duration` in seconds, or None before it has ever run."""

    pk: str
    api_url: str
    slug: str
    title: str = ""
    average_duration: float | None = None
    interfaces: tuple[Interface, ...] = ()


class UserUpload(_Answer):
    """An upload record: Initialized, Completed or Aborted (contract 4)."""

    pk: str
    api_url: str
    filename: str
    status: str
    s3_upload_id: str = ""


class Part(_Answer):
    """One stored part; the ETag is the quoted MD5 of its bytes."""

    number: int = Field(alias="PartNumber")
    etag: str = Field(alias="ETag")
    size: int = Field(alias="Size", default=0)


class UploadSession(_Answer):
    """An upload session; `uploads` empties when they are imported or expire (contract 9)."""

    pk: str
    api_url: str
    status: str
    error_message: str = ""
    image_set: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()


class SocketValue(_Answer):
    """What a socket of a job holds: one of value, file URL and image URL."""

    pk: int
    socket: Socket = Field(validation_alias=AliasChoices("socket", "interface"))
    value: Any = None
    file: str | None = None
    image: str | None = None


class Job(_Answer):
    """One execution of an algorithm, with its public page's `url`."""

    pk: str
    url: str = ""
    status: str
    inputs: tuple[SocketValue, ...] = ()
    outputs: tuple[SocketValue, ...] = ()


class NewJob(_Answer):
    """What the platform says of a job that it has just made."""

    pk: str
    status: str


class ImageFile(_Answer):
    """One file of an image; DZI entries are derived and never fetched (contract 8)."""

    pk: str
    file: str
    image_type: str


class Image(_Answer):
    """An image on the platform."""

    pk: str
    api_url: str = ""
    name: str = ""
    files: tuple[ImageFile, ...] = ()


ANONYMOUS = "AnonymousUser"


class GrandChallenge:
    """The platform behind *http*; every method may raise what `Http.call` raises."""

    def __init__(self, http: Http) -> None:
        self.http = http

    def me(self) -> str:
        """Return whose token this is; raise TokenRefused if the header does not arrive."""
        answer = self.http.call("GET", self._url("profiles/users/self/"))
        name = str(answer.get("user", {}).get("username", ANONYMOUS))
        if name == ANONYMOUS:
            raise TokenRefused(ANONYMOUS)
        return name

    # --- looking up ------------------------------------------------------------------------------

    def algorithm(self, slug: str) -> Algorithm | None:
        """Return the algorithm, or None if it does not exist or this token can't see it."""
        found = self._by_slug(Algorithm, "algorithms/", slug)
        if found is None:
            self.me()  # a lost header makes lists look empty
        return found

    def job(self, pk: str) -> Job:
        """Return a job; Refused (404) if it is not ours."""
        return _read(Job, self._get(f"algorithms/jobs/{pk}/"))

    def jobs(self, algorithm: str, image: str = "", offset: int = 0) -> Iterator[Job]:
        """Return an algorithm's jobs of ours, oldest first, from *offset*; of one input image."""
        query = {"algorithm_image__algorithm": algorithm}
        if image:
            query["input_image"] = image
        return self._pages(Job, "algorithms/jobs/", query, offset)

    def count_jobs(self, algorithm: str) -> int:
        """Return how many jobs of ours an algorithm has."""
        query = urlencode({"algorithm_image__algorithm": algorithm, "limit": 1})
        return int(self._get(f"algorithms/jobs/?{query}")["count"])

    def image(self, url: str) -> Image:
        """Given an image's API URL, return it."""
        return _read(Image, self._call("GET", self._here(url)))

    def images(self, name: str) -> list[Image]:
        """Return our images of exactly this name."""
        return list(self._pages(Image, "cases/images/", {"name": name}))

    # --- uploads (contract 4) --------------------------------------------------------------------

    def create_upload(self, filename: str) -> UserUpload:
        """Make an upload record. Not repeatable: a lost reply leaves an orphan behind."""
        return _read(UserUpload, self._post("uploads/", {"filename": filename}))

    def upload(self, pk: str) -> UserUpload:
        """Return an upload record; Refused (404) once it is consumed or has expired."""
        return _read(UserUpload, self._get(f"uploads/{pk}/"))

    def presign(self, pk: str, s3_upload_id: str, numbers: Sequence[int]) -> dict[int, str]:
        """Return URLs, valid for an hour, to put these parts to."""
        body = {"part_numbers": list(numbers)}
        url = self._url(f"uploads/{pk}/{s3_upload_id}/generate-presigned-urls/")
        answer = self._call("PATCH", url, body)
        return {int(number): str(url) for number, url in answer["presigned_urls"].items()}

    def parts(self, pk: str, s3_upload_id: str) -> dict[int, Part]:
        """Return the parts that the storage holds, by number."""
        answer = self._get(f"uploads/{pk}/{s3_upload_id}/list-parts/")
        parts = _read_all(Part, answer["parts"])
        return {part.number: part for part in parts}

    def complete(self, pk: str, s3_upload_id: str, etags: Mapping[int, str]) -> None:
        """Make one object of the parts; ascending, and nothing but ETag and number is sent."""
        parts = [{"ETag": etags[number], "PartNumber": number} for number in sorted(etags)]
        url = self._url(f"uploads/{pk}/{s3_upload_id}/complete-multipart-upload/")
        self._call("PATCH", url, {"parts": parts})

    # --- upload sessions (contract 9) ------------------------------------------------------------

    def create_session(self, uploads: Sequence[str]) -> UploadSession:
        """Make an inert session of complete uploads."""
        return _read(UploadSession, self._post("cases/upload-sessions/", {"uploads": [*uploads]}))

    def session(self, url: str) -> UploadSession:
        """Given a session's API URL, return it."""
        return _read(UploadSession, self._call("GET", self._here(url)))

    def sessions(self) -> Iterator[UploadSession]:
        """Return all sessions of ours, in no order."""
        return self._pages(UploadSession, "cases/upload-sessions/", {})

    # --- jobs (contract 7) -----------------------------------------------------------------------

    def create_job(self, algorithm: str, inputs: Sequence[Mapping[str, Any]]) -> NewJob:
        """Ask for a job. Not repeatable: see contract 10.4."""
        body = {"algorithm": algorithm, "inputs": list(inputs)}
        return _read(NewJob, self._post("algorithms/jobs/", body))

    # --- the wire --------------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return self.http.home + path

    def _here(self, url: str) -> str:
        """Only an API URL's path counts: the token never follows a host that a server chose."""
        marker = "/api/v1/"
        return self._url(url.partition(marker)[2]) if marker in url else self._url(url)

    def _call(self, method: str, url: str, body: Any = None) -> Any:
        """Call; a no is believed only from a platform that knows us.

        Without its header a request counts as anonymous, and everything of ours seems not to exist
        (contract 1): then the token is the trouble, not the case.
        """
        try:
            return self.http.call(method, url, body)
        except Refused as error:
            if error.status in {403, 404}:
                self.me()
            raise

    def _get(self, path: str) -> Any:
        return self._call("GET", self._url(path))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("POST", self._url(path), body)

    def _by_slug(self, kind: type[A], path: str, slug: str) -> A | None:
        results = self._get(f"{path}?{urlencode({'slug': slug})}")["results"]
        found = [item for item in results if item.get("slug") == slug]
        return _read(kind, found[0]) if found else None

    def _pages(
        self, kind: type[A], path: str, query: Mapping[str, str], offset: int = 0
    ) -> Iterator[A]:
        """Follow limit and offset to the end; the host that `next` names is not asked."""
        while True:
            window = urlencode({**query, "limit": PAGE, "offset": offset})
            page = self._get(f"{path}?{window}")
            yield from _read_all(kind, page["results"])
            offset += len(page["results"])
            if not page["results"] or offset >= page["count"]:
                return


def _read(kind: type[A], answer: Any) -> A:
    """Given an answer's JSON, return it typed; Unreachable if it is not what it should be."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        call = f"reading {kind.__name__}"
        facts = {"call": call, "error": f"{error.error_count()} unexpected field(s)"}
        raise Unreachable(Reason("unreachable", facts), doubt=True) from error


def _read_all(kind: type[A], answers: Sequence[Any]) -> list[A]:
    return [_read(kind, answer) for answer in answers]
