"""The daemon: one loop that scans inboxes and gives every due case to a worker.

The main thread decides what begins; workers run cases (`case_runner`) and record the results
in the journal, which says what is due. On start every open case goes on at its first missing fact.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

from gcwatch import log
from gcwatch.core import checklist, events
from gcwatch.core.case import Case, Uptime
from gcwatch.core.checklist import CHECKLIST, REPORTING
from gcwatch.core.errors import JournalUnavailable, StateError, Stopped, TokenRefused
from gcwatch.core.progress import TransferProgress
from gcwatch.core.reasons import Reason
from gcwatch.daemon.case_runner import CaseRunner, log_case_event
from gcwatch.daemon.controls import Controls
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.hosts.host_news import HostNews
from gcwatch.daemon.hosts.host_sign import HostSign
from gcwatch.daemon.hosts.other_hosts import OtherHosts
from gcwatch.daemon.idle import BUSY_SECONDS, BusyWaits, all_left_to_later_run
from gcwatch.daemon.job_slots import JobSlots
from gcwatch.daemon.mirrors import MirrorScheduler
from gcwatch.daemon.operator import Operator
from gcwatch.daemon.platform_gate import PlatformGate
from gcwatch.daemon.reload import ConfigFollower
from gcwatch.daemon.reporting.reporters import Reporters
from gcwatch.daemon.reporting.watchdog import SystemdWatchdog, manager
from gcwatch.daemon.turns import Turns
from gcwatch.daemon.upkeep import clear_spool, pack_closed_cases
from gcwatch.daemon.waking.schedule import Schedule
from gcwatch.daemon.waking.uptime import ClockSteps, warn_if_unlikely
from gcwatch.daemon.waking.wakeup import Wakeup
from gcwatch.daemon.workers import Workers
from gcwatch.inbox.scanner import MIN_PAUSE_SECONDS, InboxScanner
from gcwatch.inbox.watcher import Watcher
from gcwatch.journal.hosts.presence import LockFile, only_daemon
from gcwatch.journal.hosts.progress import CurrentWork, ProgressFile
from gcwatch.journal.journal import Journal
from gcwatch.journal.origins import folders_of_display_sets
from gcwatch.mirrors.outcome import MirrorSummary
from gcwatch.mirrors.run import MirrorContext
from gcwatch.threads.heartbeats import Heartbeats, heartbeat
from gcwatch.threads.periodic import PeriodicThread
from gcwatch.version import VERSION

LONGEST_SLEEP_SECONDS: Final = 1.0
REST_FACTOR: Final = 200.0
"""How many times a scan's CPU time passes until the next one that nothing has asked for."""
STOP_SECONDS: Final = 4.0
"""How long calls to the platform may still take once the daemon stops."""

_PACK_PAUSE_SECONDS: Final = 0.05
_PROBE, _UPKEEP, _MIRROR = "probe", "upkeep", "mirror:"
"""Keys of work that is not a case; no case's key looks like these, or begins like the last."""

_LOOP: Final = "loop"


def run_daemon(
    current: CurrentConfig,
    journal: Journal,
    controls: Controls,
    *,
    clock: Callable[[], float],
    uptime: Callable[[], Uptime],
    progress: TransferProgress,
) -> Mapping[str, MirrorSummary | Reason]:
    """Work until a stop is requested; return the outcome of each mirror's last run.

    Raises:
        StateError: when another daemon works on the same state directory, when an inbox belongs to
            another gcwatch, or when the state directory was removed or replaced meanwhile.
        TokenRefused: with `until_idle`, when the platform does not take the token.
    """
    with only_daemon(current.settings.state) as lock_file:
        daemon = Daemon(
            current, journal, controls, lock_file, clock=clock, uptime=uptime, progress=progress
        )
        return daemon.run()


