"""All that `status` tells, as it is at one moment: read from the journal and beside the daemon."""

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
from gcwatch.explain import case_view
from gcwatch.explain.case_view import CaseView
from gcwatch.journal.presence import pause_reason, running_daemon


@dataclass(frozen=True)
class Overview:
    """What is going on: who works (a process id) or why nobody does, and where each case is.

    `runs` tells of each mirror under way the items done, of how many, and the bytes moved; `away`
    are the routes whose inbox can't be reached; `trouble` is why this is not the latest state.
    """

    at: float
    daemon: int | None = None
    pause: Reason | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    views: tuple[CaseView, ...] = ()
    mirrors: tuple[MirrorStatus, ...] = ()
    runs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    away: tuple[str, ...] = ()
    trouble: str = ""

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        told = {"mirrors": [self._mirror(each) for each in self.mirrors]} if self.mirrors else {}
        return {
            "daemon": self.daemon,
            "paused": self.pause.code if self.pause else "",
            "away": list(self.away),
            "counts": dict(self.counts),
            "cases": [asdict(view) for view in self.views],
            **told,
        }

    def _mirror(self, mirror: MirrorStatus) -> dict[str, Any]:
        run = self.runs.get(mirror.mirror)
        names = ("done", "items", "bytes")
        return {**asdict(mirror), "run": dict(zip(names, run, strict=True)) if run else None}

    def gist(self) -> "Overview":
        """Return it without what changes by the mere passing of time, for comparisons."""
        runs = dict.fromkeys(self.runs, (0, 0, 0))
        return replace(self, at=0.0, views=tuple(map(brief_view, self.views)), runs=runs)


def brief_view(view: CaseView) -> CaseView:
    """Given a view, return it without what changes by the mere passing of time."""
    return replace(view, why="", detail="", next="", moved=0, total=0)


def read_overview(watch: Watch) -> Overview:
    """Given what is open, return what is going on there now."""
    cases = watch.attention()
    around = watch.around(cases)
    state, now = watch.settings.state, time.time()
    return Overview(
        at=now,
        daemon=running_daemon(state),
        pause=pause_reason(state),
        counts=watch.counts(),
        views=tuple(
            case_view.case_view(case, watch.pace(case.route), now, around) for case in cases
        ),
        mirrors=tuple(watch.mirrors()),
        runs=around.progress.mirrors,
        away=tuple(sorted(around.progress.away)),
    )


def view_of_case(watch: Watch, case: Case) -> CaseView:
    """Given a case, return it in words, as it is now."""
    around = watch.around(watch.journal.open_cases())
    return case_view.case_view(case, watch.pace(case.route), time.time(), around)


class StatusFollower:
    """Looks on again and again, whatever becomes of the daemon and the config file meanwhile.

    Raises:
        ConfigError, StateError: when there is nothing to look at to begin with.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = config.find(file)
        self._stamp = self._changed()
        self._stack = ExitStack()
        self._watch = self._opened(self._stack)
        self._last = read_overview(self._watch)

    def close(self) -> None:
        """Release the journal."""
        self._stack.close()

    def look(self) -> Overview:
        """Return what is going on; what it was before, with the trouble, if that can't be told."""
        trouble = ""
        try:
            self._follow_config()
        except (ConfigError, StateError):
            trouble = (
                "The config file can't be used now (gcwatch check); this is by the one before."
            )
        try:
            self._last = read_overview(self._watch)
        except JournalUnavailable:
            trouble = "The journal can't be read at this moment; this is as it was."
        return replace(self._last, trouble=trouble)

    def views(self, keys: Sequence[str]) -> list[CaseView]:
        """Given keys of cases, return them in words."""
        return [view_of_case(self._watch, self._watch.journal.case(key)) for key in keys]

    def _follow_config(self) -> None:
        """Read the config file again if it is another; one with mistakes changes nothing."""
        stamp = self._changed()
        if stamp == self._stamp:
            return
        with ExitStack() as stack:
            watch = self._opened(stack)
            self._stack.close()
            self._watch, self._stack, self._stamp = watch, stack.pop_all(), stamp

    def _opened(self, stack: ExitStack) -> Watch:
        return stack.enter_context(open_watch(self._file, begun=True))

    def _changed(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0  # it is being replaced
