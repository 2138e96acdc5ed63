"""Ends calls that last too long: the connection of a late call is broken.

The time-out of a socket counts from its last byte, so a server that sends one byte a minute could
hold a thread for ever; the system's resolver of names has no time-out at all. Here each call has a
deadline in all, on a monotonic clock; transfers get more time for each byte that has moved.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from typing import Any, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from gcwatch.core.errors import Stopped

SLOWEST_BYTES_A_SECOND: Final = 4096.0
"""A transfer that is slower than this, after its first minutes, is broken."""

_LOOK_SECONDS: Final = 0.2
"""How often a call that waits for an address looks whether it is over."""

Addresses = Sequence[tuple[Any, Any, int, str, Any]]
"""What `socket.getaddrinfo` returns."""
Options = Sequence[tuple[int, int, Any]]
"""Options of a socket, as `setsockopt` takes them."""

_thread = threading.local()


class _Lookups:
    """Names under way to addresses, in threads: the system's resolver has no deadline.

    Each name is looked up by one thread at a time, so a resolver that hangs holds few of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[Addresses]] = {}

    def begin(self, host: str, port: int) -> "Future[Addresses]":
        """Look up a name, or an address, which takes no time."""
        with self._lock:
            found = self._running.get((host, port))
            if found is None:
                found = self._running[host, port] = Future()
                work = threading.Thread(
                    target=self._look_up, args=(host, port, found), name="lookup", daemon=True
                )
                work.start()
        return found

    def _look_up(self, host: str, port: int, found: "Future[Addresses]") -> None:
        try:
            family = allowed_gai_family()
            found.set_result(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)
        finally:
            with self._lock:
                del self._running[host, port]


lookups: Final = _Lookups()


class Call:
    """One call under way; `is_over` tells that its connection was broken."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def connect(self, host: str, port: int, seconds: float, options: Options) -> socket.socket:
        """Connect to the first address of a host that answers, each within some seconds.

        Raises:
            OSError: if none does, the name has no address, or the call is over.
        """
        problem: OSError = TimeoutError("the call has lasted too long")
        for family, kind, protocol, _, address in self._addresses(host, port, seconds):
            made = socket.socket(family, kind, protocol)
            try:
                for option in options:
                    made.setsockopt(*option)
                made.settimeout(seconds)
                self.use(made)  # before it is connected: that may take long, too
                made.connect(address)
            except OSError as error:
                made.close()
                problem = error
            else:
                return made
            if self.is_over:
                break
        raise problem

    def _addresses(self, host: str, port: int, seconds: float) -> Addresses:
        looked_up = lookups.begin(host, port)
        late = time.monotonic() + seconds
        while not self.is_over and time.monotonic() < late:
            with suppress(FutureTimeoutError):
                return looked_up.result(_LOOK_SECONDS)
        raise TimeoutError("the name was not found in time")

    def moved(self, count: int) -> None:
        """Give a transfer more time for a number of bytes that have moved."""
        self.deadline += count / SLOWEST_BYTES_A_SECOND

    def paused(self, seconds: float) -> None:
        """Give a transfer more time for a wait that is gcwatch's own, not the server's."""
        self.deadline += seconds

    def use(self, connected: Any) -> None:
        """Use a connection from now on."""
        # A copy of the descriptor: TLS takes the first one over, and a reply that ends with its
        # connection outlives it. All copies are broken together.
        copy = socket.socket(fileno=os.dup(connected.fileno()))
        with self._lock:
            former, self._socket = self._socket, copy
            if self.is_over:
                _break(copy)
        if former is not None:
            former.close()

    def end(self) -> None:
        """Break the connection: whoever waits for it gets an error at once."""
        with self._lock:
            self.is_over = True
            if self._socket is not None:
                _break(self._socket)

    def forget(self) -> None:
        """Let the connection be: the call is done."""
        with self._lock:
            former, self._socket = self._socket, None
        if former is not None:
            former.close()


def _break(connected: socket.socket) -> None:
    with suppress(OSError):  # it is broken already
        connected.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """The calls under way, and the thread that ends late ones; it starts with the first call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: set[Call] = set()
        self._stop_at = math.inf
        self._wakes_at = 0.0
        self._is_closed = False
        self._watcher: threading.Thread | None = None

    @contextmanager
    def call(self, seconds: float) -> Iterator[Call]:
        """Make a call in this thread that ends within some seconds.

        Raises:
            Stopped: when the daemon is stopping.
        """
        call = Call(time.monotonic() + seconds)
        with self._changed:
            if time.monotonic() >= self._stop_at:
                raise Stopped
            self._calls.add(call)
            self._start_watcher()
            if call.deadline < self._wakes_at:
                self._changed.notify_all()
        former, _thread.call = getattr(_thread, "call", None), call
        try:
            yield call
        finally:
            _thread.call = former
            with self._changed:
                self._calls.discard(call)
            call.forget()

    @property
    def is_stopping(self) -> bool:
        """Whether calls are ended because the daemon stops."""
        return self._stop_at < math.inf

    def stop_within(self, seconds: float) -> None:
        """End all calls within some seconds, and begin none after that."""
        with self._changed:
            self._stop_at = time.monotonic() + seconds
            self._changed.notify_all()

    def close(self) -> None:
        """End the watcher's thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _start_watcher(self) -> None:
        if self._watcher is None or not self._watcher.is_alive():
            self._is_closed = False
            self._watcher = threading.Thread(target=self._watch, name="deadlines", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._is_closed and not self._calls:
                    return
                now = time.monotonic()
                late = [c for c in self._calls if min(c.deadline, self._stop_at) <= now]
                due = [min(c.deadline, self._stop_at) for c in self._calls if c not in late]
                if not late:
                    self._wakes_at = min(due, default=math.inf)
                    left = self._wakes_at - now
                    self._changed.wait(None if math.isinf(left) else left)
                    continue
                self._calls.difference_update(late)
            for call in late:
                call.end()


class _Watched(HTTPConnection):
    """A connection that belongs to the call of its thread."""

    sock: Any

    def _new_conn(self) -> socket.socket:
        call: Call | None = getattr(_thread, "call", None)
        if call is None or not isinstance(self.timeout, int | float):
            return super()._new_conn()
        if call.is_over:
            raise ConnectTimeoutError(self, "the call has lasted too long")
        host = self._dns_host.strip("[]")
        try:
            return call.connect(host, self.port, self.timeout, self.socket_options or ())
        # The same errors as urllib3's own: they tell that nothing was sent.
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request, within the deadline of the call."""
        call: Call | None = getattr(_thread, "call", None)
        if call is not None and self.sock is not None:
            call.use(self.sock)
        super().request(*args, **kwargs)


class _WatchedHttps(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHttps


POOL_CLASSES: Final = {"http": _HttpPool, "https": _HttpsPool}
"""Connection pools whose connections can be ended; for urllib3's managers of pools."""
