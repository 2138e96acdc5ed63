"""The platform's REST API as typed calls (contract sections 1 to 9).

Answers are read leniently: unknown keys are ignored, and `socket` (2026) or `interface` (2025)
names a value's socket.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from gcwatch.errors import NotYet, Refused, TokenRefused, Unreachable
from gcwatch.http import Http
from gcwatch.reasons import Reason

PAGE = 100
LARGEST_PAGE = 1000
_PASSES = 20

Holder = Literal["reader-studies/display-sets", "archives/items"]
"""Where items of a kind are found: the display sets of reader studies, or the items of archives."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


A = TypeVar("A", bound=_Answer)
S = TypeVar("S", "Algorithm", "Place")


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


class Place(_Answer):
    """A reader study or an archive: where cases can be put. `url` is its page for people."""

    pk: str
    api_url: str
    url: str = ""
    title: str = ""
    slug: str = ""


class Item(_Answer):
    """A display set or an archive item: a title and what its sockets hold (contract 5, 6)."""

    pk: str
    title: str = Field(default="", validation_alias=AliasChoices("title", "title_safe"))
    values: tuple[SocketValue, ...] = ()

    @field_validator("values", mode="before")
    @classmethod
    def _only_told_in_full(cls, values: Any) -> Any:
        """The answer to a write names sockets by slug only; what they hold is asked for."""
        return [v for v in values if isinstance(v.get("socket", v.get("interface")), Mapping)]


