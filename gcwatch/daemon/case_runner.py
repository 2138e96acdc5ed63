"""One case: step, record, step, until it has to wait.

The daemon's workers, `gcwatch once` and the proofs of crashes all run cases by this and nothing
else. Recovery is the ordinary path: a case goes on at its first missing fact.
"""

import threading
import time
from collections.abc import Callable

from gcwatch import log
from gcwatch.core import checklist
from gcwatch.core.case import Case, Uptime
from gcwatch.core.checklist import Step, StepEvents
from gcwatch.core.events import Event, Postponed
from gcwatch.core.progress import TransferProgress, no_progress
from gcwatch.core.timing import Pace, due_time
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.waking.uptime import read_uptime
from gcwatch.files.key_file import read_or_make_key
from gcwatch.imaging.bundles.several import SeveralBundles
from gcwatch.journal.hosts.leases import Lease
from gcwatch.journal.journal import Journal
from gcwatch.log.case_events import log_entry
from gcwatch.platform.transfers import Transfers
from gcwatch.steps.context import StepContext
from gcwatch.steps.perform import perform_step
from gcwatch.targets.upload_quota import UploadQuota
from gcwatch.threads.heartbeats import heartbeat


class CaseRunner:
    """Takes cases as far as they go for now.

    Args:
        journal: Where each event is recorded before the step goes on.
        current: The settings, and the connections that steps use.
        clock: The time in seconds since the epoch.
        uptime: For how long this machine has been on.
        progress: Called with the progress of transfers.
        held: The leases of the cases on which this host works.
        is_left: Returns, of a route whose inbox can't be reached here, whether another host can.
        stop: Once it is set, no further step begins.
        recorded: Called with each event that was recorded, and the case before it.
    """

    def __init__(
        self,
        journal: Journal,
        current: CurrentConfig,
        *,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], Uptime] = read_uptime,
        progress: TransferProgress = no_progress,
        held: HeldLeases | None = None,
        is_left: Callable[[str], bool] = lambda _route: False,
        stop: threading.Event | None = None,
        recorded: Callable[[Case, Event], None] = lambda _case, _event: None,
    ) -> None:
        self._journal = journal
        self._current = current
        self._clock, self._uptime = clock, uptime
        self._progress = progress
        self._held = held or HeldLeases(journal.leases, current.base_pace.doubt, frozenset)
        self._is_left = is_left
        self._stop = stop or threading.Event()
        self._recorded = recorded
        self._quota = UploadQuota(journal.uploads_held, journal.limits)
        self._bundles = SeveralBundles(lambda: current.settings.limits.most_processes)

    def run(self, key: str) -> None:
        """Given a case's key, do its first step, due or not, and each further step that is due.

        The command for a delivered case is none of them: it may take long, see `run_command`. A
        case on which another host works is left to that.
        """
        with self._held.hold(key) as lease:
            is_first = lease is not None
            while not self._stop.is_set() and self._run_step(key, lease, even_if_early=is_first):
                is_first = False

    def run_command(self, key: str) -> None:
        """Given a case's key, run its command, if it has one to run."""
        with self._held.hold(key) as lease:
            self._run_step(key, lease, commands=True)

    def run_step(self, key: str, *, even_if_early: bool = False) -> bool:
        """Given a case's key, do its next step; return whether there was one that is due.

        The step is done by what its route says at this moment.
        """
        with self._held.hold(key) as lease:
            return self._run_step(key, lease, even_if_early=even_if_early)

    def _run_step(
        self,
        key: str,
        lease: Lease | None,
        *,
        even_if_early: bool = False,
        commands: bool = False,
    ) -> bool:
        """Do a case's next step; with *commands* only if that is its command, else only others."""
        if lease is None:
            return False
        with self._current.switching:
            case = self._journal.case(key)
            route, pace = self._current.routes.get(case.route), self._current.pace(case.route)
        step, due = checklist.next_step(case), due_time(case, pace)
        if route is None or step is None or due is None:
            return False
        if (step is Step.COMMAND) != commands:
            return False
        if due > self._clock() and not even_if_early:
            return False
        with self._current.transfers() as transfers:
            work = perform_step(step, case, route, pace, self._context(transfers))
            self._perform(case, work, lease)
        return True

    def _context(self, transfers: Transfers) -> StepContext:
        return StepContext(
            transfers=transfers,
            spool=self._current.settings.state / "spool",
            clock=self._clock,
            uptime=self._uptime,
            knows=self._journal.knows,
            twin=self._journal.twin,
            may_have_twin=self._journal.may_have_twin,
            active=lambda: self._journal.count("running", self._current.algorithm_routes()),
            quota=self._quota,
            bundles=self._bundles,
            secret_key=self._secret_key,
            progress=self._progress,
        )

    def _secret_key(self) -> bytes:
        settings = self._current.settings
        if (shared := self._journal.shared_key()) is not None:
            return shared
        return read_or_make_key(settings.key_folder or settings.state)

    def _perform(self, case: Case, work: StepEvents, lease: Lease) -> None:
        """Perform one step, recording each event before the step goes on."""
        of_round = case.round
        event = next(work, None)
        while event is not None:
            if _is_inbox_away(event) and self._is_left(case.route):
                work.close()  # nothing is wrong with the case
                return
            case = self.record(case, event, lease)
            if not case.is_open or case.round != of_round:
                work.close()  # an operator closed it, or started it again, meanwhile
                return
            try:
                event = work.send(case)
            except StopIteration:
                return

    def record(self, case: Case, event: Event, lease: Lease | None = None) -> Case:
        """Record an event of a case, and log it; return the case as it is now.

        Raises:
            LeaseLost: when another host has taken over the work for which there is a *lease*.
        """
        after = self._journal.record(case.key, event, of_round=case.round, lease=lease)
        heartbeat(may_end=False)  # what was announced here is done next
        self._recorded(case, event)
        log_case_event(case, event, after, self._current.pace(after.route))
        return after


def _is_inbox_away(event: Event) -> bool:
    return isinstance(event, Postponed) and event.reason.code == "inbox_away"


def log_case_event(before: Case, event: Event, after: Case, pace: Pace | None = None) -> None:
    """Log an event of a case, if it is one that is logged; `pace` tells when the next try is."""
    entry = log_entry(before, event, after)
    if entry:
        name, facts = entry
        if name == "case.faltered" and pace:
            facts = {**facts, "seconds": round((due_time(after, pace) or 0) - after.touched)}
        log.emit(name, route=after.route, case=after.key, **facts)
