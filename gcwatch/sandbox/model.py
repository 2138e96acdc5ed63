"""What the sandbox knows: its records, its clock, and the one lock around them."""

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
from gcwatch.sandbox.settings import Settings

FINAL_STATUSES = frozenset({"Succeeded", "Failed", "Cancelled"})


def new_pk() -> str:
    """A fresh identity, a UUID."""
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
        modified: When it was stored.
        path: Where its bytes are.
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
        parts: What S3 holds of it, by part number; the object once completed.
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
        """Its S3 key."""
        return f"uploads/{self.owner.pk}/{self.pk}"

    @property
    def size(self) -> int:
        """Bytes held for it."""
        return sum(part.size for part in self.parts.values())


@dataclass(eq=False)
class StoredFile:
    """A file behind a media URL (platform 8.3).

    Attributes:
        key: Its path below /media/.
        path: Where its bytes are.
    """

    key: str
    path: Path

    @cached_property
    def sha256(self) -> str:
        """Hash of its bytes, which never change once they are written."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(eq=False)
class Instance:
    """One instance of a DICOM Image Set (platform 8.6).

    Attributes:
        study: Study instance UID.
        series: Series instance UID.
        uid: SOP instance UID.
        file: Its bytes, which have no media URL.
    """

    study: str
    series: str
    uid: str
    file: StoredFile


@dataclass(eq=False)
class Image:
    """An imported or computed image (platform 8.1); seen by whoever sees what holds it.

    Attributes:
        owner: Who imported or computed it.
        size: Voxels along x, y and, if there are such axes, z and t; unknown of a DICOM Image Set.
        spacing: Millimetres along the same axes.
        kind: "MHD", "TIFF" or "DICOM".
        segments: The values of its voxels, if it may be a segmentation (platform 13.12).
        stored: Its one file; None if it is a DICOM Image Set.
        origin: The session that imported it, None for outputs.
        instances: What a DICOM Image Set consists of.
    """

    owner: User
    name: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int
    kind: str
    file: StoredFile | None
    file_pk: str
    origin: "Session | None" = None
    instances: tuple[Instance, ...] = ()
    segments: tuple[int, ...] | None = None
    pk: str = field(default_factory=new_pk)

    @property
    def image_set_id(self) -> str:
        """What the DICOM store calls it (platform 8.6)."""
        return self.pk.replace("-", "")

    @property
    def sha256(self) -> str | None:
        """SHA-256 of its file; None of a DICOM Image Set."""
        return self.file.sha256 if self.file else None

    @cached_property
    def voxels(self) -> str | None:
        """SHA-256 of its voxels, whatever file they are in; of a TIFF, that of the file."""
        if self.file is None:
            return None
        if self.kind == "TIFF":
            return self.file.sha256
        with TemporaryDirectory() as work:
            return metaimage.hash_voxels(self.file.path, Path(work))


@dataclass(eq=False)
class Value:
    """One immutable value of a socket; what the platform's pk of a value means (platform 5.10)."""

    pk: int
    socket: Socket
    value: Any = None
    file: StoredFile | None = None
    image: Image | None = None


@dataclass(eq=False)
class Session:
    """An upload session: one import, and a one-time token (platform 9.3).

    Attributes:
        status: "Queued", "Re-Queued", "Succeeded" or "Failed".
        started: When it was used; None while inert.
        finished: Whether its images have been attached or given up.
        source: The socket of a job, display set or item that it feeds.
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
    """A DICOM Image Set on its way; no endpoint tells of it (platform 5.11).

    Attributes:
        name: Name of the image to be.
        uploads: One DICOM file each.
    """

    creator: User
    name: str
    uploads: list[Upload]


@dataclass(eq=False)
class Source:
    """Where the content of one socket comes from, and the value once it is attached.

    Attributes:
        target: What has the socket; an archive if every image becomes an item of its own.
        started: When a request gave it to its target.
        upload: A File socket's content.
        session: An image socket's import.
        dicom: A DICOM Image Set socket's import.
        value: Set when the input is there.
        stuck: The task that should attach it has died (platform 7.8).
        attached: When the value was there.
    """

    socket: Socket
    target: "Job | Case | Archive | None" = None
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
        """The inputs that are attached."""
        return [source.value for source in self.sources if source.value is not None]


@dataclass(eq=False)
class DisplaySet:
    """A case of a reader study (platform 5).

    Attributes:
        parent: The study.
        order: Its place among the study's cases.
        values: What is attached, by socket slug.
        answers: How many answers readers gave; with any it cannot be changed.
    """

    parent: ReaderStudy
    title: str
    created: float
    order: int
    pk: str = field(default_factory=new_pk)
    values: dict[str, Value] = field(default_factory=dict)
    answers: int = 0

    @property
    def sort_key(self) -> tuple[int, float]:
        """Sort key among the study's cases."""
        return self.order, self.created


@dataclass(eq=False)
class ArchiveItem:
    """A case of an archive (platform 6).

    Attributes:
        parent: The archive.
        values: What is attached, by socket slug.
    """

    parent: Archive
    title: str
    created: float
    pk: str = field(default_factory=new_pk)
    values: dict[str, Value] = field(default_factory=dict)


Case = DisplaySet | ArchiveItem


class PlatformState:
    """All records of a sandbox; hold `lock` to read or change them.

    Attributes:
        pending_sources: Sources of cases whose files are not yet copied and checked.
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
        self.pending_sources: list[Source] = []
        self.revoked: set[tuple[str, str]] = set()
        self.item_listings = 0
        self.images: dict[str, Image] = {}
        self.values: list[Value] = []
        self.media_files: dict[str, StoredFile] = {}

    def now(self) -> float:
        """The sandbox's clock: real time plus what it was advanced by."""
        return time.time() + self.clock_offset_seconds

    def uploads_of(self, user: User) -> Iterator[Upload]:
        """A user's uploads."""
        return (upload for upload in self.uploads.values() if upload.owner is user)

    def delete_upload(self, upload: Upload) -> None:
        """Forget an upload, its bytes, and its place in sessions (platform 9.6)."""
        self.uploads.pop(upload.pk, None)
        for part in upload.parts.values():
            part.path.unlink(missing_ok=True)
        for session in self.sessions.values():
            if upload in session.uploads:
                session.uploads.remove(upload)

    def find_or_add_value(
        self, socket: Socket, *, value: Any = None, image: Image | None = None
    ) -> Value:
        """The value record with this content; equal content has one pk (platform 7.6)."""
        wanted = json.dumps(value, sort_keys=True)
        for known in self.values:
            same_kind = known.socket is socket and known.file is None
            if (
                same_kind
                and known.image is image
                and json.dumps(known.value, sort_keys=True) == wanted
            ):
                return known
        return self.add_value(socket, value=value, image=image)

    def add_value(self, socket: Socket, *, value: Any = None, image: Image | None = None) -> Value:
        """A new value record."""
        record = Value(pk=len(self.values) + 101, socket=socket, value=value, image=image)
        self.values.append(record)
        return record

    def add_file(self, key: str) -> StoredFile:
        """A place for a file behind /media/; the caller writes it."""
        path = self.folder / "protected" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = self.media_files[key] = StoredFile(key, path)
        return stored
