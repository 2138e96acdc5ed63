"""All calls to both origins: latency, faults, and the record of calls."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import Condition, Event
from typing import Any

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from gcwatch.sandbox.model import PlatformState
from gcwatch.sandbox.server.faults import Fault, Faults, Host
from gcwatch.sandbox.server.reply import Reply

Handler = Callable[[Request], Reply]


@dataclass
class CallRecord:
    """One call that came in.

    Attributes:
        status: Status of the answer; 0 if none was sent.
        applied: Whether it changed any state.
        authorization: Whether it carried a token.
        at: When it came in, in real seconds since the epoch.
    """

    method: str
    path: str
    host: Host
    authorization: bool
    status: int = 0
    applied: bool = False
    at: float = field(default_factory=time.time)


class Traffic:
    """Passes calls to their handlers, with the faults that are set."""

    def __init__(self, state: PlatformState) -> None:
        self.state = state
        self.faults = Faults()
        self.changed = Condition()
        self.closing = Event()
        self._calls: list[CallRecord] = []

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls since the last `forget_calls`, in order of arrival."""
        with self.changed:
            return [asdict(call) for call in self._calls]

    def forget_calls(self) -> None:
        """Forget the calls so far."""
        with self.changed:
            self._calls = []

    def notify_waiters(self) -> None:
        """Wake the threads that wait for a change."""
        with self.changed:
            self.changed.notify_all()

    def handle_call(self, host: Host, request: Request, handler: Handler) -> Reply | None:
        """Answer a call.

        Returns:
            The reply to send, or None to break the connection.
        """
        call = CallRecord(request.method, request.path, host, "Authorization" in request.headers)
        with self.changed:
            self._calls.append(call)
        self.closing.wait(self.state.settings.latency)
        full_path = request.full_path.rstrip("?")
        faults, cleared = self.faults.match_call(host, call.method, full_path)
        for fault in faults:
            if fault.action == "delay":
                cleared.wait(fault.seconds)
        reply = self._reply_with_faults(faults, cleared, call, request, handler)
        self.notify_waiters()
        return reply

    def _reply_with_faults(
        self,
        faults: list[Fault],
        cleared: Event,
        call: CallRecord,
        request: Request,
        handler: Handler,
    ) -> Reply | None:
        actions = {fault.action: fault for fault in faults}
        if "cut_before" in actions:
            return None
        if "status" in actions:
            reply = actions["status"].make_reply()
        else:
            try:
                reply = handler(request)
            except (ClientDisconnected, OSError):
                return None
        call.applied = reply.applied
        lost = self.faults.loses_reply(call.method, reply.route)
        if self.faults.kill_due_processes(applied=reply.applied) or lost or "cut_after" in actions:
            return None
        call.status = reply.status
        if "merge" in actions:
            actions["merge"].merge_into(reply)
        if "truncate" in actions:
            reply.cut_after_bytes = _truncated_size(actions["truncate"], reply)
        if "trickle" in actions:
            slow = actions["trickle"]
            reply.chunk_bytes, reply.pause_seconds = slow.keep or reply.size, slow.seconds
            reply.no_pauses = cleared
        return reply


def _truncated_size(fault: Fault, reply: Reply) -> int:
    return reply.size // 2 if fault.keep is None else min(fault.keep, reply.size)
