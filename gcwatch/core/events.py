"""The events of a case: results of a step, changes of its folder, and what the operator does.

`kind` is the event's name in the journal. It never changes, even if the class gets another name.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from gcwatch.core.case import Fetched, Input, Name, Output, Snapshot, Source, Target, Upload, Uptime
from gcwatch.core.reasons import Reason


@dataclass(frozen=True)
class FolderFound:
    """A new folder is in an inbox.

    `even_if_same`: it is sent although another folder has the same content.
    """

    kind: ClassVar[str] = "folder_found"

    route: str
    folder: Name
    even_if_same: bool = False


@dataclass(frozen=True)
class FolderChanged:
    """The folder differs from the last scan, which was this long after the machine's start."""

    kind: ClassVar[str] = "folder_changed"

    snapshot: Snapshot
    uptime: Uptime | None = None


@dataclass(frozen=True)
class FolderSettled:
    """The folder is complete: unchanged for the settle time, or its marker file is there."""

    kind: ClassVar[str] = "folder_settled"


@dataclass(frozen=True)
class FolderVanished:
    """The folder was removed before everything was sent."""

    kind: ClassVar[str] = "folder_vanished"


@dataclass(frozen=True)
class Planned:
    """The folder's files are matched to the target's sockets; `why` explains a choice, if any.

    `pseudonym` is the patient's in the table of the route; the case keeps it while it is sent.
    `not_taken` names series that the route does not take. `row` is a digest of the folder's row in
    the table of cases, "" without one. `item` is the API URL of the archive item that it is of.
    """

    kind: ClassVar[str] = "planned"

    inputs: tuple[Input, ...]
    target: Target
    why: str = ""
    pseudonym: str = ""
    not_taken: tuple[Reason, ...] = ()
    row: str = ""
    item: str = ""


@dataclass(frozen=True)
class ContentIdentified:
    """What is to be sent is known by its content; the same content gives the same digest."""

    kind: ClassVar[str] = "content_identified"

    digest: str


@dataclass(frozen=True)
class UploadStarted:
    """An upload record exists on the platform; no byte has been sent yet."""

    kind: ClassVar[str] = "upload_started"

    upload: Upload


@dataclass(frozen=True)
class UploadResumed:
    """An interrupted upload continues with the parts that the platform does not have yet."""

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
    """The platform dropped the uploads before anything used them; they are sent again."""

    kind: ClassVar[str] = "uploads_expired"


@dataclass(frozen=True)
class SessionCreated:
    """An upload session exists for a socket; it has no effect until a job uses it.

    `session` is empty if the platform makes none: the job then takes the upload itself.
    """

    kind: ClassVar[str] = "session_created"

    socket: str
    session: str


@dataclass(frozen=True)
class SubmissionAttempted:
    """gcwatch is about to make the submission, or to fill it.

    `jobs` and `images` are what existed before the call: after a lost reply they show its effect.
    `uptime` is when it is made, as the machine's uptime.
    """

    kind: ClassVar[str] = "submission_attempted"

    jobs: int | None = None
    images: tuple[str, ...] = ()
    uptime: Uptime | None = None


@dataclass(frozen=True)
class Submitted:
    """The job, display set or archive item exists; if not `filled`, it is still empty."""

    kind: ClassVar[str] = "submitted"

    pk: str
    url: str
    filled: bool = True


@dataclass(frozen=True)
class WarningFound:
    """Something about the case is odd; it continues, and whoever uses the result is warned."""

    kind: ClassVar[str] = "warning_found"

    reason: Reason


@dataclass(frozen=True)
class ItemFilled:
    """The platform has accepted the content of the display set or archive item."""

    kind: ClassVar[str] = "item_filled"


@dataclass(frozen=True)
class StillRunning:
    """The job or import is not done; `stalled` if it takes far longer than it should."""

    kind: ClassVar[str] = "still_running"

    status: str
    stalled: bool = False


@dataclass(frozen=True)
class Succeeded:
    """The job is done and has these outputs, or the item holds everything that was sent.

    `images` are the API URLs of the images that were sent, by socket.
    """

    kind: ClassVar[str] = "succeeded"

    outputs: tuple[Output, ...]
    images: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputFetched:
    """The files of one output are in the staging folder, complete and written to disk."""

    kind: ClassVar[str] = "output_fetched"

    files: tuple[Fetched, ...]


@dataclass(frozen=True)
class Delivered:
    """The results are in this folder of the outbox; `source`: what became of the inbox folder.

    `command`: the route has a command that is to run now.
    """

    kind: ClassVar[str] = "delivered"

    folder: Name
    source: Source = "kept"
    command: bool = False


