"""Writes the numbers for Prometheus into the file that the config names, a few times a minute."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gcwatch import log
from gcwatch.core.attention import attention_of
from gcwatch.core.errors import JournalUnavailable, StateError
from gcwatch.daemon.current_config import CurrentConfig
from gcwatch.daemon.reporting.condition import Condition, ConditionReader
from gcwatch.files.atomic import error_text, write_atomically
from gcwatch.journal.journal import Journal
from gcwatch.journal.totals import Totals
from gcwatch.mirrors.last_run import LastRun
from gcwatch.threads.periodic import PeriodicThread
from gcwatch.wording.metrics import MetricsFacts, MirrorNumbers, metrics_text

_WRITE_SECONDS: Final = 15.0
"""Time between two writes: Prometheus usually asks every 15 to 60 seconds."""

_STOP_PATIENCE_SECONDS: Final = 2.0

_FILE_MODE: Final = 0o644
"""node_exporter runs as a user of its own, and there is nothing private in the file."""


@dataclass(frozen=True)
class _JournalNumbers:
    """What the journal says; the last of it stays while the journal can't be read."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    needing: Counter[tuple[str, str]] = field(default_factory=Counter)
    since: dict[str, float] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    hosts: Mapping[str, int] = field(default_factory=dict)


class MetricsWriter(PeriodicThread):
    """Keeps the file of metrics up to date, from start to end; without one in the config, idle.

    Args:
        current: The settings of the moment, and the requests to the platform.
        reader: What is known of cases, inboxes and mirrors.
        clock: The time in seconds since the epoch.
    """

    def __init__(
        self,
        current: CurrentConfig,
        reader: ConditionReader,
        clock: Callable[[], float],
    ) -> None:
        interval = min(_WRITE_SECONDS, current.base_pace.survey / 4)
        super().__init__("metrics", interval, _STOP_PATIENCE_SECONDS)
        self._current = current
        self._reader = reader
        self._clock = clock
        self._known = _JournalNumbers()
        self._has_problem = False

    def tick(self) -> None:
        """Write the file."""
        self._write(is_running=True)

    def on_stop(self) -> None:
        """Write it a last time: gcwatch has stopped."""
        self._write(is_running=False)

    def _write(self, *, is_running: bool) -> None:
        path = self._current.settings.metrics.textfile
        if path is None:
            return
        text = metrics_text(replace(self._facts(), is_running=is_running))
        try:
            # After a power cut it is written again at the next start.
            write_atomically(path, text, _FILE_MODE, durable=False)
        except OSError as error:
            if not self._has_problem:
                log.emit("metrics.failed", error=error_text(error))
            self._has_problem = True
            return
        if self._has_problem:
            self._has_problem = False
            log.emit("metrics.returned")

    def _facts(self) -> MetricsFacts:
        now = self._clock()
        try:
            condition = self._reader.read()
            self._known = self._numbers(condition)
        # The daemon logs it, and `gcwatch_paused` says so; a damaged journal ends the daemon.
        except (JournalUnavailable, StateError):
            condition = self._reader.without_journal()
        known, traffic = self._known, self._current.traffic
        return MetricsFacts(
            now=now,
            is_running=True,
            routes=self._current.settings.route_names,
            counts=known.counts,
            needing=known.needing,
            waits={route: max(now - since, 0.0) for route, since in known.since.items()},
            totals=known.totals,
            calls=traffic.outcomes(),
            last_answer=traffic.last_ok,
            away=condition.away,
            pause=condition.pause,
            mirrors={name: _mirror_numbers(last) for name, last in condition.mirrors.items()},
            hosts=known.hosts,
        )

    def _numbers(self, condition: Condition) -> _JournalNumbers:
        needing: Counter[tuple[str, str]] = Counter()
        since: dict[str, float] = {}
        for case in condition.cases:
            needed = attention_of(case)
            if needed is not None:
                needing[case.route, needed] += 1
            if case.key in condition.progress:
                at = condition.progress[case.key]
                since[case.route] = min(since.get(case.route, at), at)
        journal = self._reader.journal
        return _JournalNumbers(
            journal.counts_by_route(), needing, since, journal.totals(), _count_hosts(journal)
        )


def _count_hosts(journal: Journal) -> Mapping[str, int]:
    """Return how many hosts live and are silent; nothing if there can be only one."""
    if not journal.leases.is_shared:
        return {}
    living = [host.is_alive for host in journal.hosts.all()]
    return {"alive": living.count(True), "silent": living.count(False)}


def _mirror_numbers(last: LastRun) -> MirrorNumbers:
    ended = last.ended_at
    return MirrorNumbers(ended, last.items, bool(last.reason or last.failed))
