"""The tables of the config file; their docstrings are its reference."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from gcwatch.config.types import (
    Location,
    Named,
    Schedule,
    Seconds,
    Slug,
    Source,
    Template,
    _Inside,
    api_root,
    file_name,
    route_name,
    tells_case,
    tells_folder,
    web_address,
    wrong,
)
from gcwatch.core.kinds import KIND_NAMES, Kind
from gcwatch.core.timing import Pace


class Table(BaseModel):
    """What all tables have in common."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class Platform(Table):
    """Where the platform is and how to reach it."""

    url: Annotated[str, AfterValidator(api_root)] = "https://grand-challenge.org/api/v1/"
    """The root of the platform's API. Always https, except on this machine (sandbox)."""

    token_file: Location | None = None
    """File that holds the API token and that only its owner may read (chmod 600).

    Without it: the systemd credential gc-token, then $GRAND_CHALLENGE_AUTHORIZATION."""

    ca_bundle: Location | None = None
    """File of certificates to trust instead of the usual ones, for networks that inspect TLS."""

    proxy: Annotated[str, AfterValidator(web_address)] | None = Field(default=None, repr=False)
    """Address of the proxy that leads to the platform. The environment is not asked."""


class Limits(Table):
    """How much is done at once."""

    cases: int = Field(default=4, ge=1, le=64)
    """Cases worked on at once."""

    connections: int = Field(default=16, ge=1, le=64)
    """Transfers at once, over all cases."""


class Log(Table):
    """What is written down; docs/events.md lists every event."""

    folder_names: bool = False
    """Whether lines about a case hold its folder's name, which often is a patient's."""

    level: Literal["debug", "info", "warning"] = "info"
    """The lowest level that is written."""

    file: Location | None = None
    """File for JSON lines, besides standard error. Made readable for its owner only."""


Unit = Literal["folders", "files", "series"]
"""What one case of a route is."""


