"""All that tells people and monitoring systems how it is, from the parts of a daemon."""

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from gcwatch.core.alerts import OF_ONE_HOST, TROUBLE_KINDS
from gcwatch.core.reasons import Reason
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.platform_gate import PlatformGate
from gcwatch.daemon.reporting.alert_sender import AlertSender
from gcwatch.daemon.reporting.condition import ConditionReader
from gcwatch.daemon.reporting.metrics_file import MetricsWriter
from gcwatch.daemon.reporting.status_files import StatusFileWriter
from gcwatch.daemon.reporting.tables import TableWriter
from gcwatch.journal.hosts.hosts import NoteFiles
from gcwatch.journal.hosts.leases import SoleLeases
from gcwatch.journal.hosts.progress import DaemonProgress
from gcwatch.journal.journal import Journal
from gcwatch.threads.periodic import PeriodicThread
from gcwatch.wording.host_group import HostGroup
from gcwatch.wording.why_waiting import DaemonSnapshot


@dataclass(frozen=True)
class Reporters:
    """Makes the threads that report.

    Attributes:
        journal: What is known of cases.
        current: The settings of the moment.
        gate: Why all work is paused.
        leases: Of the hosts that share a journal, one writes each report.
        away: Returns the routes whose inbox can't be reached.
        progress: Returns what this host does at the moment.
        clock: The time in seconds since the epoch.
        stop: Set once the daemon stops.
        is_short: Whether this run ends by itself.
    """

    journal: Journal
    current: CurrentConfig
    gate: PlatformGate
    leases: HeldLeases
    away: Callable[[], Collection[str]]
    progress: Callable[[], DaemonProgress]
    clock: Callable[[], float]
    stop: threading.Event
    is_short: bool

    def all(self) -> Iterator[PeriodicThread]:
        """Yield them, those first that have to end last."""
        yield self._make_status_files()
        yield self._make_tables()
        yield from self._make_monitors()

    def _make_tables(self) -> TableWriter:
        """Return what keeps the tables of routes, by the settings of the moment."""
        survey = self.current.base_pace.survey
        return TableWriter(
            self.journal,
            lambda: self.current.settings,
            self.stop,
            survey,
            self.leases,
        )

    def _make_monitors(self) -> Iterator[PeriodicThread]:
        """Yield what tells monitoring systems and people how it is."""
        journal = self.journal
        here = ConditionReader(journal, self.current, self.gate, self.away)
        yield MetricsWriter(self.current, here, self.clock)
        make = partial(AlertSender, self.current, clock=self.clock, is_short=self.is_short)
        tell = partial(self.leases.keep, "alerts")
        if not journal.leases.is_shared:
            yield make(here, notes=journal.hosts, kinds=TROUBLE_KINDS, duty=tell)
            return
        # Each host tells what is wrong with it alone, also without the database.
        alone = partial(SoleLeases().claim, "alerts")
        own = NoteFiles(self.current.settings.state)
        yield make(here, notes=own, kinds=OF_ONE_HOST, duty=alone)
        for_all = ConditionReader(journal, self.current, self.gate, lambda: self._hosts().away)
        kinds = [kind for kind in TROUBLE_KINDS if kind not in OF_ONE_HOST]
        yield make(for_all, notes=journal.hosts, kinds=kinds, duty=tell)

    def _hosts(self) -> HostGroup:
        """Return all hosts of the journal, as each of them told last."""
        journal = self.journal
        return HostGroup(self.current.settings, journal.hosts.all(), journal.leases.owners())

    def _make_status_files(self) -> StatusFileWriter:
        """Return what keeps the status files of routes, by the settings of the moment."""

        def snapshot() -> DaemonSnapshot:
            if self.journal.leases.is_shared:
                return self._hosts().snapshot()
            pause = Reason(self.gate.pause) if self.gate.pause else None
            return DaemonSnapshot(pause=pause, progress=self.progress())

        return StatusFileWriter(
            self.journal,
            lambda: self.current.settings,
            snapshot,
            self.current.pace,
            clock=self.clock,
            leases=self.leases,
            state=self.current.settings.state,
            stop=self.stop,
        )
