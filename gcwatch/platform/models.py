"""The platform's answers as models."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from gcwatch.core.errors import Unreachable
from gcwatch.core.reasons import Reason


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Answer = TypeVar("Answer", bound=_Answer)


class Socket(_Answer):
    """A named slot of an algorithm; `super_kind` says how its content travels (platform 3.2)."""

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
    """An upload record: Initialized, Completed or Aborted (platform 4.1)."""

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
    """An upload session; `uploads` empties when they are imported or expire (platform 9.6)."""

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


class Collection(_Answer):
    """A reader study or an archive: where cases can be put. `url` is its page for people."""

    pk: str
    api_url: str
    url: str = ""
    title: str = ""
    slug: str = ""


class Item(_Answer):
    """A display set or an archive item: a title and what its sockets hold (platform 5, 6)."""

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
    """One DICOM instance of an image set, and the signed request that fetches it (platform 8.6)."""

    sop_instance_uid: str
    get_instance: SignedRequest


class ImageFile(_Answer):
    """One file of an image; DZI entries are derived and never fetched (platform 8.2)."""

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


def read_answer(kind: type[Answer], answer: Any) -> Answer:
    """Given an answer's JSON, return it typed; Unreachable if it is not what it should be."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        call = f"reading {kind.__name__}"
        facts = {"call": call, "error": f"{error.error_count()} unexpected field(s)"}
        raise Unreachable(Reason("unreachable", facts), doubt=True) from error


def with_slug(place: Mapping[str, Any]) -> Mapping[str, Any]:
    """An archive's JSON has no slug (platform 2.2): its page's address ends in it."""
    last = str(place.get("url") or "").rstrip("/").rpartition("/")[2]
    return {**place, "slug": place.get("slug") or last}


def read_answers(kind: type[Answer], answers: Iterable[Any]) -> list[Answer]:
    return [read_answer(kind, answer) for answer in answers]
