"""The platform's REST API as typed calls (platform 1 to 9).

Unknown keys in answers are ignored. A value's socket may be called `socket` (2026) or `interface`
(2025).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from gcwatch.core.errors import NotYet, Refused, TryAgain, Unreachable
from gcwatch.core.kinds import KIND_NAMES, ItemKind
from gcwatch.core.reasons import Reason
from gcwatch.platform.api_calls import ApiCalls
from gcwatch.platform.http import Reply
from gcwatch.platform.models import (
    Algorithm,
    Collection,
    Image,
    Instance,
    Instances,
    Item,
    Job,
    NewJob,
    Page,
    PageCount,
    Part,
    Parts,
    PresignedUrls,
    SignedRequest,
    Socket,
    UploadSession,
    UserUpload,
    pk_of,
    read_answer,
    wrong_answer,
)
from gcwatch.platform.study_models import ReaderStudy, StudyAnswer

LARGEST_PAGE_ITEMS = 1000
"""The platform's upper limit (platform 1.14)."""
_LIST_TRIES = 20
"""Tries to read a complete list of items."""


Named = TypeVar("Named", "Image", "Item", "Job", "UploadSession", "UserUpload")
WithSlug = TypeVar("WithSlug", "Algorithm", "Collection", "ReaderStudy", "Socket")


