"""The platform's answers as pydantic models (platform 1 to 9)."""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from gcwatch.core.errors import Unreachable
from gcwatch.core.forecast import ReportedImage
from gcwatch.core.reasons import Reason
from gcwatch.core.text import count_noun

_LONGEST_DURATION_SECONDS: Final = 30 * 86400.0
"""Jobs run for hours; a longer average is a mistake."""
_LARGEST_COUNT: Final = 10**9
_LONGEST_TEXT: Final = 10_000
_MOST_VALUES: Final = 1000
"""Sockets of a job or an item, and files of an image; each of them is work and a line on disk."""


class _Answer(BaseModel):
    # JSON has no NaN and no infinity, but Python's reader takes both.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


Answer = TypeVar("Answer", bound=_Answer)


def _require_printable(text: str) -> str:
    """Refuse control characters: the text is shown on terminals and is part of URLs and names."""
    if not text.isprintable():
        raise ValueError("holds a control character")
    return text


def _shorten(text: Any) -> Any:
    """Cut a sentence of the platform; its end can be left out."""
    return text[:_LONGEST_TEXT] if isinstance(text, str) else text


def _sensible_duration(seconds: Any) -> Any:
    """Return a duration in seconds, None if no job takes so long."""
    # It only tells when to ask first, so a senseless one stops nothing.
    is_number = isinstance(seconds, int | float)
    if is_number and not (math.isfinite(seconds) and 0 <= seconds <= _LONGEST_DURATION_SECONDS):
        return None
    return seconds


Pk = Annotated[str, Field(pattern="^[0-9A-Za-z-]{1,64}$")]
"""The name of an object in URLs."""
Word = Annotated[str, Field(max_length=255), AfterValidator(_require_printable)]
"""A slug, a status, a kind, or a file name."""
Url = Annotated[str, Field(max_length=8192), AfterValidator(_require_printable)]
Path = Annotated[str, Field(max_length=4096)]
Text = Annotated[str, BeforeValidator(_shorten)]
"""A title or a sentence for people; what is too long is cut."""
Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT)]
Duration = Annotated[float | None, BeforeValidator(_sensible_duration)]


class Socket(_Answer):
    """A named input or output; `super_kind` tells how its content is sent (platform 3.2)."""

    slug: Word
    title: Text = ""
    kind: Word
    super_kind: Literal["Image", "File", "Value"]
    relative_path: Path = ""


class Interface(_Answer):
    """One set of input sockets that an algorithm accepts, and the outputs that it returns."""

    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]


class Algorithm(_Answer):
    """An algorithm; `average_duration` is in seconds, None before its first run.

    `url` is its page for people.
    """

    pk: Pk
    api_url: Url
    url: Url = ""
    slug: Word
    title: Text = ""
    average_duration: Duration = None
    interfaces: tuple[Interface, ...] = ()


class UserUpload(_Answer):
    """An upload record: Initialized, Completed or Aborted (platform 4.1)."""

    pk: Pk
    api_url: Url
    filename: Word
    status: Word
    s3_upload_id: Annotated[str, Field(pattern="^[^/?#\\s]{0,1024}$")] = ""


class Part(_Answer):
    """One stored part of an upload; the ETag is the quoted MD5 of its bytes."""

    number: int = Field(alias="PartNumber", ge=1, le=10_000)
    etag: Word = Field(alias="ETag")
    size: int = Field(alias="Size", default=0, ge=0)


class UploadSession(_Answer):
    """An upload session; `uploads` is empty once they are imported or expired (platform 9.6)."""

    pk: Pk
    api_url: Url
    status: Word
    error_message: Text = ""
    image_set: tuple[Url, ...] = ()
    uploads: tuple[Url, ...] = ()


def pk_of(url: str) -> str:
    """Given an object's API URL, return its pk; host and path may be written in several ways."""
    return url.rstrip("/").rpartition("/")[2]


class SocketValue(_Answer):
    """The content of one socket: a value, a file URL or an image URL."""

    pk: int = Field(ge=0, lt=2**63)
    socket: Socket = Field(validation_alias=AliasChoices("socket", "interface"))
    value: Any = None
    file: Url | None = None
    image: Url | None = None

    @field_validator("value")
    @classmethod
    def _can_be_written(cls, value: Any) -> Any:
        """Refuse a number such as 1e999: it is read as infinity, which no JSON can hold."""
        json.dumps(value, allow_nan=False)
        return value

    @property
    def is_empty(self) -> bool:
        """Whether the socket holds nothing: neither an image nor a file, nor a value but null."""
        return not self.image and not self.file and self.value is None


def _require_distinct(values: tuple[SocketValue, ...]) -> tuple[SocketValue, ...]:
    """Refuse a list with one pk twice: the files of one of them would take the other's place."""
    if len({value.pk for value in values}) < len(values):
        raise ValueError("holds a pk twice")
    return values


SocketValues = Annotated[
    tuple[SocketValue, ...], Field(max_length=_MOST_VALUES), AfterValidator(_require_distinct)
]


