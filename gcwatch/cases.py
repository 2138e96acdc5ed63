"""The nouns: what is known of a case, and the events that add to it.

Glossary:
    ROUTE       joins an inbox to a target on the platform and to an outbox.
    CASE        one patient folder of an inbox, on its way through a route.
    KEY         a case's random name, the only one that leaves the building.
    SNAPSHOT    what a folder looked like: a digest over its paths, sizes and times.
    INPUT       what one socket of the target gets: an image, a file or a value.
    UPLOAD      one file, or one zip of many, on its way into the platform's storage.
    SESSION     the platform's upload session: a one-time token that turns uploads into an image.
    SUBMISSION  what a case became on the platform: a job, a display set or an archive item.
    OUTPUT      what one socket of a finished job holds.

A case is a checklist of facts; its stage is the first fact that is missing (see `steps`).
Times are seconds since the epoch, UTC; sizes are bytes.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator

from gcwatch.reasons import Reason

Name = Annotated[str, PlainValidator(lambda name: name), PlainSerializer(lambda name: name)]
"""A file or folder name as Python decodes it; undecodable bytes are lone surrogates."""

Carrier = Literal["image", "dicom", "file", "value"]
"""How a socket's content travels: imported as one image, as a DICOM image set, as a file, or inline
as JSON.
"""

Kind = Literal["algorithm", "reader_study", "archive"]
"""What a case is sent to: it becomes a job, a display set or an archive item."""

Source = Literal["kept", "moved", "deleted", "changed"]
"""What became of a delivered folder; one that had changed since it was sent stays."""

Ending = Literal["delivered", "failed", "withdrawn"]


STATUSES = frozenset(
    {
        "Validating inputs",
        "Queued",
        "Re-Queued",
        "Provisioning",
        "Provisioned",
        "Started",
        "Executing",
        "Executed",
        "Parsing Outputs",
        "Executing Algorithm",
        "External Execution In Progress",
        "Succeeded",
        "Failed",
        "Cancelled",
    }
)
"""Every status of a job (contract 7); any other counts as running."""


@dataclass(frozen=True)
class Snapshot:
    """What a folder looked like: `stamp` is the folder's own change time in nanoseconds.

    `latest` is the last change time of a file in it. `changing` of the files were not there, or not
    as they are, when the folder was looked at before; of a first look it is not known (0).
    """

    digest: str
    files: int
    bytes: int
    stamp: int
    latest: int = field(default=0, compare=False)
    changing: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Input:
    """What one socket gets: the folder's files that match `pattern`, or `value` (any JSON).

    `image` is the API URL of an image that is on the platform already and used again. Otherwise
    the content goes out as so many `uploads`: a DICOM image set needs one for each file.
    """

    socket: str
    carrier: Carrier
    pattern: str = ""
    value: Any = None
    image: str = ""
    uploads: int = 1

    @property
    def is_uploaded(self) -> bool:
        """Whether something has to be uploaded for it."""
        return self.carrier != "value" and not self.image


@dataclass(frozen=True)
class Target:
    """Where a case goes: an algorithm, a reader study or an archive.

    `expected` is how long an algorithm takes on average, in seconds. `title` and `order` are what
    the display set or archive item is to have; the title is the guard against a second one.
    """

    pk: str
    api_url: str
    slug: str
    expected: float | None = None
    kind: Kind = "algorithm"
    title: str = ""
    order: int | None = None


@dataclass(frozen=True)
class Upload:
    """One upload record on the platform: `files` of the folder are in it, `left_out` are not.

    `sha256` is known once every byte has been read.
    """

    socket: str
    pk: str
    s3_upload_id: str
    api_url: str
    filename: str
    size: int
    part_size: int
    created: float
    files: int = 1
    left_out: int = 0
    sha256: str = ""
    completed: bool = False


@dataclass(frozen=True)
class Attempt:
    """A submission, or the call that fills it, that may have reached the platform.

    `jobs` is how many jobs stood before it, `images` are those that the item held before it.
    """

    at: float
    jobs: int | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """The job, display set or archive item that a case became, and its page for people.

    A job is made with its inputs; the others are made empty and are `filled` by a second call.
    `parent` is the API URL of what it belongs to.
    """

    pk: str
    url: str
    submitted: float
    parent: str = ""
    filled: bool = True


@dataclass(frozen=True)
class Output:
    """What one socket of a finished job holds: an image's API URL, a file's URL, or a value."""

    pk: int
    socket: str
    carrier: Carrier
    path: str
    url: str = ""
    value: Any = None


@dataclass(frozen=True)
class Fetched:
    """One file of a result on disk; `path` is relative to the result folder.

    `odd` tells what its structure lacks, where the platform gave the same bytes again and again.
    """

    output: int
    path: str
    size: int
    sha256: str
    odd: str = ""


@dataclass(frozen=True)
class Wait:
    """Why a case does not move, and until when it is left alone."""

    reason: Reason
    until: float


@dataclass(frozen=True)
class Case:
    """Everything known of one case. Facts are only ever added by `steps.apply`.

    Once the platform has imported everything, `images` names the image of each socket by its API
    URL. `warnings` tell what is odd about what was sent, or what the platform left out of it.
    """

    key: str
    route: str
    folder: Name
    found: float
    touched: float
    round: int = 1
    seen: Snapshot | None = None
    changed: float = 0.0
    settled: float | None = None
    inputs: tuple[Input, ...] | None = None
    target: Target | None = None
    uploads: tuple[Upload, ...] = ()
    sessions: dict[str, str] = field(default_factory=dict)
    attempt: Attempt | None = None
    submission: Submission | None = None
    status: str = ""
    images: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Reason, ...] = ()
    outputs: tuple[Output, ...] | None = None
    fetched: tuple[Fetched, ...] = ()
    failure: Reason | None = None
    ending: Ending | None = None
    result: Name = ""
    gone: bool = False
    attempts: int = 0
    wait: Wait | None = None

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.ending is None


# --- events: what can come of a step, and the operator's words -----------------------------------


@dataclass(frozen=True)
class Found:
    """A new folder stands in an inbox."""

    route: str
    folder: Name


@dataclass(frozen=True)
class Changed:
    """The folder looks different from the last time."""

    snapshot: Snapshot


@dataclass(frozen=True)
class Settled:
    """The folder is complete: unchanged for the settle time, or marked ready."""


@dataclass(frozen=True)
class Vanished:
    """The folder was taken away before everything was sent."""


@dataclass(frozen=True)
class Planned:
    """The target's sockets are matched to the folder's files; `why`, if there was a choice."""

    inputs: tuple[Input, ...]
    target: Target
    why: str = ""


@dataclass(frozen=True)
class Begun:
    """An upload record exists on the platform; no byte has been sent."""

    upload: Upload


@dataclass(frozen=True)
class Resumed:
    """An upload goes on after a cut, with what the platform does not hold yet."""

    pk: str


@dataclass(frozen=True)
class Uploaded:
    """One upload is complete on the platform."""

    pk: str
    sha256: str


@dataclass(frozen=True)
class FilesUploaded:
    """Some files of a DICOM image set are complete on the platform, one upload each."""

    uploads: tuple[Upload, ...]


@dataclass(frozen=True)
class UploadsExpired:
    """The platform no longer has the uploads, and nothing has used them: send again."""


@dataclass(frozen=True)
class Prepared:
    """An upload session stands ready for a socket; it is inert until a job uses it.

    `session` is empty where the platform makes none: then the job takes the upload itself.
    """

    socket: str
    session: str


@dataclass(frozen=True)
class Attempted:
    """The submission is about to be asked for, or to be filled.

    `jobs` and `images` stood before, where that helps to tell what comes of it.
    """

    jobs: int | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """The job, display set or archive item exists; one that is not `filled` is still empty."""

    pk: str
    url: str
    filled: bool = True


@dataclass(frozen=True)
class Warned:
    """Something about the case is odd, and it goes on: whoever uses the result has to know."""

    reason: Reason


@dataclass(frozen=True)
class Filled:
    """The platform has accepted what the display set or archive item is to hold."""


@dataclass(frozen=True)
class StillRunning:
    """The job or import is not done; `stalled` if it has been so for longer than can be right."""

    status: str
    stalled: bool = False


@dataclass(frozen=True)
class Succeeded:
    """The job is done and holds these outputs, or everything is attached to the item.

    `images` are the API URLs of what was sent, by socket.
    """

    outputs: tuple[Output, ...]
    images: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputFetched:
    """One output's files are in the staging folder, whole and synced."""

    files: tuple[Fetched, ...]


