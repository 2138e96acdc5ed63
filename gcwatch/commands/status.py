"""`gcwatch status` and `show`: the state of all cases at one moment, or followed over time."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gcwatch import config
from gcwatch.api import MirrorStatus, Watch, open_watch
from gcwatch.core.case import Case
from gcwatch.core.errors import ConfigError, JournalUnavailable, StateError
from gcwatch.core.reasons import Reason
from gcwatch.journal.alert_memory import undelivered_alerts
from gcwatch.journal.hosts.hosts import NoteFiles
from gcwatch.wording import case_view
from gcwatch.wording.case_view import CaseView
from gcwatch.wording.host_view import HostView


@dataclass(frozen=True)
class Overview:
    """The state at one moment: the daemon's process id, or why it pauses, and each case in words.

    `runs` has for each mirror that runs now the items done, of how many, and the bytes moved.
    `away` are the routes whose inbox can't be reached. `unused` says, by route, what is in its
    inbox but becomes no case. `alerts_waiting` could not be delivered so far. `hosts` are those
    that share the journal, None if only one can; `working` names the one that works on a case, by
    key. `trouble` says why this may be out of date.
    """

    at: float
    daemon: int | None = None
    pause: Reason | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    views: tuple[CaseView, ...] = ()
    mirrors: tuple[MirrorStatus, ...] = ()
    runs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    away: tuple[str, ...] = ()
    unused: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    alerts_waiting: int = 0
    hosts: tuple[HostView, ...] | None = None
    working: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""

    def record(self) -> dict[str, Any]:
        """Return it as a record for JSON."""
        mirrors = {"mirrors": [self._mirror(each) for each in self.mirrors]} if self.mirrors else {}
        hosts = {"hosts": [asdict(each) for each in self.hosts]} if self.hosts is not None else {}
        return {
            "daemon": self.daemon,
            "paused": self.pause.code if self.pause else "",
            "away": list(self.away),
            "not_sent": [
                {"route": route, "reason": reason.code, **reason.facts, **reason.names}
                for route, reasons in self.unused.items()
                for reason in reasons
            ],
            "alerts_waiting": self.alerts_waiting,
            "counts": dict(self.counts),
            "cases": [self._case(view) for view in self.views],
            **mirrors,
            **hosts,
        }

    def _case(self, view: CaseView) -> dict[str, Any]:
        host = {"host": self.working.get(view.case, "")} if self.hosts is not None else {}
        return {**asdict(view), **host}

    def _mirror(self, mirror: MirrorStatus) -> dict[str, Any]:
        run = self.runs.get(mirror.mirror)
        names = ("done", "items", "bytes")
        return {**asdict(mirror), "run": dict(zip(names, run, strict=True)) if run else None}

    def without_times(self) -> "Overview":
        """Return it without what changes with time alone, for comparisons."""
        runs = dict.fromkeys(self.runs, (0, 0, 0))
        hosts = self.hosts and tuple(replace(each, silent=0.0, working=0) for each in self.hosts)
        views = tuple(map(view_without_times, self.views))
        return replace(self, at=0.0, views=views, runs=runs, hosts=hosts, working={})


def view_without_times(view: CaseView) -> CaseView:
    """Given a view, return it without what changes with time alone."""
    return replace(view, why="", detail="", next="", moved=0, total=0)


def read_overview(watch: Watch) -> Overview:
    """Given an open config, return the state of its cases and mirrors now."""
    cases, hosts = watch.attention(), watch.hosts()
    now = time.time()
    snapshot = hosts.snapshot().among(watch.settings, cases, watch.pace, now)
    return Overview(
        at=now,
        daemon=hosts.process,
        pause=hosts.pause,
        counts=watch.counts(),
        views=tuple(
            case_view.case_view(case, watch.pace(case.route), now, snapshot) for case in cases
        ),
        mirrors=tuple(watch.mirrors()),
        runs=snapshot.progress.mirrors,
        away=tuple(sorted(snapshot.progress.away)),
        unused=snapshot.progress.unused,
        alerts_waiting=_alerts_waiting(watch),
        hosts=hosts.views(),
        working=hosts.working,
    )


def _alerts_waiting(watch: Watch) -> int:
    """Return how many alerts wait here, and for all hosts."""
    if not watch.settings.alerts.is_on:
        return 0
    own = undelivered_alerts(NoteFiles(watch.settings.state))
    return own + (undelivered_alerts(watch.journal.hosts) if watch.journal.leases.is_shared else 0)


def view_of_case(watch: Watch, case: Case) -> CaseView:
    """Given a case, return it in words, as it is now."""
    snapshot = watch.daemon_snapshot(watch.journal.open_cases())
    return case_view.case_view(case, watch.pace(case.route), time.time(), snapshot)


class StatusFollower:
    """Reads the state again and again, also when the daemon ends or the config file changes.

    Raises:
        ConfigError, StateError: when there is nothing to read at the beginning.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = config.find(file)
        self._stamp = self._change_time()
        self._stack = ExitStack()
        self._watch = self._open(self._stack)
        self._last = read_overview(self._watch)

    def close(self) -> None:
        """Release the journal."""
        self._stack.close()

    def read(self) -> Overview:
        """Return the state now; the last one, with the `trouble`, if it can't be read."""
        trouble = ""
        try:
            self._follow_config()
        except (ConfigError, StateError):
            trouble = "The config file can't be used now (gcwatch check); this is by the last one."
        try:
            self._last = read_overview(self._watch)
        except JournalUnavailable:
            trouble = "The journal can't be read at this moment; this is the last state."
        return replace(self._last, trouble=trouble)

    def views(self, keys: Sequence[str]) -> list[CaseView]:
        """Given keys of cases, return them in words."""
        return [view_of_case(self._watch, self._watch.journal.case(key)) for key in keys]

    def _follow_config(self) -> None:
        """Read the config file again if it has changed; one with mistakes is not used."""
        stamp = self._change_time()
        if stamp == self._stamp:
            return
        with ExitStack() as stack:
            watch = self._open(stack)
            self._stack.close()
            self._watch, self._stack, self._stamp = watch, stack.pop_all(), stamp

    def _open(self, stack: ExitStack) -> Watch:
        return stack.enter_context(open_watch(self._file, begun=True))

    def _change_time(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0  # somebody is replacing it
