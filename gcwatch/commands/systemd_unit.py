"""The service that runs a config of /etc/gcwatch, as its unit files in systemd/ define it."""

import os
import pwd
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gcwatch.config.load import CREDENTIAL
from gcwatch.config.values.types import is_within
from gcwatch.core.errors import Misused

USER: Final = "gcwatch"
"""The service's user and group; systemd-sysusers makes them."""

CONFIGS: Final = Path("/etc/gcwatch")
STATE: Final = Path("/var/lib/gcwatch")
"""The unit's StateDirectory=, which gcwatch may write to; each instance has its own below."""

CASES: Final = Path("/srv/gcwatch")
"""The folder in which the service may write without a drop-in."""


@dataclass(frozen=True)
class Unit:
    """A service's name, its config, the file of its credential, its state directory."""

    name: str
    config: Path
    token: Path
    state: Path

    @property
    def journal_password(self) -> Path:
        """The file of the password for a journal in a database, as a credential."""
        return self.token.with_name(self.token.name.replace("token", "journal-password"))

    def reaches(self, folders: Iterable[Path]) -> bool:
        """Return whether the service may write to all of these without a drop-in."""
        return all(is_within(each, CASES) or is_within(each, self.state) for each in folders)

    def commands(self, program: str, *, is_running: bool = False) -> list[str]:
        """Given the program's path, return the commands for an administrator: check and start.

        The check runs like the service, with the secrets that only root can read. If the service
        runs already, it is to read its config again.
        """
        command = shlex.join([program, "check", "--config", os.fspath(self.config)])
        secrets = [f"gc-token:{self.token}"]
        if self.journal_password.exists():
            secrets.append(f"{CREDENTIAL}:{self.journal_password}")
        given = " ".join(f"-p {shlex.quote(f'LoadCredential={each}')}" for each in secrets)
        as_service = f"systemd-run --pipe --wait --collect --uid={USER} {given}"
        verb = "reload" if is_running else "enable --now"
        return [f"{as_service} {command}", f"systemctl {verb} {shlex.quote(self.name)}"]


def service_of(config: Path) -> Unit | None:
    """Given a config file, return the service that runs it, or None."""
    if config.parent != CONFIGS or config.suffix != ".toml":
        return None
    name = config.stem
    if name == "gcwatch":
        return Unit(name, config, CONFIGS / "token", STATE)
    return Unit(f"gcwatch@{name}", config, CONFIGS / f"{name}.token", STATE / name)


def service_named(name: str) -> Unit:
    """Given the NAME of gcwatch@NAME, or "" for gcwatch itself, return the service.

    Raises:
        Misused: when no instance can have this name.
    """
    found = service_of(CONFIGS / f"{name or 'gcwatch'}.toml")
    if found is None or not re.fullmatch(r"(\w[\w.-]*)?", name, re.ASCII):
        raise Misused(
            f"{name!a} can't be the name of an instance.",
            "Use letters, digits, dots, hyphens and underscores: ward for gcwatch@ward.",
        )
    return found


def user_and_group() -> tuple[int, int]:
    """Return the ids of the service's user and group; raise Misused if they do not exist."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        hint = "Install the service first (docs/install.md); systemd-sysusers makes its user."
        raise Misused(f"There is no user {USER} on this machine.", hint) from None
    return user.pw_uid, user.pw_gid
