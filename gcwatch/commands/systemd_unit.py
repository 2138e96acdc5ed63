"""The service that runs a config of /etc/gcwatch: what its unit files in systemd/ fix."""

import os
import pwd
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gcwatch.config.types import within
from gcwatch.core.errors import Misused

USER: Final = "gcwatch"
"""Who works for the service; sysusers makes the user and the group."""

CONFIGS: Final = Path("/etc/gcwatch")
STATE: Final = Path("/var/lib/gcwatch")
"""What the unit's StateDirectory= lets gcwatch write to, below which each instance has its own."""

CASES: Final = Path("/srv/gcwatch")
"""Below which the service may write without a drop-in."""


@dataclass(frozen=True)
class Unit:
    """A service's name, its config, the file of its credential, its state directory."""

    name: str
    config: Path
    token: Path
    state: Path

    def reaches(self, folders: Iterable[Path]) -> bool:
        """Return whether the service may write to all of these without a drop-in."""
        return all(within(each, CASES) or within(each, self.state) for each in folders)

    def commands(self, program: str) -> list[str]:
        """Given the program's path, return what an administrator types: a check, the start.

        The check runs as the service does, with the token that only root can read.
        """
        command = shlex.join([program, "check", "--config", os.fspath(self.config)])
        credential = shlex.quote(f"LoadCredential=gc-token:{self.token}")
        as_service = f"systemd-run --pipe --wait --collect --uid={USER} -p {credential}"
        return [f"{as_service} {command}", f"systemctl enable --now {shlex.quote(self.name)}"]


def of(config: Path) -> Unit | None:
    """Given a config file, return the service that runs it; None if it is none of a service."""
    if config.parent != CONFIGS or config.suffix != ".toml":
        return None
    name = config.stem
    if name == "gcwatch":
        return Unit(name, config, CONFIGS / "token", STATE)
    return Unit(f"gcwatch@{name}", config, CONFIGS / f"{name}.token", STATE / name)


def instance(name: str) -> Unit:
    """Given the NAME of gcwatch@NAME, or "" for gcwatch itself, return the service.

    Raises:
        Misused: when no instance can have this name.
    """
    found = of(CONFIGS / f"{name or 'gcwatch'}.toml")
    if found is None or not re.fullmatch(r"(\w[\w.-]*)?", name, re.ASCII):
        raise Misused(
            f"No instance of the service can be called {name!a}.",
            "Letters, digits, dots, hyphens and underscores, as in ward for gcwatch@ward.",
        )
    return found


def ids() -> tuple[int, int]:
    """Return the service's user and group; Misused if they are not there."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        hint = "Install the service first (docs/install.md); systemd-sysusers makes its user."
        raise Misused(f"There is no user {USER} on this machine.", hint) from None
    return user.pw_uid, user.pw_gid