@dataclass(frozen=True)
class Delivered:
    """The results stand in the outbox under this folder name; `source` tells of the inbox's."""

    folder: Name
    source: Source = "kept"


@dataclass(frozen=True)
class Rejected:
    """The case can't be sent, or its job failed."""

    reason: Reason


@dataclass(frozen=True)
class Reported:
    """The failure's explanation stands in the outbox."""


@dataclass(frozen=True)
class Faltered:
    """A step did not work out and is tried again; `undone` proves that no attempt stands."""

    reason: Reason
    undone: bool = False


@dataclass(frozen=True)
class Postponed:
    """It is not our turn for `wait` seconds; `undone` proves that no attempt stands."""

    reason: Reason
    wait: float
    undone: bool = False


@dataclass(frozen=True)
class Retried:
    """The operator wants it tried (again) now."""


@dataclass(frozen=True)
class Withdrawn:
    """The operator wants it left alone."""


@dataclass(frozen=True)
class Touched:
    """A closed case's folder changed; nothing is sent."""

    snapshot: Snapshot


@dataclass(frozen=True)
class Left:
    """A closed case's folder is no longer in the inbox."""


@dataclass(frozen=True)
class Returned:
    """A closed case's folder is back as it was (the share was away, not the folder)."""


@dataclass(frozen=True)
class Renamed:
    """The case's route is called otherwise from now on."""

    route: str


Event = (
    Found
    | Changed
    | Settled
    | Vanished
    | Planned
    | Begun
    | Resumed
    | Uploaded
    | FilesUploaded
    | UploadsExpired
    | Prepared
    | Attempted
    | Submitted
    | Filled
    | Warned
    | StillRunning
    | Succeeded
    | OutputFetched
    | Delivered
    | Rejected
    | Reported
    | Faltered
    | Postponed
    | Retried
    | Withdrawn
    | Touched
    | Left
    | Returned
    | Renamed
)
