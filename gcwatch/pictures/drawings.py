"""What is asked of the process that draws, and what it answers."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gcwatch.files.beneath import SharePath

MAX_PICTURE_BYTES: Final = 40_000
"""A small picture has less."""

MAX_INPUTS, MAX_RESULTS = 2, 4
"""Pictures of one case."""

Side = Literal["input", "result"]


@dataclass(frozen=True)
class Subject:
    """One image that is to be drawn: its files, and the name of its socket."""

    side: Side
    label: str
    files: tuple[SharePath, ...]

    def record(self) -> dict[str, Any]:
        """Return it as a record for JSON."""
        files = [[str(file.root), file.below] for file in self.files]
        return {"side": self.side, "label": self.label, "files": files}


def subject_of(record: Mapping[str, Any]) -> Subject:
    """Given the record of a subject, return it."""
    files = tuple(SharePath(Path(root), below) for root, below in record["files"])
    return Subject(record["side"], record["label"], files)


_STARTS: Final = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def _check_picture(data: str) -> str:
    try:
        start = base64.b64decode(data, validate=True)[:4]
    except binascii.Error as error:
        raise ValueError("no base64") from error
    if data and not start.startswith(tuple(_STARTS)):
        raise ValueError("no picture")
    return data


_Data = Annotated[
    str, Field(max_length=MAX_PICTURE_BYTES * 4 // 3 + 4), AfterValidator(_check_picture)
]


class Drawing(BaseModel):
    """A small picture, as base64, or the `problem` for which there is none.

    `subject` counts the subjects that were asked for. It shows slice `number` of `count`.
    `is_empty`: all of the image is zero. What draws reads files of strangers, so what it answers
    is checked like them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subject: int = Field(ge=0, lt=1000)
    data: _Data = ""
    number: int = Field(default=1, ge=1)
    count: int = Field(default=1, ge=1)
    is_empty: bool = False
    problem: str = Field(default="", max_length=200)

    @property
    def kind(self) -> str:
        """The picture's media type."""
        start = base64.b64decode(self.data[:8])
        return next(kind for magic, kind in _STARTS.items() if start.startswith(magic))


class Drawings(BaseModel):
    """All that was drawn for one case."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    drawings: list[Drawing] = Field(max_length=MAX_INPUTS + MAX_RESULTS)


class Picture(BaseModel):
    """A drawing, whether it is of an input or a result, and the name of its socket."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    side: Side
    label: str
    drawing: Drawing


def answer(drawings: Sequence[Drawing]) -> bytes:
    """Return drawings as JSON."""
    return Drawings(drawings=list(drawings)).model_dump_json().encode()