@dataclass(frozen=True)
class Adopted:
    """The result of the folder is in the outbox as `folder`, with the receipt of case `receipt`.

    Another journal wrote it, or this one before it was restored from a backup. Nothing is sent.
    `pk` and `url` are those of the job, display set or archive item in the receipt. `command` is as
    in `Delivered`: nobody knows whether it has run.
    """

    kind: ClassVar[str] = "adopted"

    folder: Name
    receipt: str
    target: Target
    pk: str
    url: str
    command: bool = False


@dataclass(frozen=True)
class CommandCompleted:
    """The command for a delivered case ended with exit code 0, after so many seconds."""

    kind: ClassVar[str] = "command_completed"

    seconds: float


@dataclass(frozen=True)
class CommandFailed:
    """The command for a delivered case failed, or could not be run; it is tried again."""

    kind: ClassVar[str] = "command_failed"

    reason: Reason


@dataclass(frozen=True)
class CommandDropped:
    """The route has no command any more, so none runs for this delivered case."""

    kind: ClassVar[str] = "command_dropped"


@dataclass(frozen=True)
class Rejected:
    """The case can't be sent, or its job failed."""

    kind: ClassVar[str] = "rejected"

    reason: Reason


@dataclass(frozen=True)
class FailureReported:
    """The failure note is in the outbox."""

    kind: ClassVar[str] = "failure_reported"


@dataclass(frozen=True)
class AttemptFailed:
    """A step failed and is tried again; `undone`: the platform did not act on the call."""

    kind: ClassVar[str] = "attempt_failed"

    reason: Reason
    undone: bool = False


@dataclass(frozen=True)
class Postponed:
    """The case has to wait `wait` seconds; `undone`: the platform did not act on the call."""

    kind: ClassVar[str] = "postponed"

    reason: Reason
    wait: float
    undone: bool = False


@dataclass(frozen=True)
class Retried:
    """The operator asked for another try now (`gcwatch retry`).

    `request` names the operator file that asked for it; empty for a command. `even_if_same`: a
    closed case is sent although another folder has the same content.
    """

    kind: ClassVar[str] = "retried"

    request: str = ""
    even_if_same: bool = False  # as in journals that know no such comparison


@dataclass(frozen=True)
class Withdrawn:
    """The operator asked to leave the case alone from now on (`gcwatch withdraw`).

    `request` is as in `Retried`.
    """

    kind: ClassVar[str] = "withdrawn"

    request: str = ""


@dataclass(frozen=True)
class FolderChangedLate:
    """The folder of a closed case has another change time, or it is withdrawn; nothing is sent."""

    kind: ClassVar[str] = "folder_changed_late"

    snapshot: Snapshot


@dataclass(frozen=True)
class DeliveredFolderChanged:
    """The folder of a delivered case changed; a note says so once it settles.

    `uptime` is when that was seen, as the machine's uptime. `replaced`: only the content of files
    differs from what was sent, not their names, sizes and times.
    """

    kind: ClassVar[str] = "delivered_folder_changed"

    snapshot: Snapshot
    uptime: Uptime | None = None
    replaced: bool = False


@dataclass(frozen=True)
class LateChangeTold:
    """The note beside the results agrees with the folder that has this digest.

    `is_same`: nothing has to be noted, as the same would be sent of it as before.
    """

    kind: ClassVar[str] = "late_change_told"

    digest: str
    is_same: bool = False


@dataclass(frozen=True)
class FolderCorrected:
    """The folder of a failed case changed: the case is tried again once the folder settles."""

    kind: ClassVar[str] = "folder_corrected"

    snapshot: Snapshot


@dataclass(frozen=True)
class FolderRemoved:
    """The folder of a closed case is no longer in the inbox."""

    kind: ClassVar[str] = "folder_removed"


@dataclass(frozen=True)
class FolderReturned:
    """The folder of a closed case is back, unchanged: the share was away, not the folder."""

    kind: ClassVar[str] = "folder_returned"


@dataclass(frozen=True)
class FolderRenamed:
    """The folder of a case that was sent, or is being sent, has another name."""

    kind: ClassVar[str] = "folder_renamed"

    folder: Name
    snapshot: Snapshot


@dataclass(frozen=True)
class RouteRenamed:
    """The route of the case has a new name."""

    kind: ClassVar[str] = "route_renamed"

    route: str


Event = (
    FolderFound
    | FolderChanged
    | FolderSettled
    | FolderVanished
    | Planned
    | ContentIdentified
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
    | Adopted
    | CommandCompleted
    | CommandFailed
    | CommandDropped
    | Rejected
    | FailureReported
    | AttemptFailed
    | Postponed
    | Retried
    | Withdrawn
    | FolderChangedLate
    | DeliveredFolderChanged
    | LateChangeTold
    | FolderCorrected
    | FolderRemoved
    | FolderReturned
    | FolderRenamed
    | RouteRenamed
)
