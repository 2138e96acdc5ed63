"""One loop: find new folders, start a step for every due case. Threads, clock and stop live here.

The main thread decides what is started; a pool of workers performs steps and records what comes of
them in the journal, which decides what is due. Recovery is the ordinary path: on start every open
case continues at its first missing fact.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final

import sqlalchemy.exc

from gcwatch import config, log
from gcwatch.config import Route, Settings
from gcwatch.core import checklist, events
from gcwatch.core.case import Case
from gcwatch.core.checklist import CHECKLIST, REPORTING
from gcwatch.core.errors import (
    CaseError,
    ConfigError,
    Problem,
    Refused,
    Stopped,
    TokenRefused,
    Unreachable,
)
from gcwatch.core.events import Event
from gcwatch.core.reasons import Reason
from gcwatch.core.timing import Pace, due_time
from gcwatch.daemon.mirrors import MirrorScheduler
from gcwatch.daemon.notify import manager
from gcwatch.daemon.perform import perform_step
from gcwatch.daemon.schedule import Schedule
from gcwatch.daemon.status_files import StatusFileWriter
from gcwatch.daemon.step_context import StepContext, StepContextHolder
from gcwatch.daemon.wakeup import Wakeup
from gcwatch.daemon.watchdog import SystemdWatchdog
from gcwatch.explain.why_waiting import DaemonSnapshot
from gcwatch.imaging import bundle
from gcwatch.inbox.scanner import BREATH, InboxScanner, log_network_inbox
from gcwatch.inbox.single import SingleCaseRoute
from gcwatch.inbox.watcher import Watcher
from gcwatch.journal.journal import Journal
from gcwatch.journal.presence import LockFile, only_daemon
from gcwatch.journal.progress import CurrentWork, ProgressFile
from gcwatch.journal.route_identity import RouteIdentities, route_identities
from gcwatch.log.case_events import log_entry
from gcwatch.mirror.run import MirrorContext, MirrorSummary
from gcwatch.threads.heartbeats import Heartbeats, heartbeat
from gcwatch.version import VERSION

HEARTBEAT: Final = 1.0
REST: Final = 200.0
"""How many times a look's CPU time passes until one that nothing has asked for."""
DISK_PAUSE: Final = 60.0

_PROBE, _UPKEEP, _MIRROR = "probe", "upkeep", "mirror:"
"""What workers do besides cases; no key looks like these, or begins like the last."""

_LOOP: Final = "loop"

_PROOFS: Final = (
    events.UploadStarted,
    events.UploadCompleted,
    events.Submitted,
    events.StillRunning,
    events.Succeeded,
)
"""Events that only a platform within reach can bring; see `_is_proof`."""

_MOST_WORKERS: Final = 1024
"""More than are ever needed: a thread is made when work is begun, and the loop decides on that."""

PaceOf = Callable[[str], Pace]


@dataclass(frozen=True)
class Reload:
    """How the daemon comes to other settings while it works.

    The config file is read anew whenever `asked` is set. `take_up` is told the new settings; it
    returns the context for steps, if that is another then.
    """

    asked: threading.Event
    take_up: Callable[[Settings], StepContext | None]


@dataclass
class _Pause:
    """Until when no work is begun, on the clock that never steps."""

    until: float = 0.0

    def is_on(self) -> bool:
        return time.monotonic() < self.until


