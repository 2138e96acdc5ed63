"""What is current: the settings, the pace of each route, and the connections made from them.

One owner, read by all. A reload replaces settings and connections here, and nowhere else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from gcwatch.config import Platform, Route, Settings
from gcwatch.core.timing import Pace
from gcwatch.files.beneath import forget_roots
from gcwatch.platform.throttle import Throttle
from gcwatch.platform.traffic import Traffic

# `status` has settings and paces, but no connection: what makes one is imported by then.
if TYPE_CHECKING:
    from gcwatch.platform.client import GrandChallenge
    from gcwatch.platform.transfers import Transfers


@dataclass(eq=False)
class _Held:
    """Connections, and how many steps use them."""

    transfers: Transfers
    users: int = 0


class CurrentConfig:
    """The settings that are followed now, and the connections to the platform that they name.

    `routes` are those of this host, by name. Whoever holds `switching` sees settings and route
    names that belong together.

    Args:
        settings: What the config file says.
        pace: The pace where a route leaves it open.
        token: The API token, instead of the one that the settings lead to.
    """

    def __init__(
        self,
        settings: Settings,
        pace: Pace = Pace(),  # noqa: B008 -- a frozen value
        token: str | None = None,
    ) -> None:
        self.base_pace = pace
        self._hosts = 1
        self.switching = threading.RLock()
        self.traffic = Traffic()
        # They outlive connections: all uploads share one limit, also after a reload.
        self._throttle = Throttle(self._upload_rate)
        self._token = token
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._replaced: list[_Held] = []
        self._stop = threading.Event()
        self._use_settings(settings)

    @cached_property
    def platform(self) -> GrandChallenge:
        """The platform that the settings name."""
        from gcwatch.platform.connect import connect

        return connect(self.settings, self._token, self.traffic, self._throttle)

    def token_mark(self, key: bytes) -> str:
        """Given a secret key, return what tells the token and its way to the platform apart."""
        from gcwatch.platform.connect import token_mark

        return token_mark(self.settings, self._token, key)

    def _use_settings(self, settings: Settings) -> None:
        forget_roots()  # the admin may have changed a link on the way to an inbox or outbox
        self.settings = settings
        self.routes: Mapping[str, Route] = {each.name: each for each in settings.own_routes}
        self._paces = {each.name: each.pace(self.base_pace) for each in settings.routes}

    def share_limits(self, hosts: int) -> None:
        """From now on, use one part of the limit of uploads: so many hosts keep to it together."""
        self._hosts = hosts

    def _upload_rate(self) -> float | None:
        rate = self.settings.limits.upload_rate()
        return rate and rate / self._hosts

    def pace(self, route: str) -> Pace:
        """Given a route's name, return how fast its cases go; the base pace if it is gone."""
        # Also of a route of another host: what is recorded here may belong to it.
        return self._paces.get(route, self.base_pace)

    def algorithm_routes(self) -> list[str]:
        """Return the names of the routes whose cases become jobs, on whichever host."""
        return [route.name for route in self.settings.routes if route.kind == "algorithm"]

    # --- connections -----------------------------------------------------------------------------

    def open_transfers(self, stop: threading.Event) -> None:
        """Let steps transfer from now on, until *stop* is set."""
        self._stop = stop
        self._held = self._new_transfers()

    def _new_transfers(self) -> _Held:
        from gcwatch.platform.transfers import Transfers

        workers = self.settings.limits.connections
        pool = ThreadPoolExecutor(workers, thread_name_prefix="transfer")
        return _Held(Transfers(self.platform, pool, self._stop))

    @contextmanager
    def transfers(self) -> Iterator[Transfers]:
        """Use the current connections; they stay open for as long as the block lasts."""
        with self._lock:
            held = self._held
            assert held is not None, "open_transfers comes first"
            held.users += 1
        try:
            yield held.transfers
        finally:
            with self._lock:
                held.users -= 1
            self._close_unused(held)

    def _close_unused(self, held: _Held) -> None:
        with self._lock:
            is_over = held is not self._held and not held.users
            if is_over and held in self._replaced:
                self._replaced.remove(held)
        if is_over:
            held.transfers.close()

    def follow(self, settings: Settings) -> bool:
        """Follow other settings; return whether the connections are others.

        A step under way keeps its connections, which are closed when the last step has left them.
        """
        former = self.settings
        self._use_settings(settings)
        if _connection(former) == _connection(settings):
            return False
        vars(self).pop("platform", None)  # the next use connects by the new settings
        with self._lock:
            replaced, self._held = self._held, self._new_transfers()
            self._replaced += [replaced] if replaced is not None else []
        if replaced is not None:
            self._close_unused(replaced)
        return True

    def stop_calls(self, seconds: float) -> None:
        """End all calls within some seconds, also those by former settings."""
        with self._lock:
            held = [*self._replaced, *([self._held] if self._held is not None else [])]
        for each in held:
            each.transfers.platform.http.stop_within(seconds)

    def close(self) -> None:
        """Close all connections: no step works any more."""
        if self._held is not None:
            self._held.transfers.close()
        if "platform" in vars(self):
            self.platform.close()


def _connection(settings: Settings) -> tuple[Platform, int]:
    """Return those settings that a connection is made from."""
    return settings.platform, settings.limits.connections
