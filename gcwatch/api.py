"""The Python API: a config file opened, its journal beside it, and what can be done with both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gcwatch import config
from gcwatch.config import Mirror, Settings
from gcwatch.core.case import Case, Uptime
from gcwatch.core.checklist import STAGES
from gcwatch.core.clock import bounded_clock
from gcwatch.core.errors import StateError
from gcwatch.core.events import FolderFound, Retried, Withdrawn
from gcwatch.core.progress import MirrorProgress, TransferProgress, no_progress
from gcwatch.core.reasons import Reason
from gcwatch.core.text import iso_time, readable_name
from gcwatch.core.timing import Pace
from gcwatch.daemon.controls import Controls
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.waking.uptime import read_uptime
from gcwatch.journal.hosts.ownership import this_owner
from gcwatch.journal.journal import Journal
from gcwatch.journal.origins import folders_of_display_sets
from gcwatch.journal.read_only import has_journal
from gcwatch.journal.rows import Recorded
from gcwatch.mirrors.last_run import read_last_run
from gcwatch.wording.host_group import HostGroup
from gcwatch.wording.why_waiting import DaemonSnapshot

# What works on cases is imported when it is to work: `status` and its like start without it.
if TYPE_CHECKING:
    from gcwatch.mirrors.outcome import MirrorSummary
    from gcwatch.mirrors.run import MirrorContext
    from gcwatch.platform.client import GrandChallenge
    from gcwatch.platform.transfers import Transfers


@dataclass(frozen=True)
class Outcome:
    """What one run left behind: how many cases ended how since it began, and how many wait.

    `mirrored` has the summary of each mirror's run, or the reason why there is none.
    """

    delivered: int
    failed: int
    waiting: int
    mirrored: Mapping[str, MirrorSummary | Reason] = field(default_factory=dict)


@dataclass(frozen=True)
class MirrorStatus:
    """A mirror as its last run left it; times are ISO 8601, or "" before the first run.

    It is a copy of `archive`, `reader_study` or `algorithm`; the others are "". `reason` is a code
    of the catalogue where the run did not come to its end.
    """

    mirror: str
    archive: str
    reader_study: str
    algorithm: str
    items: int
    gone: int
    failed: int
    answers: int
    masks_missing: int
    ended: str
    next: str
    reason: str


class Watch:
    """Everything of one config file.

    Args:
        settings: What the config file says.
        pace: How fast things go where the routes leave it open.
        clock: The time in seconds since the epoch.
        uptime: For how long this machine has been on.
        progress: Called with the progress of transfers.
        token: The API token, instead of the one that the settings lead to.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pace: Pace = Pace(),  # noqa: B008 -- a frozen value
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Uptime] = read_uptime,
        progress: TransferProgress = no_progress,
        token: str | None = None,
    ) -> None:
        self._current = CurrentConfig(settings, pace, token)
        self._clock, self._uptime = bounded_clock(clock), uptime
        self._progress = progress
        self.journal = _open_journal(settings, self._clock, self._current)
        self._clock = bounded_clock(self.journal.clock)

    @property
    def settings(self) -> Settings:
        """What the config file says; another file's, once a reload has followed it."""
        return self._current.settings

    def follow(self, settings: Settings) -> None:
        """Work by other settings from now on."""
        self._current.follow(settings)

    @property
    def platform(self) -> GrandChallenge:
        """The platform, by the current settings."""
        return self._current.platform

    def close(self) -> None:
        """Release the journal and the connections."""
        self._current.close()
        self.journal.close()

    def pace(self, route: str) -> Pace:
        """Given a route's name, return how fast its cases go."""
        return self._current.pace(route)

    # --- working -------------------------------------------------------------------------------

    def run(
        self,
        stop: threading.Event,
        reload: threading.Event | None = None,
        *,
        take_over: bool = False,
    ) -> None:
        """Run as the daemon until *stop* is set; if *reload* is set, read the config file again.

        With *take_over*, inboxes that belong to another gcwatch become this one's.

        Raises:
            StateError: when there is a daemon already, or an inbox belongs to another gcwatch.
        """
        self._work(Controls(stop, reload or threading.Event(), take_over=take_over))

    def run_once(self, stop: threading.Event | None = None, *, take_over: bool = False) -> Outcome:
        """Work until nothing is left that could be done now; return the outcome.

        With *take_over*, inboxes that belong to another gcwatch become this one's.

        Raises:
            StateError: when a daemon works on the same state directory, or an inbox belongs to
                another gcwatch.
            TokenRefused: when the platform does not take the token.
        """
        before = self.journal.latest()
        controls = Controls(stop or threading.Event(), until_idle=True, take_over=take_over)
        mirrored = self._work(controls)
        ended = self.journal.ended_since(before)
        return Outcome(
            delivered=ended.get("delivered", 0),
            failed=ended.get("failed", 0),
            waiting=len(self.journal.open_cases()),
            mirrored=mirrored,
        )

    def _work(self, controls: Controls) -> Mapping[str, MirrorSummary | Reason]:
        from gcwatch.daemon.daemon import run_daemon

        return run_daemon(
            self._current,
            self.journal,
            controls,
            clock=self._clock,
            uptime=self._uptime,
            progress=self._progress,
        )

    def mirror(
        self,
        name: str,
        progress: MirrorProgress = no_progress,
        stop: threading.Event | None = None,
    ) -> MirrorSummary:
        """Given a mirror's name, update its folder from its archive; return a summary.

        Raises:
            KeyError: when there is no such mirror.
            StateError: when another gcwatch works on it at this moment.
            TokenRefused, Unreachable, CaseError: as `gcwatch.mirrors.run.run_mirror` does.
        """
        from gcwatch.mirrors.run import run_mirror
        from gcwatch.platform.transfers import Transfers

        found = {each.name: each for each in self.settings.all_mirrors}[name]
        connections = self.settings.limits.connections
        with ThreadPoolExecutor(connections, thread_name_prefix="transfer") as pool:
            transfers = Transfers(self.platform, pool, stop or threading.Event())
            return run_mirror(found, self._means(transfers), progress)

    def _means(self, transfers: Transfers) -> MirrorContext:
        from gcwatch.mirrors.run import MirrorContext

        return MirrorContext(
            transfers=transfers,
            state=self.settings.state,
            at_once=self.settings.limits.connections,
            backoff=self._current.base_pace.backoff,
            clock=self._clock,
            origins=partial(folders_of_display_sets, self.journal, self.settings),
            notes=self.journal.hosts,
        )

    # --- asking --------------------------------------------------------------------------------

    def cases(self) -> list[Case]:
        """Return every folder's latest case, oldest first."""
        return list(self.journal.latest_cases())

    def attention(self) -> list[Case]:
        """Return the cases that are open, that failed, or that were delivered with a warning.

        Closed ones only as long as their folder is in the inbox. Oldest first.
        """
        return self.journal.attention()

    def counts(self) -> dict[str, int]:
        """Return how many cases are at each stage or ended so; only stages that have some."""
        found = self.journal.counts()
        return {stage: found[stage] for stage in STAGES if stage in found}

    def hosts(self) -> HostGroup:
        """Return the hosts that work by this journal now."""
        return HostGroup(self.settings, self.journal.hosts.all(), self.journal.leases.owners())

    def daemon_snapshot(self, cases: Iterable[Case]) -> DaemonSnapshot:
        """Given the open cases (others do no harm), return what their waiting depends on."""
        return self.hosts().snapshot().among(self.settings, cases, self.pace, self._clock())

    def mirrors(self) -> list[MirrorStatus]:
        """Return what is known of every mirror."""
        return [self._mirrored(each) for each in self.settings.all_mirrors]

    def _mirrored(self, settings: Mirror) -> MirrorStatus:
        memory = read_last_run(self.journal.hosts, settings.name)
        ended = memory.ended_at
        return MirrorStatus(
            mirror=settings.name,
            archive=settings.archive or "",
            reader_study=settings.reader_study or "",
            algorithm=settings.algorithm or "",
            items=memory.items,
            gone=memory.gone,
            failed=memory.failed,
            answers=memory.answers,
            masks_missing=memory.masks_missing,
            ended=memory.ended,
            next="" if ended is None else iso_time(settings.every.after(ended)),
            reason=memory.reason,
        )

    def find(self, reference: str) -> Case:
        """Given a key, `route/folder` or a folder, return its latest case.

        Raises:
            KeyError: when there is none, or several routes have a folder of this name.
        """
        inner = reference.partition("/")[2]
        called = [*self.journal.called(reference), *self.journal.called(inner)]
        # If there is none, perhaps written as a name that no text can hold is shown.
        near = [case for case in called or self.journal.cases() if reference in _references(case)]
        found = {case.route: case for case in sorted(near, key=lambda case: case.found)}
        if len(found) != 1:
            raise KeyError(reference)
        return found.popitem()[1]

    def history(self, case: Case) -> list[Recorded]:
        """Given a case, return all that happened to it, oldest first."""
        return self.journal.history(case.key)

    # --- retry and withdraw ----------------------------------------------------------------------

    def retry(self, case: Case) -> Case:
        """Try a case again: an open one now, a failed one from the start, a delivered one again.

        If the command for a delivered case has not run well, only that is run again.
        """
        if case.ending == "delivered" and case.command is None:
            again = self.journal.open_case(case.route, case.folder, even_if_same=True)
            return self._log(again, FolderFound(case.route, case.folder), again)
        asked = Retried(even_if_same=True)
        after = self.journal.record(case.key, asked)
        return self._log(case, asked, after)

    def withdraw(self, case: Case) -> Case:
        """Leave a case alone from now on; what the platform has of it stays there."""
        after = self.journal.record(case.key, Withdrawn())
        return self._log(case, Withdrawn(), after)

    def _log(self, before: Case, event: FolderFound | Retried | Withdrawn, after: Case) -> Case:
        from gcwatch.daemon.case_runner import log_case_event

        if isinstance(event, FolderFound) or before != after:
            log_case_event(before, event, after)
        return after


