"""The records of a sandbox, its clock, and the lock that guards both."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any
from uuid import uuid4

from gcwatch.sandbox import metaimage
from gcwatch.sandbox.content.catalogue import (
    Algorithm,
    Archive,
    Catalogue,
    Interface,
    ReaderStudy,
    Socket,
)
from gcwatch.sandbox.content.questions import Question
from gcwatch.sandbox.settings import Settings

FINAL_STATUSES = frozenset({"Succeeded", "Failed", "Cancelled"})


def new_pk() -> str:
    """Return a new primary key, a UUID."""
    return str(uuid4())


@dataclass(eq=False)
class User:
    """An account and its token (platform 1.1)."""

    pk: int
    username: str
    token: str


@dataclass(eq=False)
class Part:
    """One stored part of an upload.

    Attributes:
        etag: Hex MD5 of its bytes, without quotes.
        size: In bytes.
        modified: When it was stored, in seconds since the epoch.
        path: File that holds its bytes.
    """

    etag: str
    size: int
    modified: float
    path: Path


@dataclass(eq=False)
class Upload:
    """A user's upload (platform 4.1).

    Attributes:
        status: "Initialized", "Completed" or "Aborted".
        parts: Its stored parts by part number; a completed upload is all of them in order.
    """

    owner: User
    filename: str
    created: float
    pk: str = field(default_factory=new_pk)
    s3_id: str = field(default_factory=lambda: f"{uuid4().hex}{uuid4().hex[:8]}_{uuid4().hex}")
    status: str = "Initialized"
    parts: dict[int, Part] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its key in S3."""
        return f"uploads/{self.owner.pk}/{self.pk}"

    @property
    def size(self) -> int:
        """Size of its stored parts, in bytes."""
        return sum(part.size for part in self.parts.values())


@dataclass(eq=False)
class StoredFile:
    """A file behind a media URL (platform 8.3).

    Attributes:
        key: Its path below /media/.
        path: File that holds its bytes.
    """

    key: str
    path: Path

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of its bytes, which never change after they are written."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(eq=False)
class Instance:
    """One instance of a DICOM Image Set (platform 8.6).

    Attributes:
        study: Study instance UID.
        series: Series instance UID.
        uid: SOP instance UID.
        file: Its bytes; they have no media URL.
    """

    study: str
    series: str
    uid: str
    file: StoredFile


@dataclass(eq=False)
class Image:
    """An imported or computed image (platform 8.1).

    Users see it if they see a job or a case that has it as a value.

    Attributes:
        owner: The user who imported or computed it.
        size: Voxels along x, y and, if it has them, z and t; empty for a DICOM Image Set.
        spacing: Millimetres along the same axes; empty if it is not known.
        kind: "MHD", "TIFF" or "DICOM".
        segments: The values of its voxels, if it may be a segmentation (platform 13.12).
        file: Its file; None for a DICOM Image Set.
        origin: The session that imported it; None for outputs.
        instances: The instances of a DICOM Image Set.
    """

    owner: User
    name: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int
    kind: str
    file: StoredFile | None
    file_pk: str
    color_space: str = ""
    origin: "Session | None" = None
    instances: tuple[Instance, ...] = ()
    segments: tuple[int, ...] | None = None
    pk: str = field(default_factory=new_pk)

    @property
    def image_set_id(self) -> str:
        """Its identifier in the DICOM store (platform 8.6)."""
        return self.pk.replace("-", "")

    @property
    def sha256(self) -> str | None:
        """SHA-256 of its file; None for a DICOM Image Set."""
        return self.file.sha256 if self.file else None

    @cached_property
    def voxels(self) -> str | None:
        """SHA-256 of its voxels, whatever the file format; of a TIFF, that of the file."""
        if self.file is None:
            return None
        if self.kind == "TIFF":
            return self.file.sha256
        with TemporaryDirectory() as work:
            return metaimage.hash_voxels(self.file.path, Path(work))


@dataclass(eq=False)
class Value:
    """One immutable value of a socket, with a pk of its own (platform 5.10)."""

    pk: int
    socket: Socket
    value: Any = None
    file: StoredFile | None = None
    image: Image | None = None


@dataclass(eq=False)
class Session:
    """An upload session: one import, which can be used once (platform 9.3).

    Attributes:
        status: "Queued", "Re-Queued", "Succeeded" or "Failed".
        started: When it was used; None before that.
        finished: Whether its images are attached, or never will be.
        source: The source that it is the import of; None if it was used without a socket.
    """

    creator: User
    uploads: list[Upload]
    created: float
    pk: str = field(default_factory=new_pk)
    status: str = "Queued"
    error_message: str = ""
    images: list[Image] = field(default_factory=list)
    started: float | None = None
    finished: bool = False
    source: "Source | None" = None


@dataclass(eq=False)
class DicomUpload:
    """A DICOM Image Set that waits for its import; no endpoint shows it (platform 5.11).

    Attributes:
        name: Name of the future image.
        uploads: Its DICOM files, one per upload.
    """

    creator: User
    name: str
    uploads: list[Upload]


@dataclass(eq=False)
class Source:
    """Where the content of one socket comes from, and the value once it is attached.

    Attributes:
        target: The job or case that has the socket, or the answer that becomes a mask; an archive
            if each image becomes an item.
        started: When a request gave it to its target.
        upload: The content of a File socket.
        session: The import of an image socket.
        dicom: The import of a DICOM Image Set socket.
        value: The value; None until it is attached.
        stuck: Whether the task that attaches it failed, so that it never will (platform 7.8).
        attached: When the value was attached.
    """

    socket: Socket
    target: "Job | Case | Archive | Answer | None" = None
    started: float = 0.0
    upload: Upload | None = None
    session: Session | None = None
    dicom: DicomUpload | None = None
    value: Value | None = None
    stuck: bool = False
    attached: float | None = None