class Daemon:
    """The work itself, over an open journal; `run` it until `stop` is set or nothing is left.

    `mirrored` is what came of each mirror's last run.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        context: StepContext,
        pace: PaceOf,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._routes = {route.name: route for route in settings.routes}
        self._journal = journal
        self._heartbeats = Heartbeats()
        self._told = context.progress
        self._clock, self._spool = context.clock, context.spool
        self._contexts = StepContextHolder(replace(context, progress=self._moving))
        self._pace = pace
        self._stop = stop
        self._wakeup = Wakeup()
        self._watcher = Watcher(self._wakeup.request_scan)
        self._workers = ThreadPoolExecutor(_MOST_WORKERS, thread_name_prefix="step")
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._course = threading.Lock()
        self._pause = _Pause()
        self._refused = threading.Event()
        self._is_away = False
        self._presence: LockFile | None = None
        self._scanner = InboxScanner(
            journal,
            self._watcher,
            look_again=self._wakeup.request_scan,
            record=self._record,
            tell=_tell,
        )
        self._is_misconfigured = False
        self._board = ProgressFile(settings.state, os.getpid(), self._at_work)
        self.mirrored: dict[str, MirrorSummary | Reason] = {}

    # --- the loop --------------------------------------------------------------------------------

    def run(self, reload: Reload, *, until_idle: bool = False) -> None:
        """Work until told to stop; with *until_idle*, until nothing is left that could be done.

        Raises:
            StateError: when another daemon works on the same state directory.
            TokenRefused: with *until_idle*, when the platform does not take the token.
        """
        pace = self._pace("")
        schedule = Schedule(self._wakeup, survey=pace.survey, upkeep=pace.upkeep)
        self._keeper = self._make_keeper(schedule, pace)
        with ExitStack() as stack:
            self._presence = stack.enter_context(only_daemon(self._settings.state))
            stack.callback(log.emit, "daemon.stopped")
            # Outermost but for the lock: it has to see the others end.
            guard = stack.enter_context(self._make_guard(schedule, pace))
            stack.enter_context(self._make_reporter())
            stack.callback(self._contexts.close)
            stack.callback(self._workers.shutdown, wait=True, cancel_futures=True)
            stack.callback(self._keeper.stop)
            self._watcher.start()
            stack.callback(self._watcher.stop)
            schedule.start()
            stack.callback(schedule.stop)
            stack.enter_context(self._board)
            self._introduce()
            self._find_cases(self._settings)
            self._tell_of_orphans()
            self._journal.reschedule()
            self._wakeup.request_scan()
            self._keeper.begin(at_once=until_idle)
            stack.callback(guard.stopping)
            with self._heartbeats.of(_LOOP):
                self._loop(schedule, guard, reload, until_idle=until_idle)
        if until_idle and self._refused.is_set():
            raise TokenRefused("401")

    def _loop(
        self, schedule: Schedule, guard: SystemdWatchdog, reload: Reload, *, until_idle: bool
    ) -> None:
        while not self._stop.is_set():
            if guard.is_ready and reload.asked.is_set():
                self._reload(reload, guard)
            self._tick(schedule)
            heartbeat()
            if self._scanner.last:
                guard.ready()  # the folders have been looked at, whatever was found
            if until_idle and self._is_idle():
                break
            self._wakeup.wait(self._patience())

    def _make_guard(self, schedule: Schedule, pace: Pace) -> SystemdWatchdog:
        """Who tells the service manager, if there is one, whether all of this is alive."""

        def dead() -> frozenset[str]:
            alive = {"watcher": self._watcher.is_alive, "scheduler": schedule.is_alive}
            return frozenset(who for who, is_alive in alive.items() if not is_alive())

        return SystemdWatchdog(
            manager(), self._heartbeats, dead=dead, status=self._status, hung=pace.hung
        )

    def _status(self) -> str:
        """Say what is going on: counts only, as whoever may list services reads it."""
        stages = [*(line.stage for line in (*CHECKLIST, REPORTING)), "failed"]
        try:
            counts = self._journal.counts()
        except sqlalchemy.exc.OperationalError:
            return "the journal can't be read"
        told = [f"{counts[stage]} {stage}" for stage in stages if stage in counts]
        odd = {
            "the changed config is refused (see the log), the one before is followed": (
                self._is_misconfigured
            ),
            "paused: the token is refused": self._refused.is_set(),
        }
        routes = f"{len(self._routes)} routes, {len(self._settings.mirrors)} mirrors"
        trouble = [what for what, holds in odd.items() if holds]
        return "; ".join([*trouble, routes, ", ".join(told) or "no open case"])

    def _moving(self, key: str, moved: int, total: int) -> None:
        """Bytes of a case have moved, in whatever thread."""
        self._heartbeats.tell(key)
        self._board.moved(key, moved, total)
        self._told(key, moved, total)

    def _make_reporter(self) -> StatusFileWriter:
        """Who keeps the reports of routes, by the settings of the moment."""

        def around() -> DaemonSnapshot:
            pause = Reason("token_refused") if self._refused.is_set() else None
            return DaemonSnapshot(pause=pause, progress=self._board.progress())

        return StatusFileWriter(
            self._journal, lambda: self._settings, around, self._pace, self._clock
        )

    def _at_work(self) -> CurrentWork:
        """What the board shows of this daemon."""
        with self._lock:
            running = frozenset(self._running)
        mirrors = frozenset(
            each.removeprefix(_MIRROR) for each in running if each.startswith(_MIRROR)
        )
        busy = frozenset(each for each in running if not each.startswith(_MIRROR))
        return CurrentWork(busy - {_PROBE, _UPKEEP}, mirrors, frozenset(self._scanner.away))

    def _make_keeper(self, schedule: Schedule, pace: Pace) -> MirrorScheduler:
        return MirrorScheduler(
            self._settings.mirrors,
            self._clock,
            pace,
            self._wakeup,
            schedule,
            self._told,
            self._mirror_moving,
            self.mirrored,
        )

    def _mirror(self, name: str) -> None:
        """Run a mirror; it gets half of the connections, so that cases never wait for it."""
        if name not in self._wakeup.requested_mirrors():
            return  # a run that was over before this one began has met the wish
        with self._contexts.use() as context:
            means = MirrorContext(
                transfers=context.transfers,
                state=self._settings.state,
                at_once=max(1, self._settings.limits.connections // 2),
                backoff=self._pace("").backoff,
                clock=self._clock,
            )
            self._keeper.work(name, means)

    def _mirror_moving(self, name: str, done: int, items: int, moved: int) -> None:
        self._heartbeats.tell(_MIRROR + name)
        self._board.mirrored(name, done, items, moved)

    def _introduce(self) -> None:
        """Say who works, and what to expect of the inboxes."""
        routes = len(self._routes)
        log.emit("daemon.started", version=VERSION, routes=routes, pid=os.getpid())
        if self._journal.upgraded_from is not None:
            old, new = self._journal.upgraded_from, self._journal.version
            log.emit("journal.upgraded", old=old, new=new)
        for route in self._routes.values():
            log_network_inbox(route)

    # --- other settings --------------------------------------------------------------------------

    def _find_cases(self, settings: Settings) -> Mapping[str, str]:
        """Let each route find its cases, whatever it was called; return new names by old."""
        wanted = _places(settings)
        renamed = self._journal.rename(wanted) if wanted else {}
        for old, new in renamed.items():
            log.emit("route.renamed", route=new, old=old)
        return renamed

    def _tell_of_orphans(self, former: Collection[str] | None = None) -> None:
        """Name the open cases whose route is not there; with *former* routes, only their cases."""
        for case in self._journal.open_cases() if _places(self._settings) else ():
            if case.route not in self._routes and (former is None or case.route in former):
                log.emit("case.orphaned", route=case.route, case=case.key)

    def _reload(self, reload: Reload, guard: SystemdWatchdog) -> None:
        """Read the config file anew and follow it; one with a mistake changes nothing."""
        reload.asked.clear()
        guard.reloading()
        try:
            self._follow(config.load(self._settings.file), reload)
            self._is_misconfigured = False
        except ConfigError as error:
            self._is_misconfigured = True
            log.emit("config.refused", file=error.file, problems=list(map(str, error.problems)))
        guard.ready()

    def _follow(self, settings: Settings, reload: Reload) -> None:
        """Work by other settings from now on; each step under way ends as it began.

        Raises:
            ConfigError: when they can't be followed; then nothing is changed.
        """
        former = self._settings
        config.require_same_home(former, settings)
        log.reconfigure(settings.log)
        try:
            renamed, context = self._switch(settings, reload)
        except sqlalchemy.exc.OperationalError as error:
            log.reconfigure(former.log)
            raise _unwritable(settings) from error
        self._change_context(context)
        self._keeper.follow(settings.mirrors)
        self._look_elsewhere(former)
        told = config.changes(former, settings, renamed)
        log.emit("config.reloaded", file=settings.file, **asdict(told))
        with suppress(sqlalchemy.exc.OperationalError):  # the loop meets it, too, and tells of it
            self._tell_of_orphans(told.removed)
            self._journal.reschedule()

    def _switch(
        self, settings: Settings, reload: Reload
    ) -> tuple[Mapping[str, str], StepContext | None]:
        """Change journal and settings at once, as whoever begins a step sees them."""
        with self._course:
            renamed = self._find_cases(settings)
            self._settings = settings
            self._routes = {route.name: route for route in settings.routes}
            return renamed, reload.take_up(settings)

    def _change_context(self, context: StepContext | None) -> None:
        """Give steps that begin from now on other connections; a new token is tried at once."""
        if context is not None:
            self._contexts.replace(replace(context, progress=self._moving))
            self._pause = _Pause()

    def _look_elsewhere(self, former: Settings) -> None:
        """Watch the inboxes that there are now, and no other."""
        self._scanner.watch_only(self._routes)
        watched = {route.inbox for route in former.routes}
        for route in self._routes.values():
            if route.inbox not in watched:
                log_network_inbox(route)
        self._wakeup.request_scan()

    def _tick(self, schedule: Schedule) -> None:
        """Look, tidy and start, each if it is its time; a full disk only makes a pause."""
        try:
            self._turn(schedule)
        except sqlalchemy.exc.OperationalError as error:
            self._disk_full(error)

    def _disk_full(self, error: Exception) -> None:
        log.emit("journal.full", error=error)
        self._pause = _Pause(time.monotonic() + DISK_PAUSE)

    def _turn(self, schedule: Schedule) -> None:
        if self._pause.is_on():
            return
        if self._wakeup.is_scan_requested() and not self._scanner.is_too_soon():
            self._wakeup.scan_started()
            schedule.rest(REST * self._scanner.scan(self._routes))
        if self._wakeup.take_upkeep_request():
            self._start(_UPKEEP, self._upkeep)
        self._start_mirrors()
        self._start_due()
        schedule.wake_at(self._journal.next_due(self._routes))

    def _patience(self) -> float:
        """How long to sleep at most: a wish to look that came too soon is met shortly."""
        return BREATH if self._wakeup.is_scan_requested() else HEARTBEAT

    def _is_idle(self) -> bool:
        """Whether nothing runs, and every open case waits for what only time can bring."""
        # What runs is asked first: its last deed may be to ask for a look.
        with self._lock:
            if self._running:
                return False
        if self._refused.is_set():
            return True
        if self._wakeup.is_scan_requested() or self._wakeup.requested_mirrors():
            return False
        ours = (case for case in self._journal.open_cases() if case.route in self._routes)
        return all(is_stuck(case) for case in ours)

    # --- starting steps --------------------------------------------------------------------------

    def _start_due(self) -> None:
        """Give every due case that nobody works on to a worker, as far as there are some."""
        with self._lock:
            running = {key for key in self._running if not key.startswith(_MIRROR)}
        free = self._settings.limits.cases - len(running)
        if free <= 0:
            return
        if self._refused.is_set():
            self._start(_PROBE, self._probe)
            return
        urgent = [self._journal.case(key) for key in self._scanner.urgent - running]
        self._scanner.urgent &= running  # their step may have looked before the marker came
        due = self._journal.due(self._routes, self._clock(), limit=free + len(running))
        for case in [*urgent, *due]:
            if case.key not in running and free:
                running.add(case.key)
                self._start(case.key, partial(self._work, case))
                free -= 1

    def _start_mirrors(self) -> None:
        """Run every mirror whose time has come, once the token is taken."""
        waits = self._refused.is_set() or self._keeper.is_parting
        for name in () if waits else self._wakeup.requested_mirrors():
            self._start(_MIRROR + name, partial(self._mirror, name))

    def _start(self, key: str, work: Callable[[], None]) -> None:
        """Give work to a worker, unless the same is under way."""
        with self._lock:
            if key in self._running:
                return
            self._running.add(key)
        future = self._workers.submit(self._guarded, work, key)
        future.add_done_callback(_tell_lost)

    def _guarded(self, work: Callable[[], None], key: str) -> None:
        """A worker's outermost line: whatever comes out is told, and the loop goes on."""
        try:
            with self._heartbeats.of(key):
                work()
        except Stopped:
            pass
        except (TokenRefused, ConfigError):
            self._refuse()
        except sqlalchemy.exc.OperationalError as error:
            self._disk_full(error)
        except Exception as error:  # noqa: BLE001 -- the one place: a fault must not end the daemon
            self._crashed(key, error)
        finally:
            with self._lock:
                self._running.discard(key)
            self._wakeup.wake()

    def _crashed(self, key: str, error: Exception) -> None:
        """A fault of ours costs the case an attempt, and in the end fails it, loudly."""
        is_case = key not in {_PROBE, _UPKEEP} and not key.startswith(_MIRROR)
        case = self._journal.case(key) if is_case else None
        step = (checklist.next_step(case) if case else None) or key
        facts = {"route": case.route, "case": case.key} if case else {}
        log.emit("step.crashed", step=step, error=error, **facts)
        if case:
            reason = Reason("crashed", {"error": type(error).__name__, "step": step})
            self._record(case, events.AttemptFailed(reason))

    def _work(self, case: Case) -> None:
        """Take a case as far as it goes for now, each step by what its route is then."""
        first = True
        while not self._stop.is_set():
            case, route, pace = self._as_it_is(case.key)
            step, due = checklist.next_step(case), due_time(case, pace)
            if route is None or step is None or due is None or (due > self._clock() and not first):
                return
            first = False
            with self._contexts.use() as context:
                self._perform(case, perform_step(step, case, route, pace, context))

    def _as_it_is(self, key: str) -> tuple[Case, Route | None, Pace]:
        """Return a case, its route if it is there, and how fast it goes, all of one moment."""
        with self._course:
            case = self._journal.case(key)
            return case, self._routes.get(case.route), self._pace(case.route)

    def _perform(self, case: Case, work: checklist.StepEvents) -> None:
        """Perform one step, recording each event before the step goes on."""
        of_round = case.round
        event = next(work, None)
        while event is not None:
            case = self._record(case, event)
            if not case.is_open or case.round != of_round:
                work.close()
                return
            try:
                event = work.send(case)
            except StopIteration:
                return

    def _record(self, case: Case, event: Event) -> Case:
        after = self._journal.record(case.key, event, of_round=case.round)
        heartbeat()
        self._tell_of_reach(case, event)
        _tell(case, event, after)
        return after

    def _tell_of_reach(self, case: Case, event: Event) -> None:
        """Say once that the platform is out of reach, and once that it is back."""
        with self._lock:  # many cases find it out at the same moment
            if isinstance(event, events.AttemptFailed) and event.reason.code == "unreachable":
                if not self._is_away:
                    log.emit("platform.unreachable", error=event.reason.facts.get("error", ""))
                self._is_away = True
            elif self._is_away and _is_proof(case, event):
                self._is_away = False
                log.emit("platform.reachable")

    # --- a refused token -------------------------------------------------------------------------

    def _refuse(self) -> None:
        """Stop all work, loudly; nothing is failed, and the token is tried again."""
        seconds = self._pace("").refused
        with self._lock:
            if self._refused.is_set() and self._pause.is_on():
                return  # another worker has just said so
            self._refused.set()
            self._tell_pause("token_refused")
            log.emit("platform.token_refused", seconds=round(seconds))
            self._pause = _Pause(time.monotonic() + seconds)

    def _tell_pause(self, code: str) -> None:
        """Leave word for `status`."""
        if self._presence is not None:
            self._presence.tell(code)

    def _probe(self) -> None:
        """Ask whether the token is taken again; where nobody answers, the next probe will tell."""
        try:
            with self._contexts.use() as context:
                context.transfers.platform.me()
        except (Unreachable, CaseError, Refused):
            self._pause = _Pause(time.monotonic() + self._pace("").refused)
            return
        with self._lock:
            self._tell_pause("")
            log.emit("platform.token_accepted")
            self._refused.clear()

    # --- upkeep ----------------------------------------------------------------------------------

    def _upkeep(self) -> None:
        """Clear what crashes left in the spool, and look deep into the folders of closed cases."""
        self._clear_spool()
        routes = self._routes
        self._scanner.scan_closed_cases(
            routes, lambda: not self._stop.is_set() and self._routes is routes
        )

    def _clear_spool(self) -> None:
        # Listed before the cases are, so that a folder made meanwhile is never taken for old.
        spooled = list(self._spool.iterdir()) if self._spool.is_dir() else []
        wanted = {f"{case.key}-{case.round}" for case in self._journal.open_cases()}
        for folder in spooled:
            if folder.name not in wanted:
                bundle.discard(folder)


