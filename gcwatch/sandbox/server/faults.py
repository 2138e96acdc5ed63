"""Deliberate faults: which call fails, and how."""

import json
import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Literal

from gcwatch.sandbox.server.reply import Reply, html_reply

Host = Literal["api", "storage"]
Action = Literal["status", "merge", "delay", "cut_before", "cut_after", "truncate", "trickle"]


@dataclass
class Fault:
    """One fault, and the calls to which it applies.

    Attributes:
        action: What happens: another answer ("status"), an answer with other values in some keys
            ("merge"), a delay, the connection cut before or after the call is applied, a body that
            ends too soon ("truncate"), a slow body ("trickle").
        method: Applies to calls with this method; "" for any.
        path: Applies to calls whose path and query match this regular expression somewhere.
        host: Applies to calls to this origin; "" for both.
        nth: The first matching call to which it applies, counted from 1.
        times: Number of calls to which it applies; None for all further ones.
        status: For "status": the status of the answer.
        body: For "status": its JSON body; None for an HTML page. For "merge": a JSON object, whose
            keys replace those of the answer.
        headers: For "status": further headers, for example Retry-After.
        seconds: For "delay" and "trickle": real seconds.
        keep: For "truncate": bytes that are sent; None for half of them. For "trickle": bytes
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

    def matches_call(self, host: Host, method: str, path: str) -> bool:
        """Count this call if it matches; return whether the fault applies to it."""
        matches = (
            self.host in {"", host}
            and self.method.upper() in {"", method}
            and re.search(self.path, path) is not None
        )
        self.seen += matches
        last = None if self.times is None else self.nth + self.times - 1
        return matches and self.seen >= self.nth and (last is None or self.seen <= last)

    def make_reply(self) -> Reply:
        """Make the reply of a "status" fault."""
        if self.body is None:
            reply = html_reply(self.status)
            return Reply(self.status, reply.body, {**reply.headers, **self.headers})
        kind = {"Content-Type": "application/json"}
        return Reply(self.status, self.body.encode(), {**kind, **self.headers})

    def merge_into(self, reply: Reply) -> None:
        """Replace keys in the JSON object of a reply."""
        body = {**json.loads(reply.body), **json.loads(self.body or "{}")}
        reply.body = json.dumps(body, ensure_ascii=False).encode()


@dataclass
class Kill:
    """A process to kill after a number of calls or of applied writes."""

    pid: int
    after_write: int | None
    after_call: int | None
    writes: int = 0
    calls: int = 0

    def is_due(self, *, applied: bool) -> bool:
        """Count a call; return whether the process must be killed now."""
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
        """Remove all faults; calls that they delay are answered at once."""
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
        """From now on, send no reply to the first call of each method and route."""
        with self._lock:
            self._lost = set()

    def match_call(self, host: Host, method: str, path: str) -> tuple[list[Fault], Event]:
        """Return the faults of this call, and an event that is set when they are removed."""
        with self._lock:
            faults = [each for each in self._faults if each.matches_call(host, method, path)]
            return faults, self._cleared

    def loses_reply(self, method: str, template: str) -> bool:
        """Return whether this call is the first of its method and route, and must get no reply."""
        with self._lock:
            if self._lost is None or (method, template) in self._lost:
                return False
            self._lost.add((method, template))
            return True

    def kill_due_processes(self, *, applied: bool) -> bool:
        """Kill the processes that are due after a call; return whether there were any."""
        with self._lock:
            due = [each for each in self._kills if each.is_due(applied=applied)]
        for each in due:
            with suppress(ProcessLookupError):  # it has ended already
                os.kill(each.pid, signal.SIGKILL)
        return bool(due)
