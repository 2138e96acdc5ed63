"""The tables of the config file about all of gcwatch: platform, limits, log, metrics, alerts."""

import os
import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from gcwatch.config.descriptions import add_descriptions
from gcwatch.config.values.command import check_alert_command
from gcwatch.config.values.types import (
    Location,
    Seconds,
    UploadRules,
    check_api_root,
    check_textfile,
    check_web_address,
    value_error,
)
from gcwatch.core.alerts import ALERT_EVENTS, AlertEvent, AlertPolicy
from gcwatch.core.rules.upload_limit import upload_rate


class Table(BaseModel):
    """Base class of all tables: frozen, strict, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra=add_descriptions,
    )


class Platform(Table):
    """Where the platform is and how to reach it."""

    url: Annotated[str, AfterValidator(check_api_root)] = "https://grand-challenge.org/api/v1/"
    """Root of the platform's API. Must be https, except for this machine (sandbox)."""

    token_file: Location | None = None
    """File with the API token; only its owner may read it (chmod 600).

    Without this key gcwatch reads the systemd credential gc-token, or else
    $GRAND_CHALLENGE_AUTHORIZATION."""

    ca_bundle: Location | None = None
    """File of certificates to trust instead of the usual ones, for networks that inspect TLS."""

    proxy: Annotated[str, AfterValidator(check_web_address)] | None = Field(
        default=None, repr=False
    )
    """Address of the proxy to the platform. HTTP_PROXY and HTTPS_PROXY are ignored."""


class Limits(Table):
    """How much gcwatch does at the same time."""

    cases: int = Field(default=4, ge=1, le=64)
    """Number of cases in work at the same time."""

    connections: int = Field(default=16, ge=1, le=64)
    """Number of transfers at the same time, over all cases."""

    processes: int | None = Field(default=None, ge=1, le=64)
    """Number of large series that are judged and de-identified at the same time, the first of them
    in the daemon, each further one in a process of its own of 40 MiB. Without this key: as many as
    gcwatch may use cores. 1: no other process."""

    upload: UploadRules = ()
    """How fast all uploads together may be: "20 Mbit/s", or a list of limits with times, of which
    the last that holds is followed: ["20 Mbit/s", "mon-fri 07-19 5 Mbit/s", "sun unlimited"].

    Days and hours are what this machine's clock shows; "19-07" ends on the next day. Without this
    key, or at a time for which there is no limit, uploads are as fast as the network. Hosts that
    share a journal keep to it together: each that is alive has an equal part."""

    @property
    def most_processes(self) -> int:
        """How many large series are judged at the same time."""
        return self.processes or len(os.sched_getaffinity(0))

    def upload_rate(self, now: float | None = None) -> float | None:
        """Return the limit at a time (default: now), in bytes a second; None if there is none."""
        shown = time.localtime(now)
        return upload_rate(self.upload, shown.tm_wday, shown.tm_hour * 60 + shown.tm_min)


class Log(Table):
    """What is logged; docs/events.md lists all events."""

    folder_names: bool = False
    """Whether lines about a case hold its folder's name, which often names a patient."""

    level: Literal["debug", "info", "warning"] = "info"
    """The lowest level that is logged."""

    file: Location | None = None
    """File for JSON lines, besides standard error. Only its owner can read it."""


class Metrics(Table):
    """Numbers for Prometheus ([service.md](service.md#numbers-for-prometheus))."""

    textfile: Annotated[Location, AfterValidator(check_textfile)] | None = None
    """File that gcwatch keeps up to date for the textfile collector of node_exporter; its name ends
    with .prom.

    No name of a folder and no key of a case is in it."""


class Alerts(Table):
    """Who is told when something is wrong ([service.md](service.md#alerts)).

    Write one of urls, urls_file and command.
    """

    urls: Annotated[tuple[str, ...], Field(strict=False, repr=False)] = ()
    """Addresses of apprise: mailto://…, slack://…, workflows://… (Teams), jsons://… (a webhook).

    They are secrets: a config with them should be readable by its owner only."""

    urls_file: Location | None = None
    """File with such addresses, one a line; only its owner may read it (chmod 600)."""

    command: Annotated[
        tuple[str, ...], Field(strict=False), AfterValidator(check_alert_command)
    ] = ()
    """A program and its arguments that get each message, instead of addresses: the title in
    $GCWATCH_ALERT, all of it as standard input. It has a minute."""

    events: Annotated[tuple[AlertEvent, ...], Field(strict=False)] = ALERT_EVENTS
    """What is told: a case failed, was delivered with something to check, or has not come further
    for the time in stalled; the token is refused, the journal's disk is full, an inbox can't be
    reached, a mirror failed; all is back to normal."""

    stalled: Seconds = Field(default="4h", validate_default=True)
    """A case that has not come further for this time is told."""

    collect: Seconds = Field(default="1m", validate_default=True)
    """How long gcwatch waits for more of the same, or for the end of it, before it sends a message.
    """

    again: Seconds = Field(default="12h", validate_default=True)
    """A trouble is told once. If more cases have it after this time, it is told again."""

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return bool(self.urls or self.urls_file or self.command)

    @property
    def policy(self) -> AlertPolicy:
        """What is told, and when."""
        return AlertPolicy(frozenset(self.events), self.stalled, self.collect, self.again)

    @field_validator("urls_file", "command")
    @classmethod
    def _is_the_only_way(cls, value: Any, info: ValidationInfo) -> Any:
        others = [key for key in ("urls", "urls_file") if info.data.get(key)]
        if value and others:
            raise value_error(
                f"can't be used beside {others[0]}", "write one of urls, urls_file and command"
            )
        return value