def _places(settings: Settings) -> RouteIdentities:
    """Return where the routes of a config file are; a one-off has no name that could change."""
    return route_identities(
        each for each in settings.routes if not isinstance(each, SingleCaseRoute)
    )


def _unwritable(settings: Settings) -> ConfigError:
    hint = "Make room on the disk of the state directory."
    problem = Problem("", "can't be followed: the journal can't be written", hint)
    return ConfigError(str(settings.file), [problem])


def _is_proof(case: Case, event: Event) -> bool:
    """Whether the platform must be within reach; a plain value is written without it."""
    if isinstance(event, events.OutputFetched):
        fetched = {file.output for file in event.files}
        return any(output.url for output in case.outputs or () if output.pk in fetched)
    return isinstance(event, _PROOFS)


_STUCK: Final = frozenset(
    {
        "inbox_away",
        "waiting_for_marker",
        "not_found",
        "no_rights",
        "no_credits",
        "not_ready",
        "too_many_uploads",
        "no_space_left",
        "job_stalled",
        "import_stalled",
    }
)
"""What `gcwatch once` does not wait for: it takes a person, or hours."""
_OFTEN_ENOUGH: Final = 4


def is_stuck(case: Case) -> bool:
    """Given an open case, return whether waiting for it is for a daemon, not for one run."""
    if case.wait is None:
        return False
    return case.wait.reason.code in _STUCK or case.attempts >= _OFTEN_ENOUGH


def _tell_lost(future: Future[None]) -> None:
    """Tell what even a worker's outermost line could not handle: a journal that is gone."""
    error = future.exception() if not future.cancelled() else None
    if error is not None:
        log.emit("step.crashed", step="worker", error=error)


def _tell(before: Case, event: Event, after: Case) -> None:
    told = log_entry(before, event, after)
    if told:
        name, facts = told
        log.emit(name, route=after.route, case=after.key, **facts)
