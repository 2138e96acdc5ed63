"""The platform's answers as pydantic models (platform 1 to 9)."""

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
from gcwatch.core.forecast import ReportedImage
from gcwatch.core.reasons import Reason
from gcwatch.core.text import count_noun


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Answer = TypeVar("Answer", bound=_Answer)


class Socket(_Answer):
    """A named input or output; `super_kind` tells how its content is sent (platform 3.2)."""

    slug: str
    kind: str
    super_kind: Literal["Image", "File", "Value"]
    relative_path: str = ""


class Interface(_Answer):
    """One set of input sockets that an algorithm accepts, and the outputs that it returns."""

    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]


class Algorithm(_Answer):
    """An algorithm; `average_duration` is in seconds, None before its first run."""

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
    """One stored part of an upload; the ETag is the quoted MD5 of its bytes."""

    number: int = Field(alias="PartNumber")
    etag: str = Field(alias="ETag")
    size: int = Field(alias="Size", default=0)


class UploadSession(_Answer):
    """An upload session; `uploads` is empty once they are imported or expired (platform 9.6)."""

    pk: str
    api_url: str
    status: str
    error_message: str = ""
    image_set: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()


class SocketValue(_Answer):
    """The content of one socket: a value, a file URL or an image URL."""

    pk: int
    socket: Socket = Field(validation_alias=AliasChoices("socket", "interface"))
    value: Any = None
    file: str | None = None
    image: str | None = None


class Job(_Answer):
    """One run of an algorithm; `url` is its page for people."""

    pk: str
    url: str = ""
    status: str
    inputs: tuple[SocketValue, ...] = ()
    outputs: tuple[SocketValue, ...] = ()


class NewJob(_Answer):
    """The answer to the creation of a job."""

    pk: str
    status: str


class Collection(_Answer):
    """A reader study or an archive, to which cases can be added; `url` is its page for people."""

    pk: str
    api_url: str
    url: str = ""
    title: str = ""
    slug: str = ""


class Item(_Answer):
    """A display set or an archive item: a title and the content of its sockets (platform 5, 6)."""

    pk: str
    title: str = Field(default="", validation_alias=AliasChoices("title", "title_safe"))
    values: tuple[SocketValue, ...] = ()

    @field_validator("values", mode="before")
    @classmethod
    def _only_told_in_full(cls, values: Any) -> Any:
        """Drop values without a full socket."""
        # The answer to a PATCH has only the slugs of sockets; their content needs another call.
        return [v for v in values if isinstance(v.get("socket", v.get("interface")), Mapping)]


class SignedRequest(_Answer):
    """A request with its own signature; it is sent unchanged, without our token."""

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
    """An image on the platform; a DICOM image set has no shape (platform 8.1)."""

    pk: str
    api_url: str = ""
    name: str = ""
    files: tuple[ImageFile, ...] = ()
    dicom_image_set: Any = None
    shape_without_color: tuple[int | None, ...] | None = None
    color_space: str | None = None
    voxel_width_mm: float | None = None
    voxel_height_mm: float | None = None
    voxel_depth_mm: float | None = None

    @property
    def reported(self) -> ReportedImage:
        """What the platform tells of its voxels."""
        sizes = (self.voxel_width_mm, self.voxel_height_mm, self.voxel_depth_mm)
        return ReportedImage(self.shape_without_color or (), self.color_space or "", sizes)


def read_answer(kind: type[Answer], answer: Any) -> Answer:
    """Given an answer's JSON, return it as a model; raise Unreachable if it does not fit."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        call = f"reading {kind.__name__}"
        facts = {"call": call, "error": count_noun(error.error_count(), "unexpected field")}
        raise Unreachable(Reason("unreachable", facts), doubt=True) from error


def with_slug(place: Mapping[str, Any]) -> Mapping[str, Any]:
    """Given the JSON of a reader study or archive, return it with its slug."""
    # An archive's JSON has no slug (platform 2.2), but the URL of its page ends with it.
    last = str(place.get("url") or "").rstrip("/").rpartition("/")[2]
    return {**place, "slug": place.get("slug") or last}


def read_answers(kind: type[Answer], answers: Iterable[Any]) -> list[Answer]:
    """Given the JSON of several answers, return them as models; raise as `read_answer` does."""
    return [read_answer(kind, answer) for answer in answers]