@dataclass(eq=False)
class Job:
    """One run of an algorithm (platform 7)."""

    algorithm: Algorithm
    interface: Interface
    creator: User
    created: float
    sources: list[Source]
    pk: str = field(default_factory=new_pk)
    status: str = "Validating inputs"
    outputs: list[Value] = field(default_factory=list)

    @property
    def inputs(self) -> list[Value]:
        """The inputs that are attached already."""
        return [source.value for source in self.sources if source.value is not None]


@dataclass(eq=False)
class DisplaySet:
    """A case of a reader study (platform 5).

    Attributes:
        parent: The study.
        order: Its position among the cases of the study.
        values: The attached values, by socket slug.
        answers: The answers of readers; with one or more it cannot be changed.
    """

    parent: ReaderStudy
    title: str
    created: float
    order: int
    pk: str = field(default_factory=new_pk)
    values: dict[str, Value] = field(default_factory=dict)
    answers: list["Answer"] = field(default_factory=list)

    @property
    def sort_key(self) -> tuple[int, float]:
        """Sort key among the cases of the study."""
        return self.order, self.created


@dataclass(eq=False)
class ArchiveItem:
    """A case of an archive (platform 6).

    Attributes:
        parent: The archive.
        values: The attached values, by socket slug.
    """

    parent: Archive
    title: str
    created: float
    pk: str = field(default_factory=new_pk)
    values: dict[str, Value] = field(default_factory=dict)


Case = DisplaySet | ArchiveItem


@dataclass(eq=False)
class Answer:
    """What a reader answered to a question about a display set (platform 14.3).

    Attributes:
        answer: JSON; for a mask, which session imports its image.
        last_edit: Seconds that the reader worked on it the last time, and `total_edit` in all.
        image: The mask, once it is imported.
        explanation: Only of a ground truth.
    """

    question: Question
    case: DisplaySet
    creator: User
    answer: Any
    created: float
    modified: float
    last_edit: float | None = None
    total_edit: float | None = None
    is_ground_truth: bool = False
    explanation: str = ""
    score: float | None = None
    image: Image | None = None
    pk: str = field(default_factory=new_pk)


def _comparable(value: Any) -> str:
    """Return a JSON value as text that is equal for equal values: 1.0 is written as 1."""
    told = json.loads(json.dumps(value), parse_float=_whole_if_possible)
    return json.dumps(told, sort_keys=True)


def _whole_if_possible(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


class PlatformState:
    """All records of a sandbox; hold `lock` to read or change them.

    Attributes:
        pending_sources: Sources of cases whose files are not yet copied and checked.
        switches: By slug, the settings of a reader study that are switched on (platform 14.1).
        revoked: Pairs of a slug and the name of a user who has lost the rights to it.
        item_listings: How many times the unordered list of archive items was requested.
    """

    def __init__(self, folder: Path, settings: Settings, catalogue: Catalogue) -> None:
        self.lock = RLock()
        self.folder = folder
        self.settings = settings
        self.catalogue = catalogue
        self.clock_offset_seconds = 0.0
        self.users: list[User] = []
        self.uploads: dict[str, Upload] = {}
        self.sessions: dict[str, Session] = {}
        self.jobs: dict[str, Job] = {}
        self.display_sets: dict[str, DisplaySet] = {}
        self.items: dict[str, ArchiveItem] = {}
        self.questions: dict[str, Question] = {}
        self.answers: dict[str, Answer] = {}
        self.switches: dict[str, set[str]] = {}
        self.pending_sources: list[Source] = []
        self.revoked: set[tuple[str, str]] = set()
        self.item_listings = 0
        self.images: dict[str, Image] = {}
        self.values: list[Value] = []
        self.media_files: dict[str, StoredFile] = {}

    def now(self) -> float:
        """Return the time on the sandbox's clock, in seconds since the epoch."""
        return time.time() + self.clock_offset_seconds

    def uploads_of(self, user: User) -> Iterator[Upload]:
        """Return a user's uploads."""
        return (upload for upload in self.uploads.values() if upload.owner is user)

    def delete_upload(self, upload: Upload) -> None:
        """Delete an upload with its bytes, also from its sessions (platform 9.6)."""
        self.uploads.pop(upload.pk, None)
        for part in upload.parts.values():
            part.path.unlink(missing_ok=True)
        for session in self.sessions.values():
            if upload in session.uploads:
                session.uploads.remove(upload)

    def find_or_add_value(
        self, socket: Socket, *, value: Any = None, image: Image | None = None
    ) -> Value:
        """Return the value with this content, a new one if there is none (platform 7.6)."""
        wanted = _comparable(value)
        for known in self.values:
            same_kind = known.socket is socket and known.file is None
            if same_kind and known.image is image and _comparable(known.value) == wanted:
                return known
        return self.add_value(socket, value=value, image=image)

    def add_value(self, socket: Socket, *, value: Any = None, image: Image | None = None) -> Value:
        """Add a new value."""
        record = Value(pk=len(self.values) + 101, socket=socket, value=value, image=image)
        self.values.append(record)
        return record

    def add_file(self, key: str) -> StoredFile:
        """Add a file below /media/ and make its folder; the caller writes the bytes."""
        path = self.folder / "protected" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = self.media_files[key] = StoredFile(key, path)
        return stored
