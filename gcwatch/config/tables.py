"""The tables of the config file; their docstrings are its reference."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
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

from gcwatch.config.values import (
    Location,
    Schedule,
    Seconds,
    Slug,
    Source,
    _Inside,
    api_root,
    file_name,
    route_name,
    web_address,
    wrong,
)


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


class Route(Table):
    """Joins an inbox to an algorithm and to an outbox; `[[route]]` once for each."""

    name: Annotated[str, AfterValidator(route_name)]
    """Short name; every case's key starts with it. Lower-case letters, digits and hyphens."""

    inbox: Location
    """Folder that is watched. Each folder in it is a case. Nothing in it is changed (see after)."""

    outbox: Location
    """Folder for results: one folder a case, published whole. It may be another route's inbox."""

    algorithm: Slug
    """Slug of the algorithm: the last part of its page's address."""

    cases: Literal["folders"] = "folders"
    """What one case is: each folder of the inbox."""

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

    after: Literal["keep", "move", "delete"] = "keep"
    """What becomes of the folder once its results are delivered."""

    done: Location | None = Field(default=None, validate_default=True)
    """Folder that delivered folders are moved to; for after = "move" only."""

    ignore: Annotated[tuple[_Inside, ...], Field(strict=False)] = ()
    """Globs of files that are never part of a case, besides the usual ones (.DS_Store, *.tmp …)."""

    deidentify: bool = True
    """Whether DICOM files are de-identified on this machine, before anything is sent."""

    inputs: dict[Slug, Source] | None = Field(default=None, min_length=1)
    """What each of the algorithm's input sockets gets, by the socket's slug: the files that match a
    glob, { json = "volume.json" } for a value out of a JSON file of the folder, or { value = 0.5 }.

    May be left out where the algorithm asks for nothing but one image."""

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


def _array(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise wrong(
            "must be at least one [[route]] table",
            "write [[route]] with double brackets, once for each route",
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
    route: Annotated[tuple[Route, ...], Field(strict=False), BeforeValidator(_array)]
    """Add a [[route]] table for each inbox."""


TABLES: Mapping[str, type[Table]] = {
    "platform": Platform,
    "limits": Limits,
    "log": Log,
    "route": Route,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a config file says; `file` is where it was read."""

    file: Path
    state: Path
    routes: tuple[Route, ...]
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
