"""Faults that can be asked of the sandbox: which call suffers, and what it suffers."""

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Literal

from gcwatch.sandbox.server.reply import Reply, html_reply

Host = Literal["api", "storage"]
Action = Literal["status", "delay", "cut_before", "cut_after", "truncate", "trickle"]


@dataclass
class Fault:
    """One fault and when it strikes.

    Attributes:
        action: What happens: another answer, a delay, the connection cut before or after the
            call is applied, a body that ends too soon, or a file's body that comes slowly.
        method: Only calls with this method; "" is any.
        path: Only calls whose path and query this regular expression finds.
        host: Only calls to this origin; "" is both.
        nth: The first matching call that suffers, counted from 1.
        times: How many calls suffer; None is all from then on.
        status: For "status": the answer's status.
        body: For "status": its JSON body; None is an HTML page.
        headers: For "status": further headers, for example Retry-After.
        seconds: For "delay" and "trickle": real seconds.
        keep: For "truncate": bytes that are still sent; None is half of them. For "trickle": bytes
            between two pauses.
    """

    action: Action
    method: str = ""
    path: str = ""
    host: Host | Literal[""] = ""
    nth: int = 1
    times: int | None = 1
    status: int = 500
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    keep: int | None = None
    seen: int = field(default=0, init=False)

    def strikes(self, host: Host, method: str, path: str) -> bool:
        """Whether this call suffers; counts the calls that match."""
        matches = (
            self.host in {"", host}
            and self.method.upper() in {"", method}
            and re.search(self.path, path) is not None
        )
        self.seen += matches
        last = None if self.times is None else self.nth + self.times - 1
        return matches and self.seen >= self.nth and (last is None or self.seen <= last)

    def make_reply(self) -> Reply:
        """The answer of a "status" fault."""
        if self.body is None:
            reply = html_reply(self.status)
            return Reply(self.status, reply.body, {**reply.headers, **self.headers})
        kind = {"Content-Type": "application/json"}
        return Reply(self.status, self.body.encode(), {**kind, **self.headers})


@dataclass
class Kill:
    """A process to be killed, and after how many calls or applied writes."""

    pid: int
    after_write: int | None
    after_call: int | None
    writes: int = 0
    calls: int = 0

    def strikes(self, *, applied: bool) -> bool:
        """Count a call; whether the process must die now."""
        self.calls += 1
        self.writes += applied
        return self.calls == self.after_call or (applied and self.writes == self.after_write)


class Faults:
    """All faults that are set."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cleared = Event()
        self.clear()

    def clear(self) -> None:
        """Forget all faults; whatever they delay is answered at once."""
        with self._lock:
            self._faults: list[Fault] = []
            self._kills: list[Kill] = []
            self._lost: set[tuple[str, str]] | None = None
            former, self._cleared = self._cleared, Event()
        former.set()

    def add(self, fault: Fault) -> None:
        """Set a fault."""
        with self._lock:
            self._faults.append(fault)

    def add_kill(self, kill: Kill) -> None:
        """Set a kill."""
        with self._lock:
            self._kills.append(kill)

    def lose_each_once(self) -> None:
        """From now on, lose the first reply of each sort of call."""
        with self._lock:
            self._lost = set()

    def match_call(self, host: Host, method: str, path: str) -> tuple[list[Fault], Event]:
        """The faults that this call suffers, and what is set once they are forgotten."""
        with self._lock:
            faults = [each for each in self._faults if each.strikes(host, method, path)]
            return faults, self._cleared

    def loses_reply(self, method: str, template: str) -> bool:
        """Whether this is the first call of its sort, and its reply is to be lost."""
        with self._lock:
            if self._lost is None or (method, template) in self._lost:
                return False
            self._lost.add((method, template))
            return True

    def kill_due_processes(self, *, applied: bool) -> bool:
        """Kill what is due after a call; whether anything was."""
        with self._lock:
            dying = [each for each in self._kills if each.strikes(applied=applied)]
        for each in dying:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(each.pid, signal.SIGKILL)
        return bool(dying)
