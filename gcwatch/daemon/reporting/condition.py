"""How gcwatch is at one moment, for metrics and alerts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gcwatch.core.case import Case
from gcwatch.core.errors import JournalUnavailable
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.platform_gate import PlatformGate
from gcwatch.journal.journal import Journal
from gcwatch.mirrors.last_run import LastRun, read_last_run


@dataclass(frozen=True)
class Condition:
    """Cases that are open or need attention, and what is wrong around them.

    `progress`: when each open case last came further, by key. `pause`: why all work is paused, ""
    if it is not. `away`: the routes whose inbox can't be reached. `mirrors`: the last run of each.
    """

    cases: Sequence[Case] = ()
    progress: Mapping[str, float] = field(default_factory=dict)
    pause: str = ""
    away: Collection[str] = ()
    mirrors: Mapping[str, LastRun] = field(default_factory=dict)


@dataclass(frozen=True)
class ConditionReader:
    """Reads it from the journal and from the parts of the daemon; any thread may."""

    journal: Journal
    current: CurrentConfig
    gate: PlatformGate
    away: Callable[[], Collection[str]]

    def read(self) -> Condition:
        """Return how it is now.

        Raises:
            JournalUnavailable, StateError: when the journal can't be read.
        """
        routes = self.current.settings.route_names
        cases = [case for case in self.journal.attention() if case.route in routes]
        return self._with(cases, self.journal.last_progress())

    def without_journal(self) -> Condition:
        """Return what is known without the journal."""
        return self._with((), {})

    def _with(self, cases: Sequence[Case], progress: Mapping[str, float]) -> Condition:
        mirrors: Mapping[str, LastRun] = {}
        with suppress(JournalUnavailable):
            mirrors = {
                each.name: read_last_run(self.journal.hosts, each.name)
                for each in self.current.settings.own_mirrors
            }
        return Condition(cases, progress, self.gate.pause, frozenset(self.away()), mirrors)