class Route(Table):
    """Joins an inbox to an algorithm, a reader study or an archive, and to an outbox.

    `[[route]]` once for each; exactly one of algorithm, reader_study and archive.
    """

    name: Annotated[str, AfterValidator(route_name)]
    """Short name; every case's key starts with it. Lower-case letters, digits and hyphens."""

    inbox: Location
    """Folder that is watched for cases. Nothing in it is changed (see after)."""

    outbox: Location
    """Folder for results: one folder a case, published whole. It may be another route's inbox."""

    algorithm: Slug | None = None
    """Slug of the algorithm, the last part of its page's address: a case becomes a job."""

    reader_study: Slug | None = None
    """Slug of the reader study: a case becomes a display set."""

    archive: Slug | None = None
    """Slug of the archive: a case becomes an archive item."""

    cases: Unit = "folders"
    """What one case is: each folder of the inbox, each file in it ("files"), or each DICOM series
    anywhere below one of its folders ("series")."""

    settle: Seconds = Field(default="30s", validate_default=True)
    """A folder is complete when it has not changed for this long."""

    ready: Annotated[str, AfterValidator(file_name)] | None = None
    """Name of a marker file, such as READY.txt, that must be in the folder and ends the wait."""

    poll: Schedule = Field(default="60s", validate_default=True)
    """How often a job is asked after: a duration, or a cron expression on this machine's clock.

    Days of the week are written as names (0 7 * * mon-fri). Where both a day of the month and a day
    of the week are given, both must match."""

    names: Literal["opaque", "keep"] = "opaque"
    """What the platform sees: "opaque" keys, or ("keep") folder and file names, sanitised."""

    title: Template | None = None
    """Title of the display set or archive item, with {key}, {id} (random) or {route} in it.

    For names = "keep" also {folder} and {number}, the last number in the folder's name. Without it:
    {key}, or "{folder} {id}". A reader study or archive takes each title once."""

    order: Template | None = None
    """Place of the display set in its reader study: a number, or a template such as "{number}" that
    gives one. Without it: behind the others."""

    leftovers: Literal["warn", "fail"] = "warn"
    """Whether a case fails if the platform could not read all the files that were sent."""

    integrity: Literal["refuse", "warn"] = "refuse"
    """Whether a series with missing, doubled or damaged slices is refused, or sent with a warning.

    The platform would make an image of what is left, without a word."""

    reuse: bool = False
    """Whether images that are on the platform already are used again instead of being uploaded.

    The folder's gcwatch.json names them, if it is a result or a mirror's."""

    after: Literal["keep", "move", "delete"] = "keep"
    """What becomes of the folder once its results are delivered."""

    done: Location | None = Field(default=None, validate_default=True)
    """Folder that delivered folders are moved to; for after = "move" only."""

    report: Location | None = None
    """Text file that is kept up to date for people who have only the share: what waits and why,
    what failed and what to do. Its folder has to exist. Beside the inbox and outbox, or directly in
    either of them; it names folders."""

    ignore: Annotated[tuple[_Inside, ...], Field(strict=False)] = ()
    """Globs of files that are never part of a case, besides the usual ones (.DS_Store, *.tmp …)."""

    deidentify: bool = True
    """Whether DICOM files are de-identified on this machine, before anything is sent."""

    inputs: dict[Slug, Source] | None = Field(default=None, min_length=1, validate_default=True)
    """What each of the algorithm's input sockets gets, by the socket's slug: the files that match a
    glob, { json = "volume.json" } for a value out of a JSON file of the folder, or { value = 0.5 }.

    { files = "*.mha", optional = true } may be absent; { socket = "ct-image" } is the image that
    the folder's gcwatch.json has for that socket (for reuse = true). May be left out where the
    algorithm asks for nothing but one image."""

    def pace(self, base: Pace) -> Pace:
        """Given the pace where a route leaves it open, return how fast this route's cases go."""
        return replace(base, settle=self.settle, poll=self.poll)

    @property
    def kind(self) -> Kind:
        """What a case of this route is sent to."""
        return next((kind for kind in KIND_NAMES if getattr(self, kind) is not None), "algorithm")

    @property
    def target(self) -> str:
        """The slug of what a case is sent to."""
        return getattr(self, self.kind) or ""

    @field_validator("done")
    @classmethod
    def _done_goes_with_move(cls, done: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("after") == "move" and done is None:
            raise wrong(
                'is needed for after = "move"',
                "name the folder that delivered folders are moved to",
            )
        if info.data.get("after", "move") != "move" and done is not None:
            raise wrong('is for after = "move" only', 'write after = "move", or take done away')
        return done

    @field_validator("ready")
    @classmethod
    def _ready_needs_a_folder(cls, ready: str | None, info: ValidationInfo) -> str | None:
        if ready is not None and info.data.get("cases") == "files":
            raise wrong("is for folders", 'take it away, or write cases = "folders"')
        return ready

    @field_validator("title", "order", "inputs")
    @classmethod
    def _fits_the_rest(cls, value: Any, info: ValidationInfo) -> Any:
        _check_fit(value, info.field_name or "", info.data)
        return value


def _check_fit(value: Any, key: str, others: Mapping[str, Any]) -> None:
    """Say no to what a route's other keys make useless or dangerous."""
    if key == "inputs":
        _check_inputs(value, others)
    elif value is None:
        return
    elif others.get("algorithm") is not None or (key == "order" and others.get("archive")):
        raise wrong(
            "is for a reader study or archive; order for a reader study only", "take it away"
        )
    elif key == "title" and others.get("cases") == "series" and not tells_case(value):
        hint = "put {id} into it: a reader study or archive takes each title once"
        raise wrong("would be the title of all series of a patient", hint)
    elif tells_folder(value) and others.get("names") == "opaque":
        hint = 'write names = "keep" if the platform may see it, or use {key} or {id}'
        raise wrong("would tell the platform the folder's name", hint)


def _check_inputs(inputs: Mapping[str, Source] | None, others: Mapping[str, Any]) -> None:
    if inputs is None and (others.get("reader_study") or others.get("archive")):
        raise wrong(
            "is needed for a reader study or archive",
            'write [route.inputs] with the sockets to fill: "ct-image" = "**/*.dcm"',
        )
    if any(isinstance(source, Named) for source in (inputs or {}).values()) and not others.get(
        "reuse"
    ):
        raise wrong("uses images again", "write reuse = true")


class Mirror(Table):
    """The way down: an archive kept complete in a local folder; `[[mirror]]` once for each."""

    name: Annotated[str, AfterValidator(route_name)]
    """Short name, no route's. Lower-case letters, digits and hyphens."""

    archive: Slug
    """Slug of the archive: the last part of its page's address."""

    outbox: Location
    """Folder that the archive is kept in. It may be the inbox of a route with after = "keep"."""

    every: Schedule = Field(default="6h", validate_default=True)
    """How often the archive is looked at: a duration, or a cron expression on this machine's clock.

    With a duration also at every start."""

    layout: Literal["items", "flat"] = "items"
    """One folder an item, laid out as results are; or ("flat") all images side by side, by name."""

    folders: Literal["title", "pk"] = "title"
    """What an item's folder is named by. A name that an item once got stays."""

    gone: Literal["keep", "move"] = "keep"
    """What becomes of an item here that left the archive. Either way it is reported, once."""

    gone_to: Location | None = Field(default=None, validate_default=True)
    """Folder that such items are moved to; for gone = "move" only."""

    @field_validator("gone_to")
    @classmethod
    def _gone_to_goes_with_move(cls, gone_to: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("gone") == "move" and gone_to is None:
            raise wrong('is needed for gone = "move"', "name the folder for what left the archive")
        if info.data.get("gone", "move") != "move" and gone_to is not None:
            raise wrong('is for gone = "move" only', 'write gone = "move", or take gone_to away')
        return gone_to


def _array(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, list) or not value:
        raise wrong(
            f"must be at least one [[{info.field_name}]] table",
            f"write [[{info.field_name}]] with double brackets, once for each {info.field_name}",
        )
    return value


class Document(Table):
    """The config file of gcwatch."""

    state: Location | None = None
    """Folder for the journal and for what is on its way; on a local disk.

    Without it: $STATE_DIRECTORY (systemd sets it), else a folder of the user's own."""

    platform: Platform = Field(default_factory=Platform)
    limits: Limits = Field(default_factory=Limits)
    log: Log = Field(default_factory=Log)
    route: Annotated[tuple[Route, ...], Field(strict=False), BeforeValidator(_array)] = ()
    """Add a [[route]] table for each inbox."""

    mirror: Annotated[tuple[Mirror, ...], Field(strict=False), BeforeValidator(_array)] = ()
    """Add a [[mirror]] table for each archive that is to be kept here."""


TABLES: Mapping[str, type[Table]] = {
    "platform": Platform,
    "limits": Limits,
    "log": Log,
    "route": Route,
    "mirror": Mirror,
}

ARRAYS = ("route", "mirror")
"""Those of the tables that may be there several times."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a config file says; `file` is where it was read."""

    file: Path
    state: Path
    routes: tuple[Route, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    platform: Platform = field(default_factory=Platform)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)


def state_folder(configured: Path | None) -> Path:
    """Return where the state is: as configured, as systemd says, or the user's own folder."""
    if configured is not None:
        return configured
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    return platformdirs.user_state_path("gcwatch")
