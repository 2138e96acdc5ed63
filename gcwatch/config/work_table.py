"""What a `[[route]]` and a `[[mirror]]` have in common: a name, and the hosts that work on it."""

import re
import socket
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from gcwatch.config.service_tables import Table
from gcwatch.config.values.types import check_route_name, value_error


def check_host(value: str) -> str:
    """Given the name of a host, return it in lower-case letters, if it is valid."""
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,252}", name := value.lower()):
        raise value_error(
            "is not the name of a host", "write the name that `hostname` prints there: watch-a"
        )
    return name


def check_hosts(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Given names of hosts, return them if there is one at least, and none twice."""
    if not values and info.context is not None:
        raise value_error("names no host", "name one at least, or remove hosts")
    if len(set(values)) < len(values):
        raise value_error("names a host twice", "write each name once")
    return values


def this_host() -> str:
    """Return the name of this computer, in lower-case letters."""
    return socket.gethostname().lower()


Host = Annotated[str, AfterValidator(check_host)]


class WorkTable(Table):
    """Base class of the tables that say what is to be done."""

    name: Annotated[str, AfterValidator(check_route_name)]
    """Short name that no other route or mirror has; the key of every case starts with its route's
    name. Lower-case letters, digits and hyphens."""

    hosts: Annotated[tuple[Host, ...], Field(strict=False), AfterValidator(check_hosts)] = Field(
        default_factory=tuple
    )
    """Names of the computers that work on it: ["watch-a", "watch-b"], where several share a journal
    (docs/two-servers.md). Each must see its folders. Without this key: all of them."""
