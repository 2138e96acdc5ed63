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
from gcwatch.config.values.types import (
    Location,
    value_error,
)


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
    `key_folder` holds the secret key, if that is not the state directory.
    """

    file: Path
    state: Path
    key_folder: Path | None = None
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


def state_folder(configured: Path | None) -> Path:
    """Return the state directory: the configured one, systemd's, or one in the user's home."""
    if configured is not None:
        return configured
    if given := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    return platformdirs.user_state_path("gcwatch")