class Daemon:
    """All parts of a daemon, and the loop that moves them; see `run_daemon`."""

    def __init__(
        self,
        current: CurrentConfig,
        journal: Journal,
        controls: Controls,
        lock_file: LockFile,
        *,
        clock: Callable[[], float],
        uptime: Callable[[], Uptime],
        progress: TransferProgress,
    ) -> None:
        self._current, self._journal, self._controls = current, journal, controls
        self._clock, self._progress = clock, progress
        self._clock_steps = ClockSteps(clock, uptime)
        self._broken: StateError | None = None
        self._heartbeats = Heartbeats(require_running=self._require_running)
        self._wakeup = Wakeup()
        self._gate = PlatformGate(current, journal, lock_file)
        self._slots, self._busy = JobSlots(), BusyWaits()
        self._others = OtherHosts(current, lambda: self._scanner.away)
        self._turns = Turns(journal, current, clock, left=self._others.left_to_them)
        self._commands: dict[str, str] = {}
        self._workers = Workers(self._heartbeats, self._wakeup, self._gate, self._on_crash)
        self._leases = HeldLeases(
            journal.leases,
            current.base_pace.doubt,
            lambda: self._heartbeats.silent(current.base_pace.hung),
        )
        self._runner = CaseRunner(
            journal,
            current,
            held=self._leases,
            is_left=self._others.is_left,
            clock=clock,
            uptime=uptime,
            progress=self._on_transfer,
            stop=controls.stop,
            recorded=self._on_event,
        )
        self._watcher = Watcher(self._wakeup.request_scan)
        hold = partial(self._leases.hold, at_once=True)
        self._scanner = InboxScanner(
            journal,
            self._watcher,
            uptime=uptime,
            look_again=self._wakeup.request_scan,
            record=self._runner.record,
            log_event=log_case_event,
            hold=hold,
        )
        self._operator = Operator(journal, log_case_event, hold)
        pace = current.base_pace
        self._schedule = Schedule(self._wakeup, survey=pace.survey, upkeep=pace.upkeep)
        self._mirrors = MirrorScheduler(
            current.settings.own_mirrors,
            clock,
            pace,
            self._wakeup,
            self._schedule,
            progress,
            self._on_mirror_progress,
        )
        self._config = ConfigFollower(
            current, journal, self._scanner, self._mirrors, self._gate, self._wakeup
        )
        self._progress_file = ProgressFile(current.settings.state, os.getpid(), self._current_work)

    # --- the loop --------------------------------------------------------------------------------

    def run(self) -> Mapping[str, MirrorSummary | Reason]:
        """Start all parts, loop, and end them in reverse; return what came of each mirror."""
        with ExitStack() as stack:
            stack.callback(log.emit, "daemon.stopped")
            # Outermost: it has to see the others end.
            watchdog = stack.enter_context(self._make_watchdog())
            stack.callback(self._leases.close)
            for each in self._make_reporters():
                stack.enter_context(each)
            self._current.open_transfers(self._controls.stop)
            stack.callback(self._current.close)
            stack.callback(self._workers.close)
            stack.callback(self._current.stop_calls, STOP_SECONDS)
            stack.callback(self._mirrors.stop)
            self._watcher.start()
            stack.callback(self._watcher.stop)
            self._schedule.start()
            stack.callback(self._schedule.stop)
            stack.enter_context(self._progress_file)
            if self._journal.leases.is_shared:
                stack.enter_context(self._make_host_sign())
                stack.enter_context(HostNews(self._journal.hosts, self._wakeup.wake))
            self._log_start()
            self._config.start(take_over=self._controls.take_over)
            self._journal.make_future_cases_due()
            self._wakeup.request_scan()
            self._mirrors.begin(at_once=self._controls.until_idle)
            # Last in, first out: systemd learns of the stop before anything is closed.
            stack.callback(watchdog.stopping)
            with self._heartbeats.of(_LOOP), suppress(Stopped):
                self._loop(watchdog)
        if self._controls.until_idle and self._gate.is_token_refused:
            raise TokenRefused("401")
        return self._mirrors.outcomes

    def _loop(self, watchdog: SystemdWatchdog) -> None:
        while not self._controls.stop.is_set():
            # First, since what it requests is done in this round.
            seconds = self._schedule.run_due()
            if watchdog.is_ready and self._controls.reload.is_set():
                self._controls.reload.clear()
                watchdog.reloading()
                self._config.reload()
                watchdog.ready()
            self._tick()
            heartbeat()
            if self._scanner.last:
                watchdog.ready()  # the folders have been scanned, whatever was found
            if self._controls.until_idle and self._is_idle():
                break
            # A requested scan may be rate-limited: then the sleep is short.
            is_scan_due = self._wakeup.is_scan_requested()
            longest = MIN_PAUSE_SECONDS if is_scan_due else LONGEST_SLEEP_SECONDS
            self._wakeup.wait(min(seconds, longest))

    def _tick(self) -> None:
        """Scan, tidy and start what is due, unless all work is paused."""
        try:
            self._require_state()
            self._gate.follow_account()
            if self._gate.is_paused:
                return
            self._follow_clock()
            self._scan()
            if self._wakeup.take_upkeep_request():
                self._workers.start(_UPKEEP, self._upkeep)
            self._start_mirrors()
            self._start_due_cases()
            self._schedule.wake_at(self._journal.next_due(self._current.routes))
            self._gate.on_journal_available()
        except JournalUnavailable as error:
            self._gate.on_journal_unavailable(error)

    def _follow_clock(self) -> None:
        """If the clock was set back, look now at what waits for a time that is far away again."""
        step = self._clock_steps.seconds()
        if step < 0:
            self._schedule.restart()
            self._mirrors.restart()
            self._journal.make_future_cases_due()
        if step:
            self._clock_steps.accept()
            log.emit("clock.set", seconds=round(step))
            warn_if_unlikely(self._clock())

    def _require_running(self) -> None:
        if self._controls.stop.is_set():
            raise Stopped

    def _require_state(self) -> None:
        """Stop all work if the journal on disk is no longer the one that is written."""
        if self._broken is None and not self._journal.is_in_place():
            self._broken = StateError(
                f"The state directory {self._current.settings.state} was removed or replaced while "
                "gcwatch ran. Nothing more is sent.",
                "Put it back as it was, and start gcwatch again.",
            )
        if self._broken is not None:
            self._controls.stop.set()  # work under way ends at its next transfer
            raise self._broken

    def _scan(self) -> None:
        if self._wakeup.is_scan_requested() and not self._scanner.is_too_soon():
            self._wakeup.scan_started()
            cpu_seconds = self._scanner.scan_inboxes(self._current.routes)
            self._operator.obey_files(self._current.routes.values())
            self._schedule.rest(REST_FACTOR * cpu_seconds)

    def _is_idle(self) -> bool:
        """Whether nothing runs, and all that is left to do is left to a later run."""
        # What runs is asked first: the last thing it does may be to request a scan.
        if self._workers.running():
            return False
        if self._gate.is_token_refused or self._gate.busy_seconds > BUSY_SECONDS:
            return True
        if self._wakeup.is_scan_requested() or self._wakeup.requested_mirrors():
            return False
        left, elsewhere = self._journal.unfinished_cases(), self._journal.leases.owners()
        ours = [
            case
            for case in left
            if case.route in self._current.routes and case.key not in elsewhere
        ]
        return all_left_to_later_run(ours, self._busy)

    def _log_start(self) -> None:
        routes = len(self._current.routes)
        log.emit("daemon.started", version=VERSION, routes=routes, pid=os.getpid())
        if self._journal.upgraded_from is not None:
            old, new = self._journal.upgraded_from, self._journal.version
            log.emit("journal.upgraded", old=old, new=new)
        warn_if_unlikely(self._clock())

    # --- starting work ---------------------------------------------------------------------------

    def _start_due_cases(self) -> None:
        """Give every due case that no worker has to a worker, as far as the limit allows."""
        running = {key for key in self._workers.running() if not key.startswith(_MIRROR)}
        self._start_due_commands(running)
        free = self._current.settings.limits.cases - len(running - self._commands.keys())
        if self._gate.is_busy or not self._turns.has_room(free):
            return
        if self._gate.is_token_refused:
            self._workers.start(_PROBE, self._gate.probe)
            return
        asked: Collection[str] = ()
        if free > 0:
            held = self._slots.take_held(self._turns.open_cases(), self._turns.rank_of)
            self._scanner.urgent.update(held)
            asked = self._scanner.urgent - running
            self._scanner.urgent &= running  # their step may have looked before the marker came
        for key in self._turns.choose(asked, running, free):
            self._workers.start(key, partial(self._run_case, key))

    def _start_due_commands(self, running: Collection[str]) -> None:
        """Run the commands of delivered cases: one at a time for each route, beside all limits.

        So a command that hangs holds up the commands of its own route, and nothing else.
        """
        self._commands = {key: name for key, name in self._commands.items() if key in running}
        free = self._current.routes.keys() - self._commands.values()
        for name, key in self._journal.due_commands(free, self._clock()).items():
            if key not in running:
                self._commands[key] = name
                self._workers.start(key, partial(self._runner.run_command, key))

    def _run_case(self, key: str) -> None:
        """Take a case as far as it goes; if it has ended, look what its folder did meanwhile."""
        self._runner.run(key)
        self._scanner.look_at_ended(self._current.routes, key)

    def _on_event(self, case: Case, event: events.Event) -> None:
        self._gate.on_event(case, event)
        self._slots.on_event(case, event)
        self._busy.on_event(case, event)

    def _on_crash(self, key: str, error: Exception) -> None:
        """A fault of gcwatch costs the case an attempt, and in the end fails it."""
        if isinstance(error, StateError):  # a damaged journal: the loop ends with it
            self._broken = error
            return
        is_case = key not in {_PROBE, _UPKEEP} and not key.startswith(_MIRROR)
        case = self._journal.case(key) if is_case else None
        step = (checklist.next_step(case) if case else None) or key
        facts = {"route": case.route, "case": case.key} if case else {}
        log.emit("step.crashed", step=step, error=error, **facts)
        if case:
            reason = Reason("crashed", {"error": type(error).__name__, "step": step})
            self._runner.record(case, events.AttemptFailed(reason))

    def _start_mirrors(self) -> None:
        """Run every mirror whose time has come, once the token is taken."""
        if self._gate.is_token_refused or self._gate.is_busy or self._mirrors.is_stopping:
            return
        for name in self._wakeup.requested_mirrors():
            self._workers.start(_MIRROR + name, partial(self._run_mirror, name))

    def _run_mirror(self, name: str) -> None:
        """Run a mirror; it gets half of the connections, so that cases never wait for it."""
        if name not in self._wakeup.requested_mirrors():
            return  # a run that ended before this one began has met the request
        with self._leases.hold(_MIRROR + name) as lease, self._current.transfers() as transfers:
            if lease is None:
                self._mirrors.leave(name)
                return
            context = MirrorContext(
                transfers=transfers,
                state=self._current.settings.state,
                at_once=max(1, self._current.settings.limits.connections // 2),
                backoff=self._current.base_pace.backoff,
                clock=self._clock,
                origins=partial(folders_of_display_sets, self._journal, self._current.settings),
                notes=self._journal.hosts,
            )
            self._mirrors.run_mirror(name, context)

    def _upkeep(self) -> None:
        """Clear the spool, look at all files of closed cases, and pack those that are old."""
        self._journal.leases.forget_ended()
        clear_spool(self._current.settings.state / "spool", self._journal)
        routes = self._current.routes
        self._scanner.scan_closed_cases(
            routes, lambda: not self._controls.stop.is_set() and self._current.routes is routes
        )
        pause = partial(self._controls.stop.wait, _PACK_PAUSE_SECONDS)
        pack_closed_cases(self._journal, self._clock(), pause)

    # --- what the daemon reports -----------------------------------------------------------------

    def _on_transfer(self, key: str, moved: int, total: int) -> None:
        """Note that bytes of a case have moved; any thread may call this."""
        self._heartbeats.tell(key)
        self._progress_file.moved(key, moved, total)
        self._progress(key, moved, total)

    def _on_mirror_progress(self, name: str, done: int, items: int, moved: int) -> None:
        self._heartbeats.tell(_MIRROR + name)
        self._progress_file.mirrored(name, done, items, moved)

    def _current_work(self) -> CurrentWork:
        """Return what `gcwatch status` shows of this daemon."""
        running = self._workers.running()
        mirrors = {key.removeprefix(_MIRROR) for key in running if key.startswith(_MIRROR)}
        cases = {key for key in running if not key.startswith(_MIRROR)} - {_PROBE, _UPKEEP}
        away, unused = frozenset(self._scanner.away), self._scanner.unused
        return CurrentWork(frozenset(cases), frozenset(mirrors), away, unused)

    def _make_watchdog(self) -> SystemdWatchdog:
        """Return what tells systemd, if it runs this daemon, whether all parts are alive."""

        def dead() -> frozenset[str]:
            return frozenset() if self._watcher.is_alive() else frozenset({"watcher"})

        return SystemdWatchdog(
            manager(),
            self._heartbeats,
            dead=dead,
            status=self._status_line,
            hung=self._current.base_pace.hung,
        )

    def _status_line(self) -> str:
        """Return counts only: whoever may list services reads it."""
        stages = [*(line.stage for line in (*CHECKLIST, REPORTING)), "failed"]
        try:
            counts = self._journal.counts()
        except JournalUnavailable:
            return "the journal can't be read"
        told = [f"{counts[stage]} {stage}" for stage in stages if stage in counts]
        troubles = {
            "the changed config is refused (see the log), the one before is followed": (
                self._config.is_refused
            ),
            "paused: the token is refused": self._gate.is_token_refused,
        }
        settings = self._current.settings
        routes = f"{len(settings.routes)} routes, {len(settings.mirrors)} mirrors"
        trouble = [text for text, holds in troubles.items() if holds]
        return "; ".join([*trouble, routes, ", ".join(told) or "no open case"])

    def _make_host_sign(self) -> HostSign:
        """Return what tells the other hosts that this one lives, once that has been told first."""
        self._journal.hosts.join()
        sign = HostSign(
            self._journal.hosts,
            self._leases,
            self._progress_file.progress,
            lambda: self._gate.pause,
            self._others.follow,
            seconds=self._journal.leases.seconds,
        )
        sign.tick()
        return sign

    def _make_reporters(self) -> Iterator[PeriodicThread]:
        """Return what tells people and monitoring systems how it is."""
        return Reporters(
            journal=self._journal,
            current=self._current,
            gate=self._gate,
            leases=self._leases,
            away=lambda: self._scanner.away,
            progress=self._progress_file.progress,
            clock=self._clock,
            stop=self._controls.stop,
            is_short=self._controls.until_idle,
        ).all()
