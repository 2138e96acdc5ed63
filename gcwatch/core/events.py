"""The events of a case: what can come of a step, and what the operator says.

`kind` is what the journal calls an event. It stays, whatever the class is called.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from gcwatch.core.case import Fetched, Input, Name, Output, Snapshot, Source, Target, Upload
from gcwatch.core.reasons import Reason


@dataclass(frozen=True)
class FolderFound:
    """A new folder stands in an inbox."""

    kind: ClassVar[str] = "folder_found"

    route: str
    folder: Name


@dataclass(frozen=True)
class FolderChanged:
    """The folder looks different from the last time."""

    kind: ClassVar[str] = "folder_changed"

    snapshot: Snapshot


@dataclass(frozen=True)
class FolderSettled:
    """The folder is complete: unchanged for the settle time, or marked ready."""

    kind: ClassVar[str] = "folder_settled"


@dataclass(frozen=True)
class FolderVanished:
    """The folder was taken away before everything was sent."""

    kind: ClassVar[str] = "folder_vanished"


@dataclass(frozen=True)
class Planned:
    """The target's sockets are matched to the folder's files; `why`, if there was a choice."""

    kind: ClassVar[str] = "planned"

    inputs: tuple[Input, ...]
    target: Target
    why: str = ""


@dataclass(frozen=True)
class UploadStarted:
    """An upload record exists on the platform; no byte has been sent."""

    kind: ClassVar[str] = "upload_started"

    upload: Upload


@dataclass(frozen=True)
class UploadResumed:
    """An upload goes on after a cut, with what the platform does not hold yet."""

    kind: ClassVar[str] = "upload_resumed"

    pk: str


@dataclass(frozen=True)
class UploadCompleted:
    """One upload is complete on the platform."""

    kind: ClassVar[str] = "upload_completed"

    pk: str
    sha256: str


@dataclass(frozen=True)
class FilesUploaded:
    """Some files of a DICOM image set are complete on the platform, one upload each."""

    kind: ClassVar[str] = "files_uploaded"

    uploads: tuple[Upload, ...]


@dataclass(frozen=True)
class UploadsExpired:
    """The platform no longer has the uploads, and nothing has used them: send again."""

    kind: ClassVar[str] = "uploads_expired"


@dataclass(frozen=True)
class SessionCreated:
    """An upload session stands ready for a socket; it is inert until a job uses it.

    `session` is empty where the platform makes none: then the job takes the upload itself.
    """

    kind: ClassVar[str] = "session_created"

    socket: str
    session: str


@dataclass(frozen=True)
class SubmissionAttempted:
    """The submission is about to be asked for, or to be filled.

    `jobs` and `images` stood before, where that helps to tell what comes of it.
    """

    kind: ClassVar[str] = "submission_attempted"

    jobs: int | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """The job, display set or archive item exists; one that is not `filled` is still empty."""

    kind: ClassVar[str] = "submitted"

    pk: str
    url: str
    filled: bool = True


@dataclass(frozen=True)
class WarningFound:
    """Something about the case is odd, and it goes on: whoever uses the result has to know."""

    kind: ClassVar[str] = "warning_found"

    reason: Reason


@dataclass(frozen=True)
class ItemFilled:
    """The platform has accepted what the display set or archive item is to hold."""

    kind: ClassVar[str] = "item_filled"


@dataclass(frozen=True)
class StillRunning:
    """The job or import is not done; `stalled` if it has been so for longer than can be right."""

    kind: ClassVar[str] = "still_running"

    status: str
    stalled: bool = False


@dataclass(frozen=True)
class Succeeded:
    """The job is done and holds these outputs, or everything is attached to the item.

    `images` are the API URLs of what was sent, by socket.
    """

    kind: ClassVar[str] = "succeeded"

    outputs: tuple[Output, ...]
    images: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputFetched:
    """One output's files are in the staging folder, whole and synced."""

    kind: ClassVar[str] = "output_fetched"

    files: tuple[Fetched, ...]


@dataclass(frozen=True)
class Delivered:
    """The results stand in the outbox under this folder name; `source` tells of the inbox's."""

    kind: ClassVar[str] = "delivered"

    folder: Name
    source: Source = "kept"


@dataclass(frozen=True)
class Rejected:
    """The case can't be sent, or its job failed."""

    kind: ClassVar[str] = "rejected"

    reason: Reason


@dataclass(frozen=True)
class FailureReported:
    """The failure's explanation stands in the outbox."""

    kind: ClassVar[str] = "failure_reported"


@dataclass(frozen=True)
class AttemptFailed:
    """A step did not work out and is tried again; `undone` proves that no attempt stands."""

    kind: ClassVar[str] = "attempt_failed"

    reason: Reason
    undone: bool = False


@dataclass(frozen=True)
class Postponed:
    """It is not our turn for `wait` seconds; `undone` proves that no attempt stands."""

    kind: ClassVar[str] = "postponed"

    reason: Reason
    wait: float
    undone: bool = False


@dataclass(frozen=True)
class Retried:
    """The operator wants it tried (again) now."""

    kind: ClassVar[str] = "retried"


@dataclass(frozen=True)
class Withdrawn:
    """The operator wants it left alone."""

    kind: ClassVar[str] = "withdrawn"


@dataclass(frozen=True)
class FolderChangedLate:
    """A closed case's folder changed; nothing is sent."""

    kind: ClassVar[str] = "folder_changed_late"

    snapshot: Snapshot


@dataclass(frozen=True)
class FolderRemoved:
    """A closed case's folder is no longer in the inbox."""

    kind: ClassVar[str] = "folder_removed"


@dataclass(frozen=True)
class FolderReturned:
    """A closed case's folder is back as it was (the share was away, not the folder)."""

    kind: ClassVar[str] = "folder_returned"


@dataclass(frozen=True)
class RouteRenamed:
    """The case's route is called otherwise from now on."""

    kind: ClassVar[str] = "route_renamed"

    route: str


Event = (
    FolderFound
    | FolderChanged
    | FolderSettled
    | FolderVanished
    | Planned
    | UploadStarted
    | UploadResumed
    | UploadCompleted
    | FilesUploaded
    | UploadsExpired
    | SessionCreated
    | SubmissionAttempted
    | Submitted
    | ItemFilled
    | WarningFound
    | StillRunning
    | Succeeded
    | OutputFetched
    | Delivered
    | Rejected
    | FailureReported
    | AttemptFailed
    | Postponed
    | Retried
    | Withdrawn
    | FolderChangedLate
    | FolderRemoved
    | FolderReturned
    | RouteRenamed
)