class SignedRequest(_Answer):
    """A request that carries its own signature: performed as it is, without our token."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    data: str | None = None
    headers: Mapping[str, str] = {}


class Instance(_Answer):
    """One DICOM instance of an image set, and the signed request that fetches it (contract 8)."""

    sop_instance_uid: str
    get_instance: SignedRequest


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
    dicom_image_set: Any = None


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

    def algorithms(self) -> list[Algorithm]:
        """Return all algorithms that this token can see, by slug."""
        return self._seen(Algorithm, "algorithms/")

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

    # --- reader studies and archives (contract 5, 6) ----------------------------------------------

    def reader_study(self, slug: str) -> Place | None:
        """Return the reader study, or None if it does not exist or this token can't see it."""
        return self._place("reader-studies/", slug)

    def archive(self, slug: str) -> Place | None:
        """Return the archive, or None if it does not exist or this token can't see it."""
        return self._place("archives/", slug)

    def reader_studies(self) -> list[Place]:
        """Return all reader studies that this token can see, by slug."""
        return self._seen(Place, "reader-studies/")

    def archives(self) -> list[Place]:
        """Return all archives that this token can see, by slug."""
        return self._seen(Place, "archives/")

    def create_item(self, holder: Holder, body: Mapping[str, Any]) -> Item:
        """Make an empty display set or archive item. Its title is the guard: see contract 10.3."""
        return _read(Item, self._post(f"{holder}/", body))

    def item(self, holder: Holder, pk: str) -> Item:
        """Return a display set or archive item; Refused (404) if it is not there for us."""
        return _read(Item, self._get(f"{holder}/{pk}/"))

    def fill_item(self, holder: Holder, pk: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Set sockets of an item, all or none; what has to be imported appears later."""
        self._call("PATCH", self._url(f"{holder}/{pk}/"), {"values": list(values)})

    def may_add(self, holder: Holder, place: Mapping[str, Any]) -> bool:
        """Whether this token may make items in a place, named as for `create_item`.

        A title of null is refused for itself, so nothing is ever made; without the right the place
        is refused, too (contract 1, 5).
        """
        return not set(place) & self._faults(f"{holder}/", {**place, "title": None})

    def may_run(self, algorithm: str) -> bool:
        """Whether this token may make jobs of an algorithm; asked by a call without inputs."""
        return "algorithm" not in self._faults("algorithms/jobs/", {"algorithm": algorithm})

    def _faults(self, path: str, body: Mapping[str, Any]) -> frozenset[str]:
        """Return the fields for which a call that can't succeed is refused."""
        try:
            self._post(path, body)
        except Refused as error:
            if error.status == 400:
                return error.fields
            raise
        return frozenset()

    def items(self, holder: Holder, place: str) -> list[Item]:
        """Given the pk of a reader study or archive, return all its items.

        Lists of archive items have no order, so pages may repeat and skip rows (contract 1): they
        are read until as many are known as there are.

        Raises:
            NotYet: when they can't be had completely for now.
        """
        query = {"reader_study" if holder.startswith("reader") else "archive": place}
        found: dict[str, Item] = {}
        for _ in range(_PASSES):
            count = 0
            for page in self._windows(f"{holder}/", query, size=LARGEST_PAGE):
                found |= {item.pk: item for item in _read_all(Item, page["results"])}
                count = max(count, page["count"])  # rights lost on the way look like fewer items
            if len(found) >= count:
                return list(found.values())
        facts = {"seconds": 60, "message": f"{len(found)} of {count} items were listed"}
        raise NotYet(Reason("busy", facts), 60)

    def socket(self, slug: str) -> Socket | None:
        """Return the socket, or None if there is none."""
        return self._by_slug(Socket, "components/interfaces/", slug)

    def instances(self, image: str) -> list[Instance]:
        """Given a DICOM image set's API URL, return its instances, signed for a few minutes."""
        answer = self._call("GET", self._here(image) + "dicom/instances/")
        return _read_all(Instance, answer["instances"])

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

    def _place(self, path: str, slug: str) -> Place | None:
        results = self._get(f"{path}?{urlencode({'slug': slug})}")["results"]
        for place in _read_all(Place, map(_with_slug, results)):
            if slug == place.slug:
                return place
        self.me()  # a lost header makes lists look empty
        return None

    def _by_slug(self, kind: type[A], path: str, slug: str) -> A | None:
        results = self._get(f"{path}?{urlencode({'slug': slug})}")["results"]
        found = [item for item in results if item.get("slug") == slug]
        return _read(kind, found[0]) if found else None

    def _seen(self, kind: type[S], path: str) -> list[S]:
        """Return all that a list holds; one without a slug has it in its page's address."""
        found: dict[str, S] = {}
        for page in self._windows(path, {}):
            # Pages of a list without an order may repeat rows (contract 1).
            found |= {each.pk: each for each in _read_all(kind, map(_with_slug, page["results"]))}
        if not found:
            self.me()  # a lost header makes lists look empty
        return sorted(found.values(), key=lambda each: each.slug)

    def _pages(
        self, kind: type[A], path: str, query: Mapping[str, str], offset: int = 0
    ) -> Iterator[A]:
        """Follow limit and offset to the end; the host that `next` names is not asked."""
        for page in self._windows(path, query, offset):
            yield from _read_all(kind, page["results"])

    def _windows(
        self, path: str, query: Mapping[str, str], offset: int = 0, size: int = PAGE
    ) -> Iterator[Any]:
        while True:
            window = urlencode({**query, "limit": size, "offset": offset})
            page = self._get(f"{path}?{window}")
            yield page
            offset += len(page["results"])
            if not page["results"] or offset >= page["count"]:
                return


def pk_of(url: str) -> str:
    """Given an object's API URL, return its pk: hosts and paths may be told in other ways."""
    return url.rstrip("/").rpartition("/")[2]


class Remembering(GrandChallenge):
    """Looks each slug up once: for looking at many folders that are meant for the same."""

    def __init__(self, platform: GrandChallenge) -> None:
        super().__init__(platform.http)
        self.algorithm = cache(super().algorithm)  # type: ignore[method-assign]
        self.reader_study = cache(super().reader_study)  # type: ignore[method-assign]
        self.archive = cache(super().archive)  # type: ignore[method-assign]
        self.socket = cache(super().socket)  # type: ignore[method-assign]
        self._rights: dict[str, bool] = {}

    def may_add(self, holder: Holder, place: Mapping[str, Any]) -> bool:
        """Whether this token might make items in a place, when it was first asked."""
        key = f"{holder} {sorted(place.items())}"
        if key not in self._rights:
            self._rights[key] = super().may_add(holder, place)
        return self._rights[key]


def _read(kind: type[A], answer: Any) -> A:
    """Given an answer's JSON, return it typed; Unreachable if it is not what it should be."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        call = f"reading {kind.__name__}"
        facts = {"call": call, "error": f"{error.error_count()} unexpected field(s)"}
        raise Unreachable(Reason("unreachable", facts), doubt=True) from error


def _with_slug(place: Mapping[str, Any]) -> Mapping[str, Any]:
    """An archive's JSON has no slug (contract 2): its page's address ends in it."""
    last = str(place.get("url") or "").rstrip("/").rpartition("/")[2]
    return {**place, "slug": place.get("slug") or last}


def _read_all(kind: type[A], answers: Iterable[Any]) -> list[A]:
    return [_read(kind, answer) for answer in answers]