class Job(_Answer):
    """One run of an algorithm, whose API URL it has; `url` is its page for people."""

    pk: Pk
    url: Url = ""
    algorithm: Url = ""
    status: Word
    inputs: tuple[SocketValue, ...] = ()
    outputs: SocketValues = ()

    def has_input_image(self, pk: str) -> bool:
        """Given an image's pk, return whether it is an input of this job."""
        return any(value.image and pk_of(value.image) == pk for value in self.inputs)


class NewJob(_Answer):
    """The answer to the creation of a job."""

    pk: Pk
    status: Word


class Collection(_Answer):
    """A reader study or an archive, to which cases can be added; `url` is its page for people."""

    pk: Pk
    api_url: Url
    url: Url = ""
    title: Text = Field(default="", validation_alias=AliasChoices("title", "title_safe"))
    slug: Word = ""

    @model_validator(mode="before")
    @classmethod
    def _add_slug(cls, place: Any) -> Any:
        """Take the slug from the page's URL, if there is no other."""
        # An archive's JSON has no slug (platform 2.2), but the URL of its page ends with it.
        if not isinstance(place, dict):
            return place
        last = str(place.get("url") or "").rstrip("/").rpartition("/")[2]
        return {**place, "slug": place.get("slug") or last}


def _is_told_in_full(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("socket", value.get("interface")), Mapping)


class Item(_Answer):
    """A display set or an archive item: a title and the content of its sockets (platform 5, 6).

    `archive` is the URL of an archive item's archive, `reader_study` that of a display set's reader
    study; the answer to a write has the slug instead.
    """

    pk: Pk
    title: Text = Field(default="", validation_alias=AliasChoices("title", "title_safe"))
    archive: Url = ""
    reader_study: Url = ""
    values: SocketValues = ()

    @field_validator("values", mode="before")
    @classmethod
    def _only_told_in_full(cls, values: Any) -> Any:
        """Drop values without a full socket."""
        # The answer to a PATCH has only the slugs of sockets; their content needs another call.
        if not isinstance(values, list):
            return values
        return [v for v in values if not isinstance(v, dict) or _is_told_in_full(v)]


class SignedRequest(_Answer):
    """A request with its own signature; it is sent unchanged, without our token."""

    url: Url
    method: Literal["GET", "POST"] = "GET"
    data: str | None = None
    headers: Mapping[Word, Url] = {}


class Instance(_Answer):
    """One DICOM instance of an image set, and the signed request that fetches it (platform 8.6)."""

    sop_instance_uid: Word
    get_instance: SignedRequest


class ImageFile(_Answer):
    """One file of an image; DZI entries are derived and never fetched (platform 8.2)."""

    pk: Pk
    file: Annotated[str, Field(max_length=8192)]  # any: its name is made safe, its host judged
    image: Url = ""
    image_type: Word


class Image(_Answer):
    """An image on the platform; a DICOM image set has no shape (platform 8.1)."""

    pk: Annotated[str, Field(max_length=64)]  # any: it is compared with the one asked for
    api_url: Url = ""
    name: Text = ""
    files: Annotated[tuple[ImageFile, ...], Field(max_length=_MOST_VALUES)] = ()
    dicom_image_set: Any = None
    shape_without_color: tuple[int | None, ...] | None = None
    color_space: Word | None = None
    voxel_width_mm: float | None = None
    voxel_height_mm: float | None = None
    voxel_depth_mm: float | None = None

    @property
    def reported(self) -> ReportedImage:
        """What the platform tells of its voxels."""
        sizes = (self.voxel_width_mm, self.voxel_height_mm, self.voxel_depth_mm)
        return ReportedImage(self.shape_without_color or (), self.color_space or "", sizes)


class Page(_Answer, Generic[Answer]):
    """One page of a list, and how many objects the whole list has."""

    count: Count
    results: tuple[Answer, ...]


class PageCount(_Answer):
    """A page of which only the number of objects in the whole list matters."""

    count: Count


class PresignedUrls(_Answer):
    """URLs by part number; each takes one part."""

    presigned_urls: Mapping[int, Url]


class Parts(_Answer):
    """The parts of an upload that the storage has."""

    parts: tuple[Part, ...]


class Instances(_Answer):
    """The instances of a DICOM image set."""

    instances: tuple[Instance, ...]


class User(_Answer):
    """The user of a token."""

    username: Word


class Profile(_Answer):
    """The profile of a token's user."""

    user: User


def wrong_answer(call: str, problem: str, *, doubt: bool = True) -> Unreachable:
    """Given a call whose answer is not what the platform sends, return the error.

    It is trouble of the platform, or of a proxy before it: never the fault of a case. `doubt`: the
    call may have changed something.
    """
    return Unreachable(Reason("wrong_answer", {"call": call, "problem": problem}), doubt=doubt)


def read_answer(kind: type[Answer], answer: Any) -> Answer:
    """Given an answer's JSON, return it as a model; raise Unreachable if it does not fit."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        first = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        problem = f"{count_noun(error.error_count(), 'unexpected field')}: {first[:100]}"
        raise wrong_answer(f"Reading {kind.__name__}", problem) from error
