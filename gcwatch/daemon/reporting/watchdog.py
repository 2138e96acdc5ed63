"""Tells systemd the state of the daemon, and sends its watchdog signs of life while all parts live.

A thread of its own checks the others, because a thread that hangs cannot check itself. A part that
is silent for too long is logged once. Then systemd's watchdog gets no sign of life and restarts the
service; each case continues at its first missing fact.
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

MESSAGE_SECONDS: Final = 10.0
"""Longest time between two messages."""

STOP_SILENCE_SECONDS: Final = 60.0
"""While the daemon stops, a worker that is silent for so long gets no more time."""


_SEND_SECONDS: Final = 5.0
"""How long to wait if the service manager does not read."""


@dataclass(frozen=True)
class SystemdNotifier:
    """The service manager's socket ("" if there is none), and its watchdog time in seconds."""

    address: str = ""
    watchdog: float | None = None

    def __bool__(self) -> bool:
        """Whether a service manager listens."""
        return bool(self.address)

    def tell(self, **fields: str | int) -> None:
        """Given fields (`READY=1`, `STATUS="…"`), send them as one message."""
        if not self.address:
            return
        lines = (f"{name}={_one_line(str(value))}" for name, value in fields.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_SECONDS)
            sender.sendto("\n".join(lines).encode(), self.address)


def manager(environment: Mapping[str, str] = os.environ) -> SystemdNotifier:
    """Given the environment, return how to reach the service manager."""
    address = environment.get("NOTIFY_SOCKET", "")
    # Other addresses, such as vsock, are those of virtual machines (sd_notify(3)).
    if not address.startswith(("/", "@")):
        return SystemdNotifier()
    # "@" stands for the NUL byte of an abstract socket (unix(7)).
    abstract = address.startswith("@")
    return SystemdNotifier(
        f"\0{address[1:]}" if abstract else address, _watchdog_seconds(environment)
    )


def _one_line(value: str) -> str:
    return value.replace("\n", " ")


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return how many seconds the manager waits for a sign of life of this process, if it does."""
    usec = environment.get("WATCHDOG_USEC", "")
    # A child process inherits the variables, but they are not for it (sd_watchdog_enabled(3)).
    meant = environment.get("WATCHDOG_PID") or str(os.getpid())
    if meant != str(os.getpid()) or not usec.isdigit() or usec == "0":
        return None
    return int(usec) / 1e6


class SystemdWatchdog(PeriodicThread):
    """Speaks for the daemon to systemd, from start to end; `ready` after the start and each reload.

    Args:
        manager: The service manager.
        heartbeats: The signs of life of all work.
        dead: Returns the parts that should be alive and are not.
        status: Returns the state of the daemon in a few words, without names of folders.
        hung: Seconds of silence after which work counts as hanging.
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
        super().__init__(
            "watchdog", min(MESSAGE_SECONDS, (manager.watchdog or MESSAGE_SECONDS) / 4)
        )
        self._manager = manager
        self._heartbeats = heartbeats
        self._dead = dead
        self._status = status
        self._hung = hung
        self._ready = self._stopping = False
        self._logged: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return super().__enter__() if self._manager else self

    def ready(self) -> None:
        """Tell systemd that config, journal and folders are checked."""
        if not self._ready:
            self._ready = True
            self._manager.tell(READY=1, STATUS=self._status())

    @property
    def is_ready(self) -> bool:
        """Whether `ready` was sent since the start or the last reload."""
        return self._ready

    def reloading(self) -> None:
        """Tell systemd that the config is read again; `ready` follows, also after a mistake."""
        self._ready = False
        # systemd needs the time to match this message with its own reload (sd_notify(3)).
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._manager.tell(RELOADING=1, MONOTONIC_USEC=now, STATUS="the config is read again")

    def stopping(self) -> None:
        """Tell systemd that no work begins any more, and ask for time until work under way ends."""
        self._stopping = True
        self._manager.tell(STOPPING=1, STATUS="stopping: work under way ends", **self._more_time())

    def _more_time(self) -> dict[str, int]:
        """Return the request for more time, unless a worker is silent for long while it stops."""
        if self._stopping and self._heartbeats.silent(STOP_SILENCE_SECONDS):
            return {}
        return {"EXTEND_TIMEOUT_USEC": round(3e6 * MESSAGE_SECONDS)}

    def tick(self) -> None:
        """Check all parts; send a sign of life only if none hangs or is dead."""
        silent = self._heartbeats.silent(self._hung)
        dead = self._dead()
        if not self._stopping:  # checked last: a part that is stopped on purpose is not dead
            silent |= dead
        for who in silent - self._logged:
            log.emit("watchdog.silent", who=who, seconds=round(self._hung))
        self._logged = silent
        if silent:
            return
        status = {} if self._stopping else {"STATUS": self._status()}
        self._manager.tell(WATCHDOG=1, **status)
        if (self._stopping or not self._ready) and (more_time := self._more_time()):
            self._manager.tell(**more_time)