class GrandChallenge(ApiCalls):
    """The platform's API; every method may raise what `Http.call` raises.

    Methods named after a resource return it: `job(pk)` one, `jobs(...)` a list. Below, "our" means
    what the account of this token can see.
    """

    # --- looking up ------------------------------------------------------------------------------

    def algorithm(self, slug: str) -> Algorithm | None:
        """Return the algorithm, or None if it does not exist or this token can't see it."""
        return self._find_place(Algorithm, "algorithms/", slug)

    def algorithms(self) -> list[Algorithm]:
        """Return all algorithms that this token can see, by slug."""
        return self._list_all(Algorithm, "algorithms/")

    def job(self, pk: str) -> Job:
        """Return a job; raise Refused (404) if it is not ours."""
        return _require_same(read_answer(Job, self._get_json(f"algorithms/jobs/{pk}/")), pk)

    def jobs(self, algorithm: str, image: str = "", offset: int = 0) -> Iterator[Job]:
        """Return our jobs of an algorithm, oldest first, from number *offset* on.

        With *image* (a pk), only the jobs that have this input image.
        """
        query = {"algorithm_image__algorithm": algorithm}
        if image:
            query["input_image"] = image
        jobs = self._iterate_answers(Job, "algorithms/jobs/", query, offset)
        # What ignores the filters must not give one case the job of another.
        ours = (job for job in jobs if pk_of(job.algorithm) in {"", algorithm})
        return (job for job in ours if not image or job.has_input_image(image))

    def count_jobs(self, algorithm: str) -> int:
        """Return the number of our jobs of an algorithm."""
        query = urlencode({"algorithm_image__algorithm": algorithm, "limit": 1})
        return read_answer(PageCount, self._get_json(f"algorithms/jobs/?{query}")).count

    def image(self, url: str) -> Image:
        """Given an image's API URL, return it."""
        image = read_answer(Image, self._call_as_known("GET", self._own_url(url)))
        for file in image.files:
            _require_pk(f"the image of file {file.pk}", pk_of(file.image or image.pk), image.pk)
        return _require_same(image, pk_of(url))

    def images(self, name: str) -> list[Image]:
        """Return our images with exactly this name."""
        images = self._iterate_answers(Image, "cases/images/", {"name": name})
        return [image for image in images if image.name == name]

    # --- uploads (platform 4) --------------------------------------------------------------------

    def create_upload(self, filename: str) -> UserUpload:
        """Create an upload record. Not repeatable: a lost reply leaves an unused record."""
        made = read_answer(UserUpload, self._post_json("uploads/", {"filename": filename}))
        # Two cases that share an upload would send one patient's image for another's.
        _require_pk("the file of a new upload", made.filename, filename)
        return made

    def upload(self, pk: str) -> UserUpload:
        """Return an upload record; raise Refused (404) if it is used up or has expired."""
        return _require_same(read_answer(UserUpload, self._get_json(f"uploads/{pk}/")), pk)

    def presign(self, pk: str, s3_upload_id: str, numbers: Sequence[int]) -> dict[int, str]:
        """Return URLs for these part numbers; each part is PUT to its URL within an hour."""
        body = {"part_numbers": list(numbers)}
        url = self._api_url(f"uploads/{pk}/{s3_upload_id}/generate-presigned-urls/")
        answer = self._call_as_known("PATCH", url, body)
        urls = read_answer(PresignedUrls, answer).presigned_urls
        if missing := {*numbers} - urls.keys():
            raise wrong_answer(f"PATCH {urlsplit(url).path}", f"no URL for part {min(missing)}")
        return {number: urls[number] for number in numbers}

    def parts(self, pk: str, s3_upload_id: str) -> dict[int, Part]:
        """Return the parts that the storage has, by number."""
        answer = self._get_json(f"uploads/{pk}/{s3_upload_id}/list-parts/")
        return {part.number: part for part in read_answer(Parts, answer).parts}

    def complete(self, pk: str, s3_upload_id: str, etags: Mapping[int, str]) -> None:
        """Join the parts of an upload into one object, in the order of their numbers."""
        parts = [{"ETag": etags[number], "PartNumber": number} for number in sorted(etags)]
        url = self._api_url(f"uploads/{pk}/{s3_upload_id}/complete-multipart-upload/")
        answer = self._call_as_known("PATCH", url, {"parts": parts})
        _require_same(read_answer(UserUpload, answer), pk)

    # --- upload sessions (platform 9) ------------------------------------------------------------

    def create_session(self, uploads: Sequence[str]) -> UploadSession:
        """Create an upload session of complete uploads; it is inert until a job or item uses it."""
        answer = self._post_json("cases/upload-sessions/", {"uploads": [*uploads]})
        made = read_answer(UploadSession, answer)
        found, wanted = (" ".join(sorted(map(pk_of, each))) for each in (made.uploads, uploads))
        _require_pk("the uploads of a new session", found, wanted)
        return made

    def session(self, url: str) -> UploadSession:
        """Given a session's API URL, return it."""
        session = read_answer(UploadSession, self._call_as_known("GET", self._own_url(url)))
        return _require_same(session, pk_of(url))

    def sessions(self) -> Iterator[UploadSession]:
        """Return all our upload sessions, in no particular order."""
        return self._iterate_answers(UploadSession, "cases/upload-sessions/", {})

    # --- jobs (platform 7) -----------------------------------------------------------------------

    def create_job(self, algorithm: str, inputs: Sequence[Mapping[str, Any]]) -> NewJob:
        """Create a job. Not repeatable: see platform 10.4."""
        body = {"algorithm": algorithm, "inputs": list(inputs)}
        return read_answer(NewJob, self._post_json("algorithms/jobs/", body))

    # --- reader studies and archives (platform 5, 6) ----------------------------------------------

    def reader_study(self, slug: str) -> Collection | None:
        """Return the reader study, or None if it does not exist or this token can't see it."""
        return self._find_place(Collection, "reader-studies/", slug)

    def archive(self, slug: str) -> Collection | None:
        """Return the archive, or None if it does not exist or this token can't see it."""
        return self._find_place(Collection, "archives/", slug)

    def study(self, slug: str) -> ReaderStudy | None:
        """Return the reader study with its questions, or None as `reader_study` does."""
        return self._find_place(ReaderStudy, "reader-studies/", slug)

    def answers(self, study: str, offset: int = 0) -> Iterator[Page[StudyAnswer]]:
        """Given a reader study's pk, yield pages of its answers by creation, from *offset* on."""
        query, size = {"question__reader_study": study}, LARGEST_PAGE_ITEMS
        while True:
            try:
                for page in self._iterate_pages(
                    StudyAnswer, "reader-studies/answers/", query, offset, size
                ):
                    yield page
                    offset += len(page.results)
            except Unreachable as error:
                # A page of long annotations may hold more than is read of an answer.
                if error.reason.code != "wrong_answer" or size == 1:
                    raise
                size //= 10
            else:
                return

    def reader_studies(self) -> list[Collection]:
        """Return all reader studies that this token can see, by slug."""
        return self._list_all(Collection, "reader-studies/")

    def archives(self) -> list[Collection]:
        """Return all archives that this token can see, by slug."""
        return self._list_all(Collection, "archives/")

    def create_item(self, kind: ItemKind, body: Mapping[str, Any]) -> Item:
        """Create an empty display set or archive item.

        Its title is unique, so a repeated call fails: see platform 10.3.
        """
        return read_answer(Item, self._post_json(_items_path(kind), body))

    def item(self, kind: ItemKind, pk: str) -> Item:
        """Return a display set or archive item; raise Refused (404) if we can't see it."""
        return _require_same(read_answer(Item, self._get_json(f"{_items_path(kind)}{pk}/")), pk)

    def fill_item(self, kind: ItemKind, pk: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Set sockets of an item, all or none; images appear after their import."""
        url = self._api_url(f"{_items_path(kind)}{pk}/")
        answer = self._call_as_known("PATCH", url, {"values": list(values)})
        _require_same(read_answer(Item, answer), pk)

    def may_add(self, kind: ItemKind, place: str) -> bool:
        """Whether this token may create items in a place, given as for `create_item`.

        The call has the title null, which is always refused, so nothing is created. Without the
        right, the place is refused too (platform 1.8, 5.3).
        """
        return kind not in self._refused_fields(_items_path(kind), {kind: place, "title": None})

    def may_run(self, algorithm: str) -> bool:
        """Whether this token may create jobs of an algorithm; tested by a call without inputs."""
        return "algorithm" not in self._refused_fields("algorithms/jobs/", {"algorithm": algorithm})

    def _refused_fields(self, path: str, body: Mapping[str, Any]) -> frozenset[str]:
        """Make a call that can't succeed; return the names of the fields that are refused."""
        try:
            self._post_json(path, body)
        except Refused as error:
            if error.status == 400:
                return error.fields
            raise
        raise wrong_answer(f"POST {path}", "a call that can't succeed did", doubt=False)

    def items(self, kind: ItemKind, place: str) -> list[Item]:
        """Given the pk of a reader study or archive, return all its items.

        Raises:
            NotYet: when the list stays incomplete after several tries.
        """
        # Lists of archive items have no order, so pages may repeat or skip items (platform 1.16).
        # They are read again until as many items are found as the platform counts.
        found: dict[str, Item] = {}
        for _ in range(_LIST_TRIES):
            count = 0
            for page in self._iterate_pages(
                Item, _items_path(kind), {kind: place}, size=LARGEST_PAGE_ITEMS
            ):
                for item in page.results:
                    found_in = item.archive if kind == "archive" else item.reader_study
                    _require_pk(f"the place of item {item.pk}", pk_of(found_in), place)
                    found[item.pk] = item
                count = max(count, page.count)  # it may fall during the reading if we lose rights
            if len(found) >= count:
                return list(found.values())
        facts = {"seconds": 60, "message": f"{len(found)} of {count} items were listed"}
        raise NotYet(Reason("busy", facts), 60)

    def sockets(self) -> list[Socket]:
        """Return all sockets of the platform, by slug."""
        return self._list_all(Socket, "components/interfaces/")

    def socket(self, slug: str) -> Socket | None:
        """Return the socket, or None if there is none."""
        return self._find_by_slug(Socket, "components/interfaces/", slug)

    def instances(self, image: str) -> list[Instance]:
        """Given a DICOM image set's API URL, return its instances, signed for a few minutes."""
        answer = self._call_as_known("GET", self._own_url(image) + "dicom/instances/")
        return list(read_answer(Instances, answer).instances)

    # --- bytes (platform 4.4, 8) -----------------------------------------------------------------

    def put_part(self, url: str, body: Any) -> Reply:
        """Given a presigned URL and a body with a length, store the body; return the reply."""
        return self.http.put(url, body)

    def open_media(self, url: str, offset: int, etag: str = "") -> AbstractContextManager[Reply]:
        """Given a media URL, open what the storage has there, from *offset* bytes on.

        With an *etag*, from there on only if it is that version still.
        """
        return self.http.stream(url, offset, etag)

    def open_signed(self, request: SignedRequest) -> AbstractContextManager[Reply]:
        """Given a request that carries its own signature, open its answer."""
        return self.http.signed(request.method, request.url, request.headers, request.data)

    # --- lists ---------------------------------------------------------------------------------

    def _find_place(self, kind: type[WithSlug], path: str, slug: str) -> WithSlug | None:
        """Return what has a slug; without it, make sure that the platform sees the token."""
        found = self._find_by_slug(kind, path, slug)
        if found is None:
            self.me()  # if a proxy drops the token's header, lists are empty
        return found

    def _find_by_slug(self, kind: type[WithSlug], path: str, slug: str) -> WithSlug | None:
        answer = self._get_json(f"{path}?{urlencode({'slug': slug})}")
        page: Page[WithSlug] = read_answer(Page[kind], answer)  # type: ignore[valid-type]
        return next((each for each in page.results if each.slug == slug), None)

    def _list_all(self, kind: type[WithSlug], path: str) -> list[WithSlug]:
        """Return all objects of a list, sorted by slug."""
        found: dict[str, WithSlug] = {}
        for page in self._iterate_pages(kind, path, {}):
            # Pages of a list without an order may repeat objects (platform 1.16).
            found |= {each.slug: each for each in page.results}
        if not found:
            self.me()  # if a proxy drops the token's header, lists are empty
        return sorted(found.values(), key=lambda each: each.slug)


def _items_path(kind: ItemKind) -> str:
    return f"{KIND_NAMES[kind].product_path}/"


def _require_same(answer: Named, pk: str) -> Named:
    """Given what the platform answered about an object, return it if it is that object."""
    _require_pk(type(answer).__name__, answer.pk, pk)
    return answer


def _require_pk(what: str, found: str, wanted: str) -> None:
    """Raise TryAgain if an answer is about another object than the one that was asked for."""
    # A cache on the way can give one patient's answer for another's. It may be right soon.
    if found != wanted:
        facts = {"what": what, "found": found[:64], "wanted": wanted[:64]}
        raise TryAgain(Reason("other_object", facts))


class CachingGrandChallenge(GrandChallenge):
    """Looks up each slug only once; for a plan of many folders with the same target."""

    def __init__(self, platform: GrandChallenge) -> None:
        super().__init__(platform.http)
        self.algorithm = cache(super().algorithm)  # type: ignore[method-assign]
        self.reader_study = cache(super().reader_study)  # type: ignore[method-assign]
        self.archive = cache(super().archive)  # type: ignore[method-assign]
        self.socket = cache(super().socket)  # type: ignore[method-assign]
        self._rights: dict[tuple[ItemKind, str], bool] = {}

    def may_add(self, kind: ItemKind, place: str) -> bool:
        """Whether this token may create items in a place; each place is tested once."""
        if (kind, place) not in self._rights:
            self._rights[kind, place] = super().may_add(kind, place)
        return self._rights[kind, place]
