"""What is known of a case, as frozen records.

Glossary, in the order in which a case meets these words:
    INBOX         the folder that gcwatch watches; each folder in it becomes a case.
    OUTBOX        the folder where results and failure notes appear.
    TARGET        what a case is sent to: an algorithm, a reader study or an archive.
    SOCKET        one named input or output of a target; the platform gives it a slug.
    ROUTE         joins an inbox to a target and to an outbox.
    CASE          one patient folder of an inbox (or one file, or one series) on its way.
    KEY           the random name of a case: route-7f3k2q9d. Unlike the folder's name it is public.
    SNAPSHOT      what a folder looked like: a digest of its paths, sizes and times.
    SETTLED       complete: unchanged for the settle time, or marked by the marker file.
    INPUT         what one socket of the target gets: an image, a file or a value.
    UPLOAD        one file, or one zip of many, on its way to the platform's storage.
    SESSION       the platform's upload session: it turns uploads into an image, once.
    ATTEMPT       a call that may have reached the platform although its reply was lost.
    SUBMISSION    what the case became on the platform: a job, a display set or an archive item.
    OUTPUT        what one socket of a finished job holds.
    RECEIPT       gcwatch.json in a result folder: what was sent, and what came back.
    FAILURE NOTE  <folder>.failed.txt in the outbox: why a case failed, and what to do.
    ROUND         one passage of a case from folder to result; `gcwatch retry` starts the next one.
    EVENT         something that happened to a case; the journal keeps all events.
    STAGE         the first fact that a case lacks; its STEP is what gcwatch does to get that fact.
    REASON        a code with facts that says why a case waits or has failed.
    MIRROR        a local folder that holds a copy of an archive on the platform.

Times are seconds since the epoch, UTC; sizes are bytes.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import PlainSerializer, PlainValidator

from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.core.kinds import Kind
from gcwatch.core.reasons import Reason

Name = Annotated[str, PlainValidator(lambda name: name), PlainSerializer(lambda name: name)]
"""A file or folder name as Python decodes it: bytes that are not UTF-8 become lone surrogates."""

Carrier = Literal["image", "dicom", "file", "value"]
"""How the content of a socket travels: imported as one image, as a DICOM image set, as a file, or
as a JSON value in the call itself.
"""


Source = Literal["kept", "moved", "deleted", "changed"]
"""What happened to the inbox folder after delivery; a folder that changed after sending stays."""

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
"""All statuses of a job that are known (platform 7.4); any other counts as running."""


@dataclass(frozen=True)
class Uptime:
    """Seconds for which this machine has been on, as no change of its clock can alter them.

    `boot` names the start of the machine from which they count.
    """

    boot: str
    seconds: float

    def since(self, earlier: "Uptime | None") -> float | None:
        """Return the seconds since an earlier moment; None if the machine was started since."""
        if earlier is None or earlier.boot != self.boot:
            return None
        return self.seconds - earlier.seconds


@dataclass(frozen=True)
class Copies:
    """The temporary files of copies into a folder that are under way.

    `digest` covers their paths, sizes and change times; `name` is the first of the `files` files.
    """

    digest: str
    files: int
    name: Name


@dataclass(frozen=True)
class Snapshot:
    """What a folder looked like at one moment.

    `digest` covers the paths, sizes and change times of its `files` files, `bytes` in all. `stamp`
    is the folder's own change time in nanoseconds, `latest` the last change time of a file in it.
    `changing` is the number of files that are new or changed since the scan before (0: first scan).
    `moved` is when the folder was moved or renamed, 0 if its content changed after that, -1 if that
    is not known. `copies` are temporary files of copies that are under way; they are no content.
    """

    digest: str
    files: int
    bytes: int
    stamp: int
    latest: int = field(default=0, compare=False)
    changing: int = field(default=0, compare=False)
    moved: int = field(default=-1, compare=False)
    copies: Copies | None = field(default=None, compare=False)

    def is_touched_since(self, before: "Snapshot") -> bool:
        """Whether anybody did something to the folder: also granted a right, or moved it."""
        # Old journals do not hold all of these times.
        file_touched = bool(before.latest) and self.latest != before.latest
        return self.digest != before.digest or file_touched or -1 < before.moved < self.moved

    def looks_like(self, other: "Snapshot | None") -> bool:
        """Whether another snapshot has the same content and the same temporary files."""
        return other is not None and self.digest == other.digest and self.copies == other.copies


@dataclass(frozen=True)
class Input:
    """What one socket gets: the folder's files that match `pattern`, or `value` (any JSON).

    `image` is the API URL of an image on the platform that is used again. Otherwise the content
    needs `uploads` uploads: one, or for a DICOM image set one for each file.
    """

    socket: str
    carrier: Carrier
    pattern: str = ""
    value: Any = None
    image: str = ""
    uploads: int = 1

    @property
    def is_uploaded(self) -> bool:
        """Whether this input needs an upload."""
        return self.carrier != "value" and not self.image


@dataclass(frozen=True)
class Target:
    """Where a case goes: an algorithm, a reader study or an archive.

    `expected` is the average duration of the algorithm's jobs in seconds. `title` and `order` are
    for the display set or archive item; the title also prevents that a second one is made.
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
    """One upload record on the platform.

    It holds `files` files of the folder; `left_out` files were not packed. `size` and `part_size`
    are bytes. `sha256` is known once every byte has been read. `forecast` is the image that the
    platform must make of it; unknown for files and DICOM image sets.
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
    forecast: ImageForecast = UNKNOWN


@dataclass(frozen=True)
class Attempt:
    """A call that makes or fills a submission and that may have reached the platform.

    `at` is its time, `uptime` the same as the machine's uptime. `jobs` is the number of jobs and
    `images` the item's images before the call.
    """

    at: float
    jobs: int | None = None
    images: tuple[str, ...] = ()
    uptime: Uptime | None = None

    def age(self, clock: float, uptime: Uptime) -> float:
        """Given the time now, return how many seconds ago the call was made, at least.

        If the machine was started since, only the time since then is certain.
        """
        if self.uptime is None:  # written by an earlier version
            return clock - self.at
        elapsed = uptime.since(self.uptime)
        return uptime.seconds if elapsed is None else elapsed


@dataclass(frozen=True)
class Submission:
    """The job, display set or archive item that a case became; `url` is its web page.

    A job gets its inputs when it is made; the others are made empty and `filled` by a second call.
    `parent` is the API URL of the algorithm, reader study or archive it belongs to.
    """

    pk: str
    url: str
    submitted: float
    parent: str = ""
    filled: bool = True


@dataclass(frozen=True)
class Output:
    """What one socket of a finished job holds: an image's API URL, a file's URL, or a value.

    `pk` names this content; of a reader's answer it is a text, which is another for other content.
    """

    pk: int | str
    socket: str
    carrier: Carrier
    path: str
    url: str = ""
    value: Any = None


@dataclass(frozen=True)
class Fetched:
    """One file of a result on disk; `path` is relative to the result folder.

    `odd` says what is wrong with its structure if the platform sent the same bytes several times.
    """

    output: int | str
    path: str
    size: int
    sha256: str
    odd: str = ""


LONGEST_WAIT_SECONDS: Final = 86400.0
"""Nobody outside can make a case wait longer than a day before gcwatch looks again."""


def wait_end(now: float, seconds: float) -> float:
    """Given seconds to wait from now on, return the end of the wait: at most a day from now."""
    # No comparison with NaN is true, so it counts as a day.
    return now + (max(seconds, 0.0) if seconds <= LONGEST_WAIT_SECONDS else LONGEST_WAIT_SECONDS)


@dataclass(frozen=True)
class Wait:
    """Why a case does not move, and the time at which gcwatch continues with it."""

    reason: Reason
    until: float


@dataclass(frozen=True)
class LateChange:
    """What a delivered case's folder looks like, if not as it was sent.

    `at` is when that was seen, or when writing the note failed; `quiet_since` is when it was seen,
    as the machine's uptime. `told`: the note says it. `replaced`: the files have the names, sizes
    and times of those that were sent, but another content.
    """

    snapshot: Snapshot
    at: float
    told: bool = False
    quiet_since: Uptime | None = None
    replaced: bool = False


@dataclass(frozen=True)
class CommandState:
    """The command that has to run because the results are in the outbox.

    `at` is the time of the delivery, or of the last try; `attempts` counts the tries in a row that
    failed for the same `problem`. `given_up`: nothing more is tried by itself.
    """

    at: float
    attempts: int = 0
    problem: Reason | None = None
    given_up: bool = False


@dataclass(frozen=True)
class Case:
    """Everything that is known of one case; only `folding.apply_event` adds facts.

    `found`, `touched` (the last event), `changed` (the folder's last change) and `settled` are
    times; `quiet_since` is the last change as the machine's uptime. `copying` is the time since
    when gcwatch has waited for the same temporary file. `images` holds the API URL of each socket's
    image once the platform has imported all. `warnings` say what is odd about what was sent, or
    what the platform left out. `adopted` is the key in the receipt of a result that stood in the
    outbox before anything was sent. `gone` says that the folder is no longer in the inbox.
    `attempts` counts the tries in a row that failed. `seen` is what the folder looked like when it
    was sent; `late` what it looks like if it has changed since the delivery. `request` names
    the last operator file that was obeyed. `content` is a digest of what is sent, "" if it is not
    known. `even_if_same`: as the operator asked, it is sent although another folder has the same
    content. `pseudonym` is the patient's in the table of the route, "" without one. `command` is
    there from the delivery on until the command of the route has run; None: there is none to run.
    `not_taken` names series of the folder that the route does not take. `row` is a digest of its
    row in the table of cases, as it was sent. `item` is the API URL of the archive item that the
    case is, "" for a folder.
    """

    key: str
    route: str
    folder: Name
    found: float
    touched: float
    round: int = 1
    seen: Snapshot | None = None
    changed: float = 0.0
    quiet_since: Uptime | None = None
    copying: float | None = None
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
    adopted: str = ""
    gone: bool = False
    attempts: int = 0
    wait: Wait | None = None
    late: LateChange | None = None
    request: str = ""
    content: str = ""
    pseudonym: str = ""
    even_if_same: bool = False
    command: CommandState | None = None
    not_taken: tuple[Reason, ...] = ()
    row: str = ""
    item: str = ""

    @property
    def kind(self) -> Kind:
        """What it is sent to; an algorithm as long as no target is planned."""
        return self.target.kind if self.target else "algorithm"

    @property
    def last_seen(self) -> Snapshot | None:
        """What the folder looked like last, also if that is not how it was sent."""
        return self.late.snapshot if self.late else self.seen

    @property
    def is_to_check(self) -> bool:
        """Whether somebody has to look at a change of the folder that came after the delivery.

        A copy that still goes on is not reported yet.
        """
        return self.late is not None and (self.late.told or self.attempts > 0)

    @property
    def is_open(self) -> bool:
        """Whether something is left to do for this case."""
        return self.ending is None
