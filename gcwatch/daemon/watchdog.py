"""Tells systemd how the daemon is, and keeps its watchdog quiet only while everything is alive.

A thread of its own looks at the others: who hangs can't vouch for himself. What is silent for too
long is named in the log once; then the watchdog gets no more signs of life, and systemd restarts
the service, which goes on at every case's first missing fact.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from gcwatch import log
from gcwatch.threads.heartbeats import Heartbeats
from gcwatch.threads.periodic import PeriodicThread

OFTEN: Final = 10.0
"""Seconds between two messages at most."""

LAST_PART: Final = 60.0
"""Seconds of silence that end the patience with a worker while the daemon stops."""


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


def manager(environment: Mapping[str, str] = os.environ) -> SystemdNotifier:
    """Given the environment, return how to reach the service manager."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return SystemdNotifier()
    abstract = address.startswith("@")
    return SystemdNotifier(f"\0{address[1:]}" if abstract else address, _every(environment))


def _one_line(value: str) -> str:
    return value.replace("\n", " ")


def _every(environment: Mapping[str, str]) -> float | None:
    """Return how many seconds the manager waits for a sign of life of this very process."""
    usec = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID") or str(os.getpid())
    if meant != str(os.getpid()) or not usec.isdigit() or usec == "0":
        return None
    return int(usec) / 1e6


class SystemdWatchdog(PeriodicThread):
    """Between daemon and systemd, from start to end; `ready` after the start and each reload.

    Args:
        manager: Who is told.
        heartbeats: Signs of life of whoever works.
        dead: Names what else should be alive and is not.
        status: What is going on, in a few words without names.
        hung: After how many seconds of silence somebody counts as hanging.
    """

    def __init__(
        self,
        manager: SystemdNotifier,
        heartbeats: Heartbeats,
        *,
        dead: Callable[[], frozenset[str]],
        status: Callable[[], str],
        hung: float,
    ) -> None:
        super().__init__("guard", min(OFTEN, (manager.watchdog or OFTEN) / 4))
        self._manager = manager
        self._heartbeats = heartbeats
        self._dead = dead
        self._status = status
        self._hung = hung
        self._ready = self._stopping = False
        self._told: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return super().__enter__() if self._manager else self

    def ready(self) -> None:
        """Config, journal and folders are checked: what waits for the service may begin."""
        if not self._ready:
            self._ready = True
            self._manager.tell(READY=1, STATUS=self._status())

    @property
    def is_ready(self) -> bool:
        """Whether it was said."""
        return self._ready

    def reloading(self) -> None:
        """The config is read anew; `ready` follows, whatever comes of it."""
        self._ready = False
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._manager.tell(RELOADING=1, MONOTONIC_USEC=now, STATUS="the config is read anew")

    def stopping(self) -> None:
        """No work is begun any more; what is under way is let out."""
        self._stopping = True
        self._manager.tell(STOPPING=1, STATUS="stopping: what is under way is let out")

    def tick(self) -> None:
        """Look at the others, and tell that they live unless one is ill."""
        ill = self._heartbeats.silent(self._hung)
        dead = self._dead()
        if not self._stopping:  # asked last: who is stopped on purpose is not ill
            ill |= dead
        for who in ill - self._told:
            log.emit("watchdog.silent", who=who, seconds=round(self._hung))
        self._told = ill
        if ill:
            return
        status = {} if self._stopping else {"STATUS": self._status()}
        self._manager.tell(WATCHDOG=1, **status)
        if not self._ready or (self._stopping and not self._heartbeats.silent(LAST_PART)):
            self._manager.tell(EXTEND_TIMEOUT_USEC=round(3e6 * OFTEN))
