"""All of the config file, and the settings that it makes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
)

from gcwatch.config.mirror_table import Mirror
from gcwatch.config.route_table import Route
from gcwatch.config.service_tables import Alerts, Limits, Log, Metrics, Platform, Table
from gcwatch.config.values.journal_address import JournalAddress, JournalAt
from gcwatch.config.values.types import (
    Location,
    value_error,
)
from gcwatch.config.work_table import Host, WorkTable, this_host


def _array(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, list) or not value:
        raise value_error(
            f"must be at least one [[{info.field_name}]] table",
            f"write [[{info.field_name}]] with double brackets, once for each {info.field_name}",
        )
    return value


class Document(Table):
    """The config file of gcwatch."""

    state: Location | None = None
    """Folder for the journal and for files that are being sent; on a local disk.

    Default: $STATE_DIRECTORY (set by systemd), or else a folder in the user's home."""

    journal: JournalAt | None = None
    """Database of PostgreSQL for the journal, where several hosts share it:
    "postgresql://user@host/database" (docs/two-servers.md). Needs the extra gcwatch[postgres].

    Default: a file in the state directory. Several hosts ("a,b") are servers of which one can be
    written. After a question mark: service, schema, host (folder of a socket), passfile,
    sslrootcert, sslcert, sslkey, sslmode, connect_timeout (seconds). The server's certificate must
    name the host; its authority is one that this machine trusts, or is in the file sslrootcert. No
    password may stand here."""

    journal_password_file: Location | None = None
    """File with the password for that database; only its owner may read it (chmod 600).

    Without this key gcwatch reads the systemd credential gcwatch-journal-password; or else libpq
    finds it (PGPASSFILE, the service file, a client certificate)."""

    host: Host | None = None
    """Name of this computer among the hosts that share a journal. Default: what `hostname` prints.
    """

    platform: Platform = Field(default_factory=Platform)
    limits: Limits = Field(default_factory=Limits)
    log: Log = Field(default_factory=Log)
    metrics: Metrics = Field(default_factory=Metrics)
    alerts: Alerts = Field(default_factory=Alerts)
    route: Annotated[tuple[Route, ...], Field(strict=False), BeforeValidator(_array)] = ()
    """Add a [[route]] table for each inbox."""

    mirror: Annotated[tuple[Mirror, ...], Field(strict=False), BeforeValidator(_array)] = ()
    """Add a [[mirror]] table for each archive or reader study that is to be copied here."""


TABLES: Mapping[str, type[Table]] = {
    "platform": Platform,
    "limits": Limits,
    "log": Log,
    "metrics": Metrics,
    "alerts": Alerts,
    "route": Route,
    "mirror": Mirror,
}

ARRAYS = ("route", "mirror")
"""The tables that may occur several times."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a config file says; `file` is its path.

    `sources` are the mirrors of receipts from which routes with a `source` take their cases.
    `key_folder` holds the secret key, if that is not the state directory. `journal` is where a
    shared journal is; without it, it is in the state directory. `host` is this computer's name.
    """

    file: Path
    state: Path
    key_folder: Path | None = None
    journal: JournalAddress | None = None
    host: str = field(default_factory=this_host)
    routes: tuple[Route, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    sources: tuple[Mirror, ...] = ()
    platform: Platform = field(default_factory=Platform)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def all_mirrors(self) -> tuple[Mirror, ...]:
        """The mirrors of the config file, and those from which routes take their cases."""
        return (*self.mirrors, *self.sources)

    @property
    def route_names(self) -> frozenset[str]:
        """The names of all routes, on whichever host."""
        return frozenset(each.name for each in self.routes)

    @property
    def log_host(self) -> str:
        """The host that each line of the log names: "" unless several share the journal."""
        return "" if self.journal is None else self.host

    def is_own(self, work: WorkTable) -> bool:
        """Given a route or mirror, return whether this host works on it."""
        return not work.hosts or self.host in work.hosts

    @property
    def own_routes(self) -> tuple[Route, ...]:
        """The routes on which this host works."""
        return tuple(filter(self.is_own, self.routes))

    @property
    def own_mirrors(self) -> tuple[Mirror, ...]:
        """The mirrors that this host keeps, also those from which its routes take their cases."""
        return tuple(filter(self.is_own, self.all_mirrors))


def state_folder(configured: Path | None) -> Path:
    """Return the state directory: the configured one, systemd's, or one in the user's home."""
    if configured is not None:
        return configured
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    return platformdirs.user_state_path("gcwatch")