def _open_journal(
    settings: Settings, clock: Callable[[], float], current: CurrentConfig
) -> Journal:
    """Open the journal of a config: in its state directory, or where several hosts share it."""
    if settings.journal is None:
        return Journal(settings.state, clock, current.pace)
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    host = replace(this_owner(settings.state), host=settings.host)
    return Journal(settings.journal, clock, current.pace, host, current.base_pace.lease)


def _references(case: Case) -> Iterator[str]:
    """Return all by which a case may be asked for."""
    for name in (case.key, case.folder, readable_name(case.folder)):
        yield name
        yield f"{case.route}/{name}"


@contextmanager
def open_watch(
    file: str | Path | None = None,
    *,
    pace: Pace = Pace(),  # noqa: B008 -- a frozen value
    progress: TransferProgress = no_progress,
    begun: bool = False,
) -> Iterator[Watch]:
    """Given a config file (or None for the usual places), open what it describes.

    Args:
        file: The config file; else $GCWATCH_CONFIG, ./gcwatch.toml or /etc/gcwatch/gcwatch.toml.
        pace: How fast things go where the routes leave it open.
        progress: Called with a case's key and the moved and total bytes of its transfer.
        begun: There must be a journal already: to look must not make one.

    Raises:
        ConfigError: with every problem of the file.
        StateError: when the state directory can't be used.
    """
    settings = config.load(config.find(Path(file) if file else None))
    if begun and not has_journal(settings):
        raise StateError(
            f"Nothing was ever done here: there is no journal in {settings.state}.",
            "Start gcwatch run or gcwatch once; or name the config file whose state is meant.",
        )
    watch = Watch(settings, pace=pace, progress=progress)
    try:
        yield watch
    finally:
        watch.close()
