"""What a service tells systemd: one datagram a message (sd_notify(3), without a library).

Nothing here raises: who starts gcwatch by hand has no socket, and a message that is lost is
followed by the next one.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_PATIENCE: Final = 5.0
"""Seconds to wait for a manager that does not read."""


@dataclass(frozen=True)
class SystemdNotifier:
    """Where to tell it, "" for nowhere; `watchdog` is how often at least (seconds), if at all."""

    address: str = ""
    watchdog: float | None = None

    def __bool__(self) -> bool:
        """Whether somebody listens."""
        return bool(self.address)

    def tell(self, **fields: str | int) -> None:
        """Given fields (`READY=1`, `STATUS="…"`), send them as one message."""
        if not self.address:
            return
        lines = (f"{name}={_one_line(str(value))}" for name, value in fields.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.sendto("\n".join(lines).encode(), self.address)


def _one_line(value: str) -> str:
    return value.replace("\n", " ")


def manager(environment: Mapping[str, str] = os.environ) -> SystemdNotifier:
    """Given the environment, return how to reach the service manager."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return SystemdNotifier()
    abstract = address.startswith("@")
    return SystemdNotifier(f"\0{address[1:]}" if abstract else address, _every(environment))


def _every(environment: Mapping[str, str]) -> float | None:
    """Return how many seconds the manager waits for a sign of life of this very process."""
    usec = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID") or str(os.getpid())
    if meant != str(os.getpid()) or not usec.isdigit() or usec == "0":
        return None
    return int(usec) / 1e6
