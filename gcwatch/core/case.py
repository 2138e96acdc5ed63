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

from gcwatch.core.kinds import Kind
from gcwatch.core.reasons import Reason

Name = Annotated[str, PlainValidator(lambda name: name), PlainSerializer(lambda name: name)]
"""A file or folder name as Python decodes it; undecodable bytes are lone surrogates."""

Carrier = Literal["image", "dicom", "file", "value"]
"""How a socket's content travels: imported as one image, as a DICOM image set, as a file, or inline
as JSON.
"""


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
"""Every status of a job (platform 7.4); any other counts as running."""


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
    def kind(self) -> Kind:
        """What it is sent to; an algorithm as long as no target is planned."""
        return self.target.kind if self.target else "algorithm"

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.ending is None


# --- events: what can come of a step, and the operator's words -----------------------------------
